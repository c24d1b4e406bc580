//! Feeds: lists that others keep, fetched once for all workers of the proxy.
//!
//! One worker fetches a feed, reads it a little at a time, and shares the copy that it makes; the others take that over as
//! it is. The last good copy stays until there is a better one.

mod copy;
mod directory;
mod network;
mod read;
#[cfg(test)]
mod tests;
mod work;

pub use network::Refusal;

use crate::events::Proxy;
use crate::metrics::{Counters, Gauge};
use crate::{Effects, Feed, FeedFormat, Moment, RootId, WorkerId};
use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use copy::FeedCopy;
use core::net::IpAddr;
use core::time::Duration;
use evaluator::{Timestamp, decimal, filled};
use ipnet::IpNet;
use read::Reader;
use work::Work;

pub(crate) use directory::PLACES;

/// The longest feed that is read, in bytes: it is copied whole in one callback, which is to take a few milliseconds.
pub const FEED_MAX_BODY: usize = 8 << 20;
/// The most entries of a feed.
const MAX_ENTRIES: usize = 200_000;
/// How often workers look for copies that others made.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a worker that carries traffic leaves a fetch to one that carries none: the proxy's main thread has a VM too.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// For how many seconds after a stream a worker counts as one that carries traffic.
const IDLE: u32 = 10;

/// Why a fetch brought no copy. The one before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedError {
    /// The proxy did not send it: the cluster is unknown, has no host, or its circuit breaker is open.
    NotSent,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Connection,
    /// The connection broke in the middle of the answer.
    Reset,
    /// The answer has another status than 200.
    Status,
    /// The answer is longer than [`FEED_MAX_BODY`], or has more than 200,000 entries.
    TooLarge,
    /// More than half of what should be entries is none, or JSON that ends too soon.
    Malformed,
    /// It has no column of the name, or no list of STIX objects.
    NoPlace,
    /// It has no entry that could be taken in.
    Empty,
    /// It has less than a tenth of the entries of the copy, which had a hundred or more. When it says so again at the next
    /// fetch, it is believed.
    Shrunk,
}

impl FeedError {
    /// Every reason.
    pub const ALL: [FeedError; 10] = [
        FeedError::NotSent,
        FeedError::TimedOut,
        FeedError::Connection,
        FeedError::Reset,
        FeedError::Status,
        FeedError::TooLarge,
        FeedError::Malformed,
        FeedError::NoPlace,
        FeedError::Empty,
        FeedError::Shrunk,
    ];

    /// The stable code, as metrics and logs write it.
    pub const fn code(self) -> &'static str {
        match self {
            FeedError::NotSent => "not_sent",
            FeedError::TimedOut => "timeout",
            FeedError::Connection => "connection",
            FeedError::Reset => "reset",
            FeedError::Status => "status",
            FeedError::TooLarge => "too_large",
            FeedError::Malformed => "malformed",
            FeedError::NoPlace => "no_place",
            FeedError::Empty => "empty",
            FeedError::Shrunk => "shrunk",
        }
    }
}

/// What came of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedOutcome {
    /// There is another copy.
    Updated,
    /// The copy is still the newest.
    Unchanged,
    /// The copy stays, for what it is worth.
    Failed(FeedError),
}

impl FeedOutcome {
    /// Every outcome.
    pub(crate) fn all() -> impl Iterator<Item = FeedOutcome> {
        [FeedOutcome::Updated, FeedOutcome::Unchanged].into_iter().chain(FeedError::ALL.map(FeedOutcome::Failed))
    }

    /// The stable code, as metrics and logs write it.
    pub const fn code(self) -> &'static str {
        match self {
            FeedOutcome::Updated => "updated",
            FeedOutcome::Unchanged => "unchanged",
            FeedOutcome::Failed(error) => error.code(),
        }
    }
}

/// Names one fetch within a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchId(u32);

/// A feed to fetch now.
#[derive(Debug)]
pub struct Fetch {
    /// To be handed back with the answer.
    pub id: FetchId,
    /// Where it is.
    pub feed: Arc<Feed>,
    /// What the server called the copy that there is: it need not send the same again (RFC 9110 section 13.1.2).
    pub etag: Option<Box<str>>,
}

/// The answer to a fetch.
#[derive(Debug)]
pub enum Page {
    /// The server says that the copy is still the newest.
    NotModified,
    /// The feed.
    Body {
        /// What it says, at most [`FEED_MAX_BODY`].
        bytes: Vec<u8>,
        /// What the server calls it.
        etag: Option<Vec<u8>>,
    },
}

/// The entry of a feed that decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// The feed, by its place in `lists.feeds`.
    pub feed: usize,
    /// The network that holds the peer.
    pub net: IpNet,
    /// Seconds since the feed was last known to say so.
    pub age: u32,
}

