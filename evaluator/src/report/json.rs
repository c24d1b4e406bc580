//! The lowest layer of reading: JSON objects as slots of raw values, and what a raw value says.
//!
//! Values that nobody asks for are stepped over without being decoded. A value that is asked for stays a slice of the
//! body until somebody needs it, so that the order of keys does not matter and an odd value fails nothing but itself.

use crate::json::{JsonError, JsonReader, unescaped, without_needless_escapes};
use crate::octets::is_trimmed;
use alloc::{borrow::Cow, vec::Vec};

pub(super) use crate::json::unquoted;

/// The raw values of an object's named members, in the order of the names; of a name that comes twice the last.
pub(super) type Slots<'t, const N: usize> = [Option<&'t str>; N];

/// Reads one object into slots, and anything else as `None`.
#[derive(Clone, Copy)]
pub(super) struct Fields<const N: usize>(pub(super) [&'static str; N]);

impl<const N: usize> Fields<N> {
    /// The slots of an object that is still raw.
    pub(super) fn read(self, raw: &str) -> Option<Slots<'_, N>> {
        self.read_next(&mut JsonReader::new(raw)).ok().flatten()
    }

    /// The slots of what comes next.
    pub(super) fn read_next<'t>(self, json: &mut JsonReader<'t>) -> Result<Option<Slots<'t, N>>, JsonError> {
        let mut slots = [None; N];
        Ok(fill(json, &self.0, &mut slots)?.then_some(slots))
    }
}

/// Reads the members of these names of the object that comes next; whether it is one.
fn fill<'t>(json: &mut JsonReader<'t>, names: &[&str], slots: &mut [Option<&'t str>]) -> Result<bool, JsonError> {
    if json.peek() != b'{' {
        json.value()?;
        return Ok(false);
    }
    json.object(&mut |json, key| {
        let value = json.value()?;
        if let Some(slot) = place_of(key, names).and_then(|place| slots.get_mut(place)) {
            *slot = Some(value);
        }
        Ok(())
    })?;
    Ok(true)
}

/// The place of a raw key among these names.
pub(super) fn place_of(key: &str, names: &[&str]) -> Option<usize> {
    let key = unescaped(key);
    names.iter().position(|name| *name == key)
}

/// What is left of a block, `{"count": 2, "data": [{..}, {..}]}`, once its records were handed on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Summary<'t> {
    /// The raw `count`, which may be larger than the number of records.
    pub(super) count: Option<&'t str>,
    /// How many records were handed on.
    pub(super) records: u32,
    /// How many values were not of the shape of a block.
    pub(super) odd: u32,
}

/// Reads the block that comes next, handing the slots of each record to `each`.
pub(super) fn read_block<'t, const N: usize>(
    json: &mut JsonReader<'t>,
    names: [&str; N],
    mut each: impl FnMut(Slots<'t, N>),
) -> Result<Summary<'t>, JsonError> {
    read_records(json, &names, &mut [None; N], &mut |slots| {
        if let Ok(slots) = <Slots<'t, N>>::try_from(slots) {
            each(slots);
        }
    })
}

// This one knows no number of names, so that the module has it but once.

fn read_records<'t>(
    json: &mut JsonReader<'t>,
    names: &[&str],
    slots: &mut [Option<&'t str>],
    each: &mut dyn FnMut(&[Option<&'t str>]),
) -> Result<Summary<'t>, JsonError> {
    let mut summary = Summary::default();
    if json.peek() != b'{' {
        json.value()?;
        summary.odd = 1;
        return Ok(summary);
    }
    let mut is_read = false;
    json.object(&mut |json, key| {
        match place_of(key, &["count", "data"]) {
            Some(0) => summary.count = Some(json.value()?),
            Some(_) if is_read => return Err(json.expected("each block once")),
            Some(_) if json.peek() == b'[' => {
                is_read = true;
                return json.list(&mut |json, _| {
                    slots.fill(None);
                    if fill(json, names, slots)? {
                        each(slots);
                        summary.records = summary.records.saturating_add(1);
                    } else {
                        summary.odd = summary.odd.saturating_add(1);
                    }
                    Ok(())
                });
            }
            Some(_) => {
                is_read = true;
                json.value()?;
                summary.odd = 1;
            }
            None => {
                json.value()?;
            }
        }
        Ok(())
    })?;
    Ok(summary)
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
            [b'"', ..] => Scalar::Text(unescaped(raw)),
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
    let mut elements = Vec::new();
    let read = JsonReader::new(raw).list(&mut |json, _| {
        elements.push(json.value()?);
        Ok(())
    });
    if read.is_ok() { elements } else { Vec::new() }
}

/// A raw value with no letter hidden in an escape: the text of a string; a list or an object written anew.
pub(super) fn plain(raw: &str) -> Cow<'_, str> {
    match Scalar::read(Some(raw)) {
        Scalar::Text(text) => text,
        _ => Cow::Owned(without_needless_escapes(raw)),
    }
}

/// The text without white space at its ends; the separators U+001C to U+001F count as white space too.
fn trim(text: &str) -> &str {
    if is_trimmed(text) {
        return text;
    }
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}
