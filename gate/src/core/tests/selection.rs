//! Credits go where `select` says: over weeks in which clocks are set, counted independently.

use super::*;
use crate::Remote;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

const HOUR: u64 = 3_600_000;

/// What is known of one connection.
#[derive(Clone, Copy, Debug)]
struct Seen {
    peer: u32,
    /// Seconds of Unix time.
    at: i64,
    port: Option<u16>,
    host: Option<&'static str>,
    route: Option<&'static str>,
    client: Option<IpAddr>,
}

/// A week that begins at this time of UTC: in each hour, connections of some of these peers. A peer's are whole hours apart.
fn week(monday: &str, peers: u32) -> Vec<Seen> {
    let start = format!("{monday}T00:00:00Z").parse::<jiff::Timestamp>().unwrap().as_second();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut connections = Vec::new();
    for hour in 0..7 * 24 {
        for peer in (0..peers).filter(|peer| peer % 7 != hour as u32 % 3) {
            connections.push(Seen {
                peer,
                at: start + hour * 3_600 + i64::from(peer) * 36,
                port: [Some(443), Some(80), Some(22), Some(3389), Some(8443), None][next(6)],
                host: [Some("git.corp.example:443"), Some("www.example"), None][next(3)],
                route: [Some("admin"), Some("shop"), None][next(3)],
                client: [Some([10, 1, 0, 9]), Some([10, 2, 0, 9]), None][next(3)].map(IpAddr::from),
            });
        }
    }
    connections
}

fn peer(number: u32) -> Remote {
    IpAddr::from([198, 51, 100, u8::try_from(number).unwrap()]).into()
}