/// Reads a feed at once, as the gate does over many ticks: the networks that it names, sorted, IPv4 before IPv6.
///
/// # Errors
/// When it is no plausible feed.
pub fn read_feed(format: &FeedFormat, body: Vec<u8>, now: Timestamp) -> Result<Vec<IpNet>, FeedError> {
    let mut reader = Reader::new(format, body, now);
    while !reader.step()? {}
    Ok(reader.finish()?.entries.into_iter().map(|(network, _)| network.to_ip_net()).collect())
}

/// The feeds of one worker.
#[derive(Debug)]
pub(crate) struct Feeds {
    worker: WorkerId,
    joined: Vec<Joined>,
    copies: Vec<Held>,
    work: Work,
    next_fetch: u32,
    /// How many copies were taken over so far.
    taken: u32,
    /// When this worker last decided about a stream.
    served: Timestamp,
    figures: Vec<(Gauge, u64)>,
}

/// What one configuration wants.
#[derive(Debug)]
struct Joined {
    root: RootId,
    feeds: Vec<Arc<Feed>>,
    look_at: Moment,
}

/// A copy that this worker has.
#[derive(Debug)]
struct Held {
    id: u64,
    version: u32,
    fetched: Moment,
    copy: Rc<FeedCopy>,
}

/// How things stand with one feed.
pub(crate) struct FeedState {
    number: u8,
    pub(crate) name: String,
    pub(crate) entries: u32,
    /// Since it was last known to be as its copy says.
    pub(crate) age: Duration,
    /// What came of the last fetch.
    pub(crate) outcome: Option<FeedOutcome>,
}

/// What feeds read and write beside themselves.
pub(crate) struct Surroundings<'a, 'p> {
    pub(crate) proxy: Proxy<'p>,
    pub(crate) counters: &'a mut Counters,
    pub(crate) effects: &'a mut Effects,
}

impl Feeds {
    pub(crate) fn new(worker: WorkerId) -> Feeds {
        Feeds {
            worker,
            joined: Vec::new(),
            copies: Vec::new(),
            work: Work::None,
            next_fetch: 0,
            taken: 0,
            served: Timestamp::from_unix(0),
            figures: Vec::new(),
        }
    }

    /// The first of these feeds that names the peer.
    pub(crate) fn find(&self, feeds: &[Arc<Feed>], peer: IpAddr, now: Timestamp) -> Option<Named> {
        feeds.iter().enumerate().find_map(|(place, feed)| {
            let held = self.copies.iter().find(|held| held.id == feed.id)?;
            let hit = held.copy.find(peer, now)?;
            let age = now.seconds_since(held.fetched.timestamp());
            Some(Named { feed: place, net: hit.network.to_ip_net(), age })
        })
    }

    /// Takes note that this worker decides about a stream.
    pub(crate) fn serve(&mut self, now: Timestamp) {
        self.served = now;
    }

    /// Goes up with each copy that is taken over.
    pub(crate) fn taken(&self) -> u32 {
        self.taken
    }

    /// Takes in the feeds of a configuration, and what the other workers have of them.
    pub(crate) fn join(&mut self, root: RootId, feeds: &[Arc<Feed>], around: &mut Surroundings<'_, '_>) {
        self.forget(root);
        if feeds.is_empty() {
            return;
        }
        self.joined.push(Joined { root, feeds: feeds.to_vec(), look_at: around.proxy.now });
        let known = self.look(around);
        for feed in feeds.iter().filter(|feed| known.find(feed.id).is_none()) {
            let message =
                filled("feed {} is not fetched: this proxy has {} others", &[&feed.name(), &decimal(PLACES.into())]);
            around.effects.say(true, message);
        }
    }

    /// Forgets the feeds of a configuration that is gone.
    pub(crate) fn leave(&mut self, root: RootId, proxy: Proxy<'_>) {
        self.forget(root);
        if let Some(feed) = self.work.asked_by(root) {
            directory::give_back(proxy.store, &feed, self.worker);
            self.work = Work::None;
        }
    }

    /// What is to be done on a tick of this root: reads on, looks for what other workers have brought, and hands out a
    /// feed to fetch.
    pub(crate) fn tend(&mut self, root: RootId, around: &mut Surroundings<'_, '_>) -> Option<Fetch> {
        self.work_on(around);
        let now = around.proxy.now;
        let joined = self.joined.iter_mut().find(|joined| joined.root == root)?;
        if joined.look_at.is_ahead_of(now, LOOK_AGAIN) {
            return None;
        }
        let feeds = joined.feeds.clone();
        let known = self.look(around);
        let fetch = if matches!(self.work, Work::None) { self.next_fetch(root, &feeds, now, around) } else { None };
        // At the first that is due by then.
        let due = feeds.iter().filter_map(|feed| Some(known.find(feed.id)?.1.due(feed)));
        let soonest = due.filter(|due| *due > now).chain([now.after(LOOK_AGAIN)]).min();
        if let Some(joined) = self.joined.iter_mut().find(|joined| joined.root == root) {
            joined.look_at = soonest.unwrap_or(now);
        }
        fetch
    }

