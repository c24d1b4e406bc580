//! The peers that are to be looked up: a bounded queue, most urgent first, and what is in flight.

use crate::{LookupId, Moment, Priority, RootId, Site, Subject, SubjectId};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Peers that may wait for a lane at the same time, in one worker.
pub(crate) const QUEUE_LIMIT: usize = 1024;
/// How often a lookup is sent again when Criminal IP refuses it because another call with the key is under way.
const REFUSALS_LIMIT: u8 = 20;
/// The pause before it is sent again.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// When a worker that waits for others asks again, should no message reach it.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(250);

/// A peer about which Criminal IP is to be asked.
pub(crate) struct Wanted {
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
    /// Streams that wait come first, then peers about which nothing is known, then what is stale; of equals the oldest.
    fn urgency(&self) -> (bool, Priority, u64) {
        (self.waiters == 0, self.priority, self.order)
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.state, State::Queued { .. })
    }
}

#[derive(Default)]
pub(crate) struct WantedList {
    peers: BTreeMap<SubjectId, Wanted>,
    queued: usize,
    next: u64,
}

impl WantedList {
    pub(crate) fn get(&self, peer: SubjectId) -> Option<&Wanted> {
        self.peers.get(&peer)
    }

    pub(crate) fn get_mut(&mut self, peer: SubjectId) -> Option<&mut Wanted> {
        self.peers.get_mut(&peer)
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Puts a peer into the queue, unless it is there. Returns the one that had to make room, if any: the oldest
    /// that no stream waits for, the new one itself where there is none.
    pub(crate) fn add(
        &mut self,
        site: &Rc<Site>,
        peer: SubjectId,
        subject: &Subject,
        priority: Priority,
        now: Moment,
    ) -> Option<SubjectId> {
        if let Some(wanted) = self.peers.get_mut(&peer) {
            wanted.priority = wanted.priority.min(priority);
            return None;
        }
        let mut dropped = None;
        if self.queued >= QUEUE_LIMIT {
            let idle = self.peers.iter().filter(|(_, wanted)| wanted.is_queued() && wanted.waiters == 0);
            let Some((oldest, _)) = idle.min_by_key(|(_, wanted)| (std::cmp::Reverse(wanted.priority), wanted.order))
            else {
                return Some(peer);
            };
            dropped = Some(*oldest);
            self.remove(*oldest);
        }
        let state = State::Queued { not_before: now };
        let wanted = Wanted {
            subject: subject.clone(),
            site: Rc::clone(site),
            priority,
            since: now,
            waiters: 0,
            state,
            refusals: 0,
            order: self.next,
        };
        self.next = self.next.saturating_add(1);
        self.peers.insert(peer, wanted);
        self.queued = self.queued.saturating_add(1);
        dropped
    }

    pub(crate) fn remove(&mut self, peer: SubjectId) -> Option<Wanted> {
        let wanted = self.peers.remove(&peer)?;
        if wanted.is_queued() {
            self.queued = self.queued.saturating_sub(1);
        }
        Some(wanted)
    }

    /// The most urgent peer that is due, of this root or of any.
    pub(crate) fn due(&self, root: Option<RootId>, now: Moment) -> Option<SubjectId> {
        let is_due = |wanted: &Wanted| match wanted.state {
            State::Queued { not_before } => {
                !not_before.is_ahead_of(now, REFUSAL_PAUSE.max(ASK_AGAIN))
                    && root.is_none_or(|root| wanted.site.root == root)
            }
            State::InFlight { .. } => false,
        };
        let due = self.peers.iter().filter(|(_, wanted)| is_due(wanted));
        due.min_by_key(|(_, wanted)| wanted.urgency()).map(|(peer, _)| *peer)
    }

    pub(crate) fn send(&mut self, peer: SubjectId, id: LookupId, sent: Moment, lost_at: Moment) {
        if let Some(wanted) = self.peers.get_mut(&peer)
            && wanted.is_queued()
        {
            wanted.state = State::InFlight { id, sent, lost_at };
            self.queued = self.queued.saturating_sub(1);
        }
    }

    /// Puts a peer off that cannot be asked about now.
    pub(crate) fn put_off(&mut self, peer: SubjectId, not_before: Moment) {
        if let Some(wanted) = self.peers.get_mut(&peer) {
            if !wanted.is_queued() {
                self.queued = self.queued.saturating_add(1);
            }
            wanted.state = State::Queued { not_before };
        }
    }

    /// Queues a lookup again that Criminal IP refused because of another; `false` when that happened too often.
    pub(crate) fn try_again(&mut self, peer: SubjectId, now: Moment) -> bool {
        let Some(wanted) = self.peers.get_mut(&peer).filter(|wanted| wanted.refusals < REFUSALS_LIMIT) else {
            return false;
        };
        wanted.refusals = wanted.refusals.saturating_add(1);
        self.put_off(peer, now.after(REFUSAL_PAUSE));
        true
    }

    /// The peer of a lookup in flight, and when it was sent.
    pub(crate) fn in_flight(&self, wanted_id: LookupId) -> Option<(SubjectId, Moment)> {
        self.peers.iter().find_map(|(peer, wanted)| match wanted.state {
            State::InFlight { id, sent, .. } if id == wanted_id => Some((*peer, sent)),
            _ => None,
        })
    }

    /// The lookups whose answer the proxy lost.
    pub(crate) fn lost(&self, now: Moment) -> Vec<LookupId> {
        let lost = |wanted: &Wanted| match wanted.state {
            State::InFlight { id, lost_at, .. } if lost_at <= now => Some(id),
            _ => None,
        };
        self.peers.values().filter_map(lost).collect()
    }

    /// Whether answers to lookups of this root are still to come.
    pub(crate) fn has_in_flight(&self, root: RootId) -> bool {
        self.peers.values().any(|wanted| !wanted.is_queued() && wanted.site.root == root)
    }

    /// Hands what this root has not sent yet over to the given heirs; what has none is forgotten.
    pub(crate) fn retire(&mut self, root: RootId, heirs: &BTreeMap<SubjectId, Rc<Site>>) {
        let queued = &mut self.queued;
        self.peers.retain(|peer, wanted| {
            if wanted.site.root != root || !wanted.is_queued() {
                return true;
            }
            match heirs.get(peer) {
                Some(heir) => wanted.site = Rc::clone(heir),
                None => *queued = queued.saturating_sub(1),
            }
            heirs.contains_key(peer)
        });
    }

    /// The next moment at which a lookup is due or lost.
    pub(crate) fn next_event(&self) -> Option<Moment> {
        let event = |wanted: &Wanted| match wanted.state {
            State::Queued { not_before } => not_before,
            State::InFlight { lost_at, .. } => lost_at,
        };
        self.peers.values().map(event).min()
    }
}
