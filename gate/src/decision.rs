//! Decisions: a verdict, and where it came from. One of them can be explained from its log line alone.

use crate::{Config, Fallback, Halt, LookupError, Mode};
use evaluator::{Action, Entry, Finding, Findings, Source, Verdict, report_link};
use serde::Serialize;
use std::net::IpAddr;

/// Why there were no facts to decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The lookup failed.
    Lookup(LookupError),
    /// The answer did not come within `first_look.hold`.
    HoldExpired,
    /// `first_look.max_held` streams were waiting already.
    HeldFull,
    /// The queue of lookups was full.
    QueueFull,
    /// Criminal IP is not asked at present.
    Halted(Halt),
}

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Reason> {
        LookupError::all()
            .map(Reason::Lookup)
            .chain([Reason::HoldExpired, Reason::HeldFull, Reason::QueueFull])
            .chain(Halt::ALL.map(Reason::Halted))
    }

    /// The stable code, as metrics and logs write it.
    pub fn code(self) -> &'static str {
        match self {
            Reason::Lookup(error) => error.code(),
            Reason::HoldExpired => "hold_expired",
            Reason::HeldFull => "held_full",
            Reason::QueueFull => "queue_full",
            Reason::Halted(halt) => halt.code(),
        }
    }
}

/// Why the gate does not judge a stream at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// The address is special-purpose (private, loopback, ...) or in `scope.skip`.
    NotPublic,
    /// The proxy gave no address that could be read: a Unix socket, for example.
    NoAddress,
}

impl Skip {
    /// Every reason to skip.
    pub const ALL: [Skip; 2] = [Skip::NotPublic, Skip::NoAddress];

    /// The stable code, as metrics write it.
    pub const fn code(self) -> &'static str {
        match self {
            Skip::NotPublic => "not_public",
            Skip::NoAddress => "no_address",
        }
    }
}

/// What to do with one stream, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision<'s> {
    /// The verdict.
    pub verdict: Verdict,
    /// Where the facts came from.
    pub source: Source,
    /// Why there were no facts, where there were none.
    pub reason: Option<Reason>,
    /// Seconds since the facts were learned, where there are facts.
    pub age: Option<u32>,
    /// The list entry that decided, where one did.
    pub entry: Option<&'s Entry>,
}

impl<'s> Decision<'s> {
    /// The decision of a list.
    pub(crate) fn listed(action: Action, entry: &'s Entry) -> Decision<'s> {
        Decision { verdict: bare(action), source: Source::List, reason: None, age: None, entry: Some(entry) }
    }

    /// The decision where there are no facts.
    pub(crate) fn without_facts(fallback: Fallback, reason: Reason) -> Decision<'s> {
        let source = match reason {
            Reason::Lookup(_) | Reason::Halted(_) => Source::OnError,
            Reason::HoldExpired | Reason::HeldFull | Reason::QueueFull => Source::FirstLook,
        };
        let action = match fallback {
            Fallback::Allow => Action::Allow,
            Fallback::Deny => Action::Deny,
        };
        Decision { verdict: bare(action), source, reason: Some(reason), age: None, entry: None }
    }

    /// Whether the stream is to be refused: never in shadow mode.
    pub fn refuses(&self, mode: Mode) -> bool {
        self.verdict.action == Action::Deny && mode == Mode::Enforce
    }

    /// The name of what decided: the rule, `allow list`, `deny list`, or nothing where no rule matched.
    pub fn rule<'c>(&self, config: &'c Config) -> Option<&'c str> {
        match (self.entry, self.verdict.action) {
            (Some(_), Action::Deny) => Some("deny list"),
            (Some(_), _) => Some("allow list"),
            (None, _) => config.policy.rule_name(&self.verdict),
        }
    }

    /// The decision as one line of JSON that explains it.
    pub fn log_line(&self, config: &Config, peer: IpAddr) -> String {
        let line = LogLine {
            event: "decision",
            peer,
            direction: config.direction.name(),
            mode: config.mode.name(),
            action: self.verdict.action.name(),
            rule: self.rule(config),
            findings: finding_codes(&self.verdict),
            score: self.verdict.score.map(|level| level as u8),
            source: self.source.code(),
            reason: self.reason.map(Reason::code),
            age: self.age,
            list: self.entry.map(|entry| Listed {
                cidr: entry.net.to_string(),
                owner: entry.owner.as_deref(),
                reason: entry.reason.as_deref(),
            }),
            report: report_link(peer),
        };
        // Texts and numbers always serialize; an empty line would be seen in the log.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The decision log, field by field. Stable: other programs read it.
#[derive(Serialize)]
struct LogLine<'a> {
    event: &'a str,
    peer: IpAddr,
    direction: &'a str,
    mode: &'a str,
    action: &'a str,
    rule: Option<&'a str>,
    findings: Vec<&'a str>,
    score: Option<u8>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    age: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Listed<'a>>,
    report: String,
}

#[derive(Serialize)]
struct Listed<'a> {
    cidr: String,
    owner: Option<&'a str>,
    reason: Option<&'a str>,
}

/// The codes of what was found.
pub(crate) fn finding_codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings.iter().map(Finding::code).collect()
}

fn bare(action: Action) -> Verdict {
    Verdict { action, rule: None, findings: Findings::EMPTY, score: None }
}
