//! Who has a place, and who gives it up.

use super::*;
use crate::LookupError;
use crate::cache::Fact;
use evaluator::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

fn peer(number: u32) -> SubjectId {
    SubjectId::from(std::net::IpAddr::from(Ipv4Addr::from(number)))
}

fn learned_at(second: u32) -> Remembered {
    Remembered::new(Fact::Failed { at: Timestamp::from_unix(second.into()), error: LookupError::Reset })
}

fn map(entries: u32) -> Bounded {
    Bounded::new(entries, FixedState::with_seed(7))
}

fn insert_all(map: &mut Bounded, peers: impl IntoIterator<Item = u32>) -> u64 {
    peers.into_iter().map(|number| map.insert(peer(number), learned_at(number))).sum()
}

/// Without asking for it.
fn holds(map: &mut Bounded, number: u32) -> bool {
    map.get_mut(peer(number)).is_some()
}

fn is_asked_for(map: &Bounded, number: u32) -> bool {
    map.slot(peer(number)).is_some_and(|slot| slot.again.get())
}

/// Those of the peers below 1,000 who have a place.
fn held(map: &mut Bounded) -> Vec<u32> {
    (0..1_000).filter(|number| holds(map, *number)).collect()
}

#[test]
fn a_map_without_places_takes_nobody() {
    let mut map = map(0);
    assert_eq!(insert_all(&mut map, 0..10), 0);
    assert_eq!((map.len(), held(&mut map), map.resize(0)), (0, vec![], 0));
}

#[test]
fn a_single_place_goes_to_the_newest_even_from_one_who_was_asked_for_again() {
    let mut map = map(1);
    for number in 0..10 {
        assert_eq!(insert_all(&mut map, [number]), u64::from(number > 0));
        assert_eq!(held(&mut map), [number]);
        assert!(map.get(peer(number)).is_some());
    }
}

#[test]
fn peers_who_are_seen_once_leave_in_the_order_in_which_they_came() {
    let mut map = map(8);
    assert_eq!(insert_all(&mut map, 0..11), 3);
    assert_eq!(held(&mut map), Vec::from_iter(3..11));
}

#[test]
fn what_is_learned_anew_takes_the_place_of_what_was_known_and_its_turn() {
    let mut map = map(4);
    insert_all(&mut map, 0..4);
    map.get(peer(1));
    for number in [0, 1] {
        assert_eq!(map.insert(peer(number), learned_at(99)), 0);
    }
    assert_eq!(insert_all(&mut map, 10..14), 4);
    assert_eq!(held(&mut map), [1, 11, 12, 13]);
    assert_eq!(map.get(peer(1)).map(|known| known.fact.learned()), Some(Timestamp::from_unix(99)));
}

#[test]
fn one_who_comes_again_takes_the_place_of_one_who_no_longer_does() {
    let mut map = map(4);
    insert_all(&mut map, 0..4);
    let ask = |map: &Bounded, peers: &[u32]| assert!(peers.iter().all(|number| map.get(peer(*number)).is_some()));
    ask(&map, &[0, 1, 2]);
    insert_all(&mut map, 10..20);
    assert_eq!(held(&mut map), [0, 1, 2, 19]);
    ask(&map, &[0, 2, 19]);
    insert_all(&mut map, 20..30);
    assert_eq!(held(&mut map), [0, 2, 19, 29]);
}

#[test]
fn a_quarter_of_the_places_stays_for_new_peers_where_all_others_come_again() {
    let mut map = map(100);
    insert_all(&mut map, 0..100);
    let all = |map: &Bounded| (0..100).filter(|number| map.get(peer(*number)).is_some()).count();
    assert_eq!(all(&map), 100);
    insert_all(&mut map, 200..300);
    assert_eq!(held(&mut map)[75..], Vec::from_iter(275..300));
    insert_all(&mut map, 300..400);
    assert_eq!(all(&map), 75);
}

