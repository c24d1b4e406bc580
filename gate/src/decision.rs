//! Decisions: a verdict, and where it came from. One of them can be explained from its log line alone.

use crate::writer::Writer;
use crate::{Config, Fallback, Halt, LookupError, Mode, Named, Remote};
use alloc::boxed::Box;
use alloc::string::String;
use evaluator::{Action, Entry, Findings, HostEntry, Source, Verdict, ip_text, network_text};
use ipnet::IpNet;

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

    /// The line with what an override says of itself. Stable, field by field: other programs read it.
    pub(crate) fn line(
        &self,
        config: &Config,
        remote: &Remote,
        connection: Option<(Option<u16>, bool)>,
        by: Option<&Entry>,
    ) -> String {
        let mut line = Writer::default();
        line.open('{');
        line.text("event", "decision");
        line.text_or_null("peer", remote.address.map(ip_text).as_deref());
        if let Some(host) = &remote.host {
            line.text("host", host);
        }
        if self.by_host {
            line.text("decided_by", "host");
        }
        line.text("direction", config.direction.name());
        if let Some((port, late)) = connection {
            line.object("connection");
            line.number_or_null("port", port.map(u64::from));
            line.flag("late", late);
            line.close('}');
        }
        line.text("mode", config.mode.name());
        line.text("action", self.verdict.action.name());
        line.text_or_null("rule", self.rule(config));
        line.findings(self.verdict.findings);
        line.number_or_null("score", self.verdict.score.map(|level| level as u64));
        line.text("source", self.source.code());
        if let Some(reason) = self.reason {
            line.text("reason", reason.code());
        }
        line.number_or_null("age", self.age.map(u64::from));
        match self.entry {
            None => {}
            Some(ListEntry::Network(entry)) => {
                listed(&mut line, "cidr", &network_text(entry.net), &entry.owner, &entry.reason)
            }
            Some(ListEntry::Host(entry)) => listed(&mut line, "host", &entry.host, &entry.owner, &entry.reason),
            Some(ListEntry::Override(net)) => match by {
                Some(by) => listed(&mut line, "cidr", &network_text(net), &by.owner, &by.reason),
                None => listed(&mut line, "cidr", &network_text(net), &None, &None),
            },
            Some(ListEntry::Feed(Named { feed, net, .. })) => {
                if let Some(feed) = config.lists.feeds.get(feed) {
                    line.object("feed");
                    line.text("name", &feed.name());
                    line.text("cidr", &network_text(net));
                    line.close('}');
                }
            }
        }
        line.report(remote.address);
        line.close('}');
        line.into_line()
    }
}

/// What the entry of a list says of itself.
fn listed(line: &mut Writer, kind: &str, what: &str, owner: &Option<Box<str>>, reason: &Option<Box<str>>) {
    line.object("list");
    line.text(kind, what);
    line.text_or_null("owner", owner.as_deref());
    line.text_or_null("reason", reason.as_deref());
    line.close('}');
}

fn bare(action: Action) -> Verdict {
    Verdict { action, rule: None, findings: Findings::EMPTY, score: None }
}
