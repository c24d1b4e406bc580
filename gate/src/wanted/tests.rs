use super::*;
use crate::Config;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

const NOW: Moment = Moment::from_millis(1_800_000_000_000);

fn site(root: u32) -> Rc<Site> {
    Rc::new(Site::new(RootId(root), Config::parse(br#"{"api": {"cluster": "c"}}"#).unwrap()))
}

fn peer(number: u32) -> (SubjectId, Subject) {
    let address = std::net::IpAddr::from(std::net::Ipv4Addr::from(number));
    (address.into(), address.into())
}

fn add(list: &mut WantedList, site: &Rc<Site>, number: u32, priority: Priority) -> Option<SubjectId> {
    let (id, subject) = peer(number);
    list.add(site, id, &subject, priority, NOW)
}

#[test]
fn events_come_before_streams_that_wait_and_those_before_all_others() {
    let (site, mut list) = (site(1), WantedList::default());
    let order = [(1, Priority::Refresh), (2, Priority::FirstLook), (3, Priority::FirstLook), (4, Priority::Event)];
    for (number, priority) in order {
        assert_eq!(add(&mut list, &site, number, priority), None);
    }
    list.join(peer(3).0);
    for expected in [4, 3, 2, 1] {
        assert_eq!(list.due(None, NOW), Some(peer(expected).0));
        list.remove(peer(expected).0);
    }
    assert_eq!((list.due(None, NOW), list.next_event(), list.queued()), (None, None, 0));
}

#[test]
fn a_full_queue_of_events_takes_nothing_else_in_and_the_newest_events_stay() {
    let (site, mut list) = (site(1), WantedList::default());
    let full = u32::try_from(QUEUE_LIMIT).unwrap();
    for number in 0..full {
        assert_eq!(add(&mut list, &site, number, Priority::Event), None);
    }
    assert_eq!(add(&mut list, &site, full, Priority::FirstLook), Some(peer(full).0));
    assert_eq!(add(&mut list, &site, full, Priority::Event), Some(peer(0).0));
    assert_eq!(list.queued(), QUEUE_LIMIT);
}

/// What may happen to a list, with numbers of peers.
#[derive(Clone, Debug)]
enum Step {
    Add(u32, u32, Priority),
    Join(u32),
    Part(u32),
    Send(u32),
    PutOff(u32, u64),
    TryAgain(u32),
    Remove(u32),
    Retire(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop::sample::select(vec![Priority::Event, Priority::FirstLook, Priority::Refresh]);
    let number = 0..24u32;
    prop_oneof![
        4 => (0..3u32, number.clone(), priority).prop_map(|(root, number, priority)| Step::Add(root, number, priority)),
        2 => number.clone().prop_map(Step::Join),
        1 => number.clone().prop_map(Step::Part),
        2 => number.clone().prop_map(Step::Send),
        1 => (number.clone(), 0..2000u64).prop_map(|(number, later)| Step::PutOff(number, later)),
        1 => number.clone().prop_map(Step::TryAgain),
        1 => number.prop_map(Step::Remove),
        1 => (0..3u32).prop_map(Step::Retire),
    ]
}

/// The same questions, answered by looking at all peers.
fn check(list: &WantedList, now: Moment) {
    let all = || list.peers.iter();
    let queued = || all().filter(|(_, wanted)| wanted.is_queued());
    assert_eq!(list.queued(), queued().count());
    for root in [None, Some(RootId(0)), Some(RootId(1)), Some(RootId(2))] {
        let due = queued().filter(|(_, wanted)| match wanted.state {
            State::Queued { not_before } => {
                !not_before.is_ahead_of(now, REFUSAL_PAUSE.max(ASK_AGAIN))
                    && root.is_none_or(|root| wanted.site.root == root)
            }
            State::InFlight { .. } => false,
        });
        let urgency =
            |wanted: &Wanted| (wanted.priority != Priority::Event, wanted.waiters == 0, wanted.priority, wanted.order);
        assert_eq!(list.due(root, now), due.min_by_key(|(_, wanted)| urgency(wanted)).map(|(peer, _)| *peer));
    }
    let idle = queued().filter(|(_, wanted)| wanted.waiters == 0);
    let oldest = idle.min_by_key(|(_, wanted)| (Reverse(wanted.priority), wanted.order)).map(|(peer, _)| *peer);
    assert_eq!(list.idle.first().map(|(_, peer)| peer.into()), oldest);
    let times = all().map(|(_, wanted)| match wanted.state {
        State::Queued { not_before } => not_before,
        State::InFlight { lost_at, .. } => lost_at,
    });
    assert_eq!(list.next_event(), times.min());
    let flying = all().filter_map(|(peer, wanted)| match wanted.state {
        State::InFlight { id, sent, lost_at } => Some((id, *peer, sent, lost_at, wanted.site.root)),
        State::Queued { .. } => None,
    });
    let mut lost = Vec::new();
    for (id, peer, sent, lost_at, root) in flying {
        assert_eq!(list.in_flight(id), Some((peer, sent)));
        assert!(list.has_in_flight(root));
        lost.extend((lost_at <= now).then_some(id));
    }
    lost.sort_unstable();
    assert_eq!(list.lost(now), lost);
}

proptest! {
    #[test]
    fn the_indexes_answer_as_a_look_at_all_peers_does(steps in prop::collection::vec(step(), 1..120)) {
        let sites = [site(0), site(1), site(2)];
        let mut list = WantedList::default();
        for (number, step) in steps.into_iter().enumerate() {
            let now = NOW.after(Duration::from_millis(50 * number as u64));
            let id = LookupId(u32::try_from(number).unwrap());
            match step {
                Step::Add(root, number, priority) => {
                    let (peer, subject) = peer(number);
                    list.add(&sites[root as usize], peer, &subject, priority, now);
                }
                Step::Join(number) => list.join(peer(number).0),
                Step::Part(number) => list.part(peer(number).0),
                Step::Send(number) => list.send(peer(number).0, id, now, now.after(Duration::from_secs(1))),
                Step::PutOff(number, later) => list.put_off(peer(number).0, now.after(Duration::from_millis(later))),
                Step::TryAgain(number) => drop(list.try_again(peer(number).0, now)),
                Step::Remove(number) => drop(list.remove(peer(number).0)),
                Step::Retire(root) => {
                    let heirs = BTreeMap::from([(peer(3).0, Rc::clone(&sites[1])), (peer(4).0, Rc::clone(&sites[2]))]);
                    list.retire(RootId(root), |peer| heirs.get(&peer).cloned());
                }
            }
            check(&list, now);
        }
    }
}
