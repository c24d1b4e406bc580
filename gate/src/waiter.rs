//! Streams that wait for a verdict.

use crate::index::Index;
use crate::{Decision, Moment, Remote, Site, StreamId, SubjectId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Connection, Direction, Runs, Timestamp};

/// The longest `first_look.hold`.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// The streams that wait, to be found by peer and by deadline: crowds wait at times, and each event must cost the same.
#[derive(Default)]
pub(crate) struct Waiters {
    streams: Runs<StreamId, Box<Waiter>>,
    by_peer: Index,
    by_deadline: Index,
}

impl Waiters {
    pub(crate) fn insert(&mut self, stream: StreamId, waiter: Waiter) {
        self.remove(stream);
        for peer in waiter.pending.iter() {
            self.by_peer.insert(peer, stream);
        }
        self.by_deadline.insert(waiter.deadline, stream);
        self.streams.insert(stream, Box::new(waiter));
    }

    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<Waiter> {
        let waiter = self.streams.remove(&stream)?;
        for peer in waiter.pending.iter() {
            self.by_peer.remove(peer, stream);
        }
        self.by_deadline.remove(waiter.deadline, stream);
        Some(*waiter)
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn get(&self, stream: StreamId) -> Option<&Waiter> {
        self.streams.get(&stream).map(Box::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (StreamId, &Waiter)> {
        self.streams.iter().map(|(stream, waiter)| (*stream, &**waiter))
    }

    /// The streams that wait for this peer.
    pub(crate) fn of(&self, peer: SubjectId) -> Vec<StreamId> {
        let rank = u128::from(peer);
        self.by_peer.range(rank..=rank).map(|(_, stream)| stream.into()).collect()
    }

    /// The streams that have waited long enough, and those whose deadline is out of reach since the clock was set back.
    pub(crate) fn overdue(&self, now: Moment) -> Vec<StreamId> {
        let past = self.by_deadline.range(0..=now.into());
        let unreachable = self.by_deadline.range(u128::from(now.horizon(LONGEST_HOLD)).saturating_add(1)..=u128::MAX);
        past.chain(unreachable).map(|(_, stream)| stream.into()).collect()
    }

    /// When the first of them has waited long enough.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.by_deadline.first().map(|(deadline, _)| deadline.into())
    }
}

/// A stream that waits.
pub(crate) struct Waiter {
    /// The other end.
    pub(crate) remote: Remote,
    /// Whom it waits for facts about.
    pub(crate) pending: Pending,
    /// What is decided by the facts that are there.
    pub(crate) known: Option<Decision<'static>>,
    /// The configuration it arrived under.
    pub(crate) site: Rc<Site>,
    pub(crate) connection: OwnedConnection,
    /// Since when it waits.
    pub(crate) since: Moment,
    /// When it has waited long enough.
    pub(crate) deadline: Moment,
}

impl Waiter {
    /// The worse of what is known and another decision.
    pub(crate) fn with(&self, other: Decision<'static>) -> Decision<'static> {
        self.known.map_or(other, |known| known.or_worse(other))
    }
}

/// Whom a stream waits for facts about: its peer's address, the domain, or both.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pending {
    address: Option<SubjectId>,
    domain: Option<SubjectId>,
}

impl Pending {
    pub(crate) fn add(&mut self, peer: SubjectId) {
        *self.place(peer) = Some(peer);
    }

    pub(crate) fn remove(&mut self, peer: SubjectId) {
        *self.place(peer) = None;
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = SubjectId> {
        [self.address, self.domain].into_iter().flatten()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    fn place(&mut self, peer: SubjectId) -> &mut Option<SubjectId> {
        if peer.is_domain() { &mut self.domain } else { &mut self.address }
    }
}

/// What the rules need of a stream that waits.
pub(crate) struct OwnedConnection {
    direction: Direction,
    port: Option<u16>,
    path: Option<Box<[u8]>>,
    method: Option<Box<[u8]>>,
    host: Option<Box<[u8]>>,
}

impl From<&Connection<'_>> for OwnedConnection {
    fn from(connection: &Connection<'_>) -> OwnedConnection {
        OwnedConnection {
            direction: connection.direction,
            port: connection.port,
            path: connection.path.map(Box::from),
            method: connection.method.map(Box::from),
            host: connection.host.map(Box::from),
        }
    }
}

impl OwnedConnection {
    pub(crate) fn borrowed(&self, now: Timestamp) -> Connection<'_> {
        Connection {
            port: self.port,
            path: self.path.as_deref(),
            method: self.method.as_deref(),
            host: self.host.as_deref(),
            ..Connection::new(self.direction, now)
        }
    }
}
