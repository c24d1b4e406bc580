//! What happened: numbers that only grow.

use crate::{DeliveryError, Fate, FeedOutcome, LookupError, Mode, Reason, Refusal, Skip, Sorted};
use alloc::string::String;
use evaluator::{Action, Source, filled};

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// `criminalip_decisions_total`: decisions about streams.
    Decision(Action, Source, Mode),
    /// `criminalip_lookups_total`: lookups that ended; `None` is a report.
    Lookup(Option<LookupError>),
    /// `criminalip_failed_open_total`: streams let through without facts.
    FailedOpen(Reason),
    /// `criminalip_failed_closed_total`: streams refused without facts.
    FailedClosed(Reason),
    /// `criminalip_cache_total`: searches for what is remembered about a peer.
    Cache(Found),
    /// `criminalip_cache_evictions_total`: peers that a worker forgot to make room for others.
    Evicted,
    /// `criminalip_dropped_total`: addresses that left the queue of lookups, or were not let in, because it was full.
    Dropped,
    /// `criminalip_bad_hosts_total`: destinations that clients named in a way that is no host.
    BadHost,
    /// `criminalip_skipped_total`: streams that the gate did not judge.
    Skipped(Skip),
    /// `criminalip_late_denials_total`: connections that passed and were denied when more was learned about their peer.
    Late(Mode),
    /// `criminalip_unwatched_total`: connections that passed for good, since too many others were watched.
    Unwatched,
    /// `criminalip_journal_lost_total`: entries of the journal that had to make room while they still mattered.
    JournalLost,
    /// `criminalip_misplaced_total`: streams refused because the filter is not where its configuration says.
    Misplaced,
    /// `criminalip_route_metadata_total`: what became of metadata of routes.
    RouteMetadata(RouteMetadata),
    /// `criminalip_feed_fetches_total`: fetches of feeds that ended.
    Feed(FeedOutcome),
    /// `criminalip_feed_refused_total`: entries of feeds that were left out.
    FeedRefused(Refusal),
    /// `criminalip_notifications_total`: notifications that need not be told any more.
    Notification(Fate),
    /// `criminalip_deliveries_total`: tries to deliver messages with notifications.
    Delivery(Result<(), DeliveryError>),
}

impl Counter {
    pub(super) fn name(self) -> String {
        match self {
            Counter::Decision(action, source, mode) => filled(
                "criminalip_decisions_total;action={};source={};mode={}",
                &[action.name(), source.code(), mode.name()],
            ),
            Counter::Lookup(error) => {
                ["criminalip_lookups_total;outcome=", error.map_or("assessed", |error| error.code())].concat()
            }
            Counter::FailedOpen(reason) => ["criminalip_failed_open_total;reason=", reason.code()].concat(),
            Counter::FailedClosed(reason) => ["criminalip_failed_closed_total;reason=", reason.code()].concat(),
            Counter::Cache(found) => ["criminalip_cache_total;result=", found.code()].concat(),
            Counter::Evicted => "criminalip_cache_evictions_total".into(),
            Counter::Dropped => "criminalip_dropped_total".into(),
            Counter::BadHost => "criminalip_bad_hosts_total".into(),
            Counter::Skipped(skip) => ["criminalip_skipped_total;reason=", skip.code()].concat(),
            Counter::Late(mode) => ["criminalip_late_denials_total;mode=", mode.name()].concat(),
            Counter::JournalLost => "criminalip_journal_lost_total".into(),
            Counter::Misplaced => "criminalip_misplaced_total".into(),
            Counter::Unwatched => "criminalip_unwatched_total".into(),
            Counter::RouteMetadata(result) => ["criminalip_route_metadata_total;result=", result.code()].concat(),
            Counter::Feed(outcome) => ["criminalip_feed_fetches_total;outcome=", outcome.code()].concat(),
            Counter::FeedRefused(refusal) => ["criminalip_feed_refused_total;reason=", refusal.code()].concat(),
            Counter::Notification(fate) => ["criminalip_notifications_total;outcome=", fate.code()].concat(),
            Counter::Delivery(outcome) => {
                let outcome = outcome.map_or_else(DeliveryError::code, |()| "delivered");
                ["criminalip_deliveries_total;outcome=", outcome].concat()
            }
        }
    }

