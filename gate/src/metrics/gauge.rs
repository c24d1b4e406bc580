//! How things stand.
//!
//! The proxy has one value of each gauge for all workers. Where each worker has a part in it, workers add what their own
//! part grew by; what the workers share is recorded by whichever looked at it last.

use super::Sample;
use crate::feed::PLACES;
use crate::{Budget, Halt, Moment, Status};
use alloc::string::String;
use core::time::Duration;
use evaluator::decimal;

/// One gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gauge {
    /// `criminalip_held`: streams that wait.
    Held,
    /// `criminalip_queued`: addresses that wait for a lane.
    Queued,
    /// `criminalip_cache_entries`: peers that workers remember.
    CacheEntries,
    /// `criminalip_connections`: open connections that passed and are watched.
    Connections,
    /// `criminalip_lanes_in_use`: lookups in flight.
    LanesInUse,
    /// `criminalip_credits_spent_today`: credits spent since midnight, UTC.
    CreditsSpent,
    /// `criminalip_credits_left_today`: credits that `api.budget.per_day` leaves until midnight.
    CreditsLeft,
    /// `criminalip_budget_lasts_seconds`: when those will be spent at the present rate.
    BudgetLasts,
    /// `criminalip_halted`: 1 while Criminal IP is not asked for this reason.
    Halted(Halt),
    /// `criminalip_feed_age_seconds`: how long ago the feed of this number was last known to be as its copy says.
    FeedAge(u8),
    /// `criminalip_feed_entries`: the entries of its copy.
    FeedEntries(u8),
}

impl Gauge {
    pub(super) fn all() -> impl Iterator<Item = Gauge> {
        use Gauge::{BudgetLasts, CacheEntries, Connections, CreditsLeft, CreditsSpent, Held, LanesInUse, Queued};
        let others = [Held, Queued, CacheEntries, Connections, LanesInUse, CreditsSpent, CreditsLeft, BudgetLasts];
        let feeds = (0..PLACES).map(Gauge::FeedAge).chain((0..PLACES).map(Gauge::FeedEntries));
        others.into_iter().chain(Halt::ALL.map(Gauge::Halted)).chain(feeds)
    }

    pub(super) fn name(self) -> String {
        match self {
            Gauge::Held => "criminalip_held".into(),
            Gauge::Queued => "criminalip_queued".into(),
            Gauge::CacheEntries => "criminalip_cache_entries".into(),
            Gauge::Connections => "criminalip_connections".into(),
            Gauge::LanesInUse => "criminalip_lanes_in_use".into(),
            Gauge::CreditsSpent => "criminalip_credits_spent_today".into(),
            Gauge::CreditsLeft => "criminalip_credits_left_today".into(),
            Gauge::BudgetLasts => "criminalip_budget_lasts_seconds".into(),
            Gauge::Halted(halt) => ["criminalip_halted;reason=", halt.code()].concat(),
            Gauge::FeedAge(number) => ["criminalip_feed_age_seconds;feed=", &decimal(u64::from(number))].concat(),
            Gauge::FeedEntries(number) => ["criminalip_feed_entries;feed=", &decimal(u64::from(number))].concat(),
        }
    }
}

/// What is shared changes by itself within this time, at midnight.
const LONGEST_LOOK: Duration = Duration::from_secs(86_400);

/// What a worker has told the proxy of its own part, and when it has to look at what is shared.
#[derive(Default)]
pub(crate) struct Gauges {
    held: u64,
    queued: u64,
    entries: u64,
    connections: u64,
    look_at: Option<Moment>,
}

impl Gauges {
    /// Reports by how much the worker's own part differs from what was reported before: streams held, addresses queued,
    /// peers remembered, connections watched.
    pub(crate) fn report_own(
        &mut self,
        [held, queued, entries, connections]: [usize; 4],
        report: &mut dyn FnMut(Gauge, Sample),
    ) {
        let parts = [
            (Gauge::Held, &mut self.held, held),
            (Gauge::Queued, &mut self.queued, queued),
            (Gauge::CacheEntries, &mut self.entries, entries),
            (Gauge::Connections, &mut self.connections, connections),
        ];
        for (gauge, reported, now) in parts {
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            let more = now.checked_signed_diff(*reported).unwrap_or(0);
            if more != 0 {
                *reported = now;
                report(gauge, Sample::Add(more));
            }
        }
    }

    /// Notes that what is shared is to be looked at.
    pub(crate) fn look(&mut self) {
        self.look_at = Some(Moment::default());
    }

    /// Whether it is time to look at what is shared.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.look_at.is_some_and(|at| !at.is_ahead_of(now, LONGEST_LOOK))
    }

    /// Reports what is shared, and notes when that changes although nobody does anything.
    pub(crate) fn report_shared(
        &mut self,
        status: &Status,
        budget: Budget,
        now: Moment,
        report: &mut dyn FnMut(Gauge, Sample),
    ) {
        let mut record = |gauge, value| report(gauge, Sample::Record(value));
        record(Gauge::LanesInUse, u64::try_from(status.lanes).unwrap_or(u64::MAX));
        record(Gauge::CreditsSpent, u64::from(status.spent_today));
        if let Some(per_day) = budget.per_day {
            record(Gauge::CreditsLeft, u64::from(per_day.saturating_sub(status.spent_today)));
            record(Gauge::BudgetLasts, status.lasts(per_day, now).as_secs());
        }
        for halt in Halt::ALL {
            let is_it = status.halted.is_some_and(|(halted, _)| halted == halt);
            record(Gauge::Halted(halt), u64::from(is_it));
        }
        self.look_at = status.changes_at(now);
    }
}
