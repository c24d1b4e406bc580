//! Feeds, as the proxy's callbacks drive them.

use super::Gate;
use crate::feed::Surroundings;
use crate::waiter::Waiter;
use crate::{
    Config, Decision, Effects, FeedError, Fetch, FetchId, Moment, Page, Proxy, Remote, RootId, Site, StreamId,
};
use alloc::vec::Vec;
use evaluator::{Action, Timestamp};

/// How many open connections one tick looks at after a feed has changed, so that traffic has its turn in between.
const REVIEWED_AT_ONCE: usize = if cfg!(test) { 4 } else { 4096 };

impl Gate {
    /// What the feeds say about a stream. Of private peers they say nothing, whatever they name.
    pub(super) fn named(&self, config: &Config, remote: &Remote, now: Timestamp) -> Option<Decision<'static>> {
        let feeds = &config.lists.feeds;
        let address = remote.address.filter(|address| !feeds.is_empty() && config.scope.is_public(*address))?;
        let named = self.feeds.find(feeds, address, now)?;
        Some(Decision::named(named, feeds.get(named.feed)?.then))
    }

    /// Takes in the feeds of a configuration that was loaded, and what the other workers have of them.
    pub fn join_feeds(&mut self, site: &Site, proxy: Proxy<'_>, effects: &mut Effects) {
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects };
        self.feeds.join(site.root, &site.config.lists.feeds, &mut around);
        self.review(proxy.now, effects);
    }

    /// Forgets the feeds of a configuration that is gone. What its root has asked for, another is to ask for again.
    pub fn leave_feeds(&mut self, root: RootId, proxy: Proxy<'_>) {
        self.feeds.leave(root, proxy);
    }

    /// Does a little of what is to be done about feeds: call it on each tick of each root, and on no other occasion, so that
    /// traffic has its turn in between. A fetch that it returns is to be sent now.
    pub fn tend_feeds(&mut self, root: RootId, proxy: Proxy<'_>, effects: &mut Effects) -> Option<Fetch> {
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects };
        let fetch = self.feeds.tend(root, &mut around);
        self.review(proxy.now, effects);
        fetch
    }

    /// Takes the answer to a fetch. It is read on the ticks that follow.
    pub fn fetched(&mut self, id: FetchId, page: Result<Page, FeedError>, proxy: Proxy<'_>, effects: &mut Effects) {
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects };
        self.feeds.fetched(id, page, &mut around);
    }

    /// Takes what new copies say to those who came before them: held streams are released, and open connections closed, so
    /// many at a time.
    fn review(&mut self, now: Moment, effects: &mut Effects) {
        let time = now.timestamp();
        if self.reviewed != self.feeds.taken() {
            self.reviewed = self.feeds.taken();
            self.review_from = Some(StreamId(0));
            let named = |(stream, waiter): (StreamId, &Waiter)| {
                Some((stream, self.named_alone(&waiter.site.config, &waiter.remote, time)?))
            };
            for (stream, decision) in self.waiters.iter().filter_map(named).collect::<Vec<_>>() {
                self.release(&[stream], |_| decision, now, effects);
            }
        }
        let Some(from) = self.review_from else { return };
        let (mut denied, mut next) = (Vec::new(), None);
        for (place, (stream, open)) in self.connections.from(from).enumerate() {
            if place == REVIEWED_AT_ONCE {
                next = Some(stream);
                break;
            }
            let named = self.named_alone(&open.site.config, &open.remote, time);
            denied.extend(named.filter(|named| named.verdict.action == Action::Deny).map(|named| (stream, named)));
        }
        self.review_from = next;
        for (stream, decision) in denied {
            self.close(stream, decision, effects);
        }
    }

    /// What the feeds say about a stream of which neither list nor override says anything.
    fn named_alone(&self, config: &Config, remote: &Remote, now: Timestamp) -> Option<Decision<'static>> {
        let named = self.named(config, remote, now)?;
        self.listed_or_overridden(config, remote, now).is_none().then_some(named)
    }
}
