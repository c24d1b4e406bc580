//! Reads a feed, so many bytes at a time: a worker of the proxy has traffic to carry in between.

mod csv;
mod json;
mod pattern;
mod plain;
#[cfg(test)]
mod tests;

use super::copy::{Entries, FOR_EVER};
use super::network::{self, Refusal};
use super::{FeedError, MAX_ENTRIES};
use crate::FeedFormat;
use alloc::boxed::Box;
use alloc::vec::Vec;
use evaluator::Timestamp;

/// About how many bytes one step reads: some thousand lines, well under a millisecond.
pub(crate) const STEP: usize = 12 << 10;

/// A feed that is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    body: Vec<u8>,
    at: usize,
    format: Format,
    found: Found,
}

#[derive(Debug)]
enum Format {
    Plain(plain::Plain),
    Csv(Box<csv::Csv>),
    Stix(json::Stix),
}

/// What was found in a feed so far.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entries: Entries,
    /// How many of them are IPv4.
    pub(crate) v4: usize,
    /// How many entries were left out, and why, in the order of [`Refusal::ALL`].
    pub(crate) refused: [u32; Refusal::ALL.len()],
    /// The place where addresses are was found: the named column, or the list of STIX objects.
    pub(crate) has_place: bool,
    now: Timestamp,
}

impl Found {
    /// Takes in one entry, as text.
    fn take(&mut self, text: &[u8], until: u32) {
        let network = match network::parse(text.trim_ascii()).ok_or(Refusal::Malformed).and_then(network::check) {
            Ok(network) => network,
            Err(refusal) => return self.refuse(refusal),
        };
        if until <= self.now.unix() {
            return self.refuse(Refusal::NotNow);
        }
        match self.entries.get_mut(&network) {
            Some(before) => *before = until.max(*before),
            None => {
                self.entries.insert(network, until);
                self.v4 = self.v4.saturating_add(usize::from(!network.is_v6()));
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        for (other, count) in Refusal::ALL.iter().zip(&mut self.refused) {
            if *other == refusal {
                *count = count.saturating_add(1);
            }
        }
    }

    /// How many entries were left out for this reason.
    pub(crate) fn refused(&self, refusal: Refusal) -> u32 {
        Refusal::ALL.iter().zip(self.refused).find(|(other, _)| **other == refusal).map_or(0, |(_, count)| count)
    }
}

impl Reader {
    /// Begins to read. Entries count if they do at `now`.
    pub(crate) fn new(format: &FeedFormat, body: Vec<u8>, now: Timestamp) -> Reader {
        let (format, has_place) = match format {
            FeedFormat::Plain => (Format::Plain(plain::Plain::default()), true),
            FeedFormat::Csv { column } => (Format::Csv(Box::new(csv::Csv::new(column.as_deref()))), column.is_none()),
            FeedFormat::Stix => (Format::Stix(json::Stix::default()), false),
        };
        let found = Found { entries: Entries::default(), v4: 0, refused: Default::default(), has_place, now };
        Reader { body, at: 0, format, found }
    }

    /// Reads about [`STEP`] bytes more. `true` when it is over.
    ///
    /// # Errors
    /// When this is no feed, or too much of one.
    pub(crate) fn step(&mut self) -> Result<bool, FeedError> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let (window, is_last) = match rest.split_at_checked(STEP) {
            Some((window, rest)) => (window, rest.is_empty()),
            None => (rest, true),
        };
        let read = match &mut self.format {
            Format::Plain(plain) => plain.read(window, is_last, &mut self.found),
            Format::Csv(csv) => csv.read(window, is_last, &mut self.found),
            Format::Stix(stix) => stix.read(&self.body, self.at, window.len(), &mut self.found)?,
        };
        self.at = self.at.saturating_add(read);
        if self.found.entries.len() > MAX_ENTRIES {
            return Err(FeedError::TooLarge);
        }
        let over = self.at >= self.body.len();
        match &self.format {
            Format::Stix(stix) if over && !stix.is_whole() => Err(FeedError::Malformed),
            _ => Ok(over),
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// When it is not plausible that this was meant to be a feed: see [`FeedError`].
    pub(crate) fn finish(self) -> Result<Found, FeedError> {
        let found = self.found;
        let malformed = usize::try_from(found.refused(Refusal::Malformed)).unwrap_or(usize::MAX);
        let refused = found.refused.iter().fold(0u32, |sum, count| sum.saturating_add(*count));
        let well_formed = usize::try_from(refused).unwrap_or(usize::MAX).saturating_sub(malformed);
        if !found.has_place {
            return Err(FeedError::NoPlace);
        }
        if malformed > found.entries.len().saturating_add(well_formed) {
            return Err(FeedError::Malformed);
        }
        if found.entries.is_empty() {
            return Err(FeedError::Empty);
        }
        Ok(found)
    }
}

/// Reads the time until which an entry counts.
fn until(text: Option<&str>) -> Option<u32> {
    match text {
        None => Some(FOR_EVER),
        Some(text) => Timestamp::parse(text).map(Timestamp::unix),
    }
}
