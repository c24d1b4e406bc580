//! The parameters of a request's target.

use super::reply::Problem;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use evaluator::{decimal, filled};

/// Percent-decodes. `None` where that is no text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        bytes.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The names and values of a query.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(name).zip(decode(&value.replace('+', "%20")))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs
        .ok_or_else(|| Problem::invalid("query", "malformed", "a % is not followed by two hexadecimal digits of UTF-8"))
}

/// The parameters of one request, as they are asked for.
pub(super) struct Query<'a> {
    pairs: &'a [(String, String)],
    known: Vec<&'static str>,
}

impl<'a> Query<'a> {
    pub(super) fn new(pairs: &'a [(String, String)]) -> Query<'a> {
        Query { pairs, known: Vec::new() }
    }

    /// The value of a parameter.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let right = filled(
                    "must be a whole number from {} to {}",
                    &[&decimal((*range.start()).into()), &decimal((*range.end()).into())],
                );
                Err(Problem::invalid(name, "out_of_range", &right))
            }
        }
    }

    /// How many items are wanted.
    pub(super) fn limit(&mut self) -> Result<usize, Problem> {
        let limit = self.number("limit", 1..=200)?.unwrap_or(50);
        Ok(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: impl Iterator<Item = (&'static str, T)>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let choices: Vec<_> = choices.collect();
        let chosen = choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value);
        let names = || choices.iter().map(|(choice, _)| *choice).collect::<Vec<_>>().join(", ");
        chosen.map(Some).ok_or_else(|| Problem::invalid(name, "unknown_value", &["possible are ", &names()].concat()))
    }

    /// Refuses parameters that were not asked for.
    pub(super) fn end(&self) -> Result<(), Problem> {
        match self.pairs.iter().find(|(name, _)| !self.known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let possible = if self.known.is_empty() { "none".into() } else { self.known.join(", ") };
                Err(Problem::invalid(
                    name,
                    "unknown_key",
                    &["there is no such parameter; possible are ", &possible].concat(),
                ))
            }
        }
    }
}
