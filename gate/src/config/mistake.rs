//! Mistakes in a configuration, and how they are put into words.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use evaluator::{filled, how_many, push_number};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $code:literal,)+) => {
        /// What is wrong. Codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum MistakeKind { $($(#[$doc])* $name,)+ }

        impl MistakeKind {
            /// Every kind.
            pub const ALL: &[MistakeKind] = &[$(MistakeKind::$name,)+];

            /// The stable code, such as `unknown_key`.
            pub const fn code(self) -> &'static str {
                match self { $(MistakeKind::$name => $code,)+ }
            }
        }
    };
}

kinds! {
    /// The document is empty or not JSON.
    NotJson "not_json",
    /// The document is JSON, but no object.
    NotAnObject "not_an_object",
    /// There is no such key.
    UnknownKey "unknown_key",
    /// A key appears twice in one object.
    RepeatedKey "repeated_key",
    /// A key that has no default is not there.
    MissingKey "missing_key",
    /// A value of another JSON type is wanted.
    WrongType "wrong_type",
    /// The value is none of those that there are.
    UnknownValue "unknown_value",
    /// The value is too small, too large, too short or too long.
    OutOfRange "out_of_range",
    /// The text does not have the form that is wanted.
    Malformed "malformed",
    /// A network has bits set beyond its prefix.
    HostBits "host_bits",
    /// A name or a network that may appear once appears twice.
    Duplicate "duplicate",
    /// Two keys that exclude each other.
    Conflict "conflict",
}

/// One mistake in a configuration: where, what, and what would be right. The API key is never in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where in the document, such as `policy.rules[0].when.any[1]`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub kind: MistakeKind,
    /// The value found and what would be right, in one line.
    pub message: String,
}

impl Mistake {
    /// The metadata of a route that the proxy cannot hand over.
    pub fn unreadable() -> Mistake {
        let message = "the proxy cannot hand it over; every value must be a string, and none null".into();
        Mistake { path: String::new(), kind: MistakeKind::WrongType, message }
    }

    /// One line: `api.timeout: ... [malformed]`.
    pub fn line(&self) -> String {
        let separator = if self.path.is_empty() { "" } else { ": " };
        filled("{}{}{} [{}]", &[&self.path, separator, &self.message, self.kind.code()])
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

/// The mistakes found so far, and the place in the document that is being read.
#[derive(Default)]
pub(super) struct Mistakes {
    noted: Vec<Mistake>,
    path: String,
}

/// A place that was being read, to which others are relative: the length of its path.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

impl Mistakes {
    /// Notes a mistake at the place that is being read.
    #[cold]
    #[inline(never)]
    pub(super) fn note(&mut self, kind: MistakeKind, message: String) {
        self.noted.push(Mistake { path: self.path.clone(), kind, message });
    }

    /// The place that is being read.
    pub(super) fn place(&self) -> Place {
        Place(self.path.len())
    }

    /// Goes back to a place, from anywhere in it.
    pub(super) fn go_back(&mut self, place: Place) {
        self.path.truncate(place.0);
    }

    /// Goes to a key of the object in this place, from anywhere in it.
    #[inline(never)]
    pub(super) fn go_to_key(&mut self, object: Place, key: &str) {
        self.go_back(object);
        if !is_plain(key) {
            self.push_in_brackets(&quoted(key));
            return;
        }
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
    }

    /// Goes to an item of the list in this place, from anywhere in it.
    #[inline(never)]
    pub(super) fn go_to_item(&mut self, list: Place, index: usize) {
        self.go_back(list);
        self.push_in_brackets(&how_many(index));
    }

    fn push_in_brackets(&mut self, what: &str) {
        self.path.push('[');
        self.path.push_str(what);
        self.path.push(']');
    }

    /// The path to the place that is being read.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// How many mistakes there are.
    pub(super) fn count(&self) -> usize {
        self.noted.len()
    }

    /// Forgets all but the first so many.
    pub(super) fn keep(&mut self, count: usize) {
        self.noted.truncate(count);
    }

    /// Whether nothing is noted at the place that is being read, nor within it.
    pub(super) fn are_none_here(&self) -> bool {
        !self.noted.iter().any(|mistake| mistake.path.starts_with(&*self.path))
    }

    /// What was read, where there are no mistakes.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, Vec<Mistake>> {
        if self.noted.is_empty() { Ok(value) } else { Err(self.noted) }
    }
}

fn is_plain(key: &str) -> bool {
    (1..=40).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The text in quotes, in one line and of bounded length, whatever it holds.
///
/// `Debug` would do, but for its tables of all of Unicode, which are large.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut quoted = String::from('"');
    let mut letters = text.chars();
    for letter in letters.by_ref().take(LONGEST) {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // What breaks lines, has no width, or turns the direction of what follows.
            '\0'..' '
            | '\x7f'..'\u{a0}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                quoted.push_str("\\u{");
                push_number(&mut quoted, u64::from(u32::from(letter)), 16);
                quoted.push('}');
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push_str(if letters.next().is_some() { "\"..." } else { "\"" });
    quoted
}

/// What to use instead of `found`: the one of `names` that was probably meant, or else all of them.
pub(super) fn instead(found: &str, names: &[&str]) -> String {
    match nearest(found, names.iter().copied()) {
        Some(name) => meant(name),
        None if names.is_empty() => "there are none here".into(),
        None => ["possible are ", &names.join(", ")].concat(),
    }
}

/// What to say where this name was probably meant.
pub(super) fn meant(name: &str) -> String {
    filled("did you mean {}?", &[&quoted(name)])
}

/// The name that differs least from `found`, if it differs by no more than a slip or two.
pub(super) fn nearest<'n>(found: &str, names: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    if found.len() > 40 {
        return None;
    }
    let plain = |name: &str| -> String {
        let letters =
            name.chars().map(|letter| if matches!(letter, '-' | ' ') { '_' } else { letter.to_ascii_lowercase() });
        letters.collect()
    };
    let found = plain(found);
    let whole_last_part = |name: &str| {
        let before = plain(name).strip_suffix(&*found).and_then(|before| before.bytes().last());
        matches!(before, Some(b'.' | b'/'))
    };
    if let Some(name) = names.clone().find(|name| plain(name) == found || whole_last_part(name)) {
        return Some(name);
    }
    let (slips, name) = names.map(|name| (distance(&found, &plain(name)), name)).min_by_key(|(slips, _)| *slips)?;
    (slips <= if found.len() < 5 { 1 } else { 2 }).then_some(name)
}

