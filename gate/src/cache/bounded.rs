//! The map below the cache: which peers have a place in it, and who gives theirs up for another.
//!
//! Eviction is that of S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023) without its list
//! of those who were evicted. A new peer is young, and is kept for longer only where it is asked for again. The kept leave at
//! least a quarter of the places to the young, so that peers who are seen once take each other's places, however many come.

use super::Remembered;
use crate::SubjectId;
use alloc::vec::Vec;
use core::cell::Cell;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// How many of the kept stay in a row because they were asked for again: more would make a single insertion take long.
const CHANCES: u32 = 32;

/// A map that holds no more than it may.
pub(super) struct Bounded {
    /// The most peers.
    entries: u32,
    /// Where in `slots` a peer is.
    index: HashTable<u32>,
    slots: Slots,
    /// Places of peers who have not proven that they come again, in order of arrival.
    young: Queue,
    /// Places of peers who have.
    kept: Queue,
    /// Places of no peer, since there were to be fewer.
    free: Queue,
    hasher: FixedState,
}

impl Bounded {
    /// An empty map for at most so many peers. It takes memory as they come.
    pub(super) fn new(entries: u32, hasher: FixedState) -> Bounded {
        let [young, kept, free] = [Queue::default(); 3];
        Bounded { entries, index: HashTable::new(), slots: Slots::default(), young, kept, free, hasher }
    }

    /// What is remembered about this peer, who has been asked for again with that.
    pub(super) fn get(&self, peer: SubjectId) -> Option<&Remembered> {
        let slot = self.slot(peer)?;
        slot.again.set(true);
        Some(&slot.remembered)
    }

    /// What is remembered about this peer, to be changed. This is not asking for it.
    pub(super) fn get_mut(&mut self, peer: SubjectId) -> Option<&mut Remembered> {
        let place =
            *self.index.find(self.hash(peer), |place| self.slots.get(*place).is_some_and(|slot| slot.peer == peer))?;
        self.slots.get_mut(place).map(|slot| &mut slot.remembered)
    }

    /// Remembers this about a peer, in the place of what was remembered. Returns how many others are evicted for it.
    pub(super) fn insert(&mut self, peer: SubjectId, remembered: Remembered) -> u64 {
        if let Some(known) = self.get_mut(peer) {
            *known = remembered;
            return 0;
        }
        if self.entries == 0 {
            return 0;
        }
        let evicted = if self.len() < self.entries { None } else { self.evict() };
        let slot = Slot { peer, remembered, again: Cell::new(false), next: 0 };
        let place = match evicted.or_else(|| self.free.pop(&self.slots)) {
            Some(place) => {
                if let Some(used) = self.slots.get_mut(place) {
                    *used = slot;
                }
                place
            }
            None => self.slots.push(slot),
        };
        self.young.push(&mut self.slots, place);
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_at = |place: &u32| slots.get(*place).map_or(0, |slot| hasher.hash_one(slot.peer));
        self.index.insert_unique(hasher.hash_one(peer), place, hash_at);
        u64::from(evicted.is_some())
    }

    /// Changes how many peers there may be. Returns how many are evicted.
    pub(super) fn resize(&mut self, entries: u32) -> u64 {
        self.entries = entries;
        let mut evicted = 0_u64;
        while self.len() > entries
            && let Some(place) = self.evict()
        {
            self.free.push(&mut self.slots, place);
            evicted = evicted.saturating_add(1);
        }
        evicted
    }

    /// How many peers have a place.
    pub(super) fn len(&self) -> u32 {
        self.young.len.saturating_add(self.kept.len)
    }

    /// What places are found by; outsiders cannot tell it.
    pub(super) fn hash(&self, peer: SubjectId) -> u64 {
        self.hasher.hash_one(peer)
    }

    /// Where this peer is. It is looked at but once, as every request comes here.
    fn slot(&self, peer: SubjectId) -> Option<&Slot> {
        let mut found = None;
        self.index.find(self.hash(peer), |place| {
            found = self.slots.get(*place).filter(|slot| slot.peer == peer);
            found.is_some()
        })?;
        found
    }

    /// Takes its place from the peer who is most likely not to come again. `None` where there is none.
    fn evict(&mut self) -> Option<u32> {
        let place = self.victim()?;
        let hash = self.slots.get(place).map(|slot| self.hash(slot.peer))?;
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        Some(place)
    }

    /// The place that is given up, which is in no queue any more.
    fn victim(&mut self) -> Option<u32> {
        let most = self.entries.saturating_sub(self.entries / 4);
        // It ends, since each turn but the last makes one more kept; and over time there is at most one for an insertion.
        while self.kept.len <= most
            && let Some(place) = self.young.pop(&self.slots)
        {
            if !self.was_asked_for(place) {
                return Some(place);
            }
            self.kept.push(&mut self.slots, place);
        }
        for _ in 0..CHANCES {
            let place = self.kept.pop(&self.slots)?;
            if !self.was_asked_for(place) {
                return Some(place);
            }
            self.kept.push(&mut self.slots, place);
        }
        self.kept.pop(&self.slots)
    }

    /// Whether the peer there was asked for again since this was last asked.
    fn was_asked_for(&self, place: u32) -> bool {
        self.slots.get(place).is_some_and(|slot| slot.again.replace(false))
    }
}

/// The place of one peer.
struct Slot {
    peer: SubjectId,
    remembered: Remembered,
    /// Whether the peer was asked for again.
    again: Cell<bool>,
    /// The place that is next in the same queue, where there is one.
    next: u32,
}

/// Slots by place. They are never moved: a VM does not give memory back, and to grow by moving takes that of both.
#[derive(Default)]
struct Slots(Vec<Vec<Slot>>);

impl Slots {
    /// How many slots are allocated together: `1 << CHUNK`.
    const CHUNK: u32 = 6;

    fn get(&self, place: u32) -> Option<&Slot> {
        let (chunk, within) = Slots::parts(place);
        self.0.get(chunk)?.get(within)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Slot> {
        let (chunk, within) = Slots::parts(place);
        self.0.get_mut(chunk)?.get_mut(within)
    }

    /// Adds one. Returns its place.
    fn push(&mut self, slot: Slot) -> u32 {
        let full = 1 << Slots::CHUNK;
        if self.0.last().is_none_or(|chunk| chunk.len() == full) {
            self.0.push(Vec::with_capacity(full));
        }
        let before = self.0.len().saturating_sub(1) << Slots::CHUNK;
        let within = self.0.last_mut().map_or(0, |chunk| {
            chunk.push(slot);
            chunk.len().saturating_sub(1)
        });
        u32::try_from(before | within).unwrap_or(u32::MAX)
    }

    /// Which chunk a place is in, and where in it.
    fn parts(place: u32) -> (usize, usize) {
        let within = place & ((1 << Slots::CHUNK) - 1);
        ((place >> Slots::CHUNK) as usize, within as usize)
    }
}

/// Places in order of arrival, linked through their slots.
#[derive(Clone, Copy, Default)]
struct Queue {
    first: u32,
    last: u32,
    len: u32,
}

impl Queue {
    fn push(&mut self, slots: &mut Slots, place: u32) {
        if self.len == 0 {
            self.first = place;
        } else if let Some(last) = slots.get_mut(self.last) {
            last.next = place;
        }
        self.last = place;
        self.len = self.len.saturating_add(1);
    }

    fn pop(&mut self, slots: &Slots) -> Option<u32> {
        let first = self.first;
        self.len = self.len.checked_sub(1)?;
        self.first = slots.get(first)?.next;
        Some(first)
    }
}

#[cfg(test)]
mod tests;
