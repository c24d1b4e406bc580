//! The addresses that are to be looked up: a bounded queue, most urgent first, and what is in flight.

use crate::index::Index;
use crate::{LookupId, Moment, Priority, RootId, Site, Sorted, Subject, SubjectId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;
use evaluator::Runs;

/// Addresses that may wait for a lane at the same time, in one worker.
pub(crate) const QUEUE_LIMIT: usize = 1024;
/// How often a lookup is sent again when Criminal IP refuses it because another call with the key is under way.
const REFUSALS_LIMIT: u8 = 20;
/// The pause before it is sent again.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// When a worker that waits for others asks again, should no message reach it.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(250);

/// A peer about whom Criminal IP is to be asked.
pub(crate) struct Wanted {
    /// Who it is.
    pub(crate) subject: Subject,
    /// The configuration by which it is asked.
    pub(crate) site: Rc<Site>,
    pub(crate) priority: Priority,
    /// When it was first wanted.
    pub(crate) since: Moment,
    /// How many streams wait for it.
    pub(crate) waiters: u32,
    pub(crate) state: State,
    refusals: u8,
    /// Tells those that came in the same millisecond apart.
    order: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Awaits a lane, not before this moment.
    Queued { not_before: Moment },
    /// Awaits the answer; given up at this moment, should the proxy never bring one.
    InFlight { id: LookupId, sent: Moment, lost_at: Moment },
}

impl Wanted {
    /// Where it stands in the queue of its root: events come first, then streams that wait, then peers about whom nothing
    /// is known, then what is stale; of equals the oldest.
    fn urgency(&self) -> u128 {
        let class = [self.priority != Priority::Event, self.waiters == 0].map(u128::from);
        let [event, waited_for] = class;
        ranks_of(self.site.root).start() | event << 67 | waited_for << 66 | (self.priority as u128) << 64 | self.order()
    }

    /// Where it stands among those that no stream waits for: what is to make room comes first, the least urgent and of
    /// equals the oldest.
    fn dispensability(&self) -> u128 {
        let urgency = self.priority as u128;
        (!urgency & 3) << 64 | self.order()
    }

    fn order(&self) -> u128 {
        self.order.into()
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.state, State::Queued { .. })
    }
}

/// Who is wanted. A flood fills the queue, and then every new peer asks it several questions, so each of them finds its
/// answer at the end of an index.
#[derive(Default)]
pub(crate) struct WantedList {
    // In boxes, so that lists of different things have the same code.
    peers: Runs<SubjectId, Box<Wanted>>,
    queued: usize,
    next: u64,
    /// What is queued, by root and urgency.
    by_urgency: Index,
    /// What is queued and no stream waits for; what is to make room comes first.
    idle: Index,
    /// When each is due or lost.
    by_time: Index,
    /// No more than there are lanes.
    in_flight: Sorted<LookupId, SubjectId>,
}

