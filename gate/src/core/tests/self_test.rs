//! The self-test's address takes the whole path and costs nothing.

use super::*;
use crate::SELF_TEST;

const ADDRESS: &str = "192.0.2.254";

fn credits(world: &World) -> u32 {
    ledger::status(&world.store, Budget::default(), world.now).spent_today
}

#[test]
fn the_self_tests_address_is_held_looked_up_denied_and_remembered_and_costs_no_credit() {
    assert_eq!(ip(ADDRESS), SELF_TEST);
    for direction in ["ingress", "egress"] {
        let mut world = World::new(&format!(r#", "self_test": true, "direction": "{direction}""#));
        assert!(world.consult(ADDRESS).is_none());
        assert_eq!((world.admit(1, ADDRESS), world.admit(2, ADDRESS)), (Admitted::Held, Admitted::Held));
        assert_eq!((world.gate.held(), world.gate.queued()), (2, 1));
        let (lookup, released) = world.next_with_releases();
        assert!(lookup.is_none() && released.len() == 2);
        for release in released {
            let decision = release.decision;
            assert_eq!((decision.verdict.action, decision.source), (Action::Deny, Source::SelfTest));
            assert!(decision.rule(&release.site.config).is_some());
            let line = decision.log_line(&release.site.config, &release.remote);
            assert!(line.contains(r#""peer":"192.0.2.254""#) && line.contains(r#""source":"self_test""#), "{line}");
        }
        let decision = world.consult(ADDRESS).unwrap();
        assert_eq!((decision.verdict.action, decision.source), (Action::Deny, Source::Cache));
        // Another worker finds it in what they share.
        let mut other = gate_of(8, &world.store);
        let proxy = Proxy { now: world.now, store: &world.store };
        let shared = other.admit(&world.site, StreamId(1), &ip(ADDRESS).into(), &connection(world.now), proxy);
        assert!(matches!(shared, Admitted::Decided(decision) if decision.source == Source::Shared), "{shared:?}");

        assert_eq!(credits(&world), 0);
        let counted = counted(&mut world.gate);
        assert_eq!(counted["criminalip_decisions_total;action=deny;source=self_test;mode=enforce"], 2);
        assert!(counted.keys().all(|name| !name.starts_with("criminalip_lookups_total")), "{counted:?}");
    }
}

fn gate_of(random: u64, store: &Memory) -> Gate {
    let mut gate = Gate::new(random, store);
    gate.configure(&site(1, "").config, store);
    gate
}

#[test]
fn what_stops_lookups_does_not_stop_the_self_test() {
    let document = br#"{"self_test": true, "api": {"cluster": "c", "budget": {"per_day": 0}},
                        "scope": {"treat_as_public": ["198.51.100.0/24"]}}"#;
    let mut world = World::with(Rc::new(Site::new(RootId(1), Config::parse(document).unwrap())));
    assert!(matches!(world.admit(1, TOR), Admitted::Decided(decision) if decision.source == Source::OnError));
    assert_eq!(world.admit(2, ADDRESS), Admitted::Held);
    let (lookup, released) = world.next_with_releases();
    assert!(lookup.is_none());
    assert_eq!(released[0].decision.source, Source::SelfTest);
}

#[test]
fn every_profile_denies_the_self_test_and_without_it_the_address_is_nobodys() {
    for profile in ["ingress", "egress", "pipeline"] {
        for direction in ["ingress", "egress"] {
            let keys =
                format!(r#", "self_test": true, "direction": "{direction}", "policy": {{"profile": "{profile}"}}"#);
            let mut world = World::new(&keys);
            world.admit(1, ADDRESS);
            let released = world.next_with_releases().1;
            assert_eq!(released[0].decision.verdict.action, Action::Deny, "{profile} {direction}");
        }
    }
    for keys in ["", r#", "self_test": true, "scope": {"skip": ["192.0.2.0/24"]}"#] {
        let config = Config::parse(format!(r#"{{"api": {{"cluster": "c"}}{keys}}}"#).as_bytes()).unwrap();
        let mut world = World::with(Rc::new(Site::new(RootId(1), config)));
        let consulted = world.gate.consult(&world.site, &ip(ADDRESS).into(), &connection(START), START.timestamp());
        assert_eq!(consulted, Consulted::Skip(Skip::NotPublic), "{keys}");
    }
    // Chosen connections only, as for any other address.
    let mut world = World::new(r#", "self_test": true, "select": {"critical_ports": [22]}"#);
    assert_eq!(world.admit(1, ADDRESS), Admitted::Skip(Skip::NotSelected));
}
