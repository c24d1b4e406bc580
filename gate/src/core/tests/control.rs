//! Overrides and security events: what the control listener changes, on all workers.

use super::fleet::{Fleet, clean, peer};
use super::*;
use crate::api::{Call, Caller, Credential, Head};
use crate::{Place, Remote};
use serde_json::{Value, json};

const TOKEN: &str = "write-0123456789abcdef";
/// The machine that events are about, and another.
const LAPTOP: &str = "10.20.0.7";
const OTHER: &str = "10.20.0.8";

fn site(root: u32, more: &str) -> Rc<Site> {
    let document = format!(
        r#"{{"direction": "egress", "scope": {{"treat_as_public": ["2001:db8::/32"]}}, "journal": {{"entries": 1000}},
            "api": {{"cluster": "c", "concurrency": 4, "budget": {{"per_day": 1000, "reserve_for_events": 100}}}} {more}}}"#
    );
    let config = Config::parse(document.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    Rc::new(Site::new(RootId(root), config))
}

/// Workers with a control listener, each of which the others know.
fn fleet(workers: usize, more: &str) -> Fleet {
    let mut fleet = Fleet::new(workers, site(1, more));
    listen(&mut fleet);
    step(&mut fleet, 2_000);
    fleet
}

fn listen(fleet: &mut Fleet) {
    let mut effects = Effects::default();
    fleet.gates[0].tend_listener(Proxy { now: fleet.now, store: &fleet.store }, &mut effects);
    fleet.take(0, effects);
}

/// Lets time pass. Peers whose number is a multiple of ten are command-and-control servers.
fn step(fleet: &mut Fleet, millis: u64) {
    let end = fleet.now.after(Duration::from_millis(millis));
    while fleet.now < end {
        let known = clean(fleet.now);
        let bad = Assessment { findings: Findings::of(&[Finding::C2]), ..known };
        let facts = move |peer: IpAddr| match peer {
            IpAddr::V6(peer) if peer.octets()[15] % 10 == 0 => Ok(bad),
            _ => Ok(known),
        };
        fleet.run(50, &|peer| (30, facts(peer)));
    }
}

/// A connection that is noted, and watched where it stays open.
fn connect(fleet: &mut Fleet, worker: usize, from: &str, to: IpAddr, open: Option<u32>) -> Option<Place> {
    let (site, gate, remote) = (Rc::clone(&fleet.site), &mut fleet.gates[worker], Remote::from(to));
    let place = gate.note(&site, Some(ip(from)), &remote, Some(443), open.is_some(), fleet.now);
    if let Some(stream) = open {
        let connection = Connection { port: Some(443), ..Connection::new(Direction::Egress, fleet.now.timestamp()) };
        gate.watch(&site, StreamId(stream), &remote, &connection, None);
    }
    place.map(|(place, _)| place)
}

