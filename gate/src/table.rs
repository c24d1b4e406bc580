//! The table: what the workers of one proxy know about peers, in a fixed number of shared values.
//!
//! The proxy cannot delete a value, so there is none per peer: a peer has its place in one of the buckets, and a bucket
//! names the peers that are in it. A collision is a miss or evicts an older fact, never a mix-up.

use crate::SubjectId;
use crate::cache::Fact;
use crate::record;
use crate::store::{self, Store};
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use evaluator::{decimal, how_many};
use foldhash::quality::FixedState;

/// The facts that one bucket has room for.
const BUCKET: usize = 4;

struct Slot {
    peer: SubjectId,
    fact: Fact,
}

record::fields!(Slot: peer, fact);

/// Where a peer is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    hasher: FixedState,
    buckets: u64,
}

impl Table {
    /// A table for this many facts. All workers of a proxy use the seed that the first of them chose.
    pub(crate) fn new(slots: u32, seed: u64) -> Table {
        let mut table = Table { hasher: FixedState::with_seed(seed), buckets: 1 };
        table.resize(slots);
        table
    }

    /// Changes the number of facts. Those whose bucket moves are forgotten.
    pub(crate) fn resize(&mut self, slots: u32) {
        self.buckets = u64::from(slots).div_ceil(BUCKET as u64).max(1);
    }

    /// What the proxy knows about this peer.
    pub(crate) fn get(&self, store: &dyn Store, peer: SubjectId) -> Option<Fact> {
        let (value, _) = store.read(&self.key(peer))?;
        decode(&value).into_iter().find(|slot| slot.peer == peer).map(|slot| slot.fact)
    }

    /// Remembers a fact for all workers, in the place of an older one about the peer, or of the oldest in the bucket.
    pub(crate) fn put(&self, store: &dyn Store, peer: SubjectId, fact: &Fact) {
        store::change(store, &self.key(peer), |value| {
            let mut slots = value.map(decode).unwrap_or_default();
            slots.retain(|slot| slot.peer != peer);
            // No worker writes more of them; other bytes may be anything.
            slots.truncate(BUCKET);
            if slots.len() == BUCKET
                && let Some((oldest, _)) = slots.iter().enumerate().min_by_key(|(_, slot)| slot.fact.learned())
            {
                slots.swap_remove(oldest);
            }
            slots.push(Slot { peer, fact: *fact });
            (Some(record::encode(&slots)), ())
        });
    }

    /// Shows facts from this spot on, in at most so many buckets, until `see` says that it does not want the one that it is
    /// shown. Returns where to go on; `None` at the end.
    pub(crate) fn walk(
        &self,
        store: &dyn Store,
        from: Spot,
        buckets: u64,
        see: &mut dyn FnMut(SubjectId, Fact) -> bool,
    ) -> Option<Spot> {
        let end = from.bucket.saturating_add(buckets).min(self.buckets);
        let mut skipped = from.slot;
        for bucket in from.bucket..end {
            let slots = store.read(&key(bucket)).map(|(value, _)| decode(&value)).unwrap_or_default();
            for (slot, found) in slots.into_iter().enumerate().skip(core::mem::take(&mut skipped)) {
                if !see(found.peer, found.fact) {
                    return Some(Spot { bucket, slot });
                }
            }
        }
        (end < self.buckets).then_some(Spot { bucket: end, slot: 0 })
    }

    fn key(&self, peer: SubjectId) -> String {
        key(self.hasher.hash_one(peer).checked_rem(self.buckets).unwrap_or(0))
    }
}

/// The number is the layout's: a module that writes another layout uses other keys.
fn key(bucket: u64) -> String {
    ["portcullis/facts/3/", &decimal(bucket)].concat()
}

/// A place in the table, for going on from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    bucket: u64,
    slot: usize,
}

impl Spot {
    /// How it is shown.
    pub(crate) fn text(&self) -> String {
        [&*decimal(self.bucket), "-", &how_many(self.slot)].concat()
    }

    /// Reads what is shown.
    pub(crate) fn parse(text: &str) -> Option<Spot> {
        let (bucket, slot) = text.split_once('-')?;
        let (bucket, slot) = (bucket.parse().ok()?, slot.parse().ok()?);
        (slot < BUCKET).then_some(Spot { bucket, slot })
    }
}

/// The seed that all workers of the proxy share: whichever worker comes first chooses.
pub(crate) fn shared_seed(store: &dyn Store, random: u64) -> u64 {
    const KEY: &str = "portcullis/seed/1";
    let seed = store::change(store, KEY, |value| match value.and_then(|value| value.try_into().ok()) {
        Some(seed) => (None, u64::from_le_bytes(seed)),
        None => (Some(random.to_le_bytes().to_vec()), random),
    });
    seed.unwrap_or(random)
}

/// A bucket that cannot be read is empty: facts can be learned again.
fn decode(value: &[u8]) -> Vec<Slot> {
    record::decode(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LookupError;
    use crate::store::memory::Memory;
    use evaluator::Timestamp;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn peer(number: u32) -> SubjectId {
        std::net::IpAddr::from(std::net::Ipv4Addr::from(number)).into()
    }

    fn fact(at: u32) -> Fact {
        Fact::Failed { at: Timestamp::from_unix(at.into()), error: LookupError::Reset }
    }

    #[test]
    fn the_workers_of_a_proxy_agree_on_the_seed_of_the_first() {
        let store = Memory::default();
        assert_eq!((shared_seed(&store, 5), shared_seed(&store, 6)), (5, 5));
    }

    #[test]
    fn a_bucket_keeps_the_newest_facts_and_never_mixes_peers_up() {
        let (store, table) = (Memory::default(), Table::new(4, 1));
        for number in 0..10 {
            table.put(&store, peer(number), &fact(number));
        }
        table.put(&store, peer(9), &fact(99));
        let kept: Vec<_> = (0..10).filter_map(|number| table.get(&store, peer(number))).collect();
        assert_eq!(kept, [fact(6), fact(7), fact(8), fact(99)]);
        assert_eq!(store.keys(), 1);
    }

    proptest! {
        #[test]
        fn invariant_6_whatever_is_put_in_the_keys_are_bounded_and_answers_are_about_the_peer(
            puts in proptest::collection::vec((0u32..200, 0u32..1000), 0..400),
        ) {
            let (store, table) = (Memory::default(), Table::new(64, 3));
            let mut last = BTreeMap::new();
            for (number, at) in puts {
                table.put(&store, peer(number), &fact(at));
                last.insert(number, fact(at));
                prop_assert_eq!(table.get(&store, peer(number)), Some(fact(at)));
            }
            prop_assert!(store.keys() <= 16);
            for number in 0..200 {
                let known = table.get(&store, peer(number));
                prop_assert!(known.is_none() || known == last.get(&number).copied());
            }
        }

        #[test]
        fn a_bucket_of_anything_is_no_fact_and_can_be_written(bytes: Vec<u8>) {
            let (store, table) = (Memory::default(), Table::new(4, 1));
            let _ = store.write(&table.key(peer(1)), &bytes, None);
            let _ = table.get(&store, peer(1));
            table.put(&store, peer(1), &fact(7));
            prop_assert_eq!(table.get(&store, peer(1)), Some(fact(7)));
        }
    }
}
