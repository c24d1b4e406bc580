//! Policy: rules that turn an assessment and its connection into a verdict. The first rule that matches decides.

use crate::{Assessment, Country, Finding, Findings, Level, TimeWindow, Timestamp};
use alloc::{boxed::Box, vec::Vec};
use core::net::IpAddr;

/// Which way the traffic goes, seen from the proxy's own side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer is the client.
    Ingress,
    /// The peer is the destination.
    Egress,
}

impl Direction {
    /// `ingress` or `egress`.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

/// What to do with a stream, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Let it pass.
    Allow,
    /// Let it pass, marked.
    Tag,
    /// Refuse it.
    Deny,
}

impl Action {
    /// `allow`, `tag` or `deny`.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Allow => "allow",
            Action::Tag => "tag",
            Action::Deny => "deny",
        }
    }
}

/// What one connection or request adds to the facts about its peer. Bytes are what the client sent: not always UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Ingress or egress.
    pub direction: Direction,
    /// The destination port, where known.
    pub port: Option<u16>,
    /// A product name hinted at from elsewhere, such as `OpenSSH`.
    pub product: Option<&'a str>,
    /// The `:path` of the request, query included.
    pub path: Option<&'a [u8]>,
    /// The `:method` of the request.
    pub method: Option<&'a [u8]>,
    /// The `:authority` of the request.
    pub host: Option<&'a [u8]>,
    /// The name of the route that the proxy chose.
    pub route: Option<&'a [u8]>,
    /// The address of the client: on ingress that of the peer.
    pub client: Option<IpAddr>,
    /// The time of the request.
    pub now: Timestamp,
}

impl Connection<'_> {
    /// A connection of which nothing else is known.
    pub const fn new(direction: Direction, now: Timestamp) -> Self {
        let (port, product, path, method, host, route, client) = (None, None, None, None, None, None, None);
        Connection { direction, port, product, path, method, host, route, client, now }
    }
}

/// Which reading of a report the rules look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// [`Assessment::findings`]: the newest record of each port, within the age limit.
    #[default]
    Current,
    /// [`Assessment::published`]: as the published pipeline reads it.
    Published,
}

/// What must hold for a rule to match: every field that asks something. Fields that are empty or `None` ask nothing.
///
/// What is unknown (a level, a port, a path, a country, ...) is never among what a field names. So `none` is satisfied
/// by findings that nobody knows of, and every other field is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The level in the connection's direction is this or higher; an unknown level is not.
    pub score_at_least: Option<Level>,
    /// At least one of these was found.
    pub any: Findings,
    /// All of these were found.
    pub all: Findings,
    /// None of these was found.
    pub none: Findings,
    /// The traffic goes this way.
    pub direction: Option<Direction>,
    /// The destination port is one of these.
    pub ports: Vec<u16>,
    /// The destination port is known and is none of these.
    pub ports_other_than: Vec<u16>,
    /// The path starts with one of these.
    pub path_prefix: Vec<Box<str>>,
    /// The method is one of these (compared exactly, RFC 9110 section 9.1).
    pub method: Vec<Box<str>>,
    /// The host, without port, is one of these (any case); a leading `*.` stands for one label or more.
    pub host: Vec<Box<str>>,
    /// The peer's country is one of these.
    pub country: Vec<Country>,
    /// The peer's autonomous system is one of these.
    pub asn: Vec<u32>,
    /// The time of the connection lies in this window.
    pub time: Option<TimeWindow>,
}

/// A named rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The name that logs show.
    pub name: Box<str>,
    /// When it matches.
    pub when: Condition,
    /// What it does.
    pub then: Action,
}

/// Rules in order, and the reading of the report that they look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The rules; the first that matches decides, and where none does the answer is [`Action::Allow`].
    pub rules: Vec<Rule>,
    /// Which findings the rules see.
    pub evidence: Evidence,
}

/// What a policy says about one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// The index in [`Policy::rules`] of the rule that decided; `None` where none matched.
    pub rule: Option<u16>,
    /// Everything found about the peer and this connection, as the policy reads it.
    ///
    /// The connection adds `ssh.port`, `dns.port55`, and `ssh.openssh` where the product hint says so, on egress; under
    /// [`Evidence::Published`] in both directions.
    pub findings: Findings,
    /// The level in the connection's direction.
    pub score: Option<Level>,
}

/// Which parts of a [`Connection`] a policy or a selection looks at; a caller may leave out the others without changing what
/// it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`Connection::path`].
    pub path: bool,
    /// [`Connection::method`].
    pub method: bool,
    /// [`Connection::host`].
    pub host: bool,
    /// [`Connection::port`].
    pub port: bool,
    /// [`Connection::route`].
    pub route: bool,
    /// [`Connection::client`].
    pub client: bool,
}

impl Needs {
    /// What one of both looks at.
    #[must_use]
    pub const fn and(self, other: Needs) -> Needs {
        Needs {
            path: self.path || other.path,
            method: self.method || other.method,
            host: self.host || other.host,
            port: self.port || other.port,
            route: self.route || other.route,
            client: self.client || other.client,
        }
    }
}

impl Policy {
    /// The verdict on a connection whose peer has this assessment. Total: any input has a verdict. Allocates nothing.
    ///
    /// Rules after the 65,536th are never reached.
    pub fn evaluate(&self, assessment: &Assessment, connection: &Connection<'_>) -> Verdict {
        let read = match self.evidence {
            Evidence::Published => assessment.published,
            Evidence::Current => assessment.findings,
        };
        let findings = read.union(self.found_in(connection));
        let score = assessment.score.toward(connection.direction);
        let reached = self.rules.get(..=usize::from(u16::MAX)).unwrap_or(&self.rules);
        let decided =
            reached.iter().enumerate().find(|(_, rule)| rule.when.holds(findings, score, assessment, connection));
        let (action, rule) = match decided {
            Some((index, rule)) => (rule.then, u16::try_from(index).ok()),
            None => (Action::Allow, None),
        };
        Verdict { action, rule, findings, score }
    }

