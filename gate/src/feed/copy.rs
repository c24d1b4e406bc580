//! A copy of a feed: sorted networks in one run of bytes. What the workers share is what each of them searches, so that
//! taking a copy over is reading it, whatever its length.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::Range;
use evaluator::{Network, Runs, Timestamp};

/// The bytes: the feed's number and how many IPv4 entries there are, then those, then the IPv6 entries.
#[derive(Debug, Default)]
pub(crate) struct FeedCopy {
    bytes: Vec<u8>,
    v6_from: usize,
    /// The address of the first entry of each block, so that most of a search is in little memory that is always at hand.
    v4_marks: Box<[u32]>,
    v6_marks: Box<[u128]>,
}

/// So many entries are a block.
const BLOCK: usize = if cfg!(test) { 4 } else { 64 };

/// Number of the feed, count of IPv4 entries.
const HEAD: usize = 12;
/// Length of the prefix, until when it counts, and the place of the entry around it plus one, or zero.
const TAIL: usize = 9;
type V4 = [u8; 4 + TAIL];
type V6 = [u8; 16 + TAIL];

/// Entries that always count.
pub(crate) const FOR_EVER: u32 = u32::MAX;

/// What is found in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) network: Network,
    pub(crate) until: u32,
}

impl FeedCopy {
    /// Takes over what was shared. `None` where it is not the copy of this feed.
    pub(crate) fn from_bytes(feed: u64, bytes: Vec<u8>) -> Option<FeedCopy> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (count, entries) = rest.split_first_chunk::<4>()?;
        let v4 = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(size_of::<V4>())?;
        let v6 = entries.len().checked_sub(v4)?;
        let whole = u64::from_le_bytes(*id) == feed && v6.checked_rem(size_of::<V6>())? == 0;
        Some(FeedCopy::new(bytes, HEAD.checked_add(v4)?)).filter(|_| whole)
    }

    fn new(bytes: Vec<u8>, v6_from: usize) -> FeedCopy {
        let mut copy = FeedCopy { bytes, v6_from, v4_marks: Box::default(), v6_marks: Box::default() };
        copy.v4_marks = marks(copy.v4()).map(|address| address as u32).collect();
        copy.v6_marks = marks(copy.v6()).collect();
        copy
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.v4().len().saturating_add(self.v6().len())
    }

    /// The entry with the longest prefix around this address, among those that count at `now`.
    pub(crate) fn find(&self, ip: IpAddr, now: Timestamp) -> Option<Hit> {
        let (network, counts) = (Network::host(ip), |hit: &Hit| now.unix() < hit.until);
        let bits = network.bits();
        if network.is_v6() {
            let blocks = self.v6_marks.partition_point(|mark| *mark <= bits);
            around(self.v6(), block(blocks), network, counts)
        } else {
            let blocks = self.v4_marks.partition_point(|mark| u128::from(*mark) <= bits);
            around(self.v4(), block(blocks), network, counts)
        }
    }

    /// Until when exactly this network counts, where it is named.
    fn names(&self, network: Network) -> Option<u32> {
        let all = 0..usize::MAX;
        let hit = match network.is_v6() {
            true => around(self.v6(), all, network, |_| true),
            false => around(self.v4(), all, network, |_| true),
        };
        hit.filter(|hit| hit.network == network).map(|hit| hit.until)
    }

    fn v4(&self) -> &[V4] {
        self.bytes.get(HEAD..self.v6_from).unwrap_or_default().as_chunks().0
    }

    fn v6(&self) -> &[V6] {
        self.bytes.get(self.v6_from..).unwrap_or_default().as_chunks().0
    }
}

/// One entry as it is kept.
trait Record {
    /// The address, and the rest.
    fn parts(&self) -> (u128, &[u8; TAIL]);
}

impl Record for V4 {
    fn parts(&self) -> (u128, &[u8; TAIL]) {
        let ([a, b, c, d], tail) = split(self);
        (u32::from_be_bytes([*a, *b, *c, *d]).into(), tail)
    }
}

impl Record for V6 {
    fn parts(&self) -> (u128, &[u8; TAIL]) {
        let (address, tail) = split(self);
        (u128::from_be_bytes(*address), tail)
    }
}

/// The first bytes of a record, and its last.
fn split<const N: usize, const A: usize>(record: &[u8; N]) -> (&[u8; A], &[u8; TAIL]) {
    const { assert!(N == A + TAIL) };
    match (record.first_chunk(), record.last_chunk()) {
        (Some(address), Some(tail)) => (address, tail),
        // Not for these lengths.
        _ => (&[0; A], &[0; TAIL]),
    }
}

/// The first address of each block.
fn marks<R: Record>(records: &[R]) -> impl Iterator<Item = u128> {
    records.chunks(BLOCK).filter_map(<[R]>::first).map(|record| record.parts().0)
}

