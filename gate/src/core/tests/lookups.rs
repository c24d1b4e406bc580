//! The lookups of one worker: shared, refused, failed, lost, handed over.

use super::*;

#[test]
fn all_streams_that_wait_for_an_address_share_one_lookup() {
    let mut world = World::new("");
    for stream in 0..50 {
        assert!(world.consult(TOR).is_none());
        assert_eq!(world.admit(stream, TOR), Admitted::Held);
    }
    let lookup = world.next().unwrap();
    assert_eq!(lookup.subject, ip(TOR).into());
    assert!(world.next().is_none(), "one lookup for all");

    let tor = world.assessment(Level::Moderate, &[Finding::Tor]);
    let released = world.answer(&lookup, Ok(tor));
    assert_eq!(released.iter().map(|release| release.stream.0).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert!(released.iter().all(|release| release.decision.verdict.action == Action::Tag));
    assert!(released.iter().all(|release| release.decision.source == Source::Api));
    assert_eq!((world.gate.held(), world.gate.next_event()), (0, None));

    let decision = world.consult(TOR).unwrap();
    assert_eq!((decision.verdict.action, decision.source, decision.age), (Action::Tag, Source::Cache, Some(0)));
}

#[test]
fn invariant_2_a_failed_lookup_is_never_a_fact() {
    for error in LookupError::all() {
        let mut world = World::new(r#", "on_error": "deny", "cache": {"ttl": {"error": "30s"}}"#);
        world.admit(1, TOR);
        let mut released = Vec::new();
        while let Some(lookup) = world.next() {
            released = world.answer(&lookup, Err(error));
            world.wait(200);
        }
        let reason = Some(Reason::Lookup(error));
        assert_eq!(
            (released[0].decision.verdict.action, released[0].decision.reason),
            (Action::Deny, reason),
            "{error}"
        );

        let again = world.consult(TOR).unwrap();
        assert_eq!((again.source, again.reason, again.age), (Source::OnError, reason, None), "{error}");
        assert!(counted(&mut world.gate).contains_key(&format!("criminalip_failed_closed_total;reason={error}")));

        world.wait(30_000);
        assert!(world.consult(TOR).is_none(), "{error}: forgotten after cache.ttl.error");
        // Until Criminal IP is asked again, whatever it said.
        world.wait(3_600_000);
        world.admit(2, TOR);
        let lookup = world.next().unwrap();
        let clean = world.assessment(Level::Safe, &[]);
        assert_eq!(world.answer(&lookup, Ok(clean))[0].decision.verdict.action, Action::Allow, "{error}");
    }
}

#[test]
fn a_lookup_refused_because_another_is_under_way_is_sent_again_after_a_pause() {
    let mut world = World::new("");
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    let refused = Err(LookupError::Answer(AnswerError::ConcurrencyRefused));
    assert!(world.answer(&lookup, refused).is_empty());
    assert!(world.next().is_none());
    world.wait(200);
    let lookup = world.next().unwrap();
    let clean = world.assessment(Level::Safe, &[]);
    assert_eq!(world.answer(&lookup, Ok(clean)).len(), 1);
}

#[test]
fn never_more_lookups_are_in_flight_than_there_are_lanes() {
    let mut world = World::with(site_with_lanes(2));
    for host in 0..5 {
        world.admit(host, &format!("198.51.100.{host}"));
    }
    let first = world.next().unwrap();
    let second = world.next().unwrap();
    assert!(world.next().is_none());
    assert_ne!(first.subject, second.subject);
    world.answer(&first, Err(LookupError::TimedOut));
    assert_eq!(world.next().unwrap().subject, ip("198.51.100.2").into(), "first come, first served");
    assert!(world.next().is_none());
}

#[test]
fn two_configurations_share_a_lookup_and_judge_by_their_own_policy() {
    let mut world = World::new("");
    let strict = site(2, r#", "policy": {"profile": "pipeline"}"#);
    world.admit(1, TOR);
    world.admit_under(&strict, 2, TOR);
    let lookup = world.next().unwrap();
    let tor = world.assessment(Level::Safe, &[Finding::Tor]);
    let actions: Vec<_> =
        world.answer(&lookup, Ok(tor)).iter().map(|release| release.decision.verdict.action).collect();
    assert_eq!(actions, [Action::Tag, Action::Deny]);
}

#[test]
fn a_root_that_ends_hands_its_lookups_over_and_outlives_its_callouts() {
    let mut world = World::new("");
    let heir = site(2, "");
    world.admit(1, "198.51.100.1");
    let sent = world.next().unwrap();
    world.admit(2, "198.51.100.2");
    world.admit_under(&heir, 3, "198.51.100.2");
    world.admit(4, "198.51.100.3");
    for stream in [1, 2, 4] {
        world.gate.leave(StreamId(stream));
    }
    assert!(world.gate.retire(RootId(1)), "an answer is to come");
    world.answer(&sent, Err(LookupError::Reset));
    assert!(!world.gate.retire(RootId(1)));
    assert_eq!(world.gate.next_root(START), Some(RootId(2)));
    world.site = heir;
    let inherited = world.next().unwrap();
    assert_eq!((inherited.subject, inherited.site.root), (ip("198.51.100.2").into(), RootId(2)));
    assert_eq!(world.gate.queued(), 0, "nobody waits for the third any more");
}

#[test]
fn a_lookup_refused_while_its_root_ends_does_not_keep_the_address_from_being_asked_about() {
    let mut world = World::new("");
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    world.gate.leave(StreamId(1));
    assert!(world.gate.retire(RootId(1)));
    world.answer(&lookup, Err(LookupError::Answer(AnswerError::ConcurrencyRefused)));
    assert!(!world.gate.retire(RootId(1)));
    world.wait(1_000);
    world.site = site(2, "");
    world.admit(2, TOR);
    assert_eq!(world.next().unwrap().site.root, RootId(2));
}

#[test]
fn a_lookup_whose_answer_the_proxy_lost_is_given_up() {
    let mut world = World::new(r#", "first_look": {"hold": "60s"}"#);
    world.admit(1, TOR);
    world.next().unwrap();
    world.wait(10_000);
    assert_eq!(world.gate.next_event(), Some(world.now));
    let released = world.sweep();
    assert_eq!(released[0].decision.reason, Some(Reason::Lookup(LookupError::TimedOut)));
    assert_eq!(world.gate.next_event(), None);
}
