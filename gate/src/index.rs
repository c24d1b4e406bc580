//! An order in which things are found again.

use crate::{Moment, StreamId, SubjectId};
use core::ops::RangeInclusive;
use evaluator::Runs;

/// A set of items, peers or streams, in the order of a rank, then of the item itself. All orders of the gate are of this one
/// type, since each type of key would bring code of its own into the module.
#[derive(Default)]
pub(crate) struct Index(Runs<(u128, u128), ()>);

impl Index {
    /// Inserts an item, unless it is there.
    pub(crate) fn insert(&mut self, rank: impl Into<u128>, item: impl Into<u128>) {
        self.0.insert((rank.into(), item.into()), ());
    }

    pub(crate) fn remove(&mut self, rank: impl Into<u128>, item: impl Into<u128>) {
        self.0.remove(&(rank.into(), item.into()));
    }

    /// The items of these ranks, and their ranks.
    pub(crate) fn range(&self, ranks: RangeInclusive<u128>) -> impl Iterator<Item = (u128, u128)> {
        let (first, last) = ranks.into_inner();
        self.0.from(&(first, 0)).map(|(item, ())| *item).take_while(move |(rank, _)| *rank <= last)
    }

    /// The item of the lowest rank, and its rank.
    pub(crate) fn first(&self) -> Option<(u128, u128)> {
        self.0.iter().next().map(|(item, ())| *item)
    }
}

impl From<SubjectId> for u128 {
    fn from(peer: SubjectId) -> u128 {
        u128::from_be_bytes(peer.to_bytes())
    }
}

impl From<u128> for SubjectId {
    fn from(number: u128) -> SubjectId {
        SubjectId::from_bytes(number.to_be_bytes())
    }
}

impl From<StreamId> for u128 {
    fn from(stream: StreamId) -> u128 {
        stream.0.into()
    }
}

impl From<u128> for StreamId {
    /// From what was made of a stream.
    fn from(number: u128) -> StreamId {
        StreamId(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

impl From<Moment> for u128 {
    fn from(moment: Moment) -> u128 {
        moment.millis().into()
    }
}

impl From<u128> for Moment {
    /// From what was made of a moment.
    fn from(number: u128) -> Moment {
        Moment::from_millis(u64::try_from(number).unwrap_or(u64::MAX))
    }
}