    /// The next moment at which [`Feeds::tend`] has something to do.
    pub(crate) fn next_event(&self) -> Option<Moment> {
        self.joined.iter().map(|joined| joined.look_at).chain(self.work.next_step()).min()
    }

    /// How things stand, as far as this worker has looked since the last time.
    pub(crate) fn figures(&mut self) -> alloc::vec::Drain<'_, (Gauge, u64)> {
        self.figures.drain(..)
    }

    /// How things stand with each feed that is wanted here.
    pub(crate) fn states(&self, proxy: Proxy<'_>) -> Vec<FeedState> {
        let known = directory::look(proxy.store, &[], 0, proxy.now);
        let mut states: Vec<FeedState> = Vec::new();
        for feed in self.joined.iter().flat_map(|joined| &joined.feeds) {
            let Some((number, place)) =
                known.find(feed.id).filter(|(number, _)| states.iter().all(|s| s.number != *number))
            else {
                continue;
            };
            let entries = place.copy.as_ref().map_or(0, |copy| copy.entries);
            states.push(FeedState {
                number,
                name: feed.name(),
                entries,
                age: place.age(proxy.now),
                outcome: place.outcome(),
            });
        }
        states
    }

    fn forget(&mut self, root: RootId) {
        self.joined.retain(|joined| joined.root != root);
        let wanted = self.wanted();
        self.copies.retain(|held| wanted.contains(&held.id));
    }

    fn wanted(&self) -> Vec<u64> {
        self.joined.iter().flat_map(|joined| &joined.feeds).map(|feed| feed.id).collect()
    }

    /// Looks at what the workers know of the feeds, and takes over new copies.
    fn look(&mut self, around: &Surroundings<'_, '_>) -> directory::Directory {
        let Proxy { now, store } = around.proxy;
        // A heap, since its code is a tenth of what sorts slices.
        let mut wanted = BinaryHeap::from(self.wanted()).into_sorted_vec();
        wanted.dedup();
        let WorkerId(salt) = self.worker;
        let known = directory::look(store, &wanted, salt, now);
        for id in wanted {
            let Some((number, place)) = known.find(id) else { continue };
            if let Some(copy) = &place.copy {
                self.take_over(id, number, copy, around);
                self.figures.push((Gauge::FeedEntries(number), copy.entries.into()));
            }
            self.figures.push((Gauge::FeedAge(number), place.age(now).as_secs()));
        }
        known
    }

    fn take_over(&mut self, id: u64, number: u8, known: &directory::Known, around: &Surroundings<'_, '_>) {
        let held = self.copies.iter().position(|held| held.id == id);
        if let Some(held) = held.and_then(|place| self.copies.get_mut(place))
            && held.version == known.version
        {
            held.fetched = known.fetched;
            return;
        }
        let read = around.proxy.store.read(&directory::copy_key(number));
        let Some(copy) = read.and_then(|(bytes, _)| FeedCopy::from_bytes(id, bytes)) else { return };
        self.hold(Held { id, version: known.version, fetched: known.fetched, copy: Rc::new(copy) });
    }

    fn hold(&mut self, new: Held) {
        self.taken = self.taken.wrapping_add(1);
        match self.copies.iter_mut().find(|held| held.id == new.id) {
            Some(held) => *held = new,
            None => self.copies.push(new),
        }
    }

    fn next_fetch(
        &mut self,
        root: RootId,
        feeds: &[Arc<Feed>],
        now: Moment,
        around: &Surroundings<'_, '_>,
    ) -> Option<Fetch> {
        let is_idle = now.timestamp().seconds_since(self.served) > IDLE;
        let patience = if is_idle { Duration::ZERO } else { PATIENCE };
        let mut taken = feeds
            .iter()
            .filter_map(|feed| Some((feed, directory::take(around.proxy.store, feed, self.worker, patience, now)?)));
        let (feed, place) = taken.next()?;
        let id = FetchId(self.next_fetch);
        self.next_fetch = self.next_fetch.wrapping_add(1);
        self.work = Work::asked(id, root, feed, now);
        // Only who still has that copy can do with hearing that it is the newest.
        let known = place
            .copy
            .filter(|known| self.copies.iter().any(|held| held.id == feed.id && held.version == known.version));
        Some(Fetch { id, feed: Arc::clone(feed), etag: known.and_then(|known| known.etag) })
    }
}
