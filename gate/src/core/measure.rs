//! What the gate counts, and what it says of how things stand.

use super::Gate;
use crate::cache::Fact;
use crate::feed::FeedState;
use crate::metrics::{Metric, Sample};
use crate::table::Table;
use crate::{Budget, Config, Counter, Decision, Proxy, Site, Skip, SubjectId, ledger};
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Gate {
    /// Reports what was counted since the last time, and how things stand where that may have changed. What the workers
    /// share is read only then, so that a tick on which nothing happened costs nothing.
    pub fn measure(&mut self, proxy: Proxy<'_>, report: &mut dyn FnMut(Metric, Sample)) {
        let station = &mut self.station;
        self.counters.take(&mut |counter, count| {
            if let Counter::Decision(action, ..) = counter {
                station.count(action, count);
            }
            report(Metric::Counter(counter), Sample::Add(i64::try_from(count).unwrap_or(i64::MAX)));
        });
        let report = &mut |gauge, sample| report(Metric::Gauge(gauge), sample);
        self.feeds.figures().for_each(|(gauge, value)| report(gauge, Sample::Record(value)));
        let own = [self.waiters.len(), self.wanted.queued(), self.cache.len(), self.connections.len()];
        self.gauges.report_own(own, report);
        if self.gauges.is_due(proxy.now) {
            let status = ledger::status(proxy.store, self.budget, proxy.now);
            self.gauges.report_shared(&status, self.budget, proxy.now, report);
        }
    }

    /// Takes this worker's part out of the gauges to which every worker adds, since it may be about to end. The next
    /// [`Gate::measure`] puts it back.
    pub fn measure_no_more(&mut self, report: &mut dyn FnMut(Metric, Sample)) {
        self.gauges.report_own([0; 4], &mut |gauge, sample| report(Metric::Gauge(gauge), sample));
    }

    /// The live configurations, newest last.
    pub(crate) fn sites(&self) -> &[Rc<Site>] {
        &self.sites
    }

    /// The budget, and how many lookups may be in flight, of the gate that was loaded last.
    pub(crate) fn budget(&self) -> (Budget, u8) {
        (self.budget, self.lanes)
    }

    /// The proxy's secret.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// What the workers share about peers.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The newest that is known about a peer.
    pub(crate) fn newest(&self, peer: SubjectId, proxy: Proxy<'_>) -> Option<Fact> {
        let own = self.cache.get(peer).map(|known| known.fact);
        own.into_iter().chain(self.table.get(proxy.store, peer)).max_by_key(Fact::learned)
    }

    /// How things stand with the feeds that this worker uses.
    pub(crate) fn feed_states(&self, proxy: Proxy<'_>) -> Vec<FeedState> {
        self.feeds.states(proxy)
    }

    /// How many streams wait.
    pub fn held(&self) -> usize {
        self.waiters.len()
    }

    /// How many open connections are watched.
    pub fn watched(&self) -> usize {
        self.connections.len()
    }

    /// How many peers the cache remembers.
    pub fn remembered(&self) -> usize {
        self.cache.len()
    }

    /// How many addresses wait for a lane.
    pub fn queued(&self) -> usize {
        self.wanted.queued()
    }

    /// Counts a stream that is not judged, and says so.
    pub fn skip(&mut self, skip: Skip) -> Skip {
        self.counters.add(Counter::Skipped(skip));
        skip
    }

    /// Counts a stream that is refused because the filter is not where its configuration says.
    pub fn misplaced(&mut self) {
        self.counters.add(Counter::Misplaced);
    }

    /// Counts a name of a destination that is no host.
    pub fn bad_host(&mut self) {
        self.counters.add(Counter::BadHost);
    }

    pub(super) fn count<'s>(&mut self, config: &Config, decision: Decision<'s>) -> Decision<'s> {
        self.counters.add(Counter::Decision(decision.verdict.action, decision.source, config.mode));
        if let Some(reason) = decision.reason {
            self.counters.add(match decision.refuses(config.mode) {
                true => Counter::FailedClosed(reason),
                false => Counter::FailedOpen(reason),
            });
        }
        decision
    }
}
