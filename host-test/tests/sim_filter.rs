//! The built module in the simulated proxy: what it does, and what a request costs, exactly.

#[path = "sim_filter/vectors.rs"]
mod vectors;

use host_test::{
    envoy, fake,
    host::{Effect, Fault, Metric, Module},
    lab,
    sim::{Answer, Config, Cost, Outcome, Request, Rule, Sim},
    trace::{Event, Level, Trace},
};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    sync::LazyLock,
    time::Duration,
};

static MODULE: LazyLock<Module> = LazyLock::new(|| Module::read(&envoy::module().unwrap()).unwrap());

const CLUSTER: &str = "criminalip";
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy with the filter and the stand-in, which answers after 50 ms.
fn sim(changes: Value) -> Sim {
    let config = Config::of(MODULE.clone(), lab::plugin(changes).to_string()).cluster(CLUSTER).workers(2);
    let start = config.start;
    let mut sim = Sim::start(config).unwrap();
    sim.tell(CLUSTER, fake::simulated(fake::Answer::Report, start).after(Duration::from_millis(50)));
    sim
}

fn from(peer: IpAddr) -> Request {
    Request::get("/").source(&format!("{peer}:50000"))
}

fn ask(sim: &mut Sim, request: Request) -> Outcome {
    let stream = sim.request(request);
    assert!(sim.run_until_over(stream, PATIENCE), "{:#?}", sim.outcome(stream));
    sim.take_outcome(stream).unwrap()
}

#[test]
fn a_first_request_waits_for_the_report_and_the_next_is_decided_at_once() {
    let mut sim = sim(json!({}));
    let first = ask(&mut sim, from(fake::peer::CLEAN));
    assert_eq!(first.status, Some(200));
    assert!(first.took >= Duration::from_millis(50), "{:?}", first.took);
    let next = ask(&mut sim, from(fake::peer::CLEAN));
    assert_eq!((next.status, next.took), (Some(200), Duration::ZERO));
    assert!(next.forwarded.unwrap().first("x-criminalip").is_some());
    assert_eq!(sim.callouts().1, 1);
}

/// The tag that a client forges, where the proxy will not have the header replaced, and where it will not have it removed
/// either.
#[test]
fn a_request_whose_forged_tag_the_proxy_will_not_change_does_not_pass() {
    let forged = |peer: &str| Request::get("/").source(peer).header("x-criminalip", "verdict=allow, source=api");
    let refuse = |sim: &mut Sim, call: &str| {
        let effect = Effect::Status(10);
        sim.fault(Fault { call: call.to_owned(), nth: 1, times: u64::MAX, worker: None, effect });
    };
    let clean = format!("{}:50000", fake::peer::CLEAN);
    for peer in [clean.as_str(), "10.0.0.9:50000"] {
        // Held for its lookup, and then known.
        let mut sim = sim(json!({"log": "none"}));
        refuse(&mut sim, "proxy_replace_header_map_value");
        for _ in 0..2 {
            let untagged = ask(&mut sim, forged(peer));
            assert_eq!(untagged.status, Some(200));
            assert_eq!(untagged.forwarded.unwrap().first("x-criminalip"), None);
        }
        refuse(&mut sim, "proxy_remove_header_map_value");
        let reset = ask(&mut sim, forged(peer));
        assert!(reset.forwarded.is_none() && reset.status.is_none(), "{reset:#?}");
    }
}

#[test]
fn a_peer_without_an_address_passes_untagged_and_a_long_name_goes_elsewhere_than_an_address() {
    let mut sim = sim(json!({}));
    sim.set_trace(Level::Calls);
    let mut place = |source: &str, is_tagged: bool| {
        let outcome = ask(&mut sim, Request::get("/").source(source));
        assert_eq!(outcome.status, Some(200), "{source}");
        assert_eq!(outcome.forwarded.unwrap().first("x-criminalip").is_some(), is_tagged, "{source}");
        allocated(&sim.trace(), source.len()).unwrap()
    };
    let address = place(&format!("{}:50000", fake::peer::CLEAN), true);
    for (length, is_there) in [(6, true), (63, true), (64, true), (65, false), (5_000, false)] {
        let name = format!("/run/{}", "x".repeat(length - 5));
        assert_eq!(place(&name, false) == address, is_there, "{length} bytes");
        assert_eq!(place(&format!("{}:50000", fake::peer::CLEAN), true), address, "after {length} bytes");
    }
}

/// Where the module last had the proxy put so many bytes.
fn allocated(trace: &Trace, size: usize) -> Option<u64> {
    trace.entries().windows(2).rev().find_map(|pair| match (&pair[0].event, &pair[1].event) {
        (Event::Enter { function, arguments }, Event::Leave { result, .. })
            if function == "proxy_on_memory_allocate" && *arguments == [size as u64] =>
        {
            *result
        }
        _ => None,
    })
}