/// Facts count for two and a half hours and a bit less, then are stale for an hour.
fn world(select: &str) -> World {
    let mut world = World::new(&format!(
        r#", "direction": "egress", "select": {select},
            "cache": {{"ttl": {{"clean": "150m"}}, "stale": "60m"}}, "first_look": {{"hold": "60s"}}"#
    ));
    world.gate.configure(&site(0, r#", "cache": {"entries": 1000}"#).config, &world.store);
    world
}

/// Runs these connections through a gate and answers each lookup at once. Returns the peers looked up, in order, and the
/// credits that were spent on each day.
fn run(world: &mut World, connections: &[Seen]) -> (Vec<u32>, Vec<u32>) {
    let (mut asked, mut spent) = (Vec::new(), Vec::new());
    let mut stream = 0;
    for (index, seen) in connections.iter().enumerate() {
        world.now = Moment::from_millis(seen.at as u64 * 1_000);
        let connection = Connection {
            port: seen.port,
            host: seen.host.map(str::as_bytes),
            route: seen.route.map(str::as_bytes),
            client: seen.client,
            ..Connection::new(Direction::Egress, world.now.timestamp())
        };
        let proxy = Proxy { now: world.now, store: &world.store };
        let remote = peer(seen.peer);
        let before = asked.len();
        let held = match world.gate.consult(&world.site, &remote, &connection, world.now.timestamp()) {
            Consulted::Decided(_) => false,
            Consulted::Stale(decision) => {
                world.gate.refresh(&world.site, &remote, &connection, decision, proxy);
                false
            }
            Consulted::Unknown => {
                stream += 1;
                match world.gate.admit(&world.site, StreamId(stream), &remote, &connection, proxy) {
                    Admitted::Held => true,
                    Admitted::Skip(skip) => {
                        assert_eq!(skip, Skip::NotSelected);
                        false
                    }
                    Admitted::Decided(decision) => panic!("{decision:?}"),
                }
            }
            Consulted::Skip(skip) => panic!("{skip:?}"),
        };
        let mut released = 0;
        while let Some(lookup) = world.next() {
            assert_eq!(lookup.subject, Subject::Address(remote.address.unwrap()));
            asked.push(seen.peer);
            released += world.answer(&lookup, Ok(world.assessment(Level::Safe, &[]))).len();
        }
        assert_eq!(released == 1, held, "{seen:?}");
        assert!(asked.len() <= before + 1);
        let next_day = connections.get(index + 1).is_none_or(|next| next.at / 86_400 > seen.at / 86_400);
        if next_day {
            spent.push(ledger::status(&world.store, Budget::default(), world.now).spent_today);
        }
    }
    (asked, spent)
}

/// Which connections should be selected.
type Selects<'a> = &'a dyn Fn(&Seen) -> bool;

/// What should be looked up, by a count that knows nothing of a gate: the peers in order, and how many on each day.
fn counted_independently(connections: &[Seen], selects: Selects<'_>) -> (Vec<u32>, Vec<u32>) {
    let mut learned = BTreeMap::new();
    let (mut asked, mut days) = (Vec::new(), BTreeMap::new());
    for seen in connections {
        let day = days.entry(seen.at / 86_400).or_insert(0);
        let fresh = learned.get(&seen.peer).is_some_and(|at| seen.at - at < 150 * 60);
        if !fresh && selects(seen) {
            learned.insert(seen.peer, seen.at);
            asked.push(seen.peer);
            *day += 1;
        }
    }
    (asked, days.into_values().collect())
}

/// Whether it is outside of Monday to Friday, nine to six, in this zone.
fn after_hours(zone: &str, seen: &Seen) -> bool {
    let local = jiff::Timestamp::from_second(seen.at).unwrap().to_zoned(TimeZone::get(zone).unwrap());
    let weekend = matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday);
    weekend || !(9..18).contains(&local.hour())
}

#[test]
fn over_a_week_with_a_change_of_clocks_credits_spent_are_those_of_an_independent_count() {
    const PORTS: [u16; 2] = [22, 3389];
    for (zone, monday) in [("Europe/Berlin", "2026-03-23"), ("America/New_York", "2026-10-26")] {
        let night = format!(r#"{{"time_zone": "{zone}", "working": "Mon-Fri 09:00-18:00"}}"#);
        let is_night = |seen: &Seen| after_hours(zone, seen);
        let unusual = |seen: &Seen| seen.port.is_some_and(|port| port != 80 && port != 443);
        let critical = |seen: &Seen| seen.port.is_some_and(|port| PORTS.contains(&port));
        let developer = |seen: &Seen| seen.client == Some([10, 1, 0, 9].into());
        let connections = week(monday, 40);
        let cases: [(String, Selects<'_>); 14] = [
            ("{}".into(), &|_| true),
            (r#"{"mode": "events", "critical_ports": [22]}"#.into(), &|_| false),
            (r#"{"mode": "all", "critical_ports": [22]}"#.into(), &|_| true),
            (r#"{"ports_other_than": [80, 443]}"#.into(), &unusual),
            (r#"{"critical_ports": [22, 3389]}"#.into(), &critical),
            (format!(r#"{{"after_hours": {night}}}"#), &is_night),
            (r#"{"routes": ["admin"]}"#.into(), &|seen| seen.route == Some("admin")),
            (r#"{"hosts": ["*.corp.example"]}"#.into(), &|seen| seen.host == Some("git.corp.example:443")),
            (r#"{"sources": ["10.1.0.0/16"]}"#.into(), &developer),
            (format!(r#"{{"critical_ports": [22, 3389], "after_hours": {night}}}"#), &|seen| {
                critical(seen) || is_night(seen)
            }),
            (r#"{"all_of": [{"critical_ports": [22, 3389], "sources": ["10.1.0.0/16"]}]}"#.into(), &|seen| {
                critical(seen) && developer(seen)
            }),
            (format!(r#"{{"all_of": [{{"ports_other_than": [80, 443], "after_hours": {night}}}]}}"#), &|seen| {
                unusual(seen) && is_night(seen)
            }),
            (
                format!(
                    r#"{{"routes": ["admin"], "all_of": [{{"ports_other_than": [80, 443], "after_hours": {night}}},
                                                            {{"hosts": ["www.example"], "sources": ["10.2.0.0/16"]}}]}}"#
                ),
                &|seen| {
                    seen.route == Some("admin")
                        || unusual(seen) && is_night(seen)
                        || seen.host == Some("www.example") && seen.client == Some([10, 2, 0, 9].into())
                },
            ),
            (
                format!(
                    r#"{{"critical_ports": [22, 3389], "ports_other_than": [80, 443], "hosts": ["*.corp.example"],
                            "sources": ["10.1.0.0/16"], "routes": ["admin"], "after_hours": {night}}}"#
                ),
                &|seen| {
                    unusual(seen)
                        || is_night(seen)
                        || developer(seen)
                        || seen.route == Some("admin")
                        || seen.host == Some("git.corp.example:443")
                },
            ),
        ];
        let mut counts = BTreeSet::new();
        for (select, selects) in cases {
            let mut world = world(&select);
            let (asked, spent) = run(&mut world, &connections);
            let (expected, days) = counted_independently(&connections, selects);
            assert_eq!((&asked, &spent), (&expected, &days), "{zone} {select}");
            let skipped = counted(&mut world.gate).get("criminalip_skipped_total;reason=not_selected").copied();
            assert_eq!(skipped.is_none(), select == "{}" || select.contains(r#""all","#), "{select}");
            counts.insert(asked.len());
        }
        assert!(counts.len() >= 12, "the conditions select differently: {counts:?}");
    }
}

#[test]
fn a_peer_is_in_the_sample_or_not_on_every_worker_and_for_as_long_as_the_proxy_runs() {
    let connections = week("2026-03-23", 100);
    let mut world = world(r#"{"sample_percent": 30}"#);
    let (asked, spent) = run(&mut world, &connections);
    let sample: BTreeSet<_> = asked.iter().copied().collect();
    assert!((15..=45).contains(&sample.len()), "{sample:?}");
    let (expected, days) = counted_independently(&connections, &|seen| sample.contains(&seen.peer));
    assert_eq!((asked, spent), (expected, days));

    // Another worker of the proxy, and another configuration, have the same sample, or a part of it.
    for (select, same) in [(r#"{"sample_percent": 30}"#, true), (r#"{"sample_percent": 10}"#, false)] {
        let mut other = self::world(select);
        other.gate = Gate::new(99, &world.store);
        other.gate.configure(&other.site.config, &other.store);
        let others: BTreeSet<_> = run(&mut other, &connections).0.into_iter().collect();
        assert!(others.is_subset(&sample) && (others == sample) == same, "{select}: {others:?}");
    }
    // Another proxy has another.
    let store = Memory::default();
    let stranger = Gate::new(99, &store);
    let connection = Connection::new(Direction::Egress, START.timestamp());
    let others: BTreeSet<_> =
        (0..100).filter(|number| stranger.selects(&world.site, &peer(*number), &connection)).collect();
    assert_ne!(others, sample);
}

#[test]
fn what_is_not_selected_is_decided_by_what_is_known_and_is_not_learned_anew() {
    let mut world = world(r#"{"critical_ports": [22]}"#);
    let toward =
        |port, now: Moment| Connection { port: Some(port), ..Connection::new(Direction::Egress, now.timestamp()) };
    let remote = peer(9);
    let admit = |world: &mut World, stream, port| {
        let proxy = Proxy { now: world.now, store: &world.store };
        world.gate.admit(&world.site, StreamId(stream), &remote, &toward(port, world.now), proxy)
    };
    assert_eq!(admit(&mut world, 1, 80), Admitted::Skip(Skip::NotSelected));
    assert!(world.next().is_none());
    assert_eq!(admit(&mut world, 2, 22), Admitted::Held);
    assert_eq!(admit(&mut world, 3, 80), Admitted::Skip(Skip::NotSelected), "it does not wait for another's lookup");
    let lookup = world.next().unwrap();
    let clean = world.assessment(Level::Safe, &[]);
    assert_eq!(world.answer(&lookup, Ok(clean)).len(), 1);

    let now = world.now;
    let consulted = world.gate.consult(&world.site, &remote, &toward(80, now), now.timestamp());
    assert!(matches!(consulted, Consulted::Decided(_)), "{consulted:?}");
    world.wait(3 * HOUR);
    for (port, lookups) in [(80, 0), (22, 1)] {
        assert!(world.refresh(&remote, &toward(port, world.now)).is_some(), "it is stale");
        assert_eq!(std::iter::from_fn(|| world.next()).count(), lookups, "{port}");
    }
    // Another worker's stale facts, the same.
    let mut other = Gate::new(8, &world.store);
    other.configure(&world.site.config, &world.store);
    let proxy = Proxy { now: world.now, store: &world.store };
    let admitted = other.admit(&world.site, StreamId(9), &remote, &toward(80, world.now), proxy);
    assert!(matches!(admitted, Admitted::Decided(decision) if decision.source == Source::Shared));
    assert_eq!(other.queued(), 0);
}
