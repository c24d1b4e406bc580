//! The ledger: what the workers of one proxy agree on about lookups. Who holds a lane and about which peer, who waits,
//! what was spent, and whether Criminal IP is worth asking at all. One shared value, changed by compare-and-swap.

use crate::backoff::backoff;
use crate::record;
use crate::store::{self, Store};
use crate::{Budget, LookupError, Moment, SubjectId};
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::AnswerError;

mod status;

pub use status::Status;

/// The number is the layout's: a module that writes another layout uses another key.
const KEY: &str = "portcullis/ledger/5";

/// Names one worker of the proxy: random, so that a worker's successor is somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerId(pub u64);

/// What a lookup is for, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A security event names the peer.
    Event,
    /// Nothing is known about the peer of a stream.
    FirstLook,
    /// What is known is stale.
    Refresh,
}

record::variants!(Priority: Event, FirstLook, Refresh);

/// Why Criminal IP is not asked at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Halt {
    /// The key has no credits left.
    NoCredit,
    /// The key is not valid.
    BadKey,
    /// Too many calls in a while.
    RateLimited,
    /// Too many lookups in a row failed: the circuit breaker is open.
    BreakerOpen,
    /// The budget of the day or of the hour is spent.
    BudgetSpent,
}

record::variants!(Halt: NoCredit, BadKey, RateLimited, BreakerOpen, BudgetSpent);

/// A request for a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) worker: WorkerId,
    /// The worker's queue, for messages to it.
    pub(crate) queue: u32,
    pub(crate) peer: SubjectId,
    pub(crate) priority: Priority,
    /// Since when the worker has waited for a lane.
    pub(crate) since: Moment,
    /// How many lanes there are.
    pub(crate) lanes: u8,
    pub(crate) budget: Budget,
    /// When the lane comes free by itself, should the worker die.
    pub(crate) until: Moment,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The lane is taken; a credit is spent.
    Granted,
    /// Somebody asks about this peer already.
    InFlight,
    /// No lane is free, or somebody else comes first. A message tells when that changes.
    Wait,
    /// Nobody is to ask until this moment.
    Halted(Halt, Moment),
}

#[derive(Debug, Default)]
struct Ledger {
    leases: Vec<Lease>,
    waiting: Vec<Waiting>,
    spending: Spending,
    health: Health,
    /// When a lookup last brought facts.
    last_success: Option<Moment>,
}

record::fields!(Ledger: leases, waiting, spending, health, last_success);

#[derive(Debug)]
struct Lease {
    worker: WorkerId,
    peer: SubjectId,
    until: Moment,
    /// Whether a security event asked for it.
    event: bool,
}

record::fields!(Lease: worker, peer, until, event);

/// A worker that wants messages, and perhaps a lane.
#[derive(Debug)]
struct Waiting {
    worker: WorkerId,
    queue: u32,
    /// What it wants a lane for, and since when; `None` where it only waits for an answer to somebody else's lookup.
    claim: Option<(Priority, Moment)>,
    seen: Moment,
}

record::fields!(Waiting: worker, queue, claim, seen);

#[derive(Debug, Default, Clone, Copy)]
struct Spending {
    day: u64,
    this_day: u32,
    /// Those of them that security events asked for.
    events: u32,
    hour: u64,
    this_hour: u32,
    last_hour: u32,
}

record::fields!(Spending: day, this_day, events, hour, this_hour, last_hour);

#[derive(Debug, Default, Clone, Copy)]
struct Health {
    /// Failures in a row.
    failures: u8,
    /// How often in a row the breaker opened.
    trips: u8,
    halted: Option<(Halt, Moment)>,
}

record::fields!(Health: failures, trips, halted);

