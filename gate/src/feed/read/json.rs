//! STIX 2.1 (<https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html>): a bundle, or what a TAXII 2.1 server
//! answers, which has its objects under the same name.
//!
//! The text is walked to find where each object begins and ends; then each is read on its own. What is neither an
//! indicator nor about addresses is none of our business.

use super::super::FeedError;
use super::{Found, Refusal, pattern, until};
use crate::config::Json;
use evaluator::Timestamp;

/// The longest object that is read: thousands of addresses in one pattern.
const LONGEST: usize = 128 << 10;
/// The key under which the objects are.
const OBJECTS: &[u8] = b"objects";

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Stix {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The last string of the outermost object: its start and end.
    string: (usize, usize),
    in_objects: bool,
    /// Where the object that is walked through begins.
    start: usize,
    is_over: bool,
}

impl Stix {
    /// Walks through so many bytes of the body from there, and reads the objects that end there. Returns how far it came:
    /// after much reading it pauses.
    pub(super) fn read(
        &mut self,
        body: &[u8],
        from: usize,
        length: usize,
        found: &mut Found,
    ) -> Result<usize, FeedError> {
        let mut work = 0usize;
        for (place, byte) in body.iter().enumerate().skip(from).take(length) {
            if let Some(object) = self.walk(body, place, *byte, found)? {
                work = work.saturating_add(object.len());
                indicator(object, found);
                if work >= super::STEP {
                    return Ok(place.saturating_add(1).saturating_sub(from));
                }
            }
        }
        Ok(length)
    }

    /// Whether the outermost object has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.is_over
    }

    /// One byte further. Gives the object that ends with it.
    fn walk<'b>(
        &mut self,
        body: &'b [u8],
        place: usize,
        byte: u8,
        found: &mut Found,
    ) -> Result<Option<&'b [u8]>, FeedError> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.string.1 = place;
                }
                _ => {}
            }
            return Ok(None);
        }
        if byte.is_ascii_whitespace() {
            return Ok(None);
        }
        // A bundle is one object and nothing else.
        if self.is_over || (self.depth == 0 && byte != b'{' && !(place < 3 && byte >= 0x80)) {
            return Err(FeedError::Malformed);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.string = (place.saturating_add(1), 0);
                }
            }
            b'{' | b'[' => {
                if self.depth == 1 && byte == b'[' && body.get(self.string.0..self.string.1) == Some(OBJECTS) {
                    self.in_objects = true;
                    found.has_place = true;
                }
                if self.depth == 2 {
                    self.start = place;
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.is_over = self.depth == 0;
                if self.depth == 2 && self.in_objects {
                    return Ok(body.get(self.start..=place));
                }
                if self.depth == 1 {
                    self.in_objects = false;
                }
            }
            _ => {}
        }
        Ok(None)
    }
}

/// Takes in the addresses of an object, if it is an indicator that names some.
fn indicator(object: &[u8], found: &mut Found) {
    if object.len() > LONGEST {
        return found.refuse(Refusal::Malformed);
    }
    let Ok(object) = Json::parse(object) else { return found.refuse(Refusal::Malformed) };
    let text = |name| object.member(name).and_then(Json::text);
    if text("type") != Some("indicator") || text("pattern_type").is_some_and(|kind| kind != "stix") {
        return;
    }
    let Some(pattern) = text("pattern") else { return found.refuse(Refusal::Malformed) };
    let Some(addresses) = pattern::addresses(pattern) else { return };
    let from = text("valid_from").and_then(Timestamp::parse);
    let revoked = matches!(object.member("revoked"), Some(Json::Flag(true)));
    let not_yet = from.is_some_and(|from| from > found.now);
    match until(text("valid_until")) {
        // A time that cannot be read must not keep an entry for ever.
        None => found.refuse(Refusal::Malformed),
        Some(until) if !revoked && !not_yet => {
            addresses.iter().for_each(|address| found.take(address.as_bytes(), until))
        }
        Some(_) => addresses.iter().for_each(|_| found.refuse(Refusal::NotNow)),
    }
}
