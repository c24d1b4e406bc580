//! What operators read off the proxy, in simulated time.

use super::*;
use crate::{Gauge, Histogram, Metric, Sample, Version};
use std::cell::Cell;

/// The proxy's side: one value of each metric, whichever worker reports.
#[derive(Default)]
struct Board(BTreeMap<String, i64>);

impl Board {
    fn take(&mut self, gate: &mut Gate, proxy: Proxy<'_>) -> usize {
        let mut reports = 0;
        gate.measure(proxy, &mut |metric, sample| {
            reports += 1;
            self.post(metric, sample);
        });
        reports
    }

    fn post(&mut self, metric: Metric, sample: Sample) {
        let value = self.0.entry(metric.name()).or_default();
        match sample {
            Sample::Add(more) => {
                assert!(more > 0 || more < 0 && matches!(metric, Metric::Gauge(_)), "{metric:?} grew by {more}");
                *value += more;
            }
            Sample::Record(now) => *value = i64::try_from(now).unwrap(),
        }
        assert!(*value >= 0, "{metric:?} is {value}");
    }

    fn of(&self, name: &str) -> i64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0.keys()))
    }

    fn gauge(&self, gauge: Gauge) -> i64 {
        self.of(&Metric::Gauge(gauge).name())
    }
}

impl World {
    fn measure(&mut self, board: &mut Board) -> usize {
        board.take(&mut self.gate, Proxy { now: self.now, store: &self.store })
    }
}

/// A store that counts how often it is asked.
struct Watched<'s>(&'s Memory, Cell<usize>);

impl Store for Watched<'_> {
    fn read(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        self.1.set(self.1.get() + 1);
        self.0.read(key)
    }

    fn write(&self, key: &str, value: &[u8], version: Option<Version>) -> Result<(), crate::Conflict> {
        self.1.set(self.1.get() + 1);
        self.0.write(key, value, version)
    }
}

