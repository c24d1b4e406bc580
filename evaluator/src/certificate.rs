//! What a port record's text about its TLS certificate says: plain lines such as `Issuer Dn: CN=example`, one block a
//! certificate, the server's own first.

use crate::Timestamp;
use crate::octets::{self, is_trimmed};

/// The facts of a certificate text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Issuer and subject are the same and not empty.
    pub(crate) own_issuer: bool,
    /// The end of the validity, where the text gives one that can be read.
    pub(crate) end: Option<Timestamp>,
}

impl Certificate {
    /// Reads the lines of the text's first certificate, no further than the facts need.
    pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Certificate {
        let (mut issuer, mut subject, mut end) = (None, None, None);
        let mut validity = false;
        for line in lines {
            let line = unindent(line);
            if !matches!(line.as_bytes().first(), Some(b'I' | b'S' | b'V' | b'E')) {
                continue;
            }
            if let Some(name) = line.strip_prefix("Issuer Dn:") {
                issuer.get_or_insert(trim(name));
            } else if let Some(name) = line.strip_prefix("Subject Dn:") {
                subject.get_or_insert(trim(name));
            } else if line.starts_with("Validity:") {
                validity = true;
            } else if validity && let Some(time) = line.strip_prefix("End:") {
                end.get_or_insert(Timestamp::parse(trim(time)));
            }
            if issuer.is_some() && subject.is_some() && end.is_some() {
                break;
            }
        }
        let own_issuer = issuer == subject && issuer.is_some_and(|name| !name.is_empty());
        Certificate { own_issuer, end: end.flatten() }
    }
}

fn trim(text: &str) -> &str {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if is_trimmed(text) { text } else { text.trim() }
}

/// The line without its indentation, whether the tabs are still written as JSON writes them or not.
fn unindent(mut line: &str) -> &str {
    loop {
        let rest = match line.as_bytes() {
            [b'\\', b't', ..] => line.get(2..),
            [b'!'..=b'~', ..] => return line,
            _ => Some(line.trim_start()).filter(|rest| rest.len() < line.len()),
        };
        let Some(rest) = rest else { return line };
        line = rest;
    }
}

/// The lines of a text that is still written as JSON writes it: a line ends at the escape `\n`.
pub(crate) fn escaped_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest.take()?;
        let mut from = 0_usize;
        while let Some(found) = text.as_bytes().get(from..).and_then(|tail| octets::find(tail, b'\\')) {
            let escape = from.saturating_add(found);
            from = escape.saturating_add(2);
            if text.as_bytes().get(escape.saturating_add(1)) == Some(&b'n') {
                rest = text.get(from..);
                return text.get(..escape);
            }
        }
        Some(text)
    })
}

/// Whether a text that is still written as JSON writes it may have an escape that hides a letter, `\u0065`. Now and then
/// this says yes where there is none, never the other way round.
///
/// Eight bytes are looked at together: certificates are the larger part of many reports.
pub(crate) fn may_hide_letters(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut before = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let backslashes = octets::equal(word, b'\\');
        if (backslashes << 8 | before) & octets::equal(word, b'u') != 0 {
            return true;
        }
        before = backslashes >> 56;
    }
    (before != 0 && rest.first() == Some(&b'u')) || rest.windows(2).any(|pair| pair == b"\\u")
}

/// The words about certificates that a text holds, in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// `self-signed` or `self signed`, but for `Self Signed: False`.
    pub(crate) self_signed: bool,
    /// `Self Signed: True`.
    pub(crate) self_signed_true: bool,
    /// `expired`.
    pub(crate) expired: bool,
}

impl Words {
    /// Looks for the words. Only two bytes in six are looked at: wherever a word of seven lies, one such pair lies
    /// within it, and few pairs of other text could.
    pub(crate) fn find(text: &str) -> Words {
        let bytes = text.as_bytes();
        let (strides, rest) = bytes.as_chunks::<STRIDE>();
        let mut words = Words::default();
        let mut pair = 0_usize;
        for [first, second, ..] in strides {
            words.look_around(bytes, pair, *first, *second);
            pair = pair.wrapping_add(STRIDE);
        }
        if let [first, second, ..] = rest {
            words.look_around(bytes, pair, *first, *second);
        }
        words
    }

    /// Notes the words that these two bytes, which are there, may lie within.
    #[inline(always)]
    fn look_around(&mut self, bytes: &[u8], pair: usize, first: u8, second: u8) {
        let mut places = places(&FIRSTS, first) & places(&SECONDS, second);
        while places != 0 {
            let place = places.trailing_zeros() as usize;
            places &= places.wrapping_sub(1);
            if let Some(end) = pair.wrapping_add(LENGTH).checked_sub(place) {
                self.note(bytes, end);
            }
        }
    }

    #[inline(never)]
    fn note(&mut self, bytes: &[u8], end: usize) {
        let Some((before, after)) = bytes.split_at_checked(end) else { return };
        if ends_with(before, b"expired") {
            self.expired = true;
        } else if ends_with(before, b"self-signed") {
            self.self_signed = true;
        } else if ends_with(before, b"self signed") {
            let value = after.strip_prefix(b":").map(<[u8]>::trim_ascii_start).unwrap_or_default();
            self.self_signed_true |= starts_with(value, b"true");
            self.self_signed |= !starts_with(value, b"false");
        }
    }
}