    /// Every counter of decisions, each once, in the order of the declarations.
    fn decisions() -> impl Iterator<Item = Counter> {
        let actions = [Action::Allow, Action::Tag, Action::Deny];
        let sources = Source::ALL.iter().copied();
        let modes = [Mode::Enforce, Mode::Shadow];
        actions.into_iter().flat_map(move |action| {
            sources.clone().flat_map(move |source| modes.map(|mode| Counter::Decision(action, source, mode)))
        })
    }

    /// Every counter, each once.
    pub(super) fn all() -> impl Iterator<Item = Counter> {
        Counter::decisions()
            .chain([Counter::Lookup(None)])
            .chain(LookupError::all().map(|error| Counter::Lookup(Some(error))))
            .chain(Reason::all().map(Counter::FailedOpen))
            .chain(Reason::all().map(Counter::FailedClosed))
            .chain(Found::ALL.map(Counter::Cache))
            .chain([Counter::Evicted, Counter::Dropped, Counter::BadHost])
            .chain(Skip::ALL.map(Counter::Skipped))
            .chain([Mode::Enforce, Mode::Shadow].map(Counter::Late))
            .chain([Counter::Unwatched, Counter::JournalLost, Counter::Misplaced])
            .chain(RouteMetadata::ALL.map(Counter::RouteMetadata))
            .chain(FeedOutcome::all().map(Counter::Feed))
            .chain(Refusal::ALL.map(Counter::FeedRefused))
            .chain(Fate::ALL.map(Counter::Notification))
            .chain([Counter::Delivery(Ok(()))])
            .chain(DeliveryError::ALL.map(|error| Counter::Delivery(Err(error))))
    }
}

/// Where something was found about a peer that no list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Found {
    /// In the worker's cache, fresh.
    Fresh,
    /// In the worker's cache, to be learned anew.
    Stale,
    /// Not there, but in what the workers share.
    Shared,
    /// Nowhere.
    Miss,
}

impl Found {
    pub(super) const ALL: [Found; 4] = [Found::Fresh, Found::Stale, Found::Shared, Found::Miss];

    const fn code(self) -> &'static str {
        match self {
            Found::Fresh => "fresh",
            Found::Stale => "stale",
            Found::Shared => "shared",
            Found::Miss => "miss",
        }
    }
}

/// What became of metadata of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteMetadata {
    /// Values were read that were not remembered.
    Read,
    /// A request had wrong ones, so that the configuration's own counted.
    Refused,
}

impl RouteMetadata {
    pub(super) const ALL: [RouteMetadata; 2] = [RouteMetadata::Read, RouteMetadata::Refused];

    const fn code(self) -> &'static str {
        match self {
            RouteMetadata::Read => "read",
            RouteMetadata::Refused => "refused",
        }
    }
}

/// What was counted since the last time it was taken.
#[derive(Default)]
pub(crate) struct Counters {
    /// By action, source and mode: what every request adds to is found without a search.
    decisions: [[[u64; 2]; Source::ALL.len()]; 3],
    /// By what was found.
    cache: [u64; Found::ALL.len()],
    /// All others that were ever counted.
    others: Sorted<Counter, u64>,
}

impl Counters {
    /// Adds one.
    pub(crate) fn add(&mut self, counter: Counter) {
        self.add_many(counter, 1);
    }

    pub(crate) fn add_many(&mut self, counter: Counter, more: u64) {
        let count = match counter {
            Counter::Decision(action, source, mode) => self
                .decisions
                .get_mut(action as usize)
                .and_then(|sources| sources.get_mut(source as usize)?.get_mut(mode as usize)),
            Counter::Cache(found) => self.cache.get_mut(found as usize),
            other => return self.add_other(other, more),
        };
        if let Some(count) = count {
            *count = count.saturating_add(more);
        }
    }

    #[inline(never)]
    fn add_other(&mut self, counter: Counter, more: u64) {
        match self.others.get_mut(&counter) {
            Some(count) => *count = count.saturating_add(more),
            None => drop(self.others.insert(counter, more)),
        }
    }

    /// Gives every counter that grew to `record`, with how much it grew, and starts again from zero.
    pub(crate) fn take(&mut self, record: &mut dyn FnMut(Counter, u64)) {
        let mut take = |counter, count: &mut u64| {
            if *count > 0 {
                record(counter, core::mem::take(count));
            }
        };
        for (counter, count) in Counter::decisions().zip(self.decisions.as_flattened_mut().as_flattened_mut()) {
            take(counter, count);
        }
        for (found, count) in Found::ALL.iter().zip(&mut self.cache) {
            take(Counter::Cache(*found), count);
        }
        for (counter, count) in self.others.iter_mut() {
            take(*counter, count);
        }
    }
}