/// The places of the last of the first so many blocks.
fn block(blocks: usize) -> Range<usize> {
    let end = blocks.saturating_mul(BLOCK);
    end.saturating_sub(BLOCK)..end
}

/// The last entry that does not come after the network is around it, or has the entry around it further up. It is looked
/// for in this range of places only.
fn around<R: Record>(
    records: &[R],
    range: Range<usize>,
    network: Network,
    counts: impl Fn(&Hit) -> bool,
) -> Option<Hit> {
    let bits = network.bits();
    let block = records.get(range.start..range.end.min(records.len()))?;
    let in_block = block.partition_point(|record| {
        let (address, [length, ..]) = record.parts();
        (address, *length) <= (bits, network.length())
    });
    let mut place = range.start.checked_add(in_block)?;
    loop {
        place = place.checked_sub(1)?;
        let (address, [length, u0, u1, u2, u3, p0, p1, p2, p3]) = records.get(place)?.parts();
        let until = u32::from_le_bytes([*u0, *u1, *u2, *u3]);
        let hit = Hit { network: Network::new(network.is_v6(), address, *length), until };
        if hit.network.holds(network) && counts(&hit) {
            return Some(hit);
        }
        let parent = usize::try_from(u32::from_le_bytes([*p0, *p1, *p2, *p3])).ok()?;
        // Always upwards, whatever the bytes are: the search ends.
        place = Some(parent).filter(|parent| *parent <= place)?;
    }
}

/// What a feed was found to name, and until when.
pub(crate) type Entries = Runs<Network, u32>;

/// Makes a copy, so many entries at a time.
#[derive(Debug)]
pub(crate) struct Packing {
    entries: <Entries as IntoIterator>::IntoIter,
    bytes: Vec<u8>,
    v6_from: usize,
    /// The entries around the next one, with their places plus one.
    around: Vec<(Network, u32)>,
    place: u32,
    before: Option<Rc<FeedCopy>>,
    kept: usize,
    /// Every entry so far was there before, until the same time.
    same: bool,
}

/// A copy, and how it differs from the one before.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) copy: FeedCopy,
    pub(crate) added: usize,
    pub(crate) removed: usize,
    /// The one before, where both say the same.
    pub(crate) same: Option<Rc<FeedCopy>>,
}

impl Packing {
    /// `v4` is how many of the entries are IPv4, or more.
    pub(crate) fn new(feed: u64, entries: Entries, v4: usize, before: Option<Rc<FeedCopy>>) -> Packing {
        let v6 = entries.len().saturating_sub(v4);
        let size = v4.saturating_mul(size_of::<V4>()).saturating_add(v6.saturating_mul(size_of::<V6>()));
        // At once: a run of bytes that grows would leave gaps behind in a memory that never shrinks.
        let mut bytes = Vec::with_capacity(size.saturating_add(HEAD));
        bytes.extend_from_slice(&feed.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let entries = entries.into_iter();
        Packing { entries, bytes, v6_from: HEAD, around: Vec::new(), place: 0, before, kept: 0, same: true }
    }

    /// Packs at most so many more entries. `true` when there are no others.
    pub(crate) fn step(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some((network, until)) = self.entries.next() else { return true };
            self.push(network, until);
        }
        false
    }

    fn push(&mut self, network: Network, until: u32) {
        if network.is_v6() && self.v6_from == self.bytes.len() {
            self.place = 0;
        }
        while self.around.pop_if(|(last, _)| !last.holds(network)).is_some() {}
        let parent = self.around.last().map_or(0, |(_, place)| *place);
        self.place = self.place.saturating_add(1);
        self.around.push((network, self.place));
        if network.is_v6() {
            self.bytes.extend_from_slice(&network.bits().to_be_bytes());
        } else {
            self.bytes.extend_from_slice(&(network.bits() as u32).to_be_bytes());
        }
        self.bytes.push(network.length());
        self.bytes.extend_from_slice(&until.to_le_bytes());
        self.bytes.extend_from_slice(&parent.to_le_bytes());
        if !network.is_v6() {
            self.v6_from = self.bytes.len();
            if let Some(count) = self.bytes.get_mut(8..HEAD) {
                count.copy_from_slice(&self.place.to_le_bytes());
            }
        }
        let known = self.before.as_ref().and_then(|before| before.names(network));
        self.kept = self.kept.saturating_add(usize::from(known.is_some()));
        self.same &= known == Some(until);
    }

    /// The copy.
    pub(crate) fn finish(self) -> Packed {
        let copy = FeedCopy::new(self.bytes, self.v6_from);
        let had = self.before.as_ref().map_or(0, |before| before.len());
        let same = self.before.filter(|_| self.same && copy.len() == had);
        Packed { added: copy.len().saturating_sub(self.kept), removed: had.saturating_sub(self.kept), same, copy }
    }
}

#[cfg(test)]
mod tests;
