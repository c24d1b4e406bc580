//! One configuration, and what it makes of the log.

use super::fate_of;
use crate::judge::{Before, Site};
use crate::logs::Record;
use evaluator::{Action, Assessment, Class, Connection, Direction, Finding, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Allow,
    Tag,
    Deny,
    /// Public, but nobody knows anything about it.
    NoFacts,
    NotSelected,
    NotPublic,
    NoAddress,
}

impl Fate {
    pub(super) const ALL: [Fate; 7] =
        [Fate::Allow, Fate::Tag, Fate::Deny, Fate::NoFacts, Fate::NotSelected, Fate::NotPublic, Fate::NoAddress];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Fate::Allow => "allow",
            Fate::Tag => "tag",
            Fate::Deny => "deny",
            Fate::NoFacts => "no facts",
            Fate::NotSelected => "not selected",
            Fate::NotPublic => "not public",
            Fate::NoAddress => "no address",
        }
    }
}

/// How many requests met each fate.
pub(super) type Fates = [u64; Fate::ALL.len()];

/// Routes, and hours, that are told apart; the rest is counted as one.
const MOST: usize = 10_000;

/// What is kept of the name of a route, in characters.
const LONGEST: usize = 100;

/// When a peer was last looked up, by the time of the log.
#[derive(Clone, Copy, Default)]
pub(super) struct Times {
    /// If everything were selected.
    all: Option<i64>,
    selected: Option<i64>,
}

/// Lookups that it would have taken.
#[derive(Default)]
pub(super) struct Credits {
    pub(super) without: u64,
    pub(super) cached: u64,
    pub(super) selected: u64,
    pub(super) both: u64,
    /// Requests of peers beyond those that are remembered.
    pub(super) forgotten: u64,
}