#[test]
fn an_insertion_gives_few_chances_where_everybody_was_asked_for_again() {
    let mut map = map(900);
    insert_all(&mut map, 0..900);
    for round in 1..10 {
        let present = held(&mut map);
        let asked = |map: &Bounded| present.iter().filter(|number| is_asked_for(map, **number)).count();
        assert!(present.iter().all(|number| map.get(peer(*number)).is_some()));
        assert_eq!(asked(&map), 900);
        assert_eq!(insert_all(&mut map, [900 + round]), 1);
        // In the first round those are sorted out who are to be kept.
        assert!(round == 1 || asked(&map) >= 900 - CHANCES as usize - 2, "in round {round}");
    }
}

#[test]
fn fewer_places_evict_at_once_and_are_taken_again_when_there_are_more() {
    let mut map = map(100);
    insert_all(&mut map, 0..100);
    for number in 0..50 {
        map.get(peer(number));
    }
    assert_eq!(map.resize(20), 80);
    assert_eq!((map.len(), held(&mut map).len()), (20, 20));
    assert_eq!(insert_all(&mut map, 200..300), 100);
    assert_eq!(map.len(), 20);
    assert_eq!(map.resize(100), 0);
    assert_eq!(insert_all(&mut map, 300..380), 0);
    assert_eq!(map.free.len, 0, "no place is lost");
    assert_eq!(map.slots.0.iter().map(Vec::len).sum::<usize>(), 100, "and none is made while another is free");
    assert_eq!(insert_all(&mut map, [380]), 1);
}

proptest! {
    /// As many as the kept may be, each of them asked for again once, at some time before it had to go.
    #[test]
    fn no_scan_takes_the_place_of_a_peer_who_was_asked_for_again(
        entries in 2_u32..200,
        share in 0_u32..=100,
        between in 0_u32..5,
        scan in 0_u32..1_000,
        again in 1_u32..4,
    ) {
        let most = entries - (entries / 4).max(1);
        let known = 0..most * share / 100;
        let mut map = map(entries);
        let mut new = 1_000..;
        for number in known.clone() {
            insert_all(&mut map, [number]);
            for _ in 0..again {
                prop_assert!(map.get(peer(number)).is_some());
            }
            insert_all(&mut map, new.by_ref().take(between as usize));
        }
        insert_all(&mut map, new.by_ref().take(scan as usize));
        prop_assert_eq!(held(&mut map), Vec::from_iter(known));
        prop_assert!(map.len() <= entries);
    }

    /// Against a map that never forgets.
    #[test]
    fn a_map_holds_the_last_that_was_learned_of_no_more_than_it_may(
        entries in 0_u32..20,
        steps in proptest::collection::vec((0_u8..8, 0_u32..60, 0_u32..20), 0..400),
    ) {
        let mut map = map(entries);
        let mut limit = entries;
        let mut most = entries;
        let mut all = BTreeMap::new();
        let mut present = BTreeSet::new();
        for (second, (step, number, places)) in (1..).zip(steps) {
            let evicted = match step {
                0 => {
                    (limit, most) = (places, most.max(places));
                    map.resize(places)
                }
                1..4 => {
                    prop_assert_eq!(map.get(peer(number)).is_some(), present.contains(&number));
                    0
                }
                _ => {
                    all.insert(number, second);
                    let evicted = map.insert(peer(number), learned_at(second));
                    prop_assert_eq!(holds(&mut map, number), limit > 0, "the newest is there");
                    prop_assert!(evicted <= 1 && (evicted == 0 || !present.contains(&number)));
                    if limit > 0 {
                        present.insert(number);
                    }
                    evicted
                }
            };
            let now = BTreeSet::from_iter((0..60).filter(|number| holds(&mut map, *number)));
            prop_assert_eq!((present.len() - now.len()) as u64, evicted);
            prop_assert!(now.is_subset(&present), "nobody comes back unasked");
            prop_assert!(map.len() <= limit);
            prop_assert_eq!((map.len() as usize, map.index.len()), (now.len(), now.len()));
            for number in &now {
                let learned = map.get_mut(peer(*number)).map(|known| known.fact.learned());
                prop_assert_eq!(learned, Some(Timestamp::from_unix(all[number].into())));
            }
            present = now;
        }
        let places = map.slots.0.iter().map(Vec::len).sum::<usize>() as u32;
        prop_assert_eq!(map.young.len + map.kept.len + map.free.len, places, "no place is lost");
        prop_assert!(places <= most);
    }
}
