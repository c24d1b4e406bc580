//! Feeds, as the proxy's callbacks drive them.

use super::Gate;
use crate::feed::Surroundings;
use crate::{Config, Effects, FeedError, Fetch, FetchId, Named, Page, Proxy, Remote, RootId, Site};
use evaluator::Timestamp;

impl Gate {
    /// What the feeds say about a stream. Of private peers they say nothing, whatever they name.
    pub(super) fn named<'s>(&mut self, config: &'s Config, remote: &Remote, now: Timestamp) -> Option<Named<'s>> {
        let feeds = &config.lists.feeds;
        let address = remote.address.filter(|address| !feeds.is_empty() && config.scope.is_public(*address))?;
        self.feeds.find(feeds, address, now)
    }

    /// Takes in the feeds of a configuration that was loaded, and what the other workers have of them.
    pub fn join_feeds(&mut self, site: &Site, proxy: Proxy<'_>, effects: &mut Effects) {
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects };
        self.feeds.join(site.root, &site.config.lists.feeds, &mut around);
    }

    /// Forgets the feeds of a configuration that is gone. What its root has asked for, another is to ask for again.
    pub fn leave_feeds(&mut self, root: RootId, proxy: Proxy<'_>) {
        self.feeds.leave(root, proxy);
    }

    /// Does a little of what is to be done about feeds: call it on each tick of each root, and on no other occasion, so that
    /// traffic has its turn in between. A fetch that it returns is to be sent now.
    pub fn tend_feeds(&mut self, root: RootId, proxy: Proxy<'_>, effects: &mut Effects) -> Option<Fetch> {
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects };
        self.feeds.tend(root, &mut around)
    }

    /// Takes the answer to a fetch. It is read on the ticks that follow.
    pub fn fetched(&mut self, id: FetchId, page: Result<Page, FeedError>, proxy: Proxy<'_>, effects: &mut Effects) {
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects };
        self.feeds.fetched(id, page, &mut around);
    }
}