/// A configuration and its figures.
pub(super) struct Side<'s> {
    pub(super) name: String,
    pub(super) site: &'s Site,
    pub(super) fates: Fates,
    /// By rule or list, with what it does.
    pub(super) rules: Vec<(String, Action, u64)>,
    pub(super) findings: [u64; Finding::ALL.len()],
    pub(super) routes: BTreeMap<Box<str>, Fates>,
    /// By hours since 1970.
    pub(super) hours: BTreeMap<i64, Fates>,
    pub(super) credits: Credits,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl<'s> Side<'s> {
    pub(super) fn new(name: String, site: &'s Site) -> Side<'s> {
        let rules = site.judge.policy.rules.iter().map(|rule| (rule.name.to_string(), rule.then, 0));
        let lists = [("allow list", Action::Allow), ("deny list", Action::Deny), ("no rule", Action::Allow)];
        let others = lists.map(|(name, action)| (name.to_owned(), action, 0));
        Side {
            name,
            site,
            fates: Fates::default(),
            rules: rules.chain(others).collect(),
            findings: [0; Finding::ALL.len()],
            routes: BTreeMap::new(),
            hours: BTreeMap::new(),
            credits: Credits::default(),
            first: i64::MAX,
            last: i64::MIN,
        }
    }

    /// Whose address counts.
    pub(super) fn peer(&self, record: &Record<'_>) -> Option<IpAddr> {
        match self.site.judge.direction {
            Direction::Ingress => record.source,
            Direction::Egress => record.destination,
        }
    }

    pub(super) fn connection<'r>(&self, ip: IpAddr, record: &'r Record<'_>) -> Connection<'r> {
        let bytes = |text: &'r Option<Cow<'_, str>>| text.as_deref().map(str::as_bytes);
        let direction = self.site.judge.direction;
        let egress = direction == Direction::Egress;
        Connection {
            // On ingress the log names the port behind the proxy, not the one that the client came to.
            port: record.port.filter(|_| egress),
            path: bytes(&record.path),
            method: bytes(&record.method),
            host: bytes(&record.host),
            route: bytes(&record.route),
            client: if egress { record.source } else { Some(ip) },
            ..Connection::new(direction, Timestamp::from_unix(record.time))
        }
    }

    /// What lists and scope say.
    pub(super) fn before(&mut self, ip: IpAddr, connection: &Connection<'_>) -> Option<Fate> {
        match self.site.before(ip, connection) {
            Before::Listed(action, _) => {
                let place = self.rules.len() - if action == Action::Allow { 3 } else { 2 };
                self.rules[place].2 += 1;
                Some(fate_of(action))
            }
            Before::NotPublic => Some(Fate::NotPublic),
            Before::Wanted => None,
        }
    }

    /// How long facts count, in seconds.
    pub(super) fn lifetime(&self, facts: Option<&Assessment>, connection: &Connection<'_>) -> i64 {
        let config = &self.site.config;
        let denied =
            facts.is_some_and(|facts| self.site.judge.policy.evaluate(facts, connection).action == Action::Deny);
        let lifetime = if denied {
            config.block.ttl
        } else {
            config.cache.ttl.for_class(facts.map_or(Class::Clean, Assessment::class))
        };
        i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
    }

    /// Counts the lookups that this request takes in each way of working. Whether facts decide about it: remembered ones,
    /// or because it is selected.
    pub(super) fn spend(
        &mut self,
        ip: IpAddr,
        now: i64,
        lifetime: i64,
        times: &mut Times,
        connection: &Connection<'_>,
    ) -> bool {
        let stale = i64::try_from(self.site.config.cache.stale.as_secs()).unwrap_or(i64::MAX);
        let fresh = |learned: Option<i64>| learned.is_some_and(|learned| now.saturating_sub(learned) < lifetime);
        let usable = |learned: Option<i64>| {
            learned.is_some_and(|learned| now.saturating_sub(learned) < lifetime.saturating_add(stale))
        };
        self.credits.without += 1;
        if !fresh(times.all) {
            self.credits.cached += 1;
            times.all = Some(now);
        }
        let remembered = usable(times.selected);
        let selected = self.site.selects(ip, connection);
        if selected {
            self.credits.selected += 1;
            if !fresh(times.selected) {
                self.credits.both += 1;
                times.selected = Some(now);
            }
        }
        selected || remembered
    }

    /// The verdict by these facts.
    pub(super) fn verdict(&mut self, assessment: &Assessment, connection: &Connection<'_>) -> Fate {
        let verdict = self.site.judge.policy.evaluate(assessment, connection);
        let none = self.rules.len() - 1;
        self.rules[verdict.rule.map_or(none, usize::from)].2 += 1;
        for (place, finding) in Finding::ALL.iter().enumerate() {
            self.findings[place] += u64::from(verdict.findings.contains(*finding));
        }
        fate_of(verdict.action)
    }

    /// Counts a request.
    pub(super) fn count(&mut self, fate: Fate, record: &Record<'_>) {
        let fate = fate as usize;
        self.fates[fate] += 1;
        self.first = self.first.min(record.time);
        self.last = self.last.max(record.time);
        let hour = record.time.div_euclid(3_600);
        if self.hours.len() < MOST || self.hours.contains_key(&hour) {
            self.hours.entry(hour).or_default()[fate] += 1;
        }
        let route = route(record);
        match self.routes.get_mut(route) {
            Some(fates) => fates[fate] += 1,
            None => {
                let name = if self.routes.len() < MOST { route } else { "(others)" };
                self.routes.entry(name.into()).or_default()[fate] += 1;
            }
        }
    }
}

/// The route of a request; where the log has none the first part of its path.
fn route<'r>(record: &'r Record<'_>) -> &'r str {
    let first_part = |path: &'r str| {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let end = path.get(1..).and_then(|rest| rest.find('/')).map_or(path.len(), |at| at + 1);
        path.get(..end).unwrap_or(path)
    };
    let name = record.route.as_deref().or(record.path.as_deref().map(first_part)).unwrap_or("-");
    // Paths are the clients' own words.
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => name.get(..end).unwrap_or(name),
        None => name,
    }
}
