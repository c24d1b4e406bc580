use super::*;
use crate::Receipt;

const NOTIFY: &str = r#", "cache": {"ttl": {"malicious": "1h"}, "stale": "1h"}, "policy": {"block": {"ttl": "1h", "factor": 1}},
    "notify": {"cluster": "soc", "authority": "hooks.internal", "path": "/p"}"#;

/// A world whose configuration has joined.
fn told() -> World {
    let mut world = World::new(NOTIFY);
    let site = Rc::clone(&world.site);
    world.gate.join_notify(&site);
    world
}

impl World {
    /// Has this peer looked up and found to be so.
    fn look_up(&mut self, peer: &str, inbound: Level) {
        self.admit(1, peer);
        let lookup = self.next().expect("it is looked up");
        let facts = self.assessment(inbound, &[]);
        self.answer(&lookup, Ok(facts));
    }

    /// The text of the message that goes out, if any does within two seconds.
    fn message(&mut self) -> Option<String> {
        self.wait(2_000);
        let mut effects = Effects::default();
        let delivery = self.gate.next_delivery(self.site.root, self.now, &mut effects)?;
        let receipt = Receipt { outcome: Ok(()), retry_after: None };
        self.gate.delivered(delivery.id, &receipt, self.now, &mut effects);
        Some(delivery.body.to_string())
    }
}

#[test]
fn a_peer_is_told_once_as_long_as_what_is_known_about_it_counts() {
    let mut world = told();
    world.look_up(TOR, Level::Critical);
    assert!(world.message().is_some_and(|message| message.contains(TOR)));
    // Stale: it is refreshed, and is no news.
    world.wait(5_400_000);
    assert!(world.refresh(&ip(TOR).into(), &connection(world.now)).is_some());
    let lookup = world.next().expect("it is looked up again");
    let facts = world.assessment(Level::Critical, &[]);
    world.answer(&lookup, Ok(facts));
    assert_eq!(world.message(), None);
    // Too old to decide anything: whoever was told has forgotten as well.
    world.wait(3 * 3_600_000);
    world.look_up(TOR, Level::Critical);
    assert!(world.message().is_some());
}

#[test]
fn peers_below_the_score_and_lookups_that_fail_are_not_told() {
    let mut world = told();
    world.look_up(TOR, Level::Moderate);
    world.admit(2, "8.8.8.8");
    let lookup = world.next().unwrap();
    world.answer(&lookup, Err(LookupError::TimedOut));
    assert_eq!(world.message(), None);
    assert_eq!(world.gate.next_notifier(world.now), None);
}

#[test]
fn the_worker_whose_lookup_learned_it_tells_and_the_others_do_not() {
    let mut world = told();
    let mut other = Gate::new(8, &world.store);
    other.configure(&world.site.config, &world.store);
    other.join_notify(&world.site);
    world.look_up(TOR, Level::Critical);
    let (site, proxy) = (Rc::clone(&world.site), Proxy { now: world.now, store: &world.store });
    let admitted = other.admit(&site, StreamId(1), &ip(TOR).into(), &connection(world.now), proxy);
    assert!(matches!(admitted, Admitted::Decided(decision) if decision.source == Source::Shared));
    assert!(world.message().is_some());
    assert!(other.next_delivery(site.root, world.now, &mut Effects::default()).is_none());
}

#[test]
fn the_self_test_is_told_as_well() {
    let mut world = World::new(&format!(r#"{NOTIFY}, "self_test": true"#));
    let site = Rc::clone(&world.site);
    world.gate.join_notify(&site);
    world.admit(1, &SELF_TEST.to_string());
    assert!(world.next().is_none());
    assert!(world.message().is_some_and(|message| message.contains(&SELF_TEST.to_string())));
}

#[test]
fn what_is_to_be_told_is_the_next_event_of_the_gate() {
    let mut world = told();
    world.look_up(TOR, Level::Critical);
    let next = world.gate.next_event().unwrap();
    assert_eq!(world.now.until(next), Duration::from_secs(1));
    world.now = next;
    assert_eq!(world.gate.next_notifier(world.now), Some(world.site.root));
}