impl WantedList {
    pub(crate) fn get(&self, peer: SubjectId) -> Option<&Wanted> {
        self.peers.get(&peer).map(Box::as_ref)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Puts a peer into the queue, unless it is there. Returns the one that had to make room, if any: of the least urgent
    /// that no stream waits for the oldest, the new one itself where all others are more urgent.
    pub(crate) fn add(
        &mut self,
        site: &Rc<Site>,
        peer: SubjectId,
        subject: &Subject,
        priority: Priority,
        now: Moment,
    ) -> Option<SubjectId> {
        if self.peers.get(&peer).is_some() {
            self.change(peer, |wanted| wanted.priority = wanted.priority.min(priority));
            return None;
        }
        let mut dropped = None;
        if self.queued >= QUEUE_LIMIT {
            let least = self.idle.first().map(|(_, least)| SubjectId::from(least));
            let is_event = |peer| self.peers.get(&peer).is_some_and(|wanted| wanted.priority == Priority::Event);
            dropped = least.filter(|least| priority == Priority::Event || !is_event(*least));
            if dropped.is_none() {
                return Some(peer);
            }
        }
        if let Some(oldest) = dropped {
            self.remove(oldest);
        }
        let wanted = Box::new(Wanted {
            subject: subject.clone(),
            site: Rc::clone(site),
            priority,
            since: now,
            waiters: 0,
            state: State::Queued { not_before: now },
            refusals: 0,
            order: self.next,
        });
        self.next = self.next.saturating_add(1);
        self.put(peer, wanted);
        dropped
    }

    pub(crate) fn remove(&mut self, peer: SubjectId) -> Option<Box<Wanted>> {
        let wanted = self.peers.remove(&peer)?;
        let time = match wanted.state {
            State::Queued { not_before } => {
                self.queued = self.queued.saturating_sub(1);
                self.idle.remove(wanted.dispensability(), peer);
                self.by_urgency.remove(wanted.urgency(), peer);
                not_before
            }
            State::InFlight { id, lost_at, .. } => {
                self.in_flight.remove(&id);
                lost_at
            }
        };
        self.by_time.remove(time, peer);
        Some(wanted)
    }

    fn put(&mut self, peer: SubjectId, wanted: Box<Wanted>) {
        let time = match wanted.state {
            State::Queued { not_before } => {
                self.queued = self.queued.saturating_add(1);
                if wanted.waiters == 0 {
                    self.idle.insert(wanted.dispensability(), peer);
                }
                self.by_urgency.insert(wanted.urgency(), peer);
                not_before
            }
            State::InFlight { id, lost_at, .. } => {
                self.in_flight.insert(id, peer);
                lost_at
            }
        };
        self.by_time.insert(time, peer);
        self.peers.insert(peer, wanted);
    }

    fn change(&mut self, peer: SubjectId, change: impl FnOnce(&mut Wanted)) {
        if let Some(mut wanted) = self.remove(peer) {
            change(&mut wanted);
            self.put(peer, wanted);
        }
    }

    /// A stream waits for this peer, if it is wanted.
    pub(crate) fn join(&mut self, peer: SubjectId) {
        self.change(peer, |wanted| wanted.waiters = wanted.waiters.saturating_add(1));
    }

    /// A stream that waited for this peer does so no more.
    pub(crate) fn part(&mut self, peer: SubjectId) {
        self.change(peer, |wanted| wanted.waiters = wanted.waiters.saturating_sub(1));
    }

    /// The most urgent peer that is due, of this root or of any. Few are put off at a time, no more than lanes are taken.
    pub(crate) fn due(&self, root: Option<RootId>, now: Moment) -> Option<SubjectId> {
        let is_due = |peer: &SubjectId| match self.peers.get(peer).map(|wanted| wanted.state) {
            Some(State::Queued { not_before }) => !not_before.is_ahead_of(now, REFUSAL_PAUSE.max(ASK_AGAIN)),
            _ => false,
        };
        let due_of = |root| {
            let mut queued = self.by_urgency.range(ranks_of(root));
            queued.find(|(_, peer)| is_due(&SubjectId::from(*peer)))
        };
        let due = match root {
            Some(root) => due_of(root),
            // Urgency counts across the roots.
            None => self.roots().filter_map(due_of).min_by_key(|(rank, _)| *rank << 32),
        };
        due.map(|(_, peer)| peer.into())
    }

    /// The roots that have something queued.
    fn roots(&self) -> impl Iterator<Item = RootId> {
        let root_from = |rank| self.by_urgency.range(rank..=u128::MAX).next().map(|(rank, _)| root_of(rank));
        core::iter::successors(root_from(0), move |root| root_from(ranks_of(*root).end().checked_add(1)?))
    }

    pub(crate) fn send(&mut self, peer: SubjectId, id: LookupId, sent: Moment, lost_at: Moment) {
        if self.peers.get(&peer).is_some_and(|wanted| wanted.is_queued()) {
            self.change(peer, |wanted| wanted.state = State::InFlight { id, sent, lost_at });
        }
    }

    /// Puts a peer off that cannot be asked about now.
    pub(crate) fn put_off(&mut self, peer: SubjectId, not_before: Moment) {
        self.change(peer, |wanted| wanted.state = State::Queued { not_before });
    }

    /// Queues a lookup again that Criminal IP refused because of another; `false` when that happened too often.
    pub(crate) fn try_again(&mut self, peer: SubjectId, now: Moment) -> bool {
        if self.peers.get(&peer).is_none_or(|wanted| wanted.refusals >= REFUSALS_LIMIT) {
            return false;
        }
        self.change(peer, |wanted| {
            wanted.refusals = wanted.refusals.saturating_add(1);
            wanted.state = State::Queued { not_before: now.after(REFUSAL_PAUSE) };
        });
        true
    }

    /// The peer of a lookup in flight, and when it was sent.
    pub(crate) fn in_flight(&self, id: LookupId) -> Option<(SubjectId, Moment)> {
        let peer = self.in_flight.get(&id)?;
        match self.peers.get(peer)?.state {
            State::InFlight { sent, .. } => Some((*peer, sent)),
            State::Queued { .. } => None,
        }
    }

    /// The lookups whose answer the proxy lost.
    pub(crate) fn lost(&self, now: Moment) -> Vec<LookupId> {
        let lost = |peer: &SubjectId| match self.peers.get(peer).map(|wanted| wanted.state) {
            Some(State::InFlight { lost_at, .. }) => lost_at <= now,
            _ => false,
        };
        self.in_flight.iter().filter(|(_, peer)| lost(peer)).map(|(id, _)| *id).collect()
    }

    /// Whether answers to lookups of this root are still to come.
    pub(crate) fn has_in_flight(&self, root: RootId) -> bool {
        self.in_flight.iter().any(|(_, peer)| self.peers.get(peer).is_some_and(|wanted| wanted.site.root == root))
    }

    /// Hands what this root has not sent yet over to the heir of each peer; what has none is forgotten.
    pub(crate) fn retire(&mut self, root: RootId, heir: impl Fn(SubjectId) -> Option<Rc<Site>>) {
        let left: Vec<_> = self.by_urgency.range(ranks_of(root)).collect();
        for (_, peer) in left {
            let peer = SubjectId::from(peer);
            match heir(peer) {
                Some(heir) => self.change(peer, |wanted| wanted.site = heir),
                None => drop(self.remove(peer)),
            }
        }
    }

    /// The next moment at which a lookup is due or lost.
    pub(crate) fn next_event(&self) -> Option<Moment> {
        self.by_time.first().map(|(time, _)| time.into())
    }
}

/// The ranks by urgency of what this root has queued.
fn ranks_of(RootId(root): RootId) -> RangeInclusive<u128> {
    let start = u128::from(root) << 96;
    start..=start | u128::MAX >> 32
}

/// The root that has this rank queued.
fn root_of(rank: u128) -> RootId {
    RootId(u32::try_from(rank >> 96).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
