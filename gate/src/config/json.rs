//! A JSON document as it was written: in order, and with the keys that appear twice.

use alloc::boxed::Box;
use alloc::vec::Vec;
use evaluator::{JsonError, JsonReader, parse_number, unescaped};

/// A JSON value. It may hold the API key, so it has no `Debug`.
pub(crate) enum Json {
    /// What a key holds that must be there and is not.
    Missing,
    Null,
    Flag(bool),
    /// A whole number up to 2^53, which may be written as `4e2` or `400.0`, as some serialisers do; what is not whole is no
    /// number here, and what is larger infinite.
    Number(f64),
    Text(Box<str>),
    Array(Vec<Json>),
    Object(Vec<(Box<str>, Json)>),
}

impl Json {
    /// Reads a document. The error's text names the line and column, and quotes nothing of the document.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
        let mut json = JsonReader::from_bytes(bytes)?;
        let document = next(&mut json, 0)?;
        json.end()?;
        Ok(document)
    }

    /// Reads a default: JSON, or a string without its quotes. Without anything there is none.
    pub(super) fn default(text: &str) -> Json {
        match Json::parse(text.as_bytes()) {
            _ if text.is_empty() => Json::Missing,
            Ok(value) => value,
            Err(_) => Json::Text(text.into()),
        }
    }

    /// What this key of an object holds; where the key appears twice, what its first appearance holds.
    pub(crate) fn member(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }

    /// The string, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        let Json::Text(text) = self else { return None };
        Some(text)
    }
}

/// How deep lists and objects may be nested, which is far deeper than any document that has a meaning.
const MOST_NESTED: u8 = 64;

fn next(json: &mut JsonReader<'_>, nested: u8) -> Result<Json, JsonError> {
    let Some(deeper) = nested.checked_add(1).filter(|deeper| *deeper <= MOST_NESTED) else {
        return Err(json.expected("fewer lists and objects in one another"));
    };
    match json.peek() {
        b'{' => {
            let mut members = Vec::new();
            json.object(&mut |json, key| {
                members.push((unescaped(key).into(), next(json, deeper)?));
                Ok(())
            })?;
            Ok(Json::Object(members))
        }
        b'[' => {
            let mut items = Vec::new();
            json.list(&mut |json, _| {
                items.push(next(json, deeper)?);
                Ok(())
            })?;
            Ok(Json::Array(items))
        }
        b'"' => json.value().map(|raw| Json::Text(unescaped(raw).into())),
        _ => json.value().map(|raw| match raw {
            "null" => Json::Null,
            "true" | "false" => Json::Flag(raw == "true"),
            number => Json::Number(read_number(number)),
        }),
    }
}

/// The value of a raw number, where it is whole and less than 2^53; else no number, or infinity. Nothing asks for others, and
/// what reads them in general is large.
fn read_number(raw: &str) -> f64 {
    let end = raw.bytes().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(raw.len());
    let exponent = raw.get(end.saturating_add(1)..);
    let mut power: i64 = exponent.map_or(0, power_of);
    let mut whole: u64 = 0;
    let mut in_fraction = false;
    for byte in raw.bytes().take(end) {
        if byte.is_ascii_digit() {
            whole = whole.saturating_mul(10).saturating_add((byte & 15).into());
            power = power.saturating_sub(in_fraction.into());
        }
        in_fraction |= byte == b'.';
    }
    while power != 0 && whole != 0 && whole < u64::MAX {
        (whole, power) = if power > 0 {
            (whole.saturating_mul(10), power.saturating_sub(1))
        } else if whole.is_multiple_of(10) {
            (whole / 10, power.saturating_add(1))
        } else {
            return f64::NAN;
        };
    }
    let number = if whole <= 1 << 53 { whole as f64 } else { f64::INFINITY };
    if raw.starts_with('-') { -number } else { number }
}

/// The exponent in these digits, which may have a sign. What is beyond this is more than there are digits.
fn power_of(exponent: &str) -> i64 {
    let digits = exponent.trim_start_matches(['+', '-']);
    let size = parse_number(digits).and_then(|size| i64::try_from(size).ok()).unwrap_or(i64::MAX);
    if exponent.starts_with('-') { size.saturating_neg() } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for (raw, number) in [
            ("0", 0.0),
            ("-0.0", 0.0),
            ("0e99999999999999999999", 0.0),
            ("400", 400.0),
            ("4e2", 400.0),
            ("400.0", 400.0),
            ("4000E-1", 400.0),
            ("0.04e+4", 400.0),
            ("-7", -7.0),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("9007199254740993", f64::INFINITY),
            ("-1e99999999999999999999", f64::NEG_INFINITY),
        ] {
            assert_eq!(read_number(raw), number, "{raw}");
        }
        for raw in ["0.5", "1e-1", "400.01", "1e-99999999999999999999"] {
            assert!(read_number(raw).is_nan(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_what_the_standard_library_reads(whole in -1000_i32..1000, zeros in 0_usize..4, exponent in -3_i32..4) {
            let raw = format!("{whole}.{}e{exponent}", "0".repeat(zeros + 1));
            let expected = raw.parse::<f64>().unwrap();
            let number = read_number(&raw);
            prop_assert!(if expected.fract() == 0.0 { number == expected } else { number.is_nan() }, "{}", raw);
        }
    }
}