/// Workers that can wait at a time: those of the largest proxies.
const WAITING_LIMIT: usize = 256;
/// A waiting worker says so again within this time, or is taken for dead.
const SEEN_LIMIT: Duration = Duration::from_secs(1);
/// No lease is longer: the longest `api.timeout`, and some.
const LEASE_MAX: Duration = Duration::from_secs(120);
/// No halt is longer.
const HALT_MAX: Duration = Duration::from_secs(86_400);
/// Failures in a row that open the breaker.
const BREAKER_FAILURES: u8 = 5;
/// How long it stays open at first; twice as long each time after, up to the maximum.
const BREAKER_FIRST: Duration = Duration::from_secs(1);
const BREAKER_MAX: Duration = Duration::from_secs(300);
/// How long nobody asks after Criminal IP said this, where it does not say how long itself.
const NO_CREDIT_PAUSE: Duration = Duration::from_secs(3600);
const BAD_KEY_PAUSE: Duration = Duration::from_secs(300);
const RATE_LIMITED_PAUSE: Duration = Duration::from_secs(60);

/// Asks for a lane.
pub(crate) fn take(store: &dyn Store, ask: &Ask, now: Moment) -> Grant {
    change(store, |ledger| ledger.take(ask, now)).unwrap_or(Grant::Wait)
}

/// Reports how a lookup ended: frees its lane. Returns the queues of the workers to tell.
pub(crate) fn settle(store: &dyn Store, worker: WorkerId, peer: SubjectId, end: &End, now: Moment) -> Vec<u32> {
    change(store, |ledger| ledger.settle(worker, peer, end, now)).unwrap_or_default()
}

/// Takes a worker off the list of those who wait.
pub(crate) fn withdraw(store: &dyn Store, worker: WorkerId) {
    change(store, |ledger| ledger.waiting.retain(|waiting| waiting.worker != worker));
}

/// Forgets why nobody was asking: the operator may have mended it.
pub(crate) fn forgive(store: &dyn Store) {
    change(store, |ledger| ledger.health = Health::default());
}

/// What is spent, and whether anybody may ask.
pub(crate) fn status(store: &dyn Store, budget: Budget, now: Moment) -> Status {
    let ledger = store.read(KEY).map(|(value, _)| decode(Some(&value))).unwrap_or_default();
    let spending = ledger.spending.at(now);
    let halted = ledger.halted(budget, Priority::FirstLook, now);
    let lanes = ledger.leases.iter().filter(|lease| lease.until.is_ahead_of(now, LEASE_MAX)).count();
    Status {
        spent_today: spending.this_day,
        spent_this_hour: spending.this_hour,
        spent_last_hour: spending.last_hour,
        reserved: spending.reserved(budget),
        halted,
        lanes,
        last_success: ledger.last_success,
    }
}

/// What became of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// Its lookup brought facts.
    Assessed,
    /// Its lookup failed.
    Failed(LookupError),
    /// It was given back without a lookup: another worker had brought the facts in the meantime.
    Unused,
}

/// Whether that cost a credit: what never reached Criminal IP, or was refused at its door, did not.
pub(crate) fn costs(outcome: Outcome) -> bool {
    use LookupError::{Answer, Connection, NotSent};
    !matches!(
        outcome,
        Outcome::Unused | Outcome::Failed(NotSent | Connection | Answer(AnswerError::ConcurrencyRefused))
    )
}

/// How a lookup ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// How long the answer asks callers to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Random, to spread the callers of one key.
    pub(crate) jitter: u64,
}

impl Halt {
    /// Every reason.
    pub const ALL: [Halt; 5] = [Halt::NoCredit, Halt::BadKey, Halt::RateLimited, Halt::BreakerOpen, Halt::BudgetSpent];

    /// The stable code, as metrics and logs write it. Those that one answer caused for all carry its code.
    pub const fn code(self) -> &'static str {
        match self {
            Halt::NoCredit => "halted_no_credit",
            Halt::BadKey => "halted_bad_key",
            Halt::RateLimited => "halted_rate_limited",
            Halt::BreakerOpen => "breaker_open",
            Halt::BudgetSpent => "budget_spent",
        }
    }
}

