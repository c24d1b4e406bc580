//! The directory: what the workers of one proxy agree on about feeds. Who fetches which, when it was fetched, and which
//! copy is the newest. One shared value, changed by compare-and-swap; the copies have values of their own, as many as
//! there are places in the directory.

use super::{FeedError, FeedOutcome};
use crate::record;
use crate::store::{self, Store};
use crate::{Feed, Moment, WorkerId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::decimal;

/// The number is the layout's: a module that writes another layout uses other keys.
const KEY: &str = "portcullis/feeds/2";
/// How many feeds a proxy knows at a time, over all its configurations.
pub(crate) const PLACES: u8 = 16;
/// A feed that nobody wanted for so long gives its place up to another.
const UNWANTED: Duration = Duration::from_secs(600);
/// How often those who want a feed say so.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// How long a worker may take to fetch and to read, before another tries.
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// The first pause after a failure; twice as long each time after, up to the longest, or as long as `every`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The proxies that start together do not fetch together.
const FIRST_SPREAD: Duration = Duration::from_millis(500);

/// Where the copy in this place is.
pub(crate) fn copy_key(place: u8) -> String {
    ["portcullis/feed/1/", &decimal(place.into())].concat()
}

#[derive(Debug, Default)]
pub(crate) struct Directory {
    places: Vec<Place>,
}

record::fields!(Directory: places);

/// What is known of one feed.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    id: u64,
    /// Since when it is wanted.
    since: Moment,
    seen: Moment,
    /// Random, to spread the proxies that share a feed.
    salt: u64,
    lease: Option<(WorkerId, Moment)>,
    /// When it was fetched last, and what came of it.
    tried: Option<(Moment, FeedOutcome)>,
    failures: u8,
    pub(crate) copy: Option<Known>,
}

record::fields!(Place: id, since, seen, salt, lease, tried, failures, copy);

/// The newest copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Goes up with each copy.
    pub(crate) version: u32,
    /// When it was last known to be the newest.
    pub(crate) fetched: Moment,
    pub(crate) entries: u32,
    /// What its server calls it.
    pub(crate) etag: Option<Box<str>>,
}

record::fields!(Known: version, fetched, entries, etag);

/// What became of a fetch.
#[derive(Debug)]
pub(crate) enum End {
    /// There is another copy.
    Updated {
        entries: u32,
        etag: Option<Box<str>>,
    },
    /// The copy is still the newest.
    Unchanged {
        etag: Option<Box<str>>,
    },
    Failed(FeedError),
}

/// Reads the directory, and sees to it that these feeds have a place if there is room.
pub(crate) fn look(store: &dyn Store, wanted: &[u64], salt: u64, now: Moment) -> Directory {
    let directory = store.read(KEY).map(|(value, _)| decode(Some(&value))).unwrap_or_default();
    if wanted.iter().all(|id| directory.find(*id).is_some_and(|(_, place)| !place.is_forgotten(now))) {
        return directory;
    }
    let change = |value: Option<&[u8]>| {
        let mut directory = decode(value);
        wanted.iter().for_each(|id| directory.want(*id, salt, now));
        (Some(record::encode(&directory)), directory)
    };
    store::change(store, KEY, change).unwrap_or_default()
}

/// Takes it on to fetch this feed, if it is due and nobody else has.
pub(crate) fn take(store: &dyn Store, feed: &Feed, worker: WorkerId, patience: Duration, now: Moment) -> Option<Place> {
    change(store, feed.id, |place| {
        let taken = place.is_due(feed, patience, now);
        if taken {
            place.lease = Some((worker, now.after(LEASE)));
        }
        taken.then(|| place.clone())
    })?
}

/// Gives a fetch back without a result.
pub(crate) fn give_back(store: &dyn Store, feed: &Feed, worker: WorkerId) {
    change(store, feed.id, |place| place.lease.take_if(|(holder, _)| *holder == worker));
}

/// Reports how a fetch ended. `None` where somebody else has taken the feed on since.
pub(crate) fn settle(store: &dyn Store, feed: &Feed, worker: WorkerId, end: &End, now: Moment) -> Option<Settled> {
    change(store, feed.id, |place| {
        let before = place.outcome();
        place.lease.take_if(|(holder, _)| *holder == worker)?;
        place.end(end, now);
        Some(Settled { before, place: place.clone() })
    })?
}

/// A feed after a fetch.
#[derive(Debug)]
pub(crate) struct Settled {
    /// What came of the fetch before.
    pub(crate) before: Option<FeedOutcome>,
    pub(crate) place: Place,
}

fn change<R>(store: &dyn Store, id: u64, mut change: impl FnMut(&mut Place) -> R) -> Option<R> {
    let changed = store::change(store, KEY, |value| {
        let mut directory = decode(value);
        let result = directory.places.iter_mut().find(|place| place.id == id).map(&mut change);
        let encoded = Some(record::encode(&directory)).filter(|encoded| Some(encoded.as_slice()) != value);
        (encoded, result)
    });
    changed.flatten()
}

