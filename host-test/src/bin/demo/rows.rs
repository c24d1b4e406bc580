//! The rows of the demo's table: who asks, what is to become of it, and what did.

use host_test::fake::peer;
use std::net::{IpAddr, Ipv4Addr};

/// A peer that nothing is known about in time: its lookup takes longer than a request is held.
pub(crate) const SLOW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 132));
const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

/// One row.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) peer: IpAddr,
    /// How many first requests are sent at the same time.
    pub(crate) at_once: usize,
    expected: Expected,
}

/// What is to become of a row.
enum Expected {
    /// Status, verdict and source of the first and the later answer, and the number of lookups.
    Exactly { first: (u16, &'static str, &'static str), later: (u16, &'static str, &'static str), lookups: u64 },
    /// Facts in the end, whatever they are.
    Facts,
}

/// An answer, with what the filter wrote about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) verdict: String,
    pub(crate) source: String,
    pub(crate) tag: String,
}

/// What became of a row.
pub(crate) struct Outcome {
    pub(crate) first: Answer,
    pub(crate) later: Answer,
    pub(crate) why: String,
    pub(crate) lookups: u64,
}

impl Answer {
    /// An answer with this status and tag; `-` stands for no tag.
    pub(crate) fn new(code: u16, tag: &str) -> Answer {
        let member = |key: &str| {
            let mut members = tag.split(", ");
            members.find_map(|member| member.strip_prefix(key)?.strip_prefix('=')).unwrap_or("-").to_owned()
        };
        Answer { code, verdict: member("verdict"), source: member("source"), tag: tag.into() }
    }

    fn parts(&self) -> (u16, &str, &str) {
        (self.code, &self.verdict, &self.source)
    }
}

impl Row {
    pub(crate) fn is_private(&self) -> bool {
        self.peer == PRIVATE
    }

    /// How the outcome differs from what was expected.
    pub(crate) fn mistake(&self, outcome: &Outcome) -> Option<String> {
        let got = (outcome.first.parts(), outcome.later.parts(), outcome.lookups);
        let show = |(first, later, lookups): Parts<'_>| format!("first {first:?}, later {later:?}, {lookups} lookups");
        let wanted = match &self.expected {
            Expected::Exactly { first, later, lookups } if got != (*first, *later, *lookups) => {
                show((*first, *later, *lookups))
            }
            Expected::Facts if outcome.later.source != "cache" => format!("facts ({})", outcome.why),
            _ => return None,
        };
        Some(format!("{} ({}): {}, instead of {wanted}", self.peer, self.what, show(got)))
    }
}

type Parts<'a> = ((u16, &'a str, &'a str), (u16, &'a str, &'a str), u64);

/// The rows for the stand-in, whose answers are known.
pub(crate) fn stand_in() -> Vec<Row> {
    let row = |what, peer, verdict, code| Row {
        what,
        peer,
        at_once: 1,
        expected: Expected::Exactly { first: (code, verdict, "api"), later: (code, verdict, "cache"), lookups: 1 },
    };
    let unknown = Expected::Exactly { first: (200, "allow", "first_look"), later: (403, "deny", "cache"), lookups: 1 };
    vec![
        row("clean", peer::CLEAN, "allow", 200),
        row("Tor exit", peer::TOR, "tag", 200),
        row("scanner", peer::SCANNER, "tag", 200),
        row("C2 server", peer::C2, "deny", 403),
        row("Tor exit, IPv6", peer::v6(peer::TOR), "tag", 200),
        Row { what: "unknown at first", peer: SLOW, at_once: 1, expected: unknown },
        private(),
        Row { at_once: 50, ..row("critical, 50 at once", peer::CRITICAL, "deny", 403) },
    ]
}

/// The row of a peer that no other knows: the same with either Criminal IP.
fn private() -> Row {
    let expected = Expected::Exactly { first: (200, "-", "-"), later: (200, "-", "-"), lookups: 0 };
    Row { what: "private", peer: PRIVATE, at_once: 1, expected }
}

/// The rows for the real Criminal IP: addresses that everybody knows. What it says about them is its own affair.
pub(crate) fn real() -> Vec<Row> {
    let row = |what, [a, b, c, d]: [u8; 4], at_once| Row {
        what,
        peer: Ipv4Addr::new(a, b, c, d).into(),
        at_once,
        expected: Expected::Facts,
    };
    vec![
        row("public resolver", [8, 8, 8, 8], 1),
        row("public resolver", [1, 1, 1, 1], 1),
        row("public resolver", [9, 9, 9, 9], 1),
        private(),
        row("resolver, 50 at once", [8, 8, 4, 4], 50),
    ]
}

/// The table.
pub(crate) fn table(rows: &[Row], outcomes: &[Outcome]) -> String {
    let heads = ["peer", "who", "first answer", "later answer", "tag", "why", "facts from", "lookups"];
    let mut lines = vec![heads.map(str::to_owned)];
    for (row, outcome) in rows.iter().zip(outcomes) {
        let shown = |answer: &Answer| format!("{} {}", answer.code, answer.verdict);
        // Where the facts came from has a column of its own.
        let tag = outcome.later.tag.split(", source=").next().unwrap_or_default();
        let times = if row.at_once > 1 { format!("{} x ", row.at_once) } else { String::new() };
        lines.push([
            row.peer.to_string(),
            row.what.into(),
            format!("{times}{}", shown(&outcome.first)),
            shown(&outcome.later),
            tag.into(),
            outcome.why.clone(),
            [&outcome.first.source, &outcome.later.source].map(String::as_str).join(", "),
            outcome.lookups.to_string(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let line = |cells: &[String; 8]| {
        let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(first: (u16, &str), later: (u16, &str), lookups: u64) -> Outcome {
        let answer = |(code, tag): (u16, &str)| Answer::new(code, tag);
        Outcome { first: answer(first), later: answer(later), why: String::new(), lookups }
    }

    #[test]
    fn a_row_that_is_not_as_expected_is_named_with_what_differs() {
        let rows = stand_in();
        let tor = rows.iter().find(|row| row.peer == peer::TOR).unwrap();
        let (api, cache) = ("verdict=tag, score=60, findings=(tor proxy), source=api", "verdict=tag, source=cache");
        assert_eq!(tor.mistake(&outcome((200, api), (200, cache), 1)), None);
        for (wrong, named) in [
            (outcome((200, "-"), (200, "-"), 0), "first (200, \"-\", \"-\")"),
            (outcome((403, api), (200, cache), 1), "first (403, "),
            (outcome((200, api), (200, api), 1), "later (200, \"tag\", \"api\")"),
            (outcome((200, api), (200, cache), 2), "2 lookups, instead"),
        ] {
            let mistake = tor.mistake(&wrong).unwrap();
            assert!(mistake.starts_with("192.0.2.20 (Tor exit): ") && mistake.contains(named), "{mistake}");
        }
    }

    #[test]
    fn of_the_real_criminal_ip_only_facts_are_expected() {
        let rows = real();
        let facts = outcome((200, "verdict=allow, source=first_look"), (403, "verdict=deny, source=cache"), 2);
        assert_eq!(rows[0].mistake(&facts), None);
        let none = outcome((200, "-"), (200, "verdict=allow, source=on_error"), 0);
        assert!(rows[0].mistake(&none).is_some_and(|mistake| mistake.contains("instead of facts")));
    }
}