fn change<R>(store: &dyn Store, mut change: impl FnMut(&mut Ledger) -> R) -> Option<R> {
    store::change(store, KEY, |value| {
        let mut ledger = decode(value);
        let result = change(&mut ledger);
        let encoded = Some(record::encode(&ledger)).filter(|encoded| Some(encoded.as_slice()) != value);
        (encoded, result)
    })
}

/// A value that cannot be read counts as none: nothing in the ledger is worth more than an hour.
fn decode(value: Option<&[u8]>) -> Ledger {
    value.and_then(record::decode).unwrap_or_default()
}

impl Ledger {
    fn take(&mut self, ask: &Ask, now: Moment) -> Grant {
        self.leases.retain(|lease| lease.until.is_ahead_of(now, LEASE_MAX));
        self.waiting.retain(|waiting| waiting.seen.after(SEEN_LIMIT).is_ahead_of(now, SEEN_LIMIT));
        if let Some((halt, until)) = self.halted(ask.budget, ask.priority, now) {
            return Grant::Halted(halt, until);
        }
        let in_flight = self.leases.iter().any(|lease| lease.peer == ask.peer);
        self.list(ask, (!in_flight).then_some((ask.priority, ask.since)), now);
        if in_flight {
            return Grant::InFlight;
        }
        // After a halt one lookup goes ahead; the others follow when it has succeeded.
        let lanes = if self.health.halted.is_some() { 1 } else { usize::from(ask.lanes) };
        let claims = self.waiting.iter().filter_map(|waiting| Some((waiting.claim?, waiting.worker)));
        let first = claims.min_by_key(|(claim, _)| *claim);
        if self.leases.len() >= lanes || first.is_some_and(|(_, worker)| worker != ask.worker) {
            return Grant::Wait;
        }
        self.list(ask, None, now);
        let event = ask.priority == Priority::Event;
        self.leases.push(Lease { worker: ask.worker, peer: ask.peer, until: ask.until, event });
        self.spending = self.spending.at(now).plus_one(event);
        Grant::Granted
    }

    /// Notes that the asking worker is alive and what it claims.
    fn list(&mut self, ask: &Ask, claim: Option<(Priority, Moment)>, now: Moment) {
        let entry = Waiting { worker: ask.worker, queue: ask.queue, claim, seen: now };
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.worker == ask.worker) {
            // Until it gets a lane a worker keeps its place, though in a flood it is another address each time.
            let kept = waiting.claim.zip(claim).filter(|(old, new)| old.0 == new.0).map(|(old, new)| old.min(new));
            *waiting = Waiting { claim: kept.or(claim), ..entry };
        } else if self.waiting.len() < WAITING_LIMIT {
            self.waiting.push(entry);
        }
    }

    fn settle(&mut self, worker: WorkerId, peer: SubjectId, end: &End, now: Moment) -> Vec<u32> {
        let place = self.leases.iter().position(|lease| lease.worker == worker && lease.peer == peer);
        if let Some(lease) = place.map(|place| self.leases.swap_remove(place)) {
            self.health = self.health.after(end, now);
            if let Outcome::Assessed = end.outcome {
                self.last_success = Some(now);
            }
            if !costs(end.outcome) {
                self.spending = self.spending.minus_one(lease.event);
            }
        }
        self.waiting.iter().filter(|waiting| waiting.worker != worker).map(|waiting| waiting.queue).collect()
    }

    fn halted(&self, budget: Budget, priority: Priority, now: Moment) -> Option<(Halt, Moment)> {
        let unhealthy = self.health.halted.filter(|(_, until)| until.is_ahead_of(now, HALT_MAX));
        unhealthy.or_else(|| Some((Halt::BudgetSpent, self.spending.at(now).spent_until(budget, priority)?)))
    }
}