/// A directory that cannot be read is empty: the feeds are fetched again.
fn decode(value: Option<&[u8]>) -> Directory {
    let mut directory: Directory = value.and_then(record::decode).unwrap_or_default();
    directory.places.truncate(PLACES.into());
    directory
}

impl Directory {
    /// The number of this feed's place, and what is known of it.
    pub(crate) fn find(&self, id: u64) -> Option<(u8, &Place)> {
        (0..PLACES).zip(&self.places).find(|(_, place)| place.id == id)
    }

    fn want(&mut self, id: u64, salt: u64, now: Moment) {
        if let Some(place) = self.places.iter_mut().find(|place| place.id == id) {
            place.seen = now;
            return;
        }
        let salt = salt ^ id;
        let place = Place { id, since: now, seen: now, salt, lease: None, tried: None, failures: 0, copy: None };
        let unwanted = |other: &Place| !other.seen.after(UNWANTED).is_ahead_of(now, UNWANTED);
        if let Some(unwanted) = self.places.iter_mut().find(|other| unwanted(other)) {
            *unwanted = place;
        } else if self.places.len() < usize::from(PLACES) {
            self.places.push(place);
        }
    }
}

impl Place {
    /// How old the copy is; where there never was one, for how long it is wanted.
    pub(crate) fn age(&self, now: Moment) -> Duration {
        self.copy.as_ref().map_or(self.since, |copy| copy.fetched).until(now)
    }

    /// Whether it is this worker who fetches it.
    pub(crate) fn is_taken_by(&self, worker: WorkerId) -> bool {
        self.lease.is_some_and(|(holder, _)| holder == worker)
    }

    /// What came of the last fetch.
    pub(crate) fn outcome(&self) -> Option<FeedOutcome> {
        self.tried.map(|(_, outcome)| outcome)
    }

    /// When the next fetch is due.
    pub(crate) fn due(&self, feed: &Feed) -> Moment {
        let pause = self.pause(feed);
        self.tried.map_or(self.since, |(tried, _)| tried.after(pause)).after(self.jitter(pause))
    }

    fn is_due(&self, feed: &Feed, patience: Duration, now: Moment) -> bool {
        let leased = self.lease.is_some_and(|(_, until)| until.is_ahead_of(now, LEASE));
        let longest = self.pause(feed).saturating_mul(2).saturating_add(patience).saturating_add(FIRST_SPREAD);
        !leased && !self.due(feed).after(patience).is_ahead_of(now, longest)
    }

    /// The least time between the last fetch and the next.
    fn pause(&self, feed: &Feed) -> Duration {
        match self.tried {
            None => Duration::ZERO,
            // What came is to be confirmed at its own pace.
            Some((_, FeedOutcome::Failed(FeedError::Shrunk))) => feed.every,
            Some((_, FeedOutcome::Failed(_))) => {
                let doublings = u32::from(self.failures.saturating_sub(1));
                let pause = FIRST_PAUSE.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX));
                pause.min(LONGEST_PAUSE).min(feed.every)
            }
            Some(_) => feed.every,
        }
    }

    /// Up to a tenth of the pause.
    fn jitter(&self, pause: Duration) -> Duration {
        let (most, tried) = match self.tried {
            None => (FIRST_SPREAD, 0),
            Some((tried, _)) => (pause.checked_div(10).unwrap_or_default(), tried.millis()),
        };
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        // Multiplying spreads what lies close together; protects nothing.
        let random = (self.salt ^ tried).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Duration::from_millis(random.checked_rem(most).unwrap_or(0))
    }

    fn is_forgotten(&self, now: Moment) -> bool {
        !self.seen.after(SAY_AGAIN).is_ahead_of(now, SAY_AGAIN)
    }

    fn end(&mut self, end: &End, now: Moment) {
        let outcome = match end {
            End::Updated { entries, etag } => {
                let version = self.copy.as_ref().map_or(0, |copy| copy.version).wrapping_add(1);
                self.copy = Some(Known { version, fetched: now, entries: *entries, etag: etag.clone() });
                FeedOutcome::Updated
            }
            End::Unchanged { etag } => {
                if let Some(copy) = &mut self.copy {
                    copy.fetched = now;
                    copy.etag = etag.clone().or(copy.etag.take());
                }
                FeedOutcome::Unchanged
            }
            End::Failed(error) => FeedOutcome::Failed(*error),
        };
        self.failures = match outcome {
            FeedOutcome::Failed(_) => self.failures.saturating_add(1),
            _ => 0,
        };
        self.tried = Some((now, outcome));
    }
}