    /// What the connection itself shows, as this policy reads it.
    pub fn found_in(&self, connection: &Connection<'_>) -> Findings {
        match (self.evidence, connection.direction) {
            // The port is the proxy's own listener: it says nothing about the client.
            (Evidence::Current, Direction::Ingress) => Findings::EMPTY,
            _ => found_in(connection),
        }
    }

    /// The name of the rule that decided this verdict of this policy; `None` where none matched.
    pub fn rule_name(&self, verdict: &Verdict) -> Option<&str> {
        self.rules.get(usize::from(verdict.rule?)).map(|rule| &*rule.name)
    }

    /// Which parts of a connection the rules look at.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for Rule { when, .. } in &self.rules {
            needs.path |= !when.path_prefix.is_empty();
            needs.method |= !when.method.is_empty();
            needs.host |= !when.host.is_empty();
            needs.port |= !when.ports.is_empty()
                || !when.ports_other_than.is_empty()
                || when.any.union(when.all).union(when.none).intersects(OF_CONNECTIONS);
        }
        needs
    }

    /// Whether the rules look at nothing but the findings, the direction, the level in it, and the port. Where these are the
    /// same again, and so is the product, the same rule decides, whoever asks and when.
    pub fn is_repeatable(&self) -> bool {
        self.rules.iter().all(|rule| rule.when.is_repeatable())
    }
}

/// The findings that a connection can add.
const OF_CONNECTIONS: Findings = Findings::of(&[Finding::SshPort, Finding::Openssh, Finding::DnsPort55]);

/// What the destination port and the product hint show, as the published pipeline reads them: the hint counts only with
/// a port, and only with one other than 22.
fn found_in(connection: &Connection<'_>) -> Findings {
    const OPENSSH: &[u8] = b"openssh";
    let hinted = || {
        let product = connection.product.unwrap_or_default().as_bytes();
        product.windows(OPENSSH.len()).any(|name| name.eq_ignore_ascii_case(OPENSSH))
    };
    let mut findings = Findings::EMPTY;
    match connection.port {
        Some(22) => findings.insert(Finding::SshPort),
        Some(55) => findings.insert(Finding::DnsPort55),
        _ => {}
    }
    if connection.port.is_some_and(|port| port != 22) && hinted() {
        findings.insert(Finding::Openssh);
    }
    findings
}

impl Condition {
    /// As [`Policy::is_repeatable`]. Every field is named, so that whoever adds one decides on which side it stands.
    fn is_repeatable(&self) -> bool {
        let Condition {
            score_at_least: _,
            any: _,
            all: _,
            none: _,
            direction: _,
            ports: _,
            ports_other_than: _,
            path_prefix,
            method,
            host,
            country,
            asn,
            time,
        } = self;
        let asks_texts = [path_prefix, method, host].into_iter().any(|texts| !texts.is_empty());
        !asks_texts && country.is_empty() && asn.is_empty() && time.is_none()
    }

    /// Whether everything asked for holds. The findings come first: they settle most rules in one comparison.
    fn holds(
        &self,
        findings: Findings,
        score: Option<Level>,
        assessment: &Assessment,
        connection: &Connection<'_>,
    ) -> bool {
        (self.any.is_empty() || findings.intersects(self.any))
            && findings.contains_all(self.all)
            && !findings.intersects(self.none)
            && (self.score_at_least.is_none() || score >= self.score_at_least)
            && self.direction.is_none_or(|direction| direction == connection.direction)
            && one_of(&self.ports, connection.port, |port, known| *port == known)
            && (self.ports_other_than.is_empty()
                || connection.port.is_some_and(|port| !self.ports_other_than.contains(&port)))
            && one_of(&self.path_prefix, connection.path, |prefix, path| path.starts_with(prefix.as_bytes()))
            && one_of(&self.method, connection.method, |method, known| method.as_bytes() == known)
            && one_of(&self.host, connection.host, |pattern, host| host_matches(pattern, host))
            && one_of(&self.country, assessment.country, |country, known| *country == known)
            && one_of(&self.asn, assessment.asn, |asn, known| *asn == known.get())
            && self.time.as_ref().is_none_or(|window| window.contains(connection.now))
    }
}

/// Whether a field asks nothing, or what is known matches one of its values.
pub(crate) fn one_of<T, K: Copy>(values: &[T], known: Option<K>, matches: impl Fn(&T, K) -> bool) -> bool {
    values.is_empty() || known.is_some_and(|known| values.iter().any(|value| matches(value, known)))
}

/// Whether an `:authority` is the host of this pattern.
pub(crate) fn host_matches(pattern: &str, authority: &[u8]) -> bool {
    let host = without_port(authority);
    let host = host.strip_suffix(b".").unwrap_or(host);
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    match pattern.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
        Some(suffix) => {
            let mut rest = host.iter().rev();
            suffix.bytes().rev().all(|byte| rest.next().is_some_and(|other| byte.eq_ignore_ascii_case(other)))
                && rest.next().is_some()
        }
        None => host.eq_ignore_ascii_case(pattern.as_bytes()),
    }
}

/// An authority up to its port; the colons inside the brackets of an IPv6 address belong to the host.
fn without_port(authority: &[u8]) -> &[u8] {
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|byte| *byte == b']').and_then(|end| end.checked_add(1)),
        _ => authority.iter().rposition(|byte| *byte == b':'),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

#[cfg(test)]
mod tests;