fn call(fleet: &mut Fleet, worker: usize, method: &str, target: &str, body: Value) -> (u16, Value) {
    let control =
        Config::parse(br#"{"role": "control", "api": {"cluster": "c"}, "control": {"write_token_env": "TOKEN"}}"#);
    let control = control.unwrap().control.unwrap();
    let head = Head {
        method: method.into(),
        target: target.into(),
        content_type: Some(b"application/json".to_vec()),
        ..Head::default()
    };
    let caller = Caller {
        authorization: Some(format!("Bearer {TOKEN}").into()),
        write: Credential { from_environment: Some(TOKEN.into()), from_header: None },
        ..Caller::default()
    };
    let call: Call = match head.admit(&control, &caller) {
        Ok(call) => call,
        Err(reply) => return (reply.status, serde_json::from_slice(&reply.body).unwrap()),
    };
    let mut effects = Effects::default();
    let proxy = Proxy { now: fleet.now, store: &fleet.store };
    let reply = fleet.gates[worker].serve(&call, body.to_string().as_bytes(), proxy, &mut effects);
    fleet.take(worker, effects);
    (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
}

fn decide(fleet: &mut Fleet, worker: usize, to: IpAddr) -> Option<(Action, Source)> {
    let (site, now) = (Rc::clone(&fleet.site), fleet.now.timestamp());
    let connection = Connection::new(Direction::Egress, now);
    match fleet.gates[worker].consult(&site, &to.into(), &connection, now) {
        Consulted::Decided(decision) | Consulted::Stale(decision) => Some((decision.verdict.action, decision.source)),
        Consulted::Unknown | Consulted::Skip(_) => None,
    }
}

fn event(fleet: &mut Fleet, worker: usize, posted: &Value) -> Value {
    let target = format!("/v1/events/{}", posted["id"].as_str().unwrap());
    let (status, event) = call(fleet, worker, "GET", &target, Value::Null);
    assert_eq!(status, 200, "{event}");
    event
}

#[test]
fn an_event_looks_back_on_all_workers_and_only_where_its_source_went() {
    let mut fleet = fleet(4, "");
    // Known before, on one worker alone.
    fleet.request(3, peer(1));
    step(&mut fleet, 500);
    let before = fleet.calls.len();
    connect(&mut fleet, 0, LAPTOP, peer(77), None);
    step(&mut fleet, 301_000);
    listen(&mut fleet);
    step(&mut fleet, 2_000);
    for number in 1..=20 {
        connect(&mut fleet, number as usize % 4, LAPTOP, peer(number), None);
        // The same elsewhere costs nothing more.
        connect(&mut fleet, (number as usize + 1) % 4, LAPTOP, peer(number), None);
    }
    connect(&mut fleet, 2, OTHER, peer(30), None);
    let (open, untouched) = (Some(1000), Some(1001));
    connect(&mut fleet, 1, OTHER, peer(10), open);
    connect(&mut fleet, 1, OTHER, peer(31), untouched);
    let alert = json!({"type": "malware", "source": LAPTOP, "note": "laptop 7"});
    let (status, posted) = call(&mut fleet, 2, "POST", "/v1/events", alert);
    assert_eq!((status, &posted["state"]), (202, &json!("running")), "{posted}");
    step(&mut fleet, 2_000);
    let done = event(&mut fleet, 0, &posted);
    assert_eq!(done["state"], "done", "{done:#}");
    assert_eq!(done["workers"], json!({"expected": 4, "answered": 4}));
    for (key, count) in [("connections", 40), ("destinations", 20), ("validated", 20), ("denied", 2), ("credits", 19)] {
        assert_eq!(done[key], count, "{key} of {done:#}");
    }
    assert_eq!(done["findings"], json!({"c2": 2}));
    let asked: BTreeSet<_> = fleet.calls[before..].iter().copied().collect();
    assert_eq!(asked, (2..=20).map(peer).collect());
    assert_eq!(fleet.calls.len() - before, 19, "each but once");
    for worker in 0..4 {
        for number in [10, 20] {
            let decided = decide(&mut fleet, worker, peer(number)).or_else(|| {
                let site = Rc::clone(&fleet.site);
                let connection = Connection::new(Direction::Egress, fleet.now.timestamp());
                let proxy = Proxy { now: fleet.now, store: &fleet.store };
                match fleet.gates[worker].admit(&site, StreamId(9_999), &peer(number).into(), &connection, proxy) {
                    Admitted::Decided(decision) => Some((decision.verdict.action, decision.source)),
                    other => panic!("{other:?}"),
                }
            });
            assert_eq!(decided.map(|(action, _)| action), Some(Action::Deny), "{number} on {worker}");
        }
    }
    let closed: Vec<_> = fleet.closed.iter().map(|(worker, release)| (*worker, release.stream.0)).collect();
    assert_eq!(closed, [(1, 1000)], "another machine's connection to the same server, and nothing else");
}

#[test]
fn an_event_survives_an_update_of_the_configuration() {
    let mut fleet = fleet(2, "");
    for number in 1..=8 {
        connect(&mut fleet, number as usize % 2, LAPTOP, peer(number), None);
    }
    let old = fleet.site.root;
    fleet.site = site(2, "");
    for worker in 0..2 {
        let (site, gate) = (Rc::clone(&fleet.site), &mut fleet.gates[worker]);
        gate.enter(&site);
        gate.configure(&site.config, &fleet.store);
    }
    // One worker's old root ends before the event, the other's while its lookups wait.
    fleet.gates[0].retire(old);
    let alert = json!({"type": "phishing", "source": LAPTOP});
    let (_, posted) = call(&mut fleet, 0, "POST", "/v1/events", alert);
    for worker in 0..2 {
        let (proxy, mut effects) = (Proxy { now: fleet.now, store: &fleet.store }, Effects::default());
        fleet.gates[worker].tend_control(worker as u32, true, proxy, &mut effects);
        fleet.take(worker, effects);
    }
    fleet.gates[1].retire(old);
    step(&mut fleet, 2_000);
    let done = event(&mut fleet, 1, &posted);
    assert_eq!(
        (&done["state"], &done["credits"], &done["validated"]),
        (&json!("done"), &json!(8), &json!(8)),
        "{done:#}"
    );
}

#[test]
fn what_an_event_is_told_to_deny_is_denied_by_overrides_that_end() {
    let mut fleet = fleet(
        2,
        r#", "policy": {"profile": "none", "rules": [{"name": "r", "when": {"any": ["c2"]}, "then": "tag"}], "block": {"ttl": "1h"}}"#,
    );
    connect(&mut fleet, 0, LAPTOP, peer(10), None);
    connect(&mut fleet, 0, LAPTOP, peer(11), None);
    let alert = json!({"type": "other", "source": LAPTOP, "action": "deny"});
    let (_, posted) = call(&mut fleet, 1, "POST", "/v1/events", alert);
    step(&mut fleet, 1_000);
    let done = event(&mut fleet, 0, &posted);
    assert_eq!((&done["denied"], &done["found"][0]["verdict"]), (&json!(1), &json!("tag")), "{done:#}");
    for worker in 0..2 {
        assert_eq!(decide(&mut fleet, worker, peer(10)), Some((Action::Deny, Source::Override)));
    }
    let (_, overrides) = call(&mut fleet, 0, "GET", "/v1/overrides", Value::Null);
    let by = format!("event {}", posted["id"].as_str().unwrap());
    assert_eq!(overrides["overrides"][0]["by"], by);
    fleet.now = fleet.now.after(Duration::from_secs(3_600));
    listen(&mut fleet);
    step(&mut fleet, 100);
    assert_eq!(decide(&mut fleet, 1, peer(10)).map(|(_, source)| source), None);
    let (_, audit) = call(&mut fleet, 0, "GET", "/v1/audit", Value::Null);
    let what: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["what"].clone()).collect();
    assert_eq!(what, ["override_expired", "override_put", "event"]);
    assert_eq!(fleet.news.len(), 3, "the log has them too: {:?}", fleet.news);
}

#[test]
fn an_override_counts_on_all_workers_at_once_and_closes_what_is_open() {
    let lists = r#", "lists": {"allow": [{"cidr": "2001:db8::5/128"}], "deny": [{"cidr": "2001:db8::6/128"}]}"#;
    let mut fleet = fleet(3, lists);
    for (worker, number) in [(0, 1), (1, 1), (2, 5), (2, 2)] {
        let stream = Some(100 * worker as u32 + number);
        connect(&mut fleet, worker, LAPTOP, peer(number), stream);
    }
    // Nobody knows who that is, and it waits.
    assert_eq!(fleet.request(1, peer(4)), None);
    let deny = json!({"action": "deny", "owner": "soc", "reason": "incident 42"});
    let (status, put) = call(&mut fleet, 0, "PUT", "/v1/overrides/2001:db8::/125", deny);
    assert_eq!((status, &put["by"]), (201, &json!("write token")), "{put}");
    let allow = json!({"action": "allow", "owner": "soc", "reason": "a mistake"});
    for target in ["/v1/overrides/2001:db8::2%2F128", "/v1/overrides/2001:db8::6"] {
        assert_eq!(call(&mut fleet, 1, "PUT", target, allow.clone()).0, 201);
    }
    step(&mut fleet, 5);
    let mut closed: Vec<_> = fleet.closed.iter().map(|(worker, release)| (*worker, release.stream.0)).collect();
    closed.sort_unstable();
    // What the allow list lets pass, and what the longer prefix allows, stays open.
    assert_eq!(closed, [(0, 1), (1, 101)]);
    for worker in 0..3 {
        for (number, expected) in [
            (1, (Action::Deny, Source::Override)),
            (2, (Action::Allow, Source::Override)),
            (5, (Action::Allow, Source::List)),
            (6, (Action::Allow, Source::Override)),
        ] {
            assert_eq!(decide(&mut fleet, worker, peer(number)), Some(expected), "{number} on {worker}");
        }
    }
    let (worker, release) = &fleet.closed[0];
    let config = &release.site.config;
    let line = fleet.gates[*worker].log_line(&release.decision, config, &release.remote, Some((Some(443), true)));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["rule"], &line["list"]),
        (&json!("override"), &json!({"cidr": "2001:db8::/125", "owner": "soc", "reason": "incident 42"}))
    );
    assert_eq!(call(&mut fleet, 2, "DELETE", "/v1/overrides/2001:db8::/125?reason=over", Value::Null).0, 204);
    step(&mut fleet, 5);
    for worker in 0..3 {
        assert_eq!(decide(&mut fleet, worker, peer(3)), None);
    }
}

