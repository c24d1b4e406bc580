//! The tag: a verdict as the value of a request header.

use crate::{Level, Verdict};
use alloc::vec::Vec;

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An allow or deny list.
    List,
    /// An override that somebody put there while the proxy ran.
    Override,
    /// A list that somebody else keeps.
    Feed,
    /// Facts that were remembered.
    Cache,
    /// Facts that another worker of the proxy learned.
    Shared,
    /// A look-up just made.
    Api,
    /// The self-test's own facts.
    SelfTest,
    /// Nothing is known yet: what the configuration does on a first look.
    FirstLook,
    /// Nothing could be learned: what the configuration does on errors.
    OnError,
}

impl Source {
    /// Every source.
    pub const ALL: &[Source] = &[
        Source::List,
        Source::Override,
        Source::Feed,
        Source::Cache,
        Source::Shared,
        Source::Api,
        Source::SelfTest,
        Source::FirstLook,
        Source::OnError,
    ];

    /// The stable code: `list`, `override`, `feed`, `cache`, `shared`, `api`, `self_test`, `first_look` or `on_error`.
    pub const fn code(self) -> &'static str {
        match self {
            Source::List => "list",
            Source::Override => "override",
            Source::Feed => "feed",
            Source::Cache => "cache",
            Source::Shared => "shared",
            Source::Api => "api",
            Source::SelfTest => "self_test",
            Source::FirstLook => "first_look",
            Source::OnError => "on_error",
        }
    }
}

/// Appends the tag to `out`: a dictionary of RFC 9651 (Structured Field Values for HTTP) such as
/// `verdict=tag, score=60, findings=(tor proxy), source=cache`.
///
/// In shadow mode, where the verdict is not enforced, the first key is `would` instead of `verdict`. The score is left out
/// where it is unknown, and the findings where there are none. All bytes are printable ASCII.
pub fn write_tag(out: &mut Vec<u8>, verdict: &Verdict, source: Source, shadow: bool) {
    out.extend_from_slice(if shadow { b"would=" } else { b"verdict=" });
    out.extend_from_slice(verdict.action.name().as_bytes());
    if let Some(level) = verdict.score {
        out.extend_from_slice(match level {
            Level::Safe => b", score=20",
            Level::Low => b", score=40",
            Level::Moderate => b", score=60",
            Level::Dangerous => b", score=80",
            Level::Critical => b", score=100",
        });
    }
    let mut separator: &[u8] = b", findings=(";
    for finding in verdict.findings.iter() {
        out.extend_from_slice(separator);
        out.extend_from_slice(finding.token().as_bytes());
        separator = b" ";
    }
    if !verdict.findings.is_empty() {
        out.push(b')');
    }
    out.extend_from_slice(b", source=");
    out.extend_from_slice(source.code().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Finding, Findings};
    use proptest::prelude::*;
    use sfv::{BareItem, Dictionary, ListEntry, Parser};
    use std::string::{String, ToString};

    const LEVELS: [Option<Level>; 6] = [
        None,
        Some(Level::Safe),
        Some(Level::Low),
        Some(Level::Moderate),
        Some(Level::Dangerous),
        Some(Level::Critical),
    ];

    fn tag(verdict: &Verdict, source: Source, shadow: bool) -> String {
        let mut out = Vec::new();
        write_tag(&mut out, verdict, source, shadow);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_tag_says_verdict_score_findings_and_source() {
        let findings = Findings::of(&[Finding::Tor, Finding::Proxy]);
        let full = Verdict { action: Action::Tag, rule: Some(3), findings, score: Some(Level::Moderate) };
        let bare = Verdict { action: Action::Allow, rule: None, findings: Findings::EMPTY, score: None };
        for (verdict, source, shadow, expected) in [
            (full, Source::Cache, false, "verdict=tag, score=60, findings=(tor proxy), source=cache"),
            (full, Source::Api, true, "would=tag, score=60, findings=(tor proxy), source=api"),
            (bare, Source::FirstLook, false, "verdict=allow, source=first_look"),
            (Verdict { action: Action::Deny, ..bare }, Source::OnError, true, "would=deny, source=on_error"),
        ] {
            assert_eq!(tag(&verdict, source, shadow), expected);
        }
    }

    fn token(text: &str) -> BareItem {
        BareItem::Token(sfv::Token::from_string(text.to_string()).unwrap())
    }

    proptest! {
        #[test]
        fn a_parser_of_structured_fields_reads_back_what_was_written(
            bits: u32,
            level in 0..LEVELS.len(),
            action in 0..3usize,
            source in 0..Source::ALL.len(),
            shadow: bool,
        ) {
            let action = [Action::Allow, Action::Tag, Action::Deny][action];
            let verdict = Verdict { action, rule: None, findings: Findings::from_bits(bits), score: LEVELS[level] };
            let text = tag(&verdict, Source::ALL[source], shadow);
            let read: Dictionary = Parser::new(&text).parse().unwrap();
            let item = |key: &str| match read.get(key) {
                Some(ListEntry::Item(item)) => Some(item.bare_item.clone()),
                _ => None,
            };
            let findings = match read.get("findings") {
                Some(ListEntry::InnerList(list)) => {
                    list.items.iter().map(|item| item.bare_item.clone()).collect::<Vec<_>>()
                }
                _ => Vec::new(),
            };
            let (key, other) = if shadow { ("would", "verdict") } else { ("verdict", "would") };
            prop_assert_eq!(item(key), Some(token(action.name())));
            prop_assert_eq!(item(other), None);
            prop_assert_eq!(item("score"), LEVELS[level].map(|level| BareItem::Integer((level as u8).into())));
            prop_assert_eq!(item("source"), Some(token(Source::ALL[source].code())));
            prop_assert_eq!(findings, verdict.findings.iter().map(|finding| token(finding.token())).collect::<Vec<_>>());
            prop_assert_eq!(read.contains_key("findings"), !verdict.findings.is_empty());
        }
    }
}
