//! Connections that passed, and what is learned about their peers afterwards, in simulated time.

use super::*;
use crate::Remote;
use crate::connections::WATCH_LIMIT;

/// A configuration of a network filter that lets the unknown pass after 100 ms.
fn network(root: u32, extra: &str) -> Rc<Site> {
    site(root, &format!(r#", "role": "network", "first_look": {{"hold": "100ms", "then": "allow"}} {extra}"#))
}

impl World {
    /// A connection from this peer, as the filter handles it.
    fn connect(&mut self, site: &Rc<Site>, stream: u32, peer: &str) -> Option<Decision<'static>> {
        let proxy = Proxy { now: self.now, store: &self.store };
        let (stream, connection) = (StreamId(stream), connection(self.now));
        let remote = &Remote::from(ip(peer));
        let decision = match self.gate.consult(site, remote, &connection, self.now.timestamp()) {
            Consulted::Skip(_) => return None,
            Consulted::Decided(decision) => decision,
            Consulted::Stale(decision) => self.gate.refresh(site, remote, &connection, decision, proxy),
            Consulted::Unknown => match self.gate.admit(site, stream, remote, &connection, proxy) {
                Admitted::Held => return None,
                Admitted::Decided(decision) => decision,
                Admitted::Skip(_) => {
                    self.gate.watch(site, stream, remote, &connection, None);
                    return None;
                }
            },
        };
        if !decision.refuses(site.config.mode) {
            self.gate.watch(site, stream, remote, &connection, Some(&decision));
        }
        Some(Decision { entry: None, ..decision })
    }

    /// A connection that passes because nothing is known after `first_look.hold`, and the lookup about its peer.
    fn pass_unknown(&mut self, site: &Rc<Site>, stream: u32, peer: &str) -> Lookup {
        assert_eq!(self.connect(site, stream, peer), None);
        let mut effects = Effects::default();
        let proxy = Proxy { now: self.now, store: &self.store };
        let lookup = self.gate.next_lookup(site.root, 1, proxy, &mut effects).unwrap();
        self.wait(100);
        let released = self.sweep();
        assert_eq!(summary(&released), [(stream, Action::Allow, false)]);
        lookup
    }

    /// Everything that is released by this answer, and by the sweep that follows it.
    fn answer_and_sweep(&mut self, lookup: &Lookup, facts: Result<Assessment, LookupError>) -> Vec<Release> {
        let mut released = self.answer(lookup, facts);
        released.extend(self.sweep());
        assert_eq!(summary(&self.sweep()), [], "once");
        released
    }

    fn bad(&self) -> Assessment {
        self.assessment(Level::Critical, &[Finding::C2])
    }
}

fn summary(released: &[Release]) -> Vec<(u32, Action, bool)> {
    released.iter().map(|release| (release.stream.0, release.decision.verdict.action, release.late)).collect()
}

#[test]
fn a_connection_that_passed_unknown_is_denied_once_when_the_answer_denies_it() {
    let site = network(1, "");
    let mut world = World::with(Rc::clone(&site));
    let lookup = world.pass_unknown(&site, 1, TOR);
    assert_eq!(world.connect(&site, 2, TOR), None, "held, while the first is open");
    assert_eq!(world.gate.watched(), 1);
    let bad = world.bad();
    let released = world.answer_and_sweep(&lookup, Ok(bad));
    assert_eq!(summary(&released), [(2, Action::Deny, false), (1, Action::Deny, true)]);
    let late = &released[1].decision;
    assert_eq!((late.source, late.age, late.reason), (Source::Api, Some(0), None));
    assert_eq!(world.gate.watched(), 0);
    let counted = counted(&mut world.gate);
    assert_eq!(counted["criminalip_late_denials_total;mode=enforce"], 1);
    assert_eq!(counted["criminalip_decisions_total;action=deny;source=api;mode=enforce"], 2);
    let line = late.connection_log_line(&site.config, &ip(TOR).into(), Some(22), true);
    assert!(line.contains(r#""direction":"ingress","connection":{"port":22,"late":true}"#), "{line}");
}

#[test]
fn what_is_good_or_failed_denies_no_connection_that_passed() {
    for fails in [false, true] {
        let site = network(1, r#", "on_error": "deny""#);
        let mut world = World::with(Rc::clone(&site));
        let lookup = world.pass_unknown(&site, 1, TOR);
        let facts = if fails { Err(LookupError::TimedOut) } else { Ok(world.assessment(Level::Safe, &[])) };
        assert_eq!(summary(&world.answer_and_sweep(&lookup, facts)), [], "{fails}");
        assert_eq!(world.gate.watched(), 1, "it is still watched");
    }
}

#[test]
fn a_connection_that_passed_on_stale_facts_is_denied_when_they_turn_out_old() {
    let site = network(1, "");
    let mut world = World::with(Rc::clone(&site));
    let clean = world.assessment(Level::Safe, &[]);
    world.gate.cache.insert(ip(TOR).into(), Fact::after(None, clean));
    world.wait(13 * 3_600_000);
    assert_eq!(world.connect(&site, 1, TOR).unwrap().verdict.action, Action::Allow);
    let lookup = world.next().unwrap();
    let bad = world.bad();
    assert_eq!(summary(&world.answer_and_sweep(&lookup, Ok(bad))), [(1, Action::Deny, true)]);
}

#[test]
fn facts_that_come_by_way_of_another_connection_count_for_those_that_passed() {
    let site = network(1, r#", "cache": {"entries": 1}"#);
    let mut world = World::with(Rc::clone(&site));
    world.gate.configure(&site.config, &world.store);
    let clean = world.assessment(Level::Safe, &[]);
    world.gate.cache.insert(ip(TOR).into(), Fact::after(None, clean));
    assert_eq!(world.connect(&site, 1, TOR).unwrap().verdict.action, Action::Allow);
    // This worker forgot the peer, and another learned something.
    world.gate.cache.insert(ip("198.51.100.2").into(), Fact::after(None, clean));
    world.gate.cache.insert(ip("198.51.100.3").into(), Fact::after(None, clean));
    let bad = world.bad();
    world.gate.table.put(&world.store, ip(TOR).into(), &Fact::after(None, bad));
    let second = world.connect(&site, 2, TOR).unwrap();
    assert_eq!((second.verdict.action, second.source), (Action::Deny, Source::Shared));
    assert_eq!(world.gate.next_event(), Some(Moment::default()), "at once");
    let released = world.sweep();
    assert_eq!(summary(&released), [(1, Action::Deny, true)]);
    assert_eq!(released[0].decision.source, Source::Shared);
}

#[test]
fn a_connection_that_closed_is_forgotten_while_held_and_after() {
    let site = network(1, "");
    let mut world = World::with(Rc::clone(&site));
    let lookup = world.pass_unknown(&site, 1, TOR);
    assert_eq!(world.connect(&site, 2, TOR), None);
    world.gate.leave(StreamId(1));
    world.gate.leave(StreamId(2));
    assert_eq!((world.gate.watched(), world.gate.held()), (0, 0));
    let bad = world.bad();
    assert_eq!(summary(&world.answer_and_sweep(&lookup, Ok(bad))), []);
}

#[test]
fn invariants_4_and_5_what_a_list_or_its_address_lets_pass_is_never_denied_late() {
    let site = network(1, r#", "lists": {"allow": [{"cidr": "198.51.100.9"}]}"#);
    let mut world = World::with(Rc::clone(&site));
    assert_eq!(world.connect(&site, 1, TOR).unwrap().source, Source::List);
    assert_eq!(world.connect(&site, 2, "10.0.0.1"), None);
    assert_eq!((world.gate.watched(), world.gate.held()), (0, 0));
    // Another listener's configuration has the peer looked up.
    let other = network(2, "");
    let lookup = world.pass_unknown(&other, 3, TOR);
    let bad = world.bad();
    assert_eq!(summary(&world.answer_and_sweep(&lookup, Ok(bad))), [(3, Action::Deny, true)]);
}

#[test]
fn each_connection_is_denied_by_the_policy_under_which_it_came() {
    let strict = network(
        1,
        r#", "policy": {"profile": "none", "rules": [
        {"name": "tor", "when": {"any": ["anonymity.tor"]}, "then": "deny"}]}"#,
    );
    let usual = network(2, "");
    let mut world = World::with(Rc::clone(&strict));
    let lookup = world.pass_unknown(&strict, 1, TOR);
    assert_eq!(world.connect(&usual, 2, TOR), None);
    world.wait(100);
    assert_eq!(summary(&world.sweep()), [(2, Action::Allow, false)]);
    let tor = world.assessment(Level::Moderate, &[Finding::Tor]);
    assert_eq!(summary(&world.answer_and_sweep(&lookup, Ok(tor))), [(1, Action::Deny, true)]);
    assert_eq!(world.gate.watched(), 1);
}

#[test]
fn in_shadow_mode_a_late_denial_is_reported_once_and_nothing_is_refused() {
    let site = network(1, r#", "mode": "shadow""#);
    let mut world = World::with(Rc::clone(&site));
    let lookup = world.pass_unknown(&site, 1, TOR);
    let bad = world.bad();
    let released = world.answer_and_sweep(&lookup, Ok(bad));
    assert_eq!(summary(&released), [(1, Action::Deny, true)]);
    assert!(!released[0].decision.refuses(site.config.mode));
    // What is denied from the start is reported then, and not watched.
    assert_eq!(world.connect(&site, 2, TOR).unwrap().verdict.action, Action::Deny);
    assert_eq!(world.gate.watched(), 0);
}

#[test]
fn a_lookup_about_a_connection_that_passed_outlives_the_root_that_wanted_it() {
    let (first, second) = (network(1, ""), network(2, ""));
    let mut world = World::with(Rc::clone(&first));
    assert_eq!(world.connect(&first, 1, TOR), None);
    assert_eq!(world.connect(&second, 2, TOR), None);
    world.wait(100);
    assert_eq!(summary(&world.sweep()), [(1, Action::Allow, false), (2, Action::Allow, false)]);
    world.gate.leave(StreamId(1));
    assert!(!world.gate.retire(RootId(1)));
    world.site = second;
    let lookup = world.next().expect("the other root asks");
    let bad = world.bad();
    assert_eq!(summary(&world.answer_and_sweep(&lookup, Ok(bad))), [(2, Action::Deny, true)]);
}

#[test]
fn invariant_6_watched_connections_are_bounded() {
    let site = network(1, "");
    let mut world = World::with(Rc::clone(&site));
    let clean = world.assessment(Level::Safe, &[]);
    world.gate.cache.insert(ip(TOR).into(), Fact::after(None, clean));
    let more = 10;
    for stream in 0..WATCH_LIMIT + more {
        assert!(world.connect(&site, u32::try_from(stream).unwrap(), TOR).is_some());
    }
    assert_eq!(world.gate.watched(), WATCH_LIMIT);
    assert_eq!(counted(&mut world.gate)["criminalip_unwatched_total"], more as u64);
    world.gate.leave(StreamId(0));
    assert!(world.connect(&site, u32::MAX, TOR).is_some());
    assert_eq!(world.gate.watched(), WATCH_LIMIT);
}

proptest! {
    /// Whatever happens in whatever order: a held connection is released once, one that passed is denied at most once
    /// after that, and one that closed is never heard of again.
    #[test]
    fn invariant_3_every_connection_ends_once_and_is_denied_late_at_most_once(
        steps in proptest::collection::vec((0u8..7, 0u8..6, 0u16..200), 1..200)
    ) {
        let site = network(1, "");
        let mut world = World::with(Rc::clone(&site));
        let (mut held, mut open) = (BTreeSet::new(), BTreeSet::new());
        let mut flying: Vec<Lookup> = Vec::new();
        let mut next = 0;
        for (step, peer, millis) in steps {
            let mut released = Vec::new();
            match step {
                0 | 1 => {
                    next += 1;
                    match world.connect(&site, next, &format!("198.51.100.{peer}")) {
                        None => assert!(held.insert(next)),
                        Some(decision) if decision.verdict.action != Action::Deny => assert!(open.insert(next)),
                        Some(_) => {}
                    }
                }
                2 => {
                    let all: Vec<u32> = held.iter().chain(&open).copied().collect();
                    if let Some(stream) = all.get(usize::from(millis) % all.len().max(1)) {
                        world.gate.leave(StreamId(*stream));
                        held.remove(stream);
                        open.remove(stream);
                    }
                }
                3 => {
                    let (lookup, more) = world.next_with_releases();
                    flying.extend(lookup);
                    released.extend(more);
                }
                4 | 5 if !flying.is_empty() => {
                    let lookup = flying.remove(usize::from(peer) % flying.len());
                    let facts = match millis % 3 {
                        0 => Ok(world.assessment(Level::Safe, &[])),
                        1 => Ok(world.bad()),
                        _ => Err(LookupError::TimedOut),
                    };
                    released.extend(world.answer(&lookup, facts));
                }
                _ => world.wait(u64::from(millis)),
            }
            released.extend(world.sweep());
            for release in released {
                let denied = release.decision.verdict.action == Action::Deny;
                if release.late {
                    prop_assert!(denied && open.remove(&release.stream.0), "{release:?}");
                } else {
                    prop_assert!(held.remove(&release.stream.0), "{release:?}");
                    prop_assert!(denied || open.insert(release.stream.0));
                }
            }
            prop_assert_eq!(world.gate.watched(), open.len());
            prop_assert_eq!(world.gate.held(), held.len());
        }
    }
}

#[test]
fn a_connection_that_was_not_selected_is_denied_late_when_another_makes_its_peer_known() {
    let site = network(1, r#", "select": {"mode": "events"}"#);
    let mut world = World::with(Rc::clone(&site));
    assert_eq!(world.connect(&site, 1, TOR), None);
    assert!(world.next().is_none() && world.gate.held() == 0);
    let all = network(1, "");
    let lookup = world.pass_unknown(&all, 2, TOR);
    let released = world.answer_and_sweep(&lookup, Ok(world.bad()));
    assert_eq!(summary(&released), [(1, Action::Deny, true), (2, Action::Deny, true)]);
}

/// One worker has let connections pass without asking, and another learns about their peers: a few are looked at each second.
#[test]
fn what_another_worker_learns_closes_the_connections_of_a_worker_that_waits_for_nothing() {
    let lazy = network(1, r#", "select": {"mode": "events"}"#);
    let mut world = World::with(Rc::clone(&lazy));
    let mut other = Gate::new(8, &world.store);
    let all = network(2, "");
    for gate in [&mut world.gate, &mut other] {
        gate.configure(&all.config, &world.store);
    }
    let peer = |number: u32| format!("2001:db8::{number:x}");
    for number in 1..=200 {
        assert_eq!(world.connect(&lazy, number, &peer(number)), None);
    }
    std::mem::swap(&mut world.gate, &mut other);
    for number in 1..=150 {
        let lookup = world.pass_unknown(&all, number, &peer(number));
        let facts = if number % 2 == 0 { world.bad() } else { world.assessment(Level::Safe, &[]) };
        world.answer_and_sweep(&lookup, Ok(facts));
    }
    std::mem::swap(&mut world.gate, &mut other);
    let mut closed = BTreeSet::new();
    for second in 0..4 {
        world.wait(1_000);
        let released = world.sweep();
        assert!(second > 0 || released.len() == 32, "a few at a time: {}", released.len());
        for release in released {
            assert!(release.late && release.decision.source == Source::Shared);
            assert!(closed.insert(release.stream.0), "once");
        }
    }
    assert_eq!(closed, (1..=150).filter(|number| number % 2 == 0).collect());
}
