//! Records: what the workers of a proxy share, as bytes. Numbers are little-endian; before a text and a list stands how long it
//! is, before what may be missing whether it is there, and else there is nothing but the fields, one after the other.

use crate::cache::Fact;
use crate::feed::FeedOutcome;
use crate::{LookupError, Moment, SubjectId, WorkerId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::num::NonZeroU32;
use evaluator::{Assessment, Country, Findings, Level, Score, Timestamp};

/// What can be written as bytes and read again.
pub(crate) trait Record: Sized {
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads what was written. Where the bytes are something else it says so to the reader, and returns any value.
    fn read(from: &mut Reader<'_>) -> Self;
}

/// The record as bytes.
pub(crate) fn encode(record: &impl Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    bytes
}

/// The record that these bytes are; `None` where they are something else.
pub(crate) fn decode<T: Record>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader { rest: bytes, is_whole: true };
    let record = T::read(&mut reader);
    (reader.is_whole && reader.rest.is_empty()).then_some(record)
}

/// The record that these bytes begin with, whatever comes after it.
pub(crate) fn decode_start<T: Record>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader { rest: bytes, is_whole: true };
    let record = T::read(&mut reader);
    reader.is_whole.then_some(record)
}

/// Bytes that are read from their start, and whether they were what was asked for so far: that is asked once, at the end.
pub(crate) struct Reader<'b> {
    rest: &'b [u8],
    is_whole: bool,
}

impl Reader<'_> {
    /// The bytes are something else. Whatever else is read is nothing.
    pub(crate) fn fail(&mut self) {
        *self = Reader { rest: &[], is_whole: false };
    }

    // Not at each place that reads a field: that would take twice the code.
    #[inline(never)]
    fn take<const N: usize>(&mut self) -> [u8; N] {
        if let Some((taken, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return *taken;
        }
        self.fail();
        [0; N]
    }

    /// What there is, or else a failure.
    fn there<T: Default>(&mut self, found: Option<T>) -> T {
        found.unwrap_or_else(|| {
            self.fail();
            T::default()
        })
    }
}

/// Makes records of structs: all their fields, in this order.
macro_rules! fields {
    ($name:ident: $($field:ident),+) => {
        impl $crate::record::Record for $name {
            fn write(&self, bytes: &mut alloc::vec::Vec<u8>) {
                let $name { $($field),+ } = self;
                $($crate::record::Record::write($field, bytes);)+
            }

            fn read(from: &mut $crate::record::Reader<'_>) -> Self {
                $name { $($field: $crate::record::Record::read(from)),+ }
            }
        }
    };
}

/// Makes records of enums without fields: the number of the variant, in one byte.
macro_rules! variants {
    ($name:ident: $first:ident $(, $more:ident)*) => {
        impl $crate::record::Record for $name {
            fn write(&self, bytes: &mut alloc::vec::Vec<u8>) {
                bytes.push(match self {
                    $name::$first => $name::$first as u8,
                    $($name::$more => $name::$more as u8,)*
                });
            }

            fn read(from: &mut $crate::record::Reader<'_>) -> Self {
                let number: u8 = $crate::record::Record::read(from);
                $(if number == $name::$more as u8 {
                    return $name::$more;
                })*
                if number != $name::$first as u8 {
                    from.fail();
                }
                $name::$first
            }
        }
    };
}

pub(crate) use {fields, variants};

/// Makes records of what has a form of its own for that.
macro_rules! by {
    ($($name:ty: $form:ty, $write:expr, $read:expr;)+) => {
        $(impl Record for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                let write: fn(&$name) -> $form = $write;
                write(self).write(bytes);
            }

            fn read(from: &mut Reader<'_>) -> Self {
                let read: fn($form) -> $name = $read;
                read(<$form>::read(from))
            }
        })+
    };
}

by! {
    u16: [u8; 2], |number| number.to_le_bytes(), u16::from_le_bytes;
    u32: [u8; 4], |number| number.to_le_bytes(), u32::from_le_bytes;
    u64: [u8; 8], |number| number.to_le_bytes(), u64::from_le_bytes;
    [u64; 3]: (u64, (u64, u64)), |[a, b, c]| (*a, (*b, *c)), |(a, (b, c))| [a, b, c];
    Moment: u64, |moment| moment.millis(), Moment::from_millis;
    Timestamp: u32, |time| time.unix(), |seconds| Timestamp::from_unix(seconds.into());
    WorkerId: u64, |worker| worker.0, WorkerId;
    SubjectId: [u8; 16], |subject| subject.to_bytes(), SubjectId::from_bytes;
    Findings: u32, |findings| findings.bits(), Findings::from_bits;
    Option<NonZeroU32>: u32, |number| number.map_or(0, NonZeroU32::get), NonZeroU32::new;
}

impl<const N: usize> Record for [u8; N] {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        from.take()
    }
}

impl Record for u8 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(*self);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let [byte] = from.take();
        byte
    }
}

impl Record for bool {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push((*self).into());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let byte = u8::read(from);
        if byte > 1 {
            from.fail();
        }
        byte == 1
    }
}

impl<T: Record> Record for Option<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.is_some().write(bytes);
        if let Some(record) = self {
            record.write(bytes);
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        bool::read(from).then(|| T::read(from))
    }
}