#[test]
fn a_lookup_on_demand_reaches_what_every_worker_remembers() {
    let mut fleet = fleet(2, "");
    for worker in 0..2 {
        fleet.request(worker, peer(10));
    }
    let known = clean(fleet.now);
    fleet.run(1_000, &|_| (30, Ok(known)));
    assert_eq!(decide(&mut fleet, 1, peer(10)).map(|(action, _)| action), Some(Action::Allow));
    connect(&mut fleet, 1, LAPTOP, peer(10), Some(5));
    fleet.now = fleet.now.after(Duration::from_secs(5));
    listen(&mut fleet);
    step(&mut fleet, 2_500);
    let (status, queued) = call(&mut fleet, 0, "POST", &format!("/v1/peers/{}/lookup", peer(10)), Value::Null);
    assert_eq!((status, &queued["queued"]), (202, &json!(true)), "{queued}");
    step(&mut fleet, 1_000);
    assert_eq!(decide(&mut fleet, 1, peer(10)).map(|(action, _)| action), Some(Action::Deny));
    assert_eq!(fleet.closed.len(), 1);
    let (_, shown) = call(&mut fleet, 1, "GET", &format!("/v1/peers/{}", peer(10)), Value::Null);
    assert_eq!((&shown["findings"], &shown["verdicts"][0]["verdict"]), (&json!(["c2"]), &json!("deny")), "{shown:#}");
    let (status, problem) = call(&mut fleet, 0, "POST", "/v1/peers/10.0.0.1/lookup", Value::Null);
    assert_eq!((status, &problem["errors"][0]["code"]), (422, &json!("not_public")));
}

