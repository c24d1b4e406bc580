//! Mistakes in a configuration, and how they are put into words.

use std::fmt;

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
}

impl fmt::Display for Mistake {
    /// One line: `api.timeout: ... [malformed]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{}{separator}{} [{}]", self.path, self.message, self.kind.code())
    }
}

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Notes a mistake.
    #[cold]
    #[inline(never)]
    pub(super) fn note(&mut self, at: &At<'_>, kind: MistakeKind, message: String) {
        self.0.push(Mistake { path: at.to_string(), kind, message });
    }

    /// Notes a mistake. `None`, for the value that could not be read.
    pub(super) fn add<T>(&mut self, at: &At<'_>, kind: MistakeKind, message: String) -> Option<T> {
        self.note(at, kind, message);
        None
    }

    pub(super) fn into_vec(self) -> Vec<Mistake> {
        self.0
    }
}

/// A place in the document.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Document,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Document => Ok(()),
            At::Index(parent, index) => write!(f, "{parent}[{index}]"),
            At::Key(parent, key) if !is_plain(key) => write!(f, "{parent}[{}]", quoted(key)),
            At::Key(At::Document, key) => f.write_str(key),
            At::Key(parent, key) => write!(f, "{parent}.{key}"),
        }
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
            '"' | '\\' | '\n' | '\r' | '\t' => quoted.extend(letter.escape_default()),
            // What breaks lines, has no width, or turns the direction of what follows.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                quoted.extend(letter.escape_unicode());
            }
            letter if letter.is_control() => quoted.extend(letter.escape_unicode()),
            letter => quoted.push(letter),
        }
    }
    quoted.push_str(if letters.next().is_some() { "\"..." } else { "\"" });
    quoted
}

/// What to use instead of `found`: the one of `names` that was probably meant, or else all of them.
pub(super) fn instead(found: &str, names: &[&str]) -> String {
    match nearest(found, names.iter().copied()) {
        Some(name) => format!("did you mean {}?", quoted(name)),
        None if names.is_empty() => "there are none here".into(),
        None => format!("possible are {}", names.join(", ")),
    }
}

/// The name that differs least from `found`, if it differs by no more than a slip or two.
pub(super) fn nearest<'n>(found: &str, names: impl Iterator<Item = &'n str> + Clone) -> Option<&'n str> {
    if found.len() > 40 {
        return None;
    }
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', ' '], "_");
    let found = plain(found);
    let whole_last_part = |name: &str| plain(name).rsplit(['.', '/']).next() == Some(found.as_str());
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
        for (cell, b) in row.iter_mut().zip(std::iter::once(None).chain(to.bytes().map(Some))) {
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
        let (policy, rules) = (At::Key(&At::Document, "policy"), "rules");
        let rules = At::Key(&policy, rules);
        let rule = At::Index(&rules, 3);
        assert_eq!(At::Key(&rule, "when").to_string(), "policy.rules[3].when");
        assert_eq!(At::Key(&rule, "a b\n").to_string(), r#"policy.rules[3]["a b\n"]"#);
        assert_eq!(At::Document.to_string(), "");
    }
}
