//! The configuration: a JSON document, read once into types that cannot be wrong.
//!
//! Every mistake is reported, all at once; what has no effect is no key. Each key, its default and its limits stand once,
//! where the document is read; the JSON Schema is made from there, and `docs/configuration.md` is compared with it.

mod body;
mod control;
mod document;
mod feeds;
mod form;
mod json;
mod keys;
mod mistake;
mod networks;
mod notify;
mod role;
mod route;
mod rules;
#[cfg(test)]
mod schema;
mod secret;
mod select;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use body::{read_new_alert, read_new_override};
pub use control::{Control, Credentials, Journal};
pub use feeds::{Feed, FeedFormat};
pub(crate) use json::Json;
pub use mistake::{Mistake, MistakeKind, quoted};
pub use notify::{Notify, NotifyFormat, WebhookPath, webhook_path};
pub use route::Metadata;
pub use secret::Secret;
pub(crate) use text::read_network;

use crate::{Decision, ListEntry, Remote};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Action, Class, Direction, HostList, HostScope, List, Policy, Profile, Scope, Selection, Timestamp};

/// What one listener's filter is told to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is judged, which is also where the filter is to be placed.
    pub role: Role,
    /// Whether verdicts are acted on.
    pub mode: Mode,
    /// Which end of the connection the peer is.
    pub direction: Direction,
    /// Where the destination is read, on egress.
    pub destination: Destination,
    /// How Criminal IP is asked.
    pub api: Arc<Api>,
    /// What a stream waits for when nothing is known about its peer.
    pub first_look: FirstLook,
    /// What happens to a stream whose lookup failed.
    pub on_error: Fallback,
    /// How much is remembered, and for how long.
    pub cache: CacheLimits,
    /// The operator's rules, followed by those of the profile.
    pub policy: Policy,
    /// How long a peer that the policy denies stays denied.
    pub block: Block,
    /// The profile that the last rules of the policy come from; `None` where the operator's rules are all.
    pub profile: Option<Profile>,
    /// Which addresses are looked up at all.
    pub scope: Scope,
    /// Which domains are looked up at all.
    pub host_scope: Arc<HostScope>,
    /// What is looked up.
    pub select: Arc<Select>,
    /// Which addresses and hosts are decided without evidence.
    pub lists: Arc<Lists>,
    /// Where a verdict is written for others to read.
    pub tag: TagPlaces,
    /// What a denied client reads.
    pub deny: Arc<DenyReply>,
    /// Which decisions are logged.
    pub log: LogLevel,
    /// The webhook that is told of peers.
    pub notify: Option<Arc<Notify>>,
    /// The name in the metadata of routes under which they may change some of this, [`Config::for_route`].
    pub route_metadata: Option<Box<str>>,
    /// What is remembered of connections.
    pub journal: Journal,
    /// Who may use the control listener; `None` but for [`Role::Control`].
    pub control: Option<Arc<Control>>,
    /// Whether [`SELF_TEST`](crate::SELF_TEST) is a public address that is malicious.
    pub self_test: bool,
}

impl Config {
    /// Reads the configuration document. Bytes may be anything.
    ///
    /// # Errors
    /// Every mistake in the document, at least one. A document that is not a JSON object has one mistake, which names the
    /// line and column.
    ///
    /// ```
    /// let config = gate::Config::parse(br#"{"api": {"cluster": "criminalip"}}"#).unwrap();
    /// assert_eq!(config.api.timeout, std::time::Duration::from_secs(5));
    ///
    /// let mistakes = gate::Config::parse(br#"{"api": {"cluster": "criminalip", "timeout": "5sec"}}"#).unwrap_err();
    /// assert_eq!((&*mistakes[0].path, mistakes[0].kind.code()), ("api.timeout", "malformed"));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Config, Vec<Mistake>> {
        document::read(bytes)
    }

    /// Whether anything depends on the name that clients call the destination by.
    pub fn reads_host(&self) -> bool {
        self.direction == Direction::Egress
            && (self.destination == Destination::Name
                || self.select.domains
                || !self.lists.allow_hosts.is_empty()
                || !self.lists.deny_hosts.is_empty())
    }
}