#[test]
fn invariant_6_a_flood_of_events_leaves_a_worker_with_those_that_are_remembered() {
    let mut fleet = fleet(1, "");
    connect(&mut fleet, 0, LAPTOP, peer(1), None);
    for _ in 0..100 {
        assert_eq!(call(&mut fleet, 0, "POST", "/v1/events", json!({"type": "other"})).0, 202);
        let (proxy, mut effects) = (Proxy { now: fleet.now, store: &fleet.store }, Effects::default());
        fleet.gates[0].tend_control(0, true, proxy, &mut effects);
    }
    assert_eq!(fleet.gates[0].station.pursuits.len(), 32);
    step(&mut fleet, 1_000);
    let (_, events) = call(&mut fleet, 0, "GET", "/v1/events", Value::Null);
    let states: BTreeSet<_> =
        events["events"].as_array().unwrap().iter().map(|event| event["state"].as_str()).collect();
    assert_eq!((states, fleet.calls.len()), (BTreeSet::from([Some("done")]), 1));
}

#[test]
fn an_event_beyond_the_budget_says_what_it_left_out() {
    let mut fleet = fleet(1, "");
    fleet.site = {
        let document = r#"{"direction": "egress", "scope": {"treat_as_public": ["2001:db8::/32"]}, "journal": {"entries": 1000},
            "api": {"cluster": "c", "budget": {"per_day": 3, "per_hour": 3, "reserve_for_events": 2}}}"#;
        Rc::new(Site::new(RootId(1), Config::parse(document.as_bytes()).unwrap()))
    };
    let site = Rc::clone(&fleet.site);
    fleet.gates[0].enter(&site);
    for number in 1..=5 {
        connect(&mut fleet, 0, LAPTOP, peer(number), None);
    }
    let (_, posted) = call(&mut fleet, 0, "POST", "/v1/events", json!({"type": "login", "source": LAPTOP}));
    step(&mut fleet, 2_000);
    let done = event(&mut fleet, 0, &posted);
    assert_eq!(
        (&done["state"], &done["credits"], &done["skipped"]),
        (&json!("done"), &json!(3), &json!({"budget_spent": 2})),
        "{done:#}"
    );
}