/// How many bytes must be put in, taken out or replaced to turn one text into the other (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, a) in from.bytes().enumerate() {
        let mut diagonal = above;
        let mut left = above.saturating_add(1);
        for (cell, b) in row.iter_mut().zip(core::iter::once(None).chain(to.bytes().map(Some))) {
            if let Some(b) = b {
                let replaced = if a == b { diagonal } else { diagonal.saturating_add(1) };
                left = replaced.min(left.saturating_add(1)).min(cell.saturating_add(1));
                diagonal = *cell;
            }
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names =
            ["timeout", "max_body", "anonymity.tor", "anonymity.proxy", "c2", "Asia/Seoul", "America/Port-au-Prince"];
        for (found, meant) in [
            ("timeuot", Some("timeout")),
            ("time_out", Some("timeout")),
            ("TIMEOUT", Some("timeout")),
            ("max-body", Some("max_body")),
            ("tor", Some("anonymity.tor")),
            ("anonimity.tor", Some("anonymity.tor")),
            ("c3", Some("c2")),
            ("", None),
            ("d4", None),
            ("connections", None),
            ("Asia/Soul", Some("Asia/Seoul")),
            ("seoul", Some("Asia/Seoul")),
            ("America/Port au Prince", Some("America/Port-au-Prince")),
        ] {
            assert_eq!(nearest(found, names.into_iter()), meant, "{found}");
        }
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("abc", "")), (3, 3, 3));
    }

    #[test]
    fn a_quotation_is_one_short_line() {
        assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(quoted("\u{202e}\u{2028}\0\u{85}\\"), r#""\u{202e}\u{2028}\u{0}\u{85}\\""#);
        assert_eq!(quoted(&"é".repeat(100)), format!("\"{}\"...", "é".repeat(60)));
    }

    #[test]
    fn a_path_leads_to_the_place() {
        let mut mistakes = Mistakes::default();
        let document = mistakes.place();
        mistakes.go_to_key(document, "policy");
        mistakes.go_to_key(mistakes.place(), "rules");
        mistakes.go_to_item(mistakes.place(), 3);
        let rule = mistakes.place();
        mistakes.go_to_key(rule, "when");
        assert_eq!(mistakes.path(), "policy.rules[3].when");
        mistakes.go_to_key(rule, "a b\n");
        assert_eq!(mistakes.path(), r#"policy.rules[3]["a b\n"]"#);
        mistakes.go_back(document);
        assert_eq!(mistakes.path(), "");
        mistakes.go_to_key(document, "");
        assert_eq!(mistakes.path(), r#"[""]"#);
    }
}