/// What of a configuration says how to judge.
#[derive(Clone, Debug)]
pub struct Judging {
    /// [`Config::direction`]
    pub direction: Direction,
    /// [`Config::policy`]
    pub policy: Policy,
    /// [`Config::profile`]
    pub profile: Option<Profile>,
}

impl Judging {
    /// Reads a whole configuration, but for `api`, which need not be there.
    ///
    /// # Errors
    /// As [`Config::parse`].
    ///
    /// ```
    /// let judging = gate::Judging::parse(br#"{"policy": {"profile": "pipeline"}}"#).unwrap();
    /// assert_eq!(judging.policy.rules.len(), 7);
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Judging, Vec<Mistake>> {
        document::read_judging(bytes)
    }
}

/// Which of these keys, such as `cache.entries`, a document writes out. Bytes may be anything.
pub fn written<'k>(bytes: &[u8], keys: &[&'k str]) -> Vec<&'k str> {
    let Ok(document) = json::Json::parse(bytes) else { return Vec::new() };
    let is_written = |key: &&&str| {
        let mut members = key.split('.');
        members.try_fold(&document, |value, name| value.member(name)).is_some()
    };
    keys.iter().filter(is_written).copied().collect()
}

/// Reads a list as it stands under `lists.allow` and `lists.deny`.
///
/// # Errors
/// Every mistake in it, at least one; their paths start within the list, such as `[3].cidr`.
///
/// ```
/// let list = gate::parse_list(br#"[{"cidr": "203.0.113.0/24", "reason": "partner"}]"#).unwrap();
/// assert_eq!(list.len(), 1);
/// ```
pub fn parse_list(bytes: &[u8]) -> Result<List, Vec<Mistake>> {
    networks::read_list(bytes)
}

/// How long facts count that a policy denies a peer for: longer each time that they are found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first time.
    pub ttl: Duration,
    /// How many times as long each time after, 1 to 10.
    pub factor: u32,
    /// The longest.
    pub max: Duration,
}

impl Block {
    /// How long the facts count that were found again so many times.
    pub fn lifetime(&self, again: u8) -> Duration {
        let times = self.factor.checked_pow(u32::from(again)).unwrap_or(u32::MAX);
        self.ttl.saturating_mul(times).min(self.max)
    }
}

/// What is judged, which is also where the filter is to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Each request, as an HTTP filter.
    Http,
    /// Each connection, as a network filter.
    Network,
    /// Nothing: an HTTP filter that answers operators.
    Control,
}

impl Role {
    /// `http`, `network` or `control`.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Http => "http",
            Role::Network => "network",
            Role::Control => "control",
        }
    }
}

/// Whether verdicts are acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Verdicts are acted on.
    Enforce,
    /// Everything passes; tags and logs say what would have happened.
    Shadow,
}

impl Mode {
    /// `enforce` or `shadow`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
        }
    }
}

/// What happens to a stream about whose peer nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fallback {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
}

impl Fallback {
    /// `allow` or `deny`.
    pub const fn name(self) -> &'static str {
        match self {
            Fallback::Allow => "allow",
            Fallback::Deny => "deny",
        }
    }
}

/// How Criminal IP is asked.
#[derive(Clone, Debug)]
pub struct Api {
    /// The proxy's cluster that leads to the API, 1 to 255 characters.
    pub cluster: Box<str>,
    /// The `:authority` of the requests.
    pub authority: Box<str>,
    /// Whether whole reports are asked for, or their newest part only.
    pub full: bool,
    /// Where the key comes from.
    pub key: Key,
    /// How long an answer may take, 1 ms to 60 s in whole milliseconds. Never zero, which the proxy takes for "for ever".
    pub timeout: Duration,
    /// The longest answer that is read, in bytes, 1 KiB to 32 MiB.
    pub max_body: u32,
    /// How many lookups may be in flight at a time in the whole proxy, 1 to 64.
    pub concurrency: u8,
    /// How many lookups may be made.
    pub budget: Budget,
}

/// How many lookups may be made in the whole proxy; `None` for as many as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// From midnight to midnight, UTC.
    pub per_day: Option<u32>,
    /// From one full hour to the next, so that a flood of new peers cannot spend the day at once.
    pub per_hour: Option<u32>,
    /// How many of the day only security events may use.
    pub reserve_for_events: u32,
}

