//! Decisions: a verdict, and where it came from. One of them can be explained from its log line alone.

use crate::{Config, Fallback, Halt, LookupError, Mode, Named, Remote};
use evaluator::{Action, Entry, Finding, Findings, HostEntry, Source, Verdict, report_link};
use ipnet::IpNet;
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
    /// Nothing is known about the peer, and `select` says that the connection is not worth a lookup.
    NotSelected,
}

impl Skip {
    /// Every reason to skip.
    pub const ALL: [Skip; 3] = [Skip::NotPublic, Skip::NoAddress, Skip::NotSelected];

    /// The stable code, as metrics write it.
    pub const fn code(self) -> &'static str {
        match self {
            Skip::NotPublic => "not_public",
            Skip::NoAddress => "no_address",
            Skip::NotSelected => "not_selected",
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
    pub entry: Option<ListEntry<'s>>,
    /// Whether the host decided, not the address.
    pub by_host: bool,
}

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ListEntry<'s> {
    /// A network.
    Network(&'s Entry),
    /// A host.
    Host(&'s HostEntry),
    /// An override for this network.
    Override(IpNet),
    /// One of somebody else's list.
    Feed(Named),
}

impl<'s> Decision<'s> {
    /// The decision of a list.
    pub(crate) fn listed(action: Action, entry: ListEntry<'s>) -> Decision<'s> {
        let by_host = matches!(entry, ListEntry::Host(_));
        Decision { verdict: bare(action), source: Source::List, reason: None, age: None, entry: Some(entry), by_host }
    }

    /// The decision of the override for this network.
    pub(crate) fn overridden(action: Action, net: IpNet) -> Decision<'s> {
        let entry = Some(ListEntry::Override(net));
        Decision { verdict: bare(action), source: Source::Override, reason: None, age: None, entry, by_host: false }
    }

    /// The decision of a feed.
    pub(crate) fn named(named: Named, then: Action) -> Decision<'s> {
        let (age, entry) = (Some(named.age), Some(ListEntry::Feed(named)));
        Decision { verdict: bare(then), source: Source::Feed, reason: None, age, entry, by_host: false }
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
        Decision { verdict: bare(action), source, reason: Some(reason), age: None, entry: None, by_host: false }
    }

    /// The worse of two decisions about one stream, this one where they are equal, with what was found for either, and the
    /// reason why there were no facts for one.
    pub(crate) fn or_worse(self, other: Decision<'s>) -> Decision<'s> {
        let findings = self.verdict.findings.union(other.verdict.findings);
        let score = self.verdict.score.max(other.verdict.score);
        let reason = self.reason.or(other.reason);
        let worse = if other.verdict.action > self.verdict.action { other } else { self };
        Decision { verdict: Verdict { findings, score, ..worse.verdict }, reason, ..worse }
    }

    /// Whether the stream is to be refused: never in shadow mode.
    pub fn refuses(&self, mode: Mode) -> bool {
        self.verdict.action == Action::Deny && mode == Mode::Enforce
    }

    /// The name of what decided: the rule, `allow list`, `deny list`, `feed`, or nothing where no rule matched.
    pub fn rule<'c>(&self, config: &'c Config) -> Option<&'c str> {
        match (self.entry, self.verdict.action) {
            (Some(ListEntry::Override(_)), _) => Some("override"),
            (Some(ListEntry::Feed(_)), _) => Some("feed"),
            (Some(_), Action::Deny) => Some("deny list"),
            (Some(_), _) => Some("allow list"),
            (None, _) => config.policy.rule_name(&self.verdict),
        }
    }

    /// The decision about a request as one line of JSON that explains it.
    pub fn log_line(&self, config: &Config, remote: &Remote) -> String {
        self.line(config, remote, None, None)
    }

    /// The decision about a connection to this port as one line of JSON that explains it. Where it is late, the
    /// connection passed before.
    pub fn connection_log_line(&self, config: &Config, remote: &Remote, port: Option<u16>, late: bool) -> String {
        self.line(config, remote, Some((port, late)), None)
    }

    /// The line with what an override says of itself.
    pub(crate) fn line(
        &self,
        config: &Config,
        remote: &Remote,
        connection: Option<(Option<u16>, bool)>,
        by: Option<&Entry>,
    ) -> String {
        let connection = connection.map(|(port, late)| Connected { port, late });
        let line = LogLine {
            event: "decision",
            peer: remote.address,
            host: remote.host.as_deref(),
            decided_by: self.by_host.then_some("host"),
            direction: config.direction.name(),
            connection,
            mode: config.mode.name(),
            action: self.verdict.action.name(),
            rule: self.rule(config),
            findings: finding_codes(&self.verdict),
            score: self.verdict.score.map(|level| level as u8),
            source: self.source.code(),
            reason: self.reason.map(Reason::code),
            age: self.age,
            list: self.entry.and_then(|entry| match entry {
                ListEntry::Network(Entry { net, owner, reason, .. }) => Some(Listed {
                    cidr: Some(net.to_string()),
                    host: None,
                    owner: owner.as_deref(),
                    reason: reason.as_deref(),
                }),
                ListEntry::Host(HostEntry { host, owner, reason, .. }) => {
                    Some(Listed { cidr: None, host: Some(host), owner: owner.as_deref(), reason: reason.as_deref() })
                }
                ListEntry::Override(net) => Some(Listed {
                    cidr: Some(net.to_string()),
                    host: None,
                    owner: by.and_then(|by| by.owner.as_deref()),
                    reason: by.and_then(|by| by.reason.as_deref()),
                }),
                ListEntry::Feed(_) => None,
            }),
            feed: self.entry.and_then(|entry| match entry {
                ListEntry::Feed(Named { feed, net, .. }) => {
                    config.lists.feeds.get(feed).map(|feed| NamedBy { name: feed.name(), cidr: net.to_string() })
                }
                _ => None,
            }),
            report: remote.address.map(report_link),
        };
        // Texts and numbers always serialize; an empty line would be seen in the log.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// The decision log, field by field. Stable: other programs read it.
#[derive(Serialize)]
struct LogLine<'a> {
    event: &'a str,
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<&'a str>,
    direction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<Connected>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<NamedBy>,
    report: Option<String>,
}

/// What makes a connection of a stream.
#[derive(Serialize)]
struct Connected {
    port: Option<u16>,
    late: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    owner: Option<&'a str>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct NamedBy {
    name: String,
    cidr: String,
}

/// The codes of what was found.
pub(crate) fn finding_codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings.iter().map(Finding::code).collect()
}

fn bare(action: Action) -> Verdict {
    Verdict { action, rule: None, findings: Findings::EMPTY, score: None }
}