impl<T: Record> Record for Vec<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_length(self.len(), bytes);
        self.iter().for_each(|record| record.write(bytes));
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let mut records = Vec::new();
        for _ in 0..u32::read(from) {
            let record = T::read(from);
            // However long it says that it is: every record has a byte.
            if !from.is_whole {
                break;
            }
            records.push(record);
        }
        records
    }
}

impl Record for Box<str> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_length(self.len(), bytes);
        bytes.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let length = usize::try_from(u32::read(from)).unwrap_or(usize::MAX);
        let split = from.rest.split_at_checked(length);
        let text = split.and_then(|(text, rest)| {
            from.rest = rest;
            core::str::from_utf8(text).ok()
        });
        from.there(text).into()
    }
}

fn write_length(length: usize, bytes: &mut Vec<u8>) {
    u32::try_from(length).unwrap_or(u32::MAX).write(bytes);
}

impl<A: Record, B: Record> Record for (A, B) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        (A::read(from), B::read(from))
    }
}

impl Record for IpAddr {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            IpAddr::V4(ip) => (false, u32::from(*ip)).write(bytes),
            IpAddr::V6(ip) => (true, ip.octets()).write(bytes),
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        if bool::read(from) { IpAddr::from(from.take::<16>()) } else { IpAddr::V4(u32::read(from).into()) }
    }
}

impl Record for Option<Country> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.map_or([0; 2], |country| country.letters().map(|letter| letter as u8)).write(bytes);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        let letters = from.take::<2>();
        let country = core::str::from_utf8(&letters).ok().and_then(Country::parse);
        if country.is_none() && letters != [0; 2] {
            from.fail();
        }
        country
    }
}

impl Record for LookupError {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_place(LookupError::all(), *self, bytes);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        read_place(LookupError::all(), LookupError::Reset, from)
    }
}

impl Record for FeedOutcome {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_place(FeedOutcome::all(), *self, bytes);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        read_place(FeedOutcome::all(), FeedOutcome::Updated, from)
    }
}

/// Writes the number of one among all.
fn write_place<T: PartialEq>(all: impl Iterator<Item = T>, one: T, bytes: &mut Vec<u8>) {
    bytes.extend((0..u8::MAX).zip(all).find(|(_, other)| *other == one).map(|(place, _)| place));
}

/// Reads it; `else_` is any of them.
fn read_place<T>(mut all: impl Iterator<Item = T>, else_: T, from: &mut Reader<'_>) -> T {
    all.nth(u8::read(from).into()).unwrap_or_else(|| {
        from.fail();
        else_
    })
}

impl Record for Fact {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Fact::Known { assessment, again } => {
                bytes.push(0);
                assessment.write(bytes);
                again.write(bytes);
            }
            Fact::Failed { at, error } => {
                bytes.push(1);
                at.write(bytes);
                error.write(bytes);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Self {
        match bool::read(from) {
            false => Fact::Known { assessment: Record::read(from), again: Record::read(from) },
            true => Fact::Failed { at: Record::read(from), error: Record::read(from) },
        }
    }
}

variants!(Level: Safe, Low, Moderate, Dangerous, Critical);
fields!(Score: inbound, outbound);
fields!(Assessment: learned, findings, published, asn, country, score);

#[cfg(test)]
mod tests {
    use super::*;
    use evaluator::Finding;
    use proptest::prelude::*;
    use std::fmt::Debug;

    /// Whether it comes back, and no part of its bytes and nothing longer is taken for it.
    fn comes_back<T: Record + PartialEq + Debug>(record: &T) {
        let mut bytes = encode(record);
        assert_eq!(decode::<T>(&bytes).as_ref(), Some(record));
        for end in 0..bytes.len() {
            assert_eq!(decode::<T>(&bytes[..end]), None, "{record:?} up to {end}");
        }
        bytes.push(0);
        assert_eq!(decode::<T>(&bytes), None, "{record:?} and more");
        assert_eq!(decode_start::<T>(&bytes).as_ref(), Some(record));
    }

    #[test]
    fn what_is_written_comes_back_and_no_part_of_it_is_read() {
        let at = Timestamp::from_unix(1_800_000_000);
        let levels = [Level::Safe, Level::Low, Level::Moderate, Level::Dangerous, Level::Critical];
        for inbound in levels.map(Some).into_iter().chain([None]) {
            let assessment = Assessment {
                learned: at,
                findings: Findings::of(&[Finding::Tor]),
                published: Findings::of(Finding::ALL),
                asn: inbound.and(NonZeroU32::new(64_500)),
                country: inbound.and(Country::parse("KR")),
                score: Score { inbound, outbound: Some(Level::Low) },
            };
            comes_back(&Fact::Known { assessment, again: 7 });
        }
        LookupError::all().for_each(|error| comes_back(&Fact::Failed { at, error }));
        FeedOutcome::all().for_each(|outcome| comes_back(&outcome));
        comes_back(&vec![(Some(Box::from("é")), true), (None, false)]);
        comes_back(&(IpAddr::from([192, 0, 2, 1]), "2001:db8::1".parse::<IpAddr>().unwrap()));
        comes_back(&(1u16, (u64::MAX - 1, SubjectId::from_bytes(*b"0123456789abcdef"))));
    }

    proptest! {
        #[test]
        fn bytes_may_be_anything(bytes: Vec<u8>) {
            let _ = decode::<Vec<(SubjectId, Fact)>>(&bytes);
            let _ = decode::<Vec<Box<str>>>(&bytes);
            let _ = decode::<(Option<Country>, (FeedOutcome, IpAddr))>(&bytes);
        }
    }
}
