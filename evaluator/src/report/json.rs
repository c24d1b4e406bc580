//! The lowest layer of reading: JSON objects as slots of raw values, and what a raw value says.
//!
//! Values that nobody asks for are stepped over without being decoded. A value that is asked for stays a slice of the
//! body until somebody needs it, so that the order of keys does not matter and an odd value fails nothing but itself.

use alloc::{
    borrow::Cow,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, value::RawValue};

/// The raw values of an object's named members, in the order of the names; of a name that comes twice the last.
pub(super) type Slots<'de, const N: usize> = [Option<&'de str>; N];

/// Visits that all other types of values share: the value is not what was asked for.
macro_rules! odd {
    ($odd:expr; $($visit:ident($type:ty)),+) => {
        $(fn $visit<E: Error>(self, _: $type) -> Result<Self::Value, E> { Ok($odd) })+
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> { Ok($odd) }
    };
}

/// Reads one object into slots, and anything else as `None`.
#[derive(Clone, Copy)]
pub(super) struct Fields<const N: usize>(pub(super) [&'static str; N]);

impl<const N: usize> Fields<N> {
    /// The slots of an object that is still raw.
    pub(super) fn read(self, raw: &str) -> Option<Slots<'_, N>> {
        let mut json = serde_json::Deserializer::from_str(raw);
        self.deserialize(&mut json).ok().flatten()
    }
}

impl<'de, const N: usize> DeserializeSeed<'de> for Fields<N> {
    type Value = Option<Slots<'de, N>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Fields<N> {
    type Value = Option<Slots<'de, N>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut slots = [None; N];
        while let Some(place) = map.next_key_seed(Name(&self.0))? {
            match place.and_then(|place| slots.get_mut(place)) {
                Some(slot) => *slot = Some(map.next_value::<&RawValue>()?.get()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(slots))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        skip(list).map(|()| None)
    }

    odd!(None; visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
}

/// Reads a block, `{"count": 2, "data": [{..}, {..}]}`, handing the slots of each record to `each`.
pub(super) struct Block<F, const N: usize> {
    pub(super) names: [&'static str; N],
    pub(super) each: F,
}

/// What is left of a block once its records were handed on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary<'de> {
    /// The raw `count`, which may be larger than the number of records.
    pub(super) count: Option<&'de str>,
    /// How many records were handed on.
    pub(super) records: u32,
    /// How many values were not of the shape of a block.
    pub(super) odd: u32,
}

impl Summary<'_> {
    fn odd() -> Self {
        Summary { odd: 1, ..Summary::default() }
    }
}

impl<'de, F: FnMut(Slots<'de, N>), const N: usize> DeserializeSeed<'de> for Block<F, N> {
    type Value = Summary<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Slots<'de, N>), const N: usize> Visitor<'de> for Block<F, N> {
    type Value = Summary<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a block")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut count, mut data) = (None, None);
        while let Some(place) = map.next_key_seed(Name(&["count", "data"]))? {
            match place {
                Some(0) => count = Some(map.next_value::<&RawValue>()?.get()),
                Some(_) if data.is_some() => return Err(Error::duplicate_field("data")),
                Some(_) => data = Some(map.next_value_seed(Records { names: self.names, each: &mut self.each })?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Summary { count, ..data.unwrap_or_default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        skip(list).map(|()| Summary::odd())
    }

    odd!(Summary::odd(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
}

struct Records<'f, F, const N: usize> {
    names: [&'static str; N],
    each: &'f mut F,
}

impl<'de, F: FnMut(Slots<'de, N>), const N: usize> DeserializeSeed<'de> for Records<'_, F, N> {
    type Value = Summary<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Slots<'de, N>), const N: usize> Visitor<'de> for Records<'_, F, N> {
    type Value = Summary<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut summary = Summary::default();
        while let Some(record) = list.next_element_seed(Fields(self.names))? {
            match record {
                Some(slots) => {
                    (self.each)(slots);
                    summary.records = summary.records.saturating_add(1);
                }
                None => summary.odd = summary.odd.saturating_add(1),
            }
        }
        Ok(summary)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Summary::odd())
    }

    odd!(Summary::odd(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
}

fn skip<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads a key as its place among these names.
pub(super) struct Name<'n>(pub(super) &'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// What a raw value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A number without fraction or exponent; `None` beyond 64 bits.
    Integer(Option<i64>),
    /// Any other number.
    Fraction,
    Text(Cow<'a, str>),
    /// A list or an object, raw.
    Nested(&'a str),
}

impl<'a> Scalar<'a> {
    /// Reads a raw value; `None`, which stands for a member that is not there, reads as null.
    pub(super) fn read(raw: Option<&'a str>) -> Scalar<'a> {
        let Some(raw) = raw else { return Scalar::Null };
        match raw.as_bytes() {
            [b'"', ..] => Scalar::Text(text(raw)),
            [b'[' | b'{', ..] => Scalar::Nested(raw),
            b"true" => Scalar::Bool(true),
            b"false" => Scalar::Bool(false),
            b"null" => Scalar::Null,
            number if number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') => {
                Scalar::Integer(raw.parse().ok())
            }
            _ => Scalar::Fraction,
        }
    }

    /// The text of a string, without white space around it.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(trim(text)),
            _ => None,
        }
    }

    /// A whole number, which may be written as a string.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Scalar::Integer(number) => *number,
            Scalar::Text(text) => trim(text).parse().ok(),
            _ => None,
        }
    }

    /// A flag: a boolean, 0 or 1, or either of them as a string of any case.
    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Scalar::Bool(flag) => Some(*flag),
            Scalar::Text(text) if trim(text).eq_ignore_ascii_case("true") => Some(true),
            Scalar::Text(text) if trim(text).eq_ignore_ascii_case("false") => Some(false),
            _ => match self.integer()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        }
    }
}

/// The elements of a raw list, raw; none where it is no list.
pub(super) fn elements(raw: &str) -> Vec<&str> {
    let list: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    list.into_iter().map(RawValue::get).collect()
}

/// A raw value with no letter hidden in an escape: the text of a string; a list or an object written anew.
pub(super) fn plain(raw: &str) -> Cow<'_, str> {
    match Scalar::read(Some(raw)) {
        Scalar::Text(text) => text,
        // No report is known to have one here, so a tree in memory is good enough.
        _ => serde_json::from_str(raw).map_or(Cow::Borrowed(raw), |value: Value| Cow::Owned(value.to_string())),
    }
}

/// The text of a raw string. Halves of surrogate pairs, which JSON can write and Rust cannot, are replaced.
fn text(raw: &str) -> Cow<'_, str> {
    let inner = unquoted(raw);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut json = serde_json::Deserializer::from_str(raw);
    Cow::Owned(json.deserialize_bytes(Lossy).unwrap_or_default())
}

/// A raw string without its quotes, escapes and all.
pub(super) fn unquoted(raw: &str) -> &str {
    raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw)
}

struct Lossy;

impl Visitor<'_> for Lossy {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

/// The text without white space at its ends; the separators U+001C to U+001F count as white space too.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}
