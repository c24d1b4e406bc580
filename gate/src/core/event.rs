//! Lookups that a security event asks for.

use super::Gate;
use crate::cache::{Fact, Freshness};
use crate::{Priority, Proxy, Remote, Site};
use alloc::rc::Rc;
use evaluator::Connection;

impl Gate {
    /// Sees to it that a peer whom a security event names is looked up, before all for whom no event asks, and out of the
    /// reserve where the rest of the day's budget is spent. Where fresh facts are remembered they do, and no credit is
    /// spent, whichever worker learned them.
    ///
    /// Returns `false` where the queue of lookups is full of what other events asked for. Whether the configuration selects
    /// such connections is not asked.
    pub fn ask_for_event(&mut self, site: &Rc<Site>, peer: &Remote, proxy: Proxy<'_>) -> bool {
        let now = proxy.now;
        let connection = Connection::new(site.config.direction, now.timestamp());
        let mut all = true;
        for id in self.judged(&site.config, peer, now.timestamp()).into_iter().flatten() {
            let recalled = self.recall(&site.config, id, &connection, now.timestamp());
            let is_fresh = recalled.is_some_and(|(_, freshness)| freshness == Freshness::Fresh);
            // Another worker may know better.
            let shared = if is_fresh { None } else { self.recall_shared(site, id, peer, &connection, proxy) };
            let recalled = shared.or(recalled);
            if recalled.is_none_or(|(_, freshness)| freshness != Freshness::Fresh) {
                all &= self.want(site, id, peer, Priority::Event, now);
            }
        }
        all
    }
}

/// Whether a lookup of this priority that failed leaves alone what was known before: facts that are only stale are better
/// than none.
pub(super) fn keeps(priority: Priority, before: Option<Fact>) -> bool {
    match priority {
        Priority::Refresh => true,
        Priority::Event => matches!(before, Some(Fact::Known { .. })),
        Priority::FirstLook => false,
    }
}
