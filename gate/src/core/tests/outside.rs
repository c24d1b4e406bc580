//! Facts that go to a memory outside of the proxy and come back.

use super::*;

fn kept(world: &World) -> Option<(Vec<u8>, std::time::Duration)> {
    world.gate.keepsake(&world.site.config, ip(TOR), world.now.timestamp())
}

fn recall(world: &mut World, kept: &[u8]) -> (bool, Vec<Release>) {
    let mut effects = Effects::default();
    let proxy = Proxy { now: world.now, store: &world.store };
    let used = world.gate.take_back(&world.site.config, ip(TOR), kept, proxy, &mut effects);
    (used, effects.released)
}

#[test]
fn facts_that_another_proxy_kept_decide_here_as_long_as_their_class_lets_them_live() {
    let cache = r#", "cache": {"ttl": {"clean": "1h", "suspicious": "2h", "malicious": "3h"}, "stale": "30m"},
        "policy": {"profile": "none", "block": {"ttl": "1h"}}"#;
    for (level, findings, minutes) in
        [(Level::Safe, &[][..], 90), (Level::Moderate, &[], 150), (Level::Critical, &[Finding::C2], 210)]
    {
        let (mut here, mut there) = (World::new(cache), World::new(cache));
        assert_eq!(kept(&there), None);
        there.admit(1, TOR);
        let lookup = there.next().unwrap();
        let facts = there.assessment(level, findings);
        there.answer(&lookup, Ok(facts));
        let (bytes, left) = kept(&there).unwrap();
        assert_eq!(left.as_secs(), minutes * 60, "{level:?}");

        assert_eq!(here.admit(1, TOR), Admitted::Held);
        let (used, released) = recall(&mut here, &bytes);
        assert!(used && released[0].decision.source == Source::Shared, "{level:?}");
        assert!(here.next().is_none() && !here.gate.wants(ip(TOR)), "nothing is left to ask");
        assert_eq!(here.consult(TOR).unwrap().source, Source::Cache);
        assert!(!recall(&mut here, &bytes).0, "it is known by now");

        let mut later = World::new(cache);
        later.wait(minutes * 60_000);
        assert!(!recall(&mut later, &bytes).0, "{level:?}: too old");
    }
}

#[test]
fn stale_facts_of_another_proxy_decide_and_are_learned_anew() {
    let mut world = World::new(r#", "cache": {"ttl": {"clean": "1h"}, "stale": "1h"}"#);
    let clean = world.assessment(Level::Safe, &[]);
    world.gate.cache.insert(ip(TOR).into(), Fact::after(None, clean));
    let (bytes, _) = kept(&world).unwrap();
    let mut later = World::new(r#", "cache": {"ttl": {"clean": "1h"}, "stale": "1h"}"#);
    later.wait(90 * 60_000);
    assert!(recall(&mut later, &bytes).0);
    assert!(matches!(later.admit(1, TOR), Admitted::Decided(decision) if decision.source == Source::Shared));
    assert!(later.next().is_some(), "it is learned anew");
}

#[test]
fn what_is_kept_about_one_peer_says_nothing_about_another_and_garbage_says_nothing_at_all() {
    let mut world = World::new("");
    let clean = world.assessment(Level::Safe, &[]);
    world.gate.cache.insert(ip("198.51.100.1").into(), Fact::after(None, clean));
    let now = world.now.timestamp();
    let (other, _) = world.gate.keepsake(&world.site.config, ip("198.51.100.1"), now).unwrap();
    for bytes in [&other[..], b"", b"\xff\xff\xff\xff", &[0; 100]] {
        assert!(!recall(&mut world, bytes).0, "{bytes:?}");
    }
    let failed = Fact::Failed { at: now, error: LookupError::Reset };
    world.gate.cache.insert(ip(TOR).into(), failed);
    assert_eq!(kept(&world), None, "failures are nobody else's business");
}
