//! The crew: the workers of one proxy, and what they tell each other while there is a control listener.
//!
//! A small value, the pulse, says what has changed; each worker reads it when told by its queue, and once a second in any
//! case. A list says which workers there are and how to tell them.

use crate::record;
use crate::store::{self, Store};
use crate::{Moment, WorkerId};
use alloc::vec::Vec;
use core::time::Duration;

/// The numbers are the layouts': a module that writes another layout uses other keys.
const PULSE: &str = "portcullis/pulse/2";
const CREW: &str = "portcullis/crew/2";
/// The workers of the largest proxies.
const LIMIT: usize = 256;
/// How often a worker says that it is there.
pub(crate) const SAY_AGAIN: Duration = Duration::from_secs(2);
/// A worker that has said nothing for so long is gone.
const GONE: Duration = Duration::from_secs(10);
/// For how long a control listener counts as there after it last said so.
const LISTENING: Duration = Duration::from_secs(20);

/// What has changed, by numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulse {
    /// Until when there is a control listener.
    until: Moment,
    /// Grows with each change of the overrides.
    pub(crate) overrides: u32,
    /// The number of the newest security event; 0 before the first.
    pub(crate) alert: u32,
    /// The number of the newest entry of the audit log; 0 before the first.
    pub(crate) audit: u32,
}

record::fields!(Pulse: until, overrides, alert, audit);

impl Pulse {
    pub(crate) fn read(store: &dyn Store) -> Option<Pulse> {
        store.read(PULSE).map(|(value, _)| decode(Some(&value)))
    }

    /// Changes it. `None` where other workers were always faster.
    pub(crate) fn change<R>(store: &dyn Store, mut change: impl FnMut(&mut Pulse) -> R) -> Option<R> {
        store::change(store, PULSE, |value| {
            let mut pulse = decode(value);
            let result = change(&mut pulse);
            (Some(record::encode(&pulse)), result)
        })
    }

    /// Whether there is a control listener.
    pub(crate) fn is_listening(&self, now: Moment) -> bool {
        self.until.is_ahead_of(now, LISTENING)
    }

    /// Says that there is a control listener, where that was not said of late.
    pub(crate) fn listen(store: &dyn Store, now: Moment) {
        let half = LISTENING.checked_div(2).unwrap_or_default();
        if Pulse::read(store).is_none_or(|pulse| !pulse.is_listening(now.after(half))) {
            Pulse::change(store, |pulse| pulse.until = now.after(LISTENING));
        }
    }
}

/// A pulse that cannot be read is a new one.
fn decode(value: Option<&[u8]>) -> Pulse {
    value.and_then(record::decode).unwrap_or_default()
}

/// One worker, as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) worker: WorkerId,
    /// The queue by which it is told.
    pub(crate) queue: u32,
    pub(crate) seen: Moment,
    pub(crate) figures: Figures,
}

record::fields!(Member: worker, queue, seen, figures);

/// How things stand with one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Streams that wait.
    pub(crate) held: u32,
    /// Addresses that wait for a lane.
    pub(crate) queued: u32,
    /// Peers that are remembered.
    pub(crate) peers: u32,
    /// Connections that are watched.
    pub(crate) connections: u32,
    /// Entries of the journal.
    pub(crate) journal: u32,
    /// Entries of the journal that were lost, since the worker started.
    pub(crate) lost: u64,
    /// Decisions since the worker started: allow, tag, deny.
    pub(crate) decisions: [u64; 3],
}

record::fields!(Figures: held, queued, peers, connections, journal, lost, decisions);

/// Says that this worker is there.
pub(crate) fn join(store: &dyn Store, member: &Member) {
    let now = member.seen;
    store::change(store, CREW, |value| {
        let mut crew = decode_crew(value);
        crew.retain(|other| other.worker != member.worker && other.is_there(now));
        if crew.len() < LIMIT {
            crew.push(member.clone());
        }
        (Some(record::encode(&crew)), ())
    });
}

/// The workers that are there.
pub(crate) fn members(store: &dyn Store, now: Moment) -> Vec<Member> {
    let mut crew = store.read(CREW).map(|(value, _)| decode_crew(Some(&value))).unwrap_or_default();
    crew.retain(|member| member.is_there(now));
    crew
}

impl Member {
    fn is_there(&self, now: Moment) -> bool {
        // Workers need not agree on the time to the millisecond.
        self.seen.after(GONE).is_ahead_of(now, GONE.saturating_mul(2))
    }
}

/// A list that cannot be read is empty: each worker soon says again that it is there.
fn decode_crew(value: Option<&[u8]>) -> Vec<Member> {
    let mut crew: Vec<Member> = value.and_then(record::decode).unwrap_or_default();
    crew.truncate(LIMIT);
    crew
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn member(worker: u64, seen: u64) -> Member {
        Member { worker: WorkerId(worker), queue: 7, seen: at(seen), figures: Figures::default() }
    }

    fn there(store: &Memory, now: u64) -> Vec<u64> {
        members(store, at(now)).iter().map(|member| member.worker.0).collect()
    }

    #[test]
    fn a_worker_is_there_as_long_as_it_says_so() {
        let store = Memory::default();
        join(&store, &member(1, 0));
        join(&store, &member(2, 5));
        join(&store, &member(1, 8));
        assert_eq!(there(&store, 9), [2, 1]);
        assert_eq!(there(&store, 16), [1]);
        assert!(there(&store, 30).is_empty());
    }

    #[test]
    fn invariant_6_the_crew_is_bounded_and_those_who_died_leave_room() {
        let store = Memory::default();
        for worker in 0..300 {
            join(&store, &member(worker, 0));
        }
        assert_eq!(there(&store, 1).len(), LIMIT);
        join(&store, &member(999, 11));
        assert_eq!(there(&store, 11), [999]);
        assert_eq!(store.keys(), 1);
    }

    #[test]
    fn a_control_listener_counts_as_there_for_a_while_after_it_said_so() {
        let store = Memory::default();
        assert_eq!(Pulse::read(&store), None);
        Pulse::listen(&store, at(0));
        Pulse::change(&store, |pulse| pulse.alert += 1);
        let listening = |now| Pulse::read(&store).unwrap().is_listening(at(now));
        assert!(listening(19) && !listening(20));
        Pulse::listen(&store, at(9));
        assert!(!listening(20), "it was said of late");
        Pulse::listen(&store, at(15));
        assert!(listening(20));
        assert_eq!(Pulse::read(&store).unwrap().alert, 1);
    }
}