fn ends_with(bytes: &[u8], word: &[u8]) -> bool {
    let start = bytes.len().checked_sub(word.len());
    start.and_then(|start| bytes.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(word))
}

fn starts_with(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// The length of [`ENDS`].
const LENGTH: usize = 7;
const STRIDE: usize = LENGTH - 1;

/// The ends of the words, of the length of the shortest.
const ENDS: [&[u8; LENGTH]; 3] = [b"expired", b"-signed", b" signed"];

/// At which places a byte may be the first of a pair within one of [`ENDS`], as bits.
const FIRSTS: [u8; 256] = pairs(0);
/// At which places the pair begins whose second byte this may be.
const SECONDS: [u8; 256] = pairs(1);

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "the compiler runs it, nobody else does")]
const fn pairs(member: usize) -> [u8; 256] {
    let mut table = [0; 256];
    let mut rest: &[&[u8; LENGTH]] = &ENDS;
    while let [word, tail @ ..] = rest {
        let mut place = 0;
        while place < STRIDE {
            let byte = word[place + member];
            table[byte as usize] |= 1 << place;
            table[byte.to_ascii_uppercase() as usize] |= 1 << place;
            place += 1;
        }
        rest = tail;
    }
    table
}

#[inline(always)]
fn places(table: &[u8; 256], byte: u8) -> u8 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    fn read(text: &str) -> Certificate {
        Certificate::read(text.split('\n'))
    }

    #[test]
    fn a_certificate_names_its_issuer_and_its_end() {
        let end = Timestamp::parse("2024-08-06T23:59:59Z");
        for (text, own_issuer, end) in [
            ("", false, None),
            ("Issuer Dn: C=US, CN=A\nValidity: \n\tEnd: 2024-08-06T23:59:59Z\nSubject Dn: C=US, CN=B", false, end),
            ("Issuer Dn: CN=A\r\nValidity: \r\n\tEnd: 2024-08-06T23:59:59Z\r\nSubject Dn: CN=A\r\n", true, end),
            ("Issuer Dn: \nSubject Dn: ", false, None),
            ("Issuer Dn: CN=A", false, None),
            ("Validity: \n\tStart: 2024-08-06T23:59:59Z\n\tEnd: soon", false, None),
            ("\tEnd: 2024-08-06T23:59:59Z", false, None),
            // The root of a chain is its own issuer; the server's certificate comes first and decides.
            ("Issuer Dn: CN=A\nSubject Dn: CN=B\nIssuer Dn: CN=A\nSubject Dn: CN=A", false, None),
        ] {
            assert_eq!(read(text), Certificate { own_issuer, end }, "{text:?}");
        }
    }

    #[test]
    fn words_count_in_any_case_but_for_a_plain_false() {
        let none = Words::default();
        let word = Words { self_signed: true, ..none };
        let fact = Words { self_signed: true, self_signed_true: true, ..none };
        let expired = Words { expired: true, ..none };
        for (text, words) in [
            ("", none),
            ("expire", none),
            ("expired", expired),
            ("CN=Expired.example", expired),
            ("eexpired", expired),
            ("expirexpired", expired),
            ("self signe", none),
            ("self_signed", none),
            ("SELF-SIGNED", word),
            ("a self signed b", word),
            ("Self Signed: True", fact),
            ("Self Signed:true", fact),
            ("Self Signed: False", none),
            ("self signed:  FALSE", none),
            ("Self-Signed: False", word),
            ("Self Signed: False\nself-signed", word),
            ("self signed expired", Words { expired: true, ..word }),
        ] {
            assert_eq!(Words::find(text), words, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_search_agrees_with_a_plain_one(text in "([a-z -]|expired|self|signed|EXPIRED|Self|-| |é){0,24}") {
            let lower = text.to_lowercase();
            let words = Words::find(&text);
            prop_assert_eq!(words.expired, lower.contains("expired"));
            prop_assert_eq!(words.self_signed, lower.contains("self-signed") || lower.contains("self signed"));
        }

        #[test]
        fn a_hidden_letter_is_always_seen(before in "[a-z\\\\u]{0,20}", after in "[a-z\\\\u]{0,20}") {
            let text = std::format!("{before}\\u0065{after}");
            prop_assert!(may_hide_letters(&text));
            prop_assert!(!may_hide_letters(&text.replace('\\', "/")));
        }

        #[test]
        fn escaped_lines_are_the_lines_of_the_text(text in "([a-z\\\\n\"]|\n){0,24}") {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let lines: std::vec::Vec<String> = escaped_lines(&escaped)
                .map(|line| line.replace("\\\"", "\"").replace("\\\\", "\\"))
                .collect();
            let expected: std::vec::Vec<&str> = text.split('\n').collect();
            prop_assert_eq!(lines, expected);
        }
    }
}