/// What a warm request may cost. The calls are exact; the fuel, which is about the instructions, leaves room for a change
/// of the compiler.
struct Budget {
    fuel: u64,
    calls: &'static [(&'static str, u64)],
}

const PASSED: Budget = Budget {
    fuel: 4_000,
    calls: &[("proxy_get_property", 1), ("proxy_replace_header_map_value", 1), ("proxy_set_property", 1)],
};

const REFUSED: Budget = Budget {
    fuel: 7_200,
    calls: &[
        ("proxy_get_header_map_value", 2),
        ("proxy_get_property", 1),
        ("proxy_send_local_response", 1),
        ("proxy_set_property", 1),
    ],
};

/// The cost of a request of a peer that is known; the same for the same seed, to the instruction.
fn cost_of(peer: IpAddr, changes: Value, status: u32) -> Cost {
    let once = || {
        let mut sim = sim(changes.clone());
        sim.set_trace(Level::Off);
        for _ in 0..300 {
            ask(&mut sim, from(peer));
        }
        let before = sim.cost();
        assert_eq!(ask(&mut sim, from(peer)).status, Some(status));
        sim.cost().since(&before)
    };
    let cost = once();
    assert_eq!(cost, once());
    cost
}

fn check(peer: IpAddr, changes: Value, status: u32, budget: &Budget) {
    let cost = cost_of(peer, changes, status);
    let calls: BTreeMap<_, _> = budget.calls.iter().copied().collect();
    assert_eq!(cost.calls, calls);
    assert!(cost.fuel <= budget.fuel, "{} of {} fuel", cost.fuel, budget.fuel);
    assert_eq!(cost.memory, 0, "a warm request takes no memory");
}

#[test]
fn a_warm_request_that_passes_stays_within_its_budget() {
    check(fake::peer::CLEAN, json!({"log": "none"}), 200, &PASSED);
}

#[test]
fn a_warm_request_that_is_tagged_only_stays_within_its_budget() {
    check(fake::peer::TOR, json!({"log": "none"}), 200, &PASSED);
}

#[test]
fn a_warm_request_that_is_refused_stays_within_its_budget() {
    check(fake::peer::C2, json!({"log": "none"}), 403, &REFUSED);
}

#[test]
fn a_journal_costs_a_warm_request_of_a_client_no_host_call_and_no_memory() {
    let changes = json!({"log": "none", "journal": {"entries": 1000}});
    check(fake::peer::CLEAN, changes, 200, &Budget { fuel: PASSED.fuel + JOURNAL, calls: PASSED.calls });
}

/// A peer that is known was looked for in them before.
#[test]
fn long_lists_and_a_long_feed_cost_a_warm_request_nothing() {
    const FEEDS: &str = "feeds";
    const MANY: u32 = 100_000;
    let network = |first: u8, place: u32| format!("{}/32", Ipv4Addr::from(u32::from(first) << 24 | place));
    let list = |first| (0..MANY).map(|place| json!({"cidr": network(first, place)})).collect::<Vec<_>>();
    let cost = |lists: Value, feed: bool| {
        let config = Config::of(MODULE.clone(), lab::plugin(json!({"log": "none", "lists": lists})).to_string());
        let start = config.start;
        let mut sim = Sim::start(config.cluster(CLUSTER).cluster(FEEDS)).unwrap();
        sim.tell(CLUSTER, fake::simulated(fake::Answer::Report, start));
        let body: String = (0..MANY).map(|place| network(30, place) + "\n").collect();
        sim.tell(FEEDS, Rule::always(Answer::response(200, body)));
        sim.run_for(Duration::from_secs(30));
        let entries = sim.metrics().into_iter().find(|(name, _)| name.starts_with("criminalip_feed_entries"));
        assert_eq!(entries.is_some(), feed, "{entries:?}");
        for _ in 0..300 {
            ask(&mut sim, from(fake::peer::CLEAN));
        }
        let before = sim.cost();
        assert_eq!(ask(&mut sim, from(fake::peer::CLEAN)).status, Some(200));
        sim.cost().since(&before)
    };
    let feed = json!([{"cluster": FEEDS, "authority": "feeds.internal", "path": "/list", "then": "deny"}]);
    let (short, long) = (
        cost(json!({"deny": [{"cidr": network(10, 0)}]}), false),
        cost(json!({"allow": list(10), "deny": list(20), "feeds": feed}), true),
    );
    assert_eq!(long.calls, short.calls);
    // Where the peer's hash falls differs by a few instructions.
    assert!(long.fuel <= short.fuel + 50, "{} after {}", long.fuel, short.fuel);
}