impl Health {
    /// The state after a lookup ended.
    fn after(self, end: &End, now: Moment) -> Health {
        use LookupError::{Answer, Connection, NotSent, OtherAddress, Reset, TimedOut, TooLarge};
        let pause = |halt, pause: Duration| Health { halted: Some((halt, now.after(pause))), ..self };
        let error = match end.outcome {
            Outcome::Unused => return self,
            Outcome::Assessed => return Health::default(),
            Outcome::Failed(error) => error,
        };
        match error {
            Answer(AnswerError::NoCredit) => pause(Halt::NoCredit, NO_CREDIT_PAUSE.min(until_midnight(now))),
            Answer(AnswerError::BadKey) => pause(Halt::BadKey, BAD_KEY_PAUSE),
            Answer(AnswerError::RateLimited) => pause(Halt::RateLimited, end.retry_after.unwrap_or(RATE_LIMITED_PAUSE)),
            TimedOut | Connection | Reset | NotSent | Answer(AnswerError::ServerError) => self.failed(end, now),
            // Neither good nor bad news about the API's health.
            Answer(AnswerError::ConcurrencyRefused) => self,
            OtherAddress | TooLarge | Answer(_) => Health::default(),
        }
    }

    fn failed(self, end: &End, now: Moment) -> Health {
        let failures = self.failures.saturating_add(1);
        if failures < BREAKER_FAILURES && self.halted.is_none() {
            return Health { failures, ..self };
        }
        let pause = backoff(BREAKER_FIRST, BREAKER_MAX, self.trips.into(), end.jitter);
        let halted = Some((Halt::BreakerOpen, now.after(pause)));
        Health { failures, trips: self.trips.saturating_add(1), halted }
    }
}

impl Spending {
    /// What is spent in the day and hour of this moment.
    fn at(self, now: Moment) -> Spending {
        let (day, hour) = (now.day(), now.hour());
        let same = |same: bool, spent: u32| if same { spent } else { 0 };
        let last_hour = match hour.checked_sub(self.hour) {
            Some(0) => self.last_hour,
            Some(1) => self.this_hour,
            _ => 0,
        };
        Spending {
            day,
            this_day: same(day == self.day, self.this_day),
            events: same(day == self.day, self.events),
            hour,
            this_hour: same(hour == self.hour, self.this_hour),
            last_hour,
        }
    }

    fn plus_one(self, event: bool) -> Spending {
        let (this_day, this_hour) = (self.this_day.saturating_add(1), self.this_hour.saturating_add(1));
        Spending { this_day, this_hour, events: self.events.saturating_add(event.into()), ..self }
    }

    fn minus_one(self, event: bool) -> Spending {
        let (this_day, this_hour) = (self.this_day.saturating_sub(1), self.this_hour.saturating_sub(1));
        Spending { this_day, this_hour, events: self.events.saturating_sub(event.into()), ..self }
    }

    /// What is left of the day's reserve for events.
    fn reserved(self, budget: Budget) -> u32 {
        budget.reserve_for_events.saturating_sub(self.events)
    }

    /// Until when nothing is left of the budget for this; `None` while something is. The reserve is not spent on anything
    /// but events, and while it lasts the limit of the hour does not hold them back.
    fn spent_until(self, budget: Budget, priority: Priority) -> Option<Moment> {
        let next_day = Moment::start_of_day(self.day.saturating_add(1));
        let next_hour = Moment::start_of_hour(self.hour.saturating_add(1));
        let reserved = self.reserved(budget);
        let (kept, hourly) = match priority {
            Priority::Event => (0, reserved == 0),
            Priority::FirstLook | Priority::Refresh => (reserved, true),
        };
        let day_spent = budget.per_day.is_some_and(|most| self.this_day.saturating_add(kept) >= most);
        let hour_spent = hourly && budget.per_hour.is_some_and(|most| self.this_hour >= most);
        day_spent.then_some(next_day).or(hour_spent.then_some(next_hour))
    }
}

fn until_midnight(now: Moment) -> Duration {
    now.until(now.midnight())
}

#[cfg(test)]
mod tests;