#[test]
fn each_search_for_facts_is_counted_by_where_they_were() {
    let mut world = World::new(r#", "cache": {"entries": 1000, "ttl": {"clean": "1h"}, "stale": "1h"}"#);
    world.consult(TOR);
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    let clean = world.assessment(Level::Safe, &[]);
    world.answer(&lookup, Ok(clean));
    world.consult(TOR).unwrap();
    world.consult(TOR).unwrap();
    let mut other = Gate::new(8, &world.store);
    other.configure(&world.site.config, &world.store);
    std::mem::swap(&mut world.gate, &mut other);
    assert!(world.consult(TOR).is_none());
    world.admit(2, TOR);
    std::mem::swap(&mut world.gate, &mut other);
    world.wait(3_600_000);
    world.consult(TOR).unwrap();

    let mut board = Board::default();
    world.measure(&mut board);
    board.take(&mut other, Proxy { now: world.now, store: &world.store });
    for (result, count) in [("fresh", 2), ("stale", 1), ("shared", 1), ("miss", 1)] {
        assert_eq!(board.of(&format!("criminalip_cache_total;result={result}")), count, "{result}");
    }
}

#[test]
fn peers_that_make_room_for_others_are_counted_however_it_comes() {
    let mut world = World::new("");
    let clean = world.assessment(Level::Safe, &[]);
    for number in 0..1_500u32 {
        world.gate.remember(ip(&format!("2001:db8::{number:x}")).into(), Fact::after(None, clean), Source::Api);
    }
    let small = site(2, r#", "cache": {"entries": 100}"#);
    world.gate.configure(&small.config, &world.store);
    let mut board = Board::default();
    world.measure(&mut board);
    let entries = board.gauge(Gauge::CacheEntries);
    assert!(entries <= 100, "{entries}");
    assert_eq!(board.of("criminalip_cache_evictions_total"), 1_500 - entries);
}

#[test]
fn gauges_of_all_workers_are_sums_and_lose_the_part_of_one_that_ends() {
    let mut board = Board::default();
    let mut world = World::new("");
    world.admit(1, "198.51.100.1");
    world.admit(2, "198.51.100.2");
    world.measure(&mut board);
    let mut first = std::mem::replace(&mut world.gate, Gate::new(8, &world.store));
    world.admit(3, "198.51.100.3");
    world.measure(&mut board);
    assert_eq!((board.gauge(Gauge::Held), board.gauge(Gauge::Queued)), (3, 3));

    world.gate.measure_no_more(&mut |metric, sample| board.post(metric, sample));
    assert_eq!((board.gauge(Gauge::Held), board.gauge(Gauge::Queued)), (2, 2));
    world.measure(&mut board);
    assert_eq!(board.gauge(Gauge::Held), 3, "it goes on after all");

    first.leave(StreamId(1));
    board.take(&mut first, Proxy { now: world.now, store: &world.store });
    assert_eq!((board.gauge(Gauge::Held), board.gauge(Gauge::Queued)), (2, 3));
}

#[test]
fn gauges_of_what_the_workers_share_say_how_it_stands() {
    let mut world = World::new("");
    let config =
        format!(r#"{{"api": {{"cluster": "c", "budget": {{"per_day": 3, "per_hour": 3}}}}, "scope": {SCOPE}}}"#);
    world.site = Rc::new(Site::new(RootId(1), Config::parse(config.as_bytes()).unwrap()));
    world.gate.configure(&world.site.config, &world.store);
    let mut board = Board::default();
    world.measure(&mut board);
    assert_eq!((board.gauge(Gauge::CreditsSpent), board.gauge(Gauge::CreditsLeft)), (0, 3));
    assert_eq!((board.gauge(Gauge::BudgetLasts), board.gauge(Gauge::LanesInUse)), (86_400, 0));

    world.admit(1, "198.51.100.1");
    let lookup = world.next().unwrap();
    world.measure(&mut board);
    assert_eq!((board.gauge(Gauge::CreditsSpent), board.gauge(Gauge::CreditsLeft)), (1, 2));
    assert_eq!((board.gauge(Gauge::BudgetLasts), board.gauge(Gauge::LanesInUse)), (7_200, 1));

    let clean = world.assessment(Level::Safe, &[]);
    world.answer(&lookup, Ok(clean));
    for last in [2, 3] {
        assert_eq!(board.gauge(Gauge::Halted(Halt::BudgetSpent)), 0);
        world.admit(last, &format!("198.51.100.{last}"));
        let lookup = world.next().unwrap();
        world.answer(&lookup, Ok(clean));
        world.measure(&mut board);
    }
    assert_eq!((board.gauge(Gauge::CreditsSpent), board.gauge(Gauge::CreditsLeft)), (3, 0));
    assert_eq!((board.gauge(Gauge::BudgetLasts), board.gauge(Gauge::LanesInUse)), (0, 0));
    assert_eq!(board.gauge(Gauge::Halted(Halt::BudgetSpent)), 1);

    world.now = world.now.midnight();
    world.measure(&mut board);
    assert_eq!((board.gauge(Gauge::CreditsSpent), board.gauge(Gauge::CreditsLeft)), (0, 3), "nobody did anything");
    assert_eq!((board.gauge(Gauge::BudgetLasts), board.gauge(Gauge::Halted(Halt::BudgetSpent))), (86_400, 0));
}

#[test]
fn each_halt_shows_while_it_lasts_and_not_after() {
    for (error, halt) in [
        (AnswerError::NoCredit, Halt::NoCredit),
        (AnswerError::BadKey, Halt::BadKey),
        (AnswerError::RateLimited, Halt::RateLimited),
        (AnswerError::ServerError, Halt::BreakerOpen),
    ] {
        let (mut world, mut board) = (World::new(""), Board::default());
        let mut halted = None;
        for stream in 0..9 {
            world.admit(stream, &format!("198.51.100.{stream}"));
            let Some(lookup) = world.next() else { break };
            world.answer(&lookup, Err(LookupError::Answer(error)));
            world.measure(&mut board);
            halted = ledger::status(&world.store, Budget::default(), world.now).halted;
        }
        let (found, until) = halted.unwrap();
        assert_eq!(found, halt);
        let shown = |board: &Board| {
            Halt::ALL.into_iter().filter(|halt| board.gauge(Gauge::Halted(*halt)) == 1).collect::<Vec<_>>()
        };
        assert_eq!(Vec::from([halt]), shown(&board));
        world.now = until;
        world.measure(&mut board);
        assert_eq!(Vec::<Halt>::new(), shown(&board), "{halt:?} is over");
    }
}

#[test]
fn a_tick_on_which_nothing_happened_costs_nothing() {
    let mut world = World::new("");
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    let clean = world.assessment(Level::Safe, &[]);
    world.answer(&lookup, Ok(clean));
    let mut board = Board::default();
    assert!(world.measure(&mut board) > 0);
    let store = Watched(&world.store, Cell::new(0));
    // Figures by the hour move for two hours after the last lookup, and the credits of the day end with it.
    let (mut reads, mut reports) = (0, 0);
    for second in 0..86_400 {
        let now = world.now.after(Duration::from_secs(second));
        reports += board.take(&mut world.gate, Proxy { now, store: &store });
        if store.1.take() > 0 {
            reads += 1;
        }
    }
    assert!(reads <= 121 && reports <= 121 * 12, "{reads} reads, {reports} reports in a day");
    let now = world.now.after(Duration::from_secs(200_000));
    assert_eq!((board.take(&mut world.gate, Proxy { now, store: &store }), store.1.take()), (0, 0));
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_gauges() {
    let (mut world, mut board) = (World::new(""), Board::default());
    world.admit(1, TOR);
    world.next().unwrap();
    world.measure(&mut board);
    world.now = Moment::from_millis(START.millis() - 3 * 86_400_000);
    assert!(world.measure(&mut board) > 0);
}

#[test]
fn how_long_streams_waited_and_lookups_took_is_told_once_each() {
    let mut world = World::new(r#", "first_look": {"hold": "300ms"}"#);
    world.admit(1, TOR);
    world.wait(50);
    world.admit(2, TOR);
    let lookup = world.next().unwrap();
    world.wait(250);
    let proxy = Proxy { now: world.now, store: &world.store };
    let mut effects = Effects::default();
    world.gate.sweep(proxy, &mut effects);
    assert_eq!(effects.took, [(Histogram::Held, Duration::from_millis(300))]);

    let mut effects = Effects::default();
    world.gate.answer(lookup.id, &Answer { facts: Err(LookupError::Reset), retry_after: None }, proxy, &mut effects);
    let [lookup, held] = [250, 250].map(Duration::from_millis);
    assert_eq!(effects.took, [(Histogram::Lookup, lookup), (Histogram::Held, held)]);
}

#[test]
fn a_lookup_that_was_not_sent_took_no_time() {
    let mut world = World::new("");
    world.admit(1, TOR);
    let lookup = world.next().unwrap();
    let mut effects = Effects::default();
    let answer = Answer { facts: Err(LookupError::NotSent), retry_after: None };
    world.gate.answer(lookup.id, &answer, Proxy { now: world.now, store: &world.store }, &mut effects);
    assert_eq!(effects.took, [(Histogram::Held, Duration::ZERO)]);
}

const SCOPE: &str = r#"{"treat_as_public": ["198.51.100.0/24"]}"#;

proptest! {
    /// Whatever the workers do and whenever they report, the proxy's figures are theirs.
    #[test]
    fn the_gauges_are_the_sums_of_what_the_workers_have(
        steps in proptest::collection::vec((0usize..3, 0u8..6, 0u8..40, 0u64..900), 1..150),
    ) {
        let (mut world, mut board) = (World::new(""), Board::default());
        let mut idle: Vec<Gate> = (0..2).map(|number| Gate::new(number, &world.store)).collect();
        let (mut flying, mut stream) = (Vec::<(usize, Lookup)>::new(), 0);
        for (worker, step, peer, millis) in steps {
            if worker < 2 {
                std::mem::swap(&mut world.gate, &mut idle[worker]);
            }
            world.wait(millis);
            match step {
                0 | 1 => {
                    stream += 1;
                    let peer = format!("198.51.100.{peer}");
                    if world.consult(&peer).is_none() {
                        world.admit(stream, &peer);
                    }
                }
                2 => flying.extend(world.next().map(|lookup| (worker, lookup))),
                3 => if let Some(place) = flying.iter().position(|(of, _)| *of == worker) {
                    let clean = world.assessment(Level::Safe, &[]);
                    world.answer(&flying.remove(place).1, Ok(clean));
                },
                4 => { world.sweep(); }
                _ => { world.measure(&mut board); }
            }
            if worker < 2 {
                std::mem::swap(&mut world.gate, &mut idle[worker]);
            }
        }
        // What is shared may be a minute behind: a lease ended by itself, or two workers reported at once.
        world.wait(60_000);
        let mut gates: Vec<&mut Gate> = idle.iter_mut().chain([&mut world.gate]).collect();
        for gate in &mut gates {
            board.take(gate, Proxy { now: world.now, store: &world.store });
        }
        let sum = |of: fn(&Gate) -> usize| gates.iter().map(|gate| of(gate) as i64).sum::<i64>();
        let shown = |gauge| board.0.get(&Metric::Gauge(gauge).name()).copied().unwrap_or(0);
        prop_assert_eq!(shown(Gauge::Held), sum(Gate::held));
        prop_assert_eq!(shown(Gauge::Queued), sum(Gate::queued));
        prop_assert_eq!(shown(Gauge::CacheEntries), sum(Gate::remembered));
        let status = ledger::status(&world.store, Budget::default(), world.now);
        prop_assert_eq!(shown(Gauge::LanesInUse), status.lanes as i64);
        prop_assert_eq!(shown(Gauge::CreditsSpent), i64::from(status.spent_today));
    }
}
