//! What security events ask for.

use super::fleet::{Fleet, clean, peer};
use super::*;

fn fleet(workers: usize, budget: &str) -> Fleet {
    let document = format!(
        r#"{{"scope": {{"treat_as_public": ["2001:db8::/32"]}}, "first_look": {{"hold": "60s"}}, "on_error": "deny",
            "api": {{"cluster": "c", "budget": {budget}}}}}"#
    );
    let mut fleet = Fleet::new(workers, Rc::new(Site::new(RootId(1), Config::parse(document.as_bytes()).unwrap())));
    fleet.now = Moment::start_of_day(START.day() + 1);
    fleet
}

fn ask(fleet: &mut Fleet, worker: usize, number: u32) -> bool {
    let site = Rc::clone(&fleet.site);
    let proxy = Proxy { now: fleet.now, store: &fleet.store };
    fleet.gates[worker].ask_for_event(&site, &peer(number).into(), proxy)
}

#[test]
fn events_come_before_held_streams_of_all_workers() {
    let mut fleet = fleet(3, r#"{"per_day": 1000}"#);
    let known = clean(fleet.now);
    for number in 0..30 {
        fleet.request(number as usize % 3, peer(number));
    }
    // One call is under way, and nine more streams wait before each worker's turn.
    fleet.run(1, &|_| (100, Ok(known)));
    let before = fleet.calls.len();
    for number in 100..104 {
        assert!(ask(&mut fleet, number as usize % 2, number));
    }
    fleet.run(5_000, &|_| (100, Ok(known)));
    let next: BTreeSet<_> = fleet.calls[before..before + 4].iter().copied().collect();
    assert_eq!(next, (100..104).map(peer).collect(), "{:?}", fleet.calls);
    assert_eq!(fleet.calls.len(), 34);
}

#[test]
fn what_is_reserved_is_spent_on_events_alone_across_workers_and_configurations() {
    let mut fleet = fleet(3, r#"{"per_day": 50, "per_hour": 30, "reserve_for_events": 20}"#);
    let known = clean(fleet.now);
    for number in 0..90 {
        fleet.request(number as usize % 3, peer(number));
    }
    fleet.run(60_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls.len(), 30, "the rest is reserved");
    let refused = fleet.request(0, peer(500)).unwrap();
    assert_eq!(refused.reason, Some(Reason::Halted(Halt::BudgetSpent)));
    // Another configuration is loaded.
    let site = Rc::clone(&fleet.site);
    for worker in 0..3 {
        fleet.gates[worker].configure(&site.config, &fleet.store);
    }
    for number in 100..160 {
        assert!(ask(&mut fleet, number as usize % 3, number));
    }
    fleet.run(60_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls.len(), 50, "the whole day is spent, whatever the hour had left");
    let events: BTreeSet<_> = (100..160).map(peer).collect();
    assert!(fleet.calls[30..].iter().all(|call| events.contains(call)));
    fleet.run(3_600_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls.len(), 50);
}

#[test]
fn what_events_spent_of_the_reserve_is_not_reserved_any_more() {
    let mut fleet = fleet(2, r#"{"per_day": 50, "per_hour": 50, "reserve_for_events": 20}"#);
    let known = clean(fleet.now);
    for number in 100..115 {
        assert!(ask(&mut fleet, 0, number));
    }
    fleet.run(10_000, &|_| (30, Ok(known)));
    for number in 0..90 {
        fleet.request(number as usize % 2, peer(number));
    }
    fleet.run(60_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls.len(), 45, "15 for events, 30 for others, 5 are reserved still");
    let status = ledger::status(&fleet.store, fleet.site.config.api.budget, fleet.now);
    assert_eq!((status.spent_today, status.reserved), (45, 5));
    assert_eq!(status.lasts(50, fleet.now), Duration::ZERO, "nothing is left for others");
}

#[test]
fn a_lookup_for_an_event_that_cost_nothing_goes_back_into_the_reserve() {
    let mut fleet = fleet(1, r#"{"per_day": 10, "reserve_for_events": 5}"#);
    ask(&mut fleet, 0, 1);
    fleet.run(1_000, &|_| (30, Err(LookupError::Connection)));
    let status = ledger::status(&fleet.store, fleet.site.config.api.budget, fleet.now);
    assert_eq!((fleet.calls.len(), status.spent_today, status.reserved), (1, 0, 5));
}

#[test]
fn fresh_facts_do_for_an_event_and_stale_ones_outlive_a_failure() {
    let mut fleet = fleet(1, r#"{"per_day": 10}"#);
    let known = clean(fleet.now);
    ask(&mut fleet, 0, 1);
    fleet.run(1_000, &|_| (30, Ok(known)));
    assert!(ask(&mut fleet, 0, 1));
    fleet.run(1_000, &|_| (30, Ok(known)));
    assert_eq!(fleet.calls.len(), 1, "the facts are fresh");
    fleet.now = fleet.now.after(Duration::from_secs(13 * 3600));
    assert!(ask(&mut fleet, 0, 1));
    fleet.run(1_000, &|_| (30, Err(LookupError::TimedOut)));
    assert_eq!(fleet.calls.len(), 2);
    assert!(fleet.request(0, peer(1)).is_some_and(|decision| decision.reason.is_none()), "stale facts still decide");
}