/// Reading a feed of 100,000 networks, and putting another in its place, holds nobody up: each callback is over soon.
#[test]
fn replacing_a_long_feed_takes_no_callback_that_would_hold_a_request_up() {
    /// A millisecond or two of a processor.
    const FUEL: u64 = 12_000_000;
    let feed =
        json!([{"cluster": "feeds", "authority": "feeds.internal", "path": "/", "then": "deny", "every": "20s"}]);
    let config = Config::of(MODULE.clone(), lab::plugin(json!({"lists": {"feeds": feed}})).to_string());
    let mut sim = Sim::start(config.workers(2).cluster(CLUSTER).cluster("feeds")).unwrap();
    let body =
        |first: u32| (0..100_000).map(|place| format!("{}\n", Ipv4Addr::from(first + place))).collect::<String>();
    // The rule that was told last comes first.
    sim.tell("feeds", Rule::always(Answer::response(200, body((20 << 24) + 50_000))));
    sim.tell("feeds", Rule::always(Answer::response(200, body(20 << 24))).times(1));
    let (mut most, end) = (0, sim.now() + Duration::from_secs(45));
    while sim.now() < end {
        let before = sim.cost().fuel;
        assert!(sim.step());
        most = most.max(sim.cost().fuel - before);
    }
    let updated = sim.log_lines(r#""outcome":"updated""#);
    assert!(updated.iter().any(|line| line.contains(r#""added":50000,"removed":50000"#)), "{updated:?}");
    assert!(most <= FUEL, "{most} of {FUEL} fuel in one callback");
}

/// Exactly what the VMs have of memory: the memory of a process that holds them says it less well.
#[test]
fn a_hundred_replacements_of_long_feeds_leave_no_memory_behind() {
    const FEEDS: u32 = 4;
    const ENTRIES: u32 = 100_000;
    const ROUNDS: u32 = 25;
    /// Bytes of an entry in a copy; in the body that it comes in, at most; and when it is read, but not packed yet.
    const BYTES: [u64; 3] = [13, 16, 32];
    let path = |number| format!("/{number}");
    let feed =
        |number| json!({"cluster": "feeds", "authority": "f", "path": path(number), "then": "deny", "every": "1s"});
    let feeds: Vec<Value> = (0..FEEDS).map(feed).collect();
    let config = Config::of(MODULE.clone(), lab::plugin(json!({"lists": {"feeds": feeds}})).to_string());
    let mut sim = Sim::start(config.workers(2).cluster(CLUSTER).cluster("feeds")).unwrap();
    sim.set_trace(Level::Off);
    let (vms, empty) = (sim.workers() as u64 + 1, sim.memory());
    let round = Rc::new(Cell::new(0));
    for number in 0..FEEDS {
        let round = Rc::clone(&round);
        let lines = move |_: &_| {
            let first = (20 << 24) + round.get() * FEEDS + number;
            let lines = (0..ENTRIES).map(|place| format!("{}\n", Ipv4Addr::from(first + place * 331)));
            Answer::response(200, lines.collect::<String>())
        };
        sim.tell("feeds", Rule::by(lines).on(&path(number)));
    }
    for now in 0..=ROUNDS {
        round.set(now);
        let (updated, end) = (Metric::Counter(u64::from(FEEDS * (now + 1))), sim.now() + PATIENCE);
        while sim.metric("criminalip_feed_fetches_total;outcome=updated") != Some(updated.clone()) {
            assert!(sim.now() < end, "round {now}: {:?}", sim.metrics());
            sim.run_for(Duration::from_millis(50));
        }
    }
    // Each VM has all copies, and now and then one in the making; and half as much again for the gaps between what comes and
    // goes. Were a tenth of a copy left behind each time, it would be more.
    let [copy, body, read] = BYTES;
    let needed = vms * u64::from(ENTRIES) * (u64::from(FEEDS) * copy + body + read);
    let most = empty + needed * 3 / 2;
    let memory = sim.memory();
    assert!(memory <= most, "{memory} bytes, {empty} of them before there was a feed, and at most {most}");
}

/// What writing a request down may cost in fuel.
const JOURNAL: u64 = 1_000;

/// Bodies are a control listener's business; every other request pays for being asked, and for nothing else.
#[test]
fn a_body_costs_a_warm_request_no_host_call() {
    let cost = |pieces: &[&str]| {
        let mut sim = sim(json!({"log": "none"}));
        let with_body = |pieces: &[&str]| {
            let request = Request::new("POST", "/").source(&format!("{}:50000", fake::peer::CLEAN));
            pieces.iter().fold(request, |request, piece| request.body(*piece))
        };
        for _ in 0..300 {
            ask(&mut sim, with_body(pieces));
        }
        let before = sim.cost();
        assert_eq!(ask(&mut sim, with_body(pieces)).status, Some(200));
        sim.cost().since(&before)
    };
    let (without, with) = (cost(&[]), cost(&["one", "two", "three"]));
    assert_eq!(with.calls, without.calls);
    assert!(with.fuel <= without.fuel + 3 * 100, "{} after {}", with.fuel, without.fuel);
}
