//! What the workers of one proxy share.

use super::fleet::{Fleet, clean, peer};
use super::*;

fn patient(extra: &str) -> Rc<Site> {
    site(1, &format!(r#", "first_look": {{"hold": "60s", "max_held": 60000}} {extra}"#))
}

#[test]
fn invariant_7_one_lookup_per_address_and_proxy_one_at_a_time() {
    for (workers, lose_messages) in [(1, false), (2, false), (4, false), (4, true)] {
        let mut fleet = Fleet::new(workers, patient(""));
        fleet.lose_messages = lose_messages;
        for request in 0..10_000 {
            fleet.request(request % workers, peer(request as u32 % 200));
        }
        let known = clean(fleet.now);
        fleet.run(55_000, &|_| (30, Ok(known)));
        let distinct: BTreeSet<_> = fleet.calls.iter().collect();
        assert_eq!((fleet.calls.len(), distinct.len()), (200, 200), "{workers} workers");
        assert_eq!(fleet.most_in_flight, 1, "{workers} workers");
        assert!(fleet.held.is_empty(), "{} of {workers} workers' streams still wait", fleet.held.len());
        for worker in 0..workers {
            let decision = fleet.request(worker, peer(3)).unwrap();
            assert!(matches!(decision.source, Source::Cache | Source::Shared), "{:?}", decision.source);
        }
    }
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut fleet = Fleet::new(2, site(1, r#", "first_look": {"hold": "2s"}"#));
    fleet.now = START.after(Duration::from_secs(7_200));
    for number in 0..4 {
        fleet.request(number as usize % 2, peer(number));
    }
    let known = clean(fleet.now);
    fleet.turn(&|_| (60_000, Ok(known)));
    assert_eq!(fleet.calls.len(), 1);
    // The lookup under way is lost, and the clock shows two hours less.
    fleet.flying.clear();
    fleet.now = START;
    fleet.turn(&|_| (30, Ok(known)));
    assert!(fleet.held.is_empty(), "they were to be released two seconds later by the old time");
    fleet.request(0, peer(9));
    fleet.run(1_000, &|_| (30, Ok(known)));
    assert!(fleet.calls.contains(&peer(9)), "the lost lookup's lane is free");
    assert!(fleet.held.is_empty());
}

#[test]
fn a_stream_that_came_after_the_clock_was_read_is_held_as_long_as_any_may_be() {
    let mut world = World::new(r#", "first_look": {"hold": "60s"}"#);
    world.wait(1);
    assert!(matches!(world.admit(1, TOR), Admitted::Held));
    for (now, released) in [(0, 0), (60_000, 0), (60_001, 1)] {
        world.now = START.after(Duration::from_millis(now));
        assert_eq!(world.sweep().len(), released, "{now}");
    }
}

#[test]
fn a_lane_of_a_worker_that_died_comes_free() {
    let mut fleet = Fleet::new(2, patient(""));
    fleet.request(0, peer(1));
    fleet.turn(&|_| (100, Err(LookupError::Reset)));
    assert_eq!(fleet.calls, [peer(1)]);
    // The first worker's VM is gone, and what it sent with it.
    fleet.flying.clear();
    fleet.gates[0] = Gate::new(99, &fleet.store);
    fleet.held.clear();
    fleet.request(1, peer(2));
    let known = clean(fleet.now);
    fleet.run(9_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls.len(), 1, "the lane is still taken");
    fleet.run(2_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls, [peer(1), peer(2)]);
    assert!(fleet.held.is_empty());
}

#[test]
fn invariant_7_no_more_lookups_than_the_budget() {
    let budget = r#", "api": {"cluster": "c", "budget": {"per_day": 50, "per_hour": 20}}, "on_error": "deny""#;
    let document =
        format!(r#"{{"scope": {{"treat_as_public": ["2001:db8::/32"]}}, "first_look": {{"hold": "60s"}} {budget}}}"#);
    let site = Rc::new(Site::new(RootId(1), Config::parse(document.as_bytes()).unwrap()));
    let mut fleet = Fleet::new(3, site);
    // From the first minute of a day on.
    fleet.now = Moment::start_of_day(START.day() + 1);
    let (mut number, mut spent) = (0, Vec::new());
    for _hour in 0..23 {
        for _ in 0..60 {
            for worker in 0..3 {
                number += 1;
                fleet.request(worker, peer(number));
            }
            let known = clean(fleet.now);
            fleet.run(60_000, &|_| (30, Ok(known)));
        }
        spent.push(fleet.calls.len());
    }
    assert_eq!(&spent[..4], [20, 40, 50, 50], "minutes are enough to spend an hour's budget");
    assert_eq!(spent[22], 50);
    let refused = fleet.request(0, peer(900_000)).unwrap();
    assert_eq!((refused.verdict.action, refused.reason), (Action::Deny, Some(Reason::Halted(Halt::BudgetSpent))));
    assert!(fleet.request(0, peer(1)).is_some_and(|known| known.reason.is_none()), "what is known goes on");
    fleet.run(3_600_000, &|_| (30, Err(LookupError::Reset)));
    assert!(fleet.request(0, peer(900_001)).is_none(), "a new day");
}

#[test]
fn the_breaker_opens_after_five_failures_and_closes_after_one_success() {
    let mut fleet = Fleet::new(2, patient(""));
    let failing = |_: IpAddr| (10, Err(LookupError::TimedOut));
    let mut calls = Vec::new();
    for number in 0..3_000 {
        fleet.request(number as usize % 2, peer(number));
        fleet.run(100, &failing);
        calls.push(fleet.calls.len());
    }
    assert_eq!(calls[9], 5, "then the breaker is open");
    assert!(calls[2_999] < 16, "probes come ever more seldom: {} in five minutes", calls[2_999]);
    let halted = fleet.request(0, peer(5_000)).unwrap();
    assert_eq!((halted.source, halted.reason), (Source::OnError, Some(Reason::Halted(Halt::BreakerOpen))));

    fleet.run(400_000, &failing);
    let known = clean(fleet.now);
    for number in 6_000..6_010 {
        fleet.request(0, peer(number));
    }
    fleet.run(2_000, &|_| (10, Ok(known)));
    assert!(fleet.held.is_empty());
    assert_eq!(ledger::status(&fleet.store, crate::Budget::default(), fleet.now).halted, None);
}

#[test]
fn each_refusal_of_criminal_ip_stops_all_workers_for_its_own_time() {
    for (error, halt, minutes) in [
        (AnswerError::NoCredit, Halt::NoCredit, 60),
        (AnswerError::BadKey, Halt::BadKey, 5),
        (AnswerError::RateLimited, Halt::RateLimited, 1),
    ] {
        let mut fleet = Fleet::new(2, patient(""));
        let refused = move |_: IpAddr| (10, Err(LookupError::Answer(error)));
        fleet.request(0, peer(1));
        fleet.run(100, &refused);
        let other = fleet.request(1, peer(2)).unwrap();
        assert_eq!(other.reason, Some(Reason::Halted(halt)), "{error:?}");
        fleet.run(minutes * 60_000 - 1_000, &refused);
        assert!(fleet.request(1, peer(3)).is_some(), "{error:?}: still halted");
        fleet.run(1_000, &refused);
        assert!(fleet.request(1, peer(4)).is_none(), "{error:?}: one asks again");
        fleet.run(100, &refused);
        assert_eq!(fleet.calls.len(), 2, "{error:?}");

        let site = Rc::clone(&fleet.site);
        fleet.gates[0].configure(&site.config, &fleet.store);
        assert!(fleet.request(0, peer(5)).is_none(), "{error:?}: a new configuration may have another key");
    }
}

#[test]
fn stale_facts_decide_and_are_learned_anew_once() {
    let mut fleet = Fleet::new(2, patient(r#", "cache": {"ttl": {"clean": "1h"}, "stale": "24h"}"#));
    let known = clean(fleet.now);
    fleet.request(0, peer(1));
    fleet.run(100, &|_| (10, Ok(known)));
    fleet.now = fleet.now.after(Duration::from_secs(2 * 3600));
    let failing = |_: IpAddr| (10, Err(LookupError::Connection));
    let stale = fleet.request(0, peer(1)).unwrap();
    assert_eq!((stale.source, stale.verdict.action), (Source::Cache, Action::Allow));
    fleet.run(100, &failing);
    assert_eq!(fleet.calls.len(), 2);
    for _ in 0..20 {
        assert_eq!(fleet.request(0, peer(1)).unwrap().source, Source::Cache, "stale is better than nothing");
        fleet.run(1_000, &failing);
    }
    assert_eq!(fleet.calls.len(), 2, "not again within cache.ttl.error");
    fleet.run(20_000, &failing);
    fleet.request(0, peer(1));
    let known = clean(fleet.now);
    fleet.run(100, &|_| (10, Ok(known)));
    assert_eq!(fleet.calls.len(), 3);
    assert!(fleet.request(1, peer(1)).unwrap().age.unwrap() < 10, "the other worker has the new facts");
}

#[test]
fn invariant_7_what_another_worker_has_learned_anew_is_not_asked_for_again() {
    let mut fleet = Fleet::new(2, patient(r#", "cache": {"ttl": {"clean": "1h"}, "stale": "24h"}"#));
    let known = clean(fleet.now);
    fleet.request(0, peer(1));
    fleet.run(100, &|_| (10, Ok(known)));
    assert!(fleet.request(1, peer(1)).is_some(), "both remember it");
    fleet.now = fleet.now.after(Duration::from_secs(2 * 3600));
    let known = clean(fleet.now);
    fleet.request(0, peer(1));
    fleet.run(5_000, &|_| (10, Ok(known)));
    assert_eq!(fleet.calls.len(), 2);
    assert!(fleet.request(1, peer(1)).unwrap().age.unwrap() < 10, "what is new decides at once");
    fleet.run(100, &|_| (10, Ok(known)));
    assert_eq!(fleet.calls.len(), 2);
}

#[test]
fn a_failure_that_another_worker_met_does_not_take_the_place_of_stale_facts() {
    let mut fleet = Fleet::new(2, patient(r#", "cache": {"ttl": {"clean": "1h"}, "stale": "24h"}"#));
    let known = clean(fleet.now);
    fleet.request(0, peer(1));
    fleet.run(100, &|_| (10, Ok(known)));
    fleet.now = fleet.now.after(Duration::from_secs(2 * 3600));
    fleet.gates[1].table.put(
        &fleet.store,
        peer(1).into(),
        &Fact::Failed { at: fleet.now.timestamp(), error: LookupError::Reset },
    );
    for _ in 0..2 {
        let stale = fleet.request(0, peer(1)).unwrap();
        assert_eq!((stale.source, stale.reason), (Source::Cache, None));
    }
}

#[test]
fn a_peer_that_is_denied_again_and_again_is_denied_longer_on_all_workers() {
    let block = r#", "policy": {"block": {"ttl": "1h", "factor": 3, "max": "10h"}}, "cache": {"stale": "0s"}"#;
    let mut fleet = Fleet::new(2, patient(block));
    let mut asked = 0;
    for hours in [1, 3, 9, 10, 10] {
        let bad = Assessment { findings: Findings::of(&[Finding::C2]), ..clean(fleet.now) };
        assert!(fleet.request(0, peer(1)).is_none());
        fleet.run(100, &|_| (10, Ok(bad)));
        asked += 1;
        let learned = fleet.now;
        // Lifetimes are shorter by up to a tenth.
        fleet.now = learned.after(Duration::from_secs(hours * 3600 * 9 / 10 - 60));
        for worker in [0, 1] {
            assert_eq!(fleet.request(worker, peer(1)).unwrap().verdict.action, Action::Deny, "after {hours} hours");
        }
        assert_eq!(fleet.calls.len(), asked);
        fleet.now = learned.after(Duration::from_secs(hours * 3600));
    }
    let good = clean(fleet.now);
    assert!(fleet.request(1, peer(1)).is_none());
    fleet.run(100, &|_| (10, Ok(good)));
    assert_eq!(fleet.request(0, peer(1)).unwrap().verdict.action, Action::Allow, "forgiven when nothing is found");
}

#[test]
fn invariant_6_a_flood_of_new_addresses_leaves_known_peers_and_memory_alone() {
    let mut fleet = Fleet::new(2, site(1, r#", "first_look": {"hold": "750ms", "max_held": 50}"#));
    let known = clean(fleet.now);
    fleet.request(0, peer(1));
    fleet.run(100, &|_| (10, Ok(known)));
    let keys = fleet.store.keys();
    for number in 0..100_000u32 {
        fleet.request(number as usize % 2, peer(1_000 + number));
        if number % 1_000 == 0 {
            let known = clean(fleet.now);
            fleet.run(10, &|_| (10, Ok(known)));
            assert_eq!(fleet.request(0, peer(1)).unwrap().source, Source::Cache);
        }
    }
    for gate in &fleet.gates {
        assert!(gate.held() <= 50 && gate.queued() <= QUEUE_LIMIT);
    }
    assert!(fleet.store.keys() - keys <= fleet.calls.len(), "only what was learned takes room");
}

proptest! {
    /// Whatever the API, the messages and the timing: each stream ends once, lanes and budget hold, and no address is
    /// asked about again while its facts are good.
    #[test]
    fn invariants_3_and_7_hold_for_any_traffic(
        workers in 1usize..5,
        lose_messages: bool,
        steps in proptest::collection::vec((0usize..5, 0u32..30, 0u64..300, 0u8..10), 1..150),
    ) {
        let mut fleet = Fleet::new(workers, site_with_lanes_for_all(2));
        fleet.lose_messages = lose_messages;
        let start = clean(fleet.now);
        let mut known: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (worker, number, pause, mood) in steps {
            fleet.request(worker % workers, peer(number));
            let before = fleet.calls.len();
            fleet.run(pause, &|peer| match mood {
                0 => (20, Err(LookupError::Reset)),
                1 => (20, Err(LookupError::Answer(AnswerError::ConcurrencyRefused))),
                _ => (u64::from(peer.to_string().len() as u32), Ok(start)),
            });
            if mood > 1 {
                for call in &fleet.calls[before..] {
                    *known.entry(*call).or_default() += 1;
                }
            }
            prop_assert!(fleet.most_in_flight <= 2);
        }
        fleet.run(120_000, &|_| (20, Ok(start)));
        prop_assert!(fleet.held.is_empty());
        prop_assert!(fleet.flying.is_empty());
    }
}

fn site_with_lanes_for_all(lanes: u8) -> Rc<Site> {
    let document = format!(
        r#"{{"api": {{"cluster": "c", "concurrency": {lanes}}}, "scope": {{"treat_as_public": ["2001:db8::/32"]}}}}"#
    );
    Rc::new(Site::new(RootId(1), Config::parse(document.as_bytes()).unwrap()))
}
