use super::*;
use crate::store::memory::Memory;
use crate::wanted::QUEUE_LIMIT;
use crate::{Admitted, Consulted, Halt, Metric, Mode, Release, Remote, Site, Skip, Subject};
use evaluator::{Action, Assessment, Direction, Finding, Findings, Level, Score};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const TOR: &str = "198.51.100.9";
const START: Moment = Moment::from_millis(1_800_000_000_000);

/// A gate, one loaded configuration, and the moment.
struct World {
    store: Memory,
    gate: Gate,
    site: Rc<Site>,
    now: Moment,
}

impl World {
    /// The documentation ranges stand for public addresses.
    fn new(extra: &str) -> World {
        World::with(site(1, extra))
    }

    fn with(site: Rc<Site>) -> World {
        let store = Memory::default();
        World { gate: gate(&store), store, site, now: START }
    }

    fn consult(&mut self, peer: &str) -> Option<Decision<'_>> {
        match self.gate.consult(&self.site, &ip(peer).into(), &connection(self.now), self.now.timestamp()) {
            Consulted::Decided(decision) | Consulted::Stale(decision) => Some(decision),
            Consulted::Unknown => None,
            Consulted::Skip(skip) => panic!("skipped: {skip:?}"),
        }
    }

    fn admit(&mut self, stream: u32, peer: &str) -> Admitted {
        let proxy = Proxy { now: self.now, store: &self.store };
        self.gate.admit(&self.site, StreamId(stream), &ip(peer).into(), &connection(self.now), proxy)
    }

    fn admit_under(&mut self, site: &Rc<Site>, stream: u32, peer: &str) -> Admitted {
        let proxy = Proxy { now: self.now, store: &self.store };
        self.gate.admit(site, StreamId(stream), &ip(peer).into(), &connection(self.now), proxy)
    }

    fn next(&mut self) -> Option<Lookup> {
        self.next_with_releases().0
    }

    fn next_with_releases(&mut self) -> (Option<Lookup>, Vec<Release>) {
        let mut effects = Effects::default();
        let proxy = Proxy { now: self.now, store: &self.store };
        (self.gate.next_lookup(self.site.root, 1, proxy, &mut effects), effects.released)
    }

    fn answer(&mut self, lookup: &Lookup, facts: Result<Assessment, LookupError>) -> Vec<Release> {
        let mut effects = Effects::default();
        let proxy = Proxy { now: self.now, store: &self.store };
        self.gate.answer(lookup.id, &Answer { facts, retry_after: None }, proxy, &mut effects);
        effects.released
    }

    fn sweep(&mut self) -> Vec<Release> {
        let mut effects = Effects::default();
        self.gate.sweep(Proxy { now: self.now, store: &self.store }, &mut effects);
        effects.released
    }

    /// What becomes of a stream for which stale facts would decide; `None` where they would not.
    fn refresh(&mut self, remote: &Remote, connection: &Connection<'_>) -> Option<Decision<'static>> {
        let proxy = Proxy { now: self.now, store: &self.store };
        match self.gate.consult(&self.site, remote, connection, self.now.timestamp()) {
            Consulted::Stale(decision) => Some(self.gate.refresh(&self.site, remote, connection, decision, proxy)),
            _ => None,
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    fn assessment(&self, inbound: Level, findings: &[Finding]) -> Assessment {
        Assessment {
            learned: self.now.timestamp(),
            findings: Findings::of(findings),
            published: Findings::of(findings),
            asn: None,
            country: None,
            score: Score { inbound: Some(inbound), outbound: Some(Level::Safe) },
        }
    }
}

fn gate(store: &Memory) -> Gate {
    let mut gate = Gate::new(7, store);
    gate.configure(&site(0, r#", "cache": {"entries": 1000}"#).config, store);
    gate
}

fn site(root: u32, extra: &str) -> Rc<Site> {
    let document = format!(
        r#"{{"api": {{"cluster": "criminalip"}}, "scope": {{"treat_as_public": ["198.51.100.0/24", "2001:db8::/32"]}} {extra}}}"#
    );
    let config = Config::parse(document.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    Rc::new(Site::new(RootId(root), config))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn connection(now: Moment) -> Connection<'static> {
    Connection::new(Direction::Ingress, now.timestamp())
}

fn counted(gate: &mut Gate) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    gate.counters.take(&mut |counter, count| {
        counted.insert(Metric::Counter(counter).name(), count);
    });
    counted
}

#[test]
fn invariant_3_a_stream_that_waited_long_enough_is_released_once_and_its_lookup_goes_on() {
    let mut world = World::new(r#", "first_look": {"hold": "750ms", "then": "deny"}"#);
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    world.wait(749);
    assert!(world.sweep().is_empty());
    world.wait(1);
    assert_eq!(world.gate.next_event().unwrap(), world.now);
    let released = world.sweep();
    assert_eq!(released[0].decision.verdict.action, Action::Deny);
    assert_eq!(
        (released[0].decision.source, released[0].decision.reason),
        (Source::FirstLook, Some(Reason::HoldExpired))
    );
    assert!(world.sweep().is_empty());

    let clean = world.assessment(Level::Safe, &[]);
    assert!(world.answer(&lookup, Ok(clean)).is_empty(), "the stream ended already");
    assert_eq!(world.consult(TOR).unwrap().verdict.action, Action::Allow);
}

#[test]
fn a_stream_that_left_is_not_released() {
    let mut world = World::new("");
    world.admit(1, TOR);
    world.admit(2, TOR);
    world.gate.leave(StreamId(1));
    let lookup = world.next().unwrap();
    let clean = world.assessment(Level::Safe, &[]);
    let released = world.answer(&lookup, Ok(clean));
    assert_eq!(released.iter().map(|release| release.stream).collect::<Vec<_>>(), [StreamId(2)]);
}

fn site_with_lanes(lanes: u8) -> Rc<Site> {
    let document = format!(
        r#"{{"api": {{"cluster": "c", "concurrency": {lanes}}}, "scope": {{"treat_as_public": ["198.51.100.0/24"]}}}}"#
    );
    Rc::new(Site::new(RootId(1), Config::parse(document.as_bytes()).unwrap()))
}

#[test]
fn invariant_6_waiting_streams_and_queued_addresses_are_bounded() {
    let mut world = World::new(r#", "first_look": {"max_held": 3, "then": "allow"}"#);
    for stream in 0..3 {
        assert_eq!(world.admit(stream, &format!("2001:db8::{stream:x}")), Admitted::Held);
    }
    let Admitted::Decided(decision) = world.admit(3, "2001:db8::3") else { panic!("held") };
    assert_eq!((decision.verdict.action, decision.reason), (Action::Allow, Some(Reason::HeldFull)));
    for stream in 4..QUEUE_LIMIT as u32 {
        world.admit(stream, &format!("2001:db8::{stream:x}"));
    }
    assert_eq!(world.gate.queued(), QUEUE_LIMIT);
    world.admit(5000, "2001:db8::ffff");
    assert_eq!(world.gate.queued(), QUEUE_LIMIT);
    assert!(world.gate.wanted.get(ip("2001:db8::ffff").into()).is_some(), "the newest stays");
    assert!(world.gate.wanted.get(ip("2001:db8::3").into()).is_none(), "the oldest that nobody waits for goes");
    assert!(world.gate.wanted.get(ip("2001:db8::2").into()).is_some(), "what somebody waits for stays");
    assert_eq!(counted(&mut world.gate)["criminalip_dropped_total"], 1);
}

#[test]
fn invariant_6_the_cache_is_bounded() {
    let mut world = World::new("");
    for number in 0..5_000u32 {
        let clean = world.assessment(Level::Safe, &[]);
        world.gate.cache.insert(ip(&format!("2001:db8::{number:x}")).into(), Fact::after(None, clean));
    }
    assert!(world.gate.remembered() <= 1000, "{}", world.gate.remembered());
}

#[test]
fn invariant_4_special_purpose_addresses_are_skipped_unless_the_deny_list_names_them() {
    let mut world = World::new(r#", "lists": {"deny": [{"cidr": "10.0.0.7/32"}]}"#);
    for peer in ["10.0.0.8", "127.0.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1", "fe80::1", "fc00::1"] {
        let consulted = world.gate.consult(&world.site, &ip(peer).into(), &connection(START), START.timestamp());
        assert_eq!(consulted, Consulted::Skip(Skip::NotPublic), "{peer}");
    }
    assert_eq!(world.consult("10.0.0.7").unwrap().verdict.action, Action::Deny);
}

#[test]
fn invariant_5_the_allow_list_wins_over_the_deny_list_and_over_evidence() {
    let lists = r#", "lists": {"allow": [{"cidr": "198.51.100.9/32", "reason": "partner"}], "deny": [{"cidr": "198.51.100.0/24"}]}"#;
    let mut world = World::new(lists);
    let bad = world.assessment(Level::Critical, &[Finding::C2]);
    world.gate.cache.insert(ip(TOR).into(), Fact::after(None, bad));
    let decision = world.consult(TOR).unwrap();
    assert_eq!((decision.verdict.action, decision.source), (Action::Allow, Source::List));
    assert_eq!(world.consult("198.51.100.10").unwrap().verdict.action, Action::Deny);
}

#[test]
fn a_fact_lives_as_long_as_its_class_says() {
    for (level, findings, lifetime) in
        [(Level::Safe, &[][..], 1), (Level::Moderate, &[], 2), (Level::Critical, &[Finding::C2], 3)]
    {
        let cache = r#", "cache": {"ttl": {"clean": "1h", "suspicious": "2h", "malicious": "3h"}, "stale": "0s"}"#;
        let mut world = World::new(&format!(r#"{cache}, "policy": {{"profile": "none"}}"#));
        let assessment = world.assessment(level, findings);
        world.gate.cache.insert(ip(TOR).into(), Fact::after(None, assessment));
        world.wait(lifetime * 3_600_000 * 9 / 10 - 1000);
        assert!(world.consult(TOR).is_some(), "{level:?}");
        world.wait(lifetime * 360_000 + 1000);
        assert!(world.consult(TOR).is_none(), "{level:?}");
    }
}

#[test]
fn invariant_10_shadow_mode_never_refuses_and_counts_as_failed_open() {
    let mut world = World::new(r#", "mode": "shadow", "on_error": "deny""#);
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    let released = world.answer(&lookup, Err(LookupError::Connection));
    let decision = &released[0].decision;
    assert_eq!(decision.verdict.action, Action::Deny);
    assert!(!decision.refuses(Mode::Shadow) && decision.refuses(Mode::Enforce));
    let counted = counted(&mut world.gate);
    assert_eq!(counted["criminalip_failed_open_total;reason=connection"], 1);
    assert_eq!(counted["criminalip_decisions_total;action=deny;source=on_error;mode=shadow"], 1);
    assert_eq!(counted["criminalip_lookups_total;outcome=connection"], 1);
}

#[test]
fn invariant_9_the_log_line_explains_a_decision() {
    let mut world =
        World::new(r#", "lists": {"deny": [{"cidr": "198.51.100.7/32", "owner": "soc", "reason": "say \"no\""}]}"#);
    let bad = world.assessment(Level::Critical, &[Finding::C2, Finding::Hosting]);
    world.gate.cache.insert(ip(TOR).into(), Fact::after(None, bad));
    world.wait(60_000);
    let config = Rc::clone(&world.site);
    let line: serde_json::Value =
        serde_json::from_str(&world.consult(TOR).unwrap().log_line(&config.config, &ip(TOR).into())).unwrap();
    assert_eq!(
        line,
        serde_json::json!({
            "event": "decision", "peer": TOR, "direction": "ingress", "mode": "enforce", "action": "deny",
            "rule": line["rule"], "findings": ["c2", "hosting"], "score": 100, "source": "cache", "age": 60,
            "report": "https://www.criminalip.io/asset/report/198.51.100.9",
        })
    );
    assert!(line["rule"].is_string());
    let line: serde_json::Value = serde_json::from_str(
        &world.consult("198.51.100.7").unwrap().log_line(&config.config, &ip("198.51.100.7").into()),
    )
    .unwrap();
    assert_eq!((&line["rule"], &line["list"]["reason"]), (&"deny list".into(), &"say \"no\"".into()));
}

proptest! {
    /// Whatever happens in whatever order, each held stream ends exactly once, no address is in flight twice, and lanes
    /// are respected.
    #[test]
    fn invariant_3_every_stream_ends_exactly_once(steps in proptest::collection::vec((0u8..6, 0u8..8, 0u16..900), 1..200)) {
        let mut world = World::with(site_with_lanes(2));
        let mut held = BTreeSet::new();
        let mut flying: Vec<Lookup> = Vec::new();
        let mut next_stream = 0;
        for (step, peer, millis) in steps {
            let mut released = Vec::new();
            match step {
                0 | 1 => {
                    next_stream += 1;
                    let address = format!("198.51.100.{peer}");
                    if world.consult(&address).is_none() && world.admit(next_stream, &address) == Admitted::Held {
                        held.insert(StreamId(next_stream));
                    }
                }
                2 => if let Some(stream) = held.pop_first() { world.gate.leave(stream) },
                3 => if let Some(lookup) = world.next() {
                    prop_assert!(flying.iter().all(|other| other.subject != lookup.subject));
                    flying.push(lookup);
                    prop_assert!(flying.len() <= 2);
                },
                4 => if !flying.is_empty() {
                    let lookup = flying.remove(usize::from(peer) % flying.len());
                    let answer = match peer {
                        0 => Err(LookupError::Answer(AnswerError::ConcurrencyRefused)),
                        1 => Err(LookupError::Reset),
                        _ => Ok(world.assessment(Level::Safe, &[])),
                    };
                    released = world.answer(&lookup, answer);
                },
                _ => {
                    world.wait(u64::from(millis));
                    released = world.sweep();
                    flying.retain(|lookup| world.gate.wanted.in_flight(lookup.id).is_some());
                }
            }
            for release in released {
                prop_assert!(held.remove(&release.stream), "released twice or never held");
            }
            prop_assert_eq!(world.gate.held(), held.len());
        }
        world.wait(60_000);
        for release in world.sweep() {
            prop_assert!(held.remove(&release.stream));
        }
        prop_assert!(held.is_empty());
    }
}

mod connections;
mod control;
mod domains;
mod events;
mod feeds;
mod fleet;
mod lookups;
mod metrics;
mod notify;
mod outside;
mod routes;
mod selection;
mod self_test;
mod workers;
