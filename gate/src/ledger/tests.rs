use super::*;
use crate::store::memory::Memory;
use proptest::prelude::*;

const NOON: Moment = Moment::from_millis(1_800_014_400_000);

fn ask(worker: u64, number: u32, since: Moment) -> Ask {
    Ask {
        worker: WorkerId(worker),
        queue: 1,
        peer: std::net::IpAddr::from(std::net::Ipv4Addr::from(number)).into(),
        priority: Priority::FirstLook,
        since,
        lanes: 1,
        budget: Budget::default(),
        until: NOON.after(Duration::from_secs(10)),
    }
}

#[test]
fn whoever_waits_longest_comes_first_and_first_looks_before_refreshes() {
    let store = Memory::default();
    let later = |millis| NOON.after(Duration::from_millis(millis));
    assert_eq!(take(&store, &ask(1, 1, NOON), NOON), Grant::Granted);
    assert_eq!(take(&store, &ask(3, 3, later(3)), later(4)), Grant::Wait);
    assert_eq!(take(&store, &ask(2, 2, later(2)), later(4)), Grant::Wait);
    let refresh = Ask { priority: Priority::Refresh, ..ask(4, 4, later(1)) };
    assert_eq!(take(&store, &refresh, later(4)), Grant::Wait);
    let end = End { outcome: Outcome::Assessed, retry_after: None, jitter: 0 };
    assert_eq!(settle(&store, WorkerId(1), ask(1, 1, NOON).peer, &end, later(5)), [1, 1, 1]);
    assert_eq!(take(&store, &ask(3, 3, later(3)), later(6)), Grant::Wait);
    assert_eq!(take(&store, &refresh, later(6)), Grant::Wait);
    assert_eq!(take(&store, &ask(2, 2, later(2)), later(6)), Grant::Granted);
    assert_eq!(take(&store, &ask(3, 2, later(3)), later(6)), Grant::InFlight);
}

#[test]
fn a_worker_that_waits_no_more_or_is_dead_stands_in_nobodys_way() {
    let store = Memory::default();
    let end = End { outcome: Outcome::Assessed, retry_after: None, jitter: 0 };
    take(&store, &ask(1, 1, NOON), NOON);
    take(&store, &ask(2, 2, NOON), NOON);
    take(&store, &ask(3, 3, NOON.after(Duration::from_millis(1))), NOON);
    settle(&store, WorkerId(1), ask(1, 1, NOON).peer, &end, NOON);
    assert_eq!(take(&store, &ask(3, 3, NOON.after(Duration::from_millis(1))), NOON), Grant::Wait);
    let third = ask(3, 3, NOON.after(Duration::from_millis(1)));
    assert_eq!(take(&store, &third, NOON.after(SEEN_LIMIT)), Grant::Granted, "the second is dead");

    settle(&store, WorkerId(3), third.peer, &end, NOON);
    take(&store, &ask(2, 2, NOON), NOON);
    settle(&store, WorkerId(2), ask(2, 2, NOON).peer, &end, NOON);
    take(&store, &Ask { lanes: 0, ..ask(2, 2, NOON) }, NOON);
    assert_eq!(take(&store, &third, NOON), Grant::Wait);
    withdraw(&store, WorkerId(2));
    assert_eq!(take(&store, &third, NOON), Grant::Granted);
}

#[test]
fn a_worker_keeps_its_place_though_it_wants_another_address_each_time() {
    let store = Memory::default();
    let later = |millis| NOON.after(Duration::from_millis(millis));
    let end = End { outcome: Outcome::Assessed, retry_after: None, jitter: 0 };
    assert_eq!(take(&store, &ask(1, 1, NOON), NOON), Grant::Granted);
    assert_eq!(take(&store, &ask(2, 2, later(1)), later(1)), Grant::Wait);
    assert_eq!(take(&store, &ask(3, 3, later(2)), later(2)), Grant::Wait);
    settle(&store, WorkerId(1), ask(1, 1, NOON).peer, &end, later(3));
    assert_eq!(take(&store, &ask(3, 5, later(9)), later(9)), Grant::Wait);
    assert_eq!(take(&store, &ask(2, 4, later(10)), later(10)), Grant::Granted);
}

#[test]
fn a_lane_given_back_unused_costs_nothing_and_says_nothing_about_the_api() {
    let store = Memory::default();
    let failed = End { outcome: Outcome::Failed(LookupError::TimedOut), retry_after: None, jitter: 0 };
    for (number, end) in [(1, failed), (2, failed), (3, failed), (4, failed)] {
        assert_eq!(take(&store, &ask(1, number, NOON), NOON), Grant::Granted);
        settle(&store, WorkerId(1), ask(1, number, NOON).peer, &end, NOON);
    }
    let before = status(&store, Budget::default(), NOON);
    for number in 5..50 {
        assert_eq!(take(&store, &ask(1, number, NOON), NOON), Grant::Granted);
        let unused = End { outcome: Outcome::Unused, ..failed };
        settle(&store, WorkerId(1), ask(1, number, NOON).peer, &unused, NOON);
    }
    assert_eq!(status(&store, Budget::default(), NOON), before);
    assert_eq!(take(&store, &ask(1, 50, NOON), NOON), Grant::Granted);
    settle(&store, WorkerId(1), ask(1, 50, NOON).peer, &failed, NOON);
    assert_eq!(status(&store, Budget::default(), NOON).halted.map(|(halt, _)| halt), Some(Halt::BreakerOpen));
}

proptest! {
    #[test]
    fn invariant_7_whoever_asks_when_lanes_are_never_overbooked(
        steps in proptest::collection::vec((0u64..6, 0u32..20, 0u64..2_000, any::<bool>()), 1..200),
        lanes in 1u8..4,
    ) {
        let store = Memory::default();
        let (mut now, mut held) = (NOON, Vec::<(u64, u32, Moment)>::new());
        for (worker, number, pause, settles) in steps {
            now = now.after(Duration::from_millis(pause));
            held.retain(|(_, _, until)| *until > now);
            if settles && let Some((worker, number, _)) = held.pop() {
                let end = End { outcome: Outcome::Assessed, retry_after: None, jitter: 0 };
                settle(&store, WorkerId(worker), ask(worker, number, now).peer, &end, now);
                continue;
            }
            let until = now.after(Duration::from_secs(3));
            let ask = Ask { lanes, until, ..ask(worker, number, now) };
            match take(&store, &ask, now) {
                Grant::Granted => {
                    prop_assert!(held.iter().all(|(_, other, _)| *other != number));
                    held.push((worker, number, until));
                    prop_assert!(held.len() <= usize::from(lanes));
                }
                Grant::InFlight => prop_assert!(held.iter().any(|(_, other, _)| *other == number)),
                Grant::Wait => {}
                Grant::Halted(halt, _) => prop_assert!(false, "{:?}", halt),
            }
            prop_assert_eq!(status(&store, Budget::default(), now).lanes, held.len());
        }
    }

    #[test]
    fn a_ledger_of_anything_can_be_used(bytes: Vec<u8>) {
        let store = Memory::default();
        let _ = store.write(KEY, &bytes, None);
        let _ = take(&store, &ask(1, 1, NOON), NOON);
        forgive(&store);
        let _ = status(&store, Budget::default(), NOON);
    }

}

#[test]
fn invariant_6_the_ledger_is_bounded() {
    let store = Memory::default();
    for worker in 0..1_000 {
        take(&store, &ask(worker << 50, 7, NOON), NOON);
    }
    let (value, _) = store.read(KEY).unwrap();
    assert!(value.len() < 8 * 1024, "{}", value.len());
}
