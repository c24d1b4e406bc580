//! One configuration, and what it makes of the log.

use super::fate_of;
use crate::judge::{Before, Judge, Site};
use crate::logs::Record;
use evaluator::{Action, Assessment, Class, Connection, Direction, Finding, Timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
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

/// The hour that stands for all the rest.
pub(super) const OTHERS: i64 = i64::MAX;

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

/// Rules, and where each of them is counted.
struct Rules<'s> {
    judge: &'s Judge,
    places: Vec<usize>,
}

/// A configuration and its figures.
pub(super) struct Side<'s> {
    pub(super) name: String,
    pub(super) site: &'s Site,
    own: Rules<'s>,
    /// Of routes that have rules of their own.
    of_routes: HashMap<&'s str, Rules<'s>>,
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
    /// Requests without the name of a route.
    pub(super) unrouted: u64,
}

impl<'s> Side<'s> {
    pub(super) fn new(name: String, site: &'s Site) -> Side<'s> {
        let mut rules: Vec<(String, Action, u64)> = Vec::new();
        let mut placed = |judge: &'s Judge| {
            let place = |rule: &evaluator::Rule| {
                let known = rules.iter().position(|(name, action, _)| (&**name, *action) == (&rule.name, rule.then));
                known.unwrap_or_else(|| {
                    rules.push((rule.name.to_string(), rule.then, 0));
                    rules.len() - 1
                })
            };
            Rules { judge, places: judge.policy.rules.iter().map(place).collect() }
        };
        let own = placed(&site.judge);
        let of_routes = site.routes.iter().filter_map(|(name, judge)| Some((&**name, placed(judge.as_ref().ok()?))));
        let of_routes = of_routes.collect();
        let lists = [("allow list", Action::Allow), ("deny list", Action::Deny), ("no rule", Action::Allow)];
        rules.extend(lists.map(|(name, action)| (name.to_owned(), action, 0)));
        Side {
            name,
            site,
            own,
            of_routes,
            fates: Fates::default(),
            rules,
            findings: [0; Finding::ALL.len()],
            routes: BTreeMap::new(),
            hours: BTreeMap::new(),
            credits: Credits::default(),
            first: i64::MAX,
            last: i64::MIN,
            unrouted: 0,
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

    /// The rules for requests of this route.
    fn rules_of(&self, connection: &Connection<'_>) -> &Rules<'s> {
        if self.of_routes.is_empty() {
            return &self.own;
        }
        let name = connection.route.and_then(|name| str::from_utf8(name).ok());
        name.and_then(|name| self.of_routes.get(name)).unwrap_or(&self.own)
    }

    /// How long facts count, in seconds.
    pub(super) fn lifetime(&self, facts: Option<&Assessment>, connection: &Connection<'_>) -> i64 {
        let config = &self.site.config;
        let policy = &self.rules_of(connection).judge.policy;
        let denied = facts.is_some_and(|facts| policy.evaluate(facts, connection).action == Action::Deny);
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
        let rules = self.rules_of(connection);
        let verdict = rules.judge.policy.evaluate(assessment, connection);
        let place = verdict.rule.and_then(|rule| rules.places.get(usize::from(rule)).copied());
        let none = self.rules.len() - 1;
        self.rules[place.unwrap_or(none)].2 += 1;
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
        let known = self.hours.len() < MOST || self.hours.contains_key(&hour);
        self.hours.entry(if known { hour } else { OTHERS }).or_default()[fate] += 1;
        self.unrouted += u64::from(record.route.is_none());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_hours_beyond_the_most_are_counted_as_one() {
        let site = Site::of_profile(evaluator::Profile::Ingress, None, &[]);
        let mut side = Side::new("x".into(), &site);
        let requests = i64::try_from(MOST).unwrap() + 7;
        for number in 0..requests {
            let route = Some(Cow::Owned(format!("{number}{}", "é".repeat(LONGEST * 2))));
            side.count(Fate::Tag, &Record { time: number * 3_600, route, ..Record::default() });
        }
        assert_eq!((side.routes.len(), side.hours.len()), (MOST + 1, MOST + 1));
        let tagged = |fates: &Fates| fates[Fate::Tag as usize];
        assert_eq!((tagged(&side.routes["(others)"]), tagged(&side.hours[&OTHERS])), (7, 7));
        assert!(side.routes.keys().all(|name| name.chars().count() <= LONGEST));
        assert_eq!(side.fates[Fate::Tag as usize], u64::try_from(requests).unwrap());
    }
}