/// Where the API key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// From the environment variable of this name.
    Environment(Box<str>),
    /// From the configuration itself.
    Given(Secret),
    /// The proxy adds it to each request, so that the filter never sees it.
    Injected,
}

/// What a stream waits for when nothing is known about its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstLook {
    /// The longest wait for a verdict, at most 60 s in whole milliseconds; zero holds nothing.
    pub hold: Duration,
    /// What happens to a stream that has waited so long.
    pub then: Fallback,
    /// How many streams one worker holds at a time, at least one.
    pub max_held: u32,
}

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// How many peers one worker remembers, 1 to 10,000,000.
    pub entries: u32,
    /// How many peers all workers of the proxy together remember in what they share.
    pub shared_slots: u32,
    /// How long facts past their lifetime still decide, while they are learned anew.
    pub stale: Duration,
    /// How long facts count.
    pub ttl: Ttl,
}

/// How long facts count, in whole milliseconds of at least one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// For assessments with nothing against the peer.
    pub clean: Duration,
    /// For suspicious assessments.
    pub suspicious: Duration,
    /// For malicious assessments.
    pub malicious: Duration,
    /// How long a failed lookup is not tried again.
    pub error: Duration,
}

impl Ttl {
    /// How long assessments of this class count.
    pub const fn for_class(&self, class: Class) -> Duration {
        match class {
            Class::Clean => self.clean,
            Class::Suspicious => self.suspicious,
            Class::Malicious => self.malicious,
        }
    }
}

/// Where the destination of a connection is read, on egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The address that the connection goes to, which the proxy restored where it was redirected. A name is what the client
    /// says beside it.
    Address,
    /// What the client asks the proxy for by name: `:authority`, CONNECT, or the server name of TLS. The proxy resolves it.
    Name,
}

/// What is looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    /// The connections whose peers are.
    pub connections: Selection,
    /// Whether domains are, on egress.
    pub domains: bool,
}

/// Lists that decide before any evidence. The allow list wins.
#[derive(Debug, Default)]
pub struct Lists {
    /// These pass.
    pub allow: List,
    /// Connections to these pass where the proxy itself resolves the name; elsewhere the name is not looked up.
    pub allow_hosts: HostList,
    /// These are refused.
    pub deny: List,
    /// Connections to these are refused.
    pub deny_hosts: HostList,
    /// Lists that others keep, in the order in which they are asked, at most [`Feed::MOST`].
    pub feeds: Vec<Arc<Feed>>,
}

impl Lists {
    /// What the lists say about a stream; `None` where its other end is on none.
    pub(crate) fn decide(&self, remote: &Remote, destination: Destination, now: Timestamp) -> Option<Decision<'_>> {
        if let Some(entry) = remote.address.and_then(|address| self.allow.find(address, now)) {
            return Some(Decision::listed(Action::Allow, ListEntry::Network(entry)));
        }
        let allowed = remote.host.as_deref().and_then(|host| self.allow_hosts.find(host, now));
        // Beside an address a name is a mere claim: whoever wants to reach a bad address could claim a good name.
        if let Some(entry) = allowed.filter(|_| destination == Destination::Name) {
            return Some(Decision::listed(Action::Allow, ListEntry::Host(entry)));
        }
        if let Some(entry) = remote.address.and_then(|address| self.deny.find(address, now)) {
            return Some(Decision::listed(Action::Deny, ListEntry::Network(entry)));
        }
        let host = remote.host.as_deref().filter(|_| allowed.is_none())?;
        let entry = self.deny_hosts.find(host, now)?;
        Some(Decision::listed(Action::Deny, ListEntry::Host(entry)))
    }
}

/// Where a verdict is written for others to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPlaces {
    /// The request header, in lower case. It is written or removed on every request.
    pub request_header: Box<str>,
    /// The response header, in lower case, if the client is to see the verdict.
    pub response_header: Option<Box<str>>,
    /// The name in the filter state, which access logs and later filters read.
    pub filter_state: Option<Box<str>>,
}

/// What a denied client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyReply {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The message, 1 to 1024 characters of any kind: whoever writes it into JSON or HTML has to escape it.
    pub message: Box<str>,
}

/// Which decisions are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// None.
    None,
    /// Those that refuse a stream, or would refuse it in shadow mode.
    Denials,
    /// All.
    All,
}
