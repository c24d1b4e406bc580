use super::*;
use proptest::prelude::*;
use serde_json::{Value, json as object};

const NOW: f64 = 1_800_000_000_000.0;
const PEER: &str = "198.51.100.9";
const REPORT: &str = r#"{"ip":"198.51.100.9","score":{"inbound":"Critical"},"status":200}"#;

fn doorway(extra: &str) -> Doorway {
    let document = format!(
        r#"{{"api": {{"cluster": "criminalip"}}, "scope": {{"treat_as_public": ["198.51.100.0/24"]}} {extra}}}"#
    );
    Doorway::new(document.as_bytes(), 7).unwrap()
}

fn orders(text: String) -> Value {
    serde_json::from_str(&text).unwrap()
}

impl Doorway {
    fn comes(&mut self, peer: &str, now: f64) -> Value {
        orders(self.knock(peer, 443, "/", "GET", "example.com", "", "", now))
    }

    fn waits(&mut self, stream: u32, peer: &str, now: f64) -> Value {
        orders(self.admit(stream, peer, 443, "/", "GET", "example.com", "", "", now))
    }
}

#[test]
fn an_unknown_peer_is_looked_up_and_its_request_is_told_the_verdict() {
    let mut doorway = doorway("");
    assert_eq!(doorway.comes(PEER, NOW), object!({"stream": 0, "unknown": PEER}));
    assert_eq!(doorway.waits(0, PEER, NOW), object!({"due": true}));
    let next = orders(doorway.next(9, NOW));
    assert_eq!(next["lookups"][0]["path"], "/v1/asset/ip/report?ip=198.51.100.9&full=true");
    assert_eq!(next["wake"], 750);
    assert!(doorway.wants(PEER));

    let id = next["lookups"][0]["id"].as_u64().unwrap() as u32;
    let answered = orders(doorway.answered(id, 200, REPORT.as_bytes(), "", NOW));
    let decided = &answered["decided"][0];
    assert_eq!((&decided["stream"], &decided["refusal"]["status"]), (&object!(0), &object!(403)));
    assert_eq!(decided["tag"], "verdict=deny, score=100, findings=(reputation), source=api");
    assert_eq!(decided["log"]["level"], "warn");
    assert_eq!(answered["keep"]["seconds"], 2 * 86_400, "a day for a malicious peer, and another while stale");
    assert!(!doorway.wants(PEER));

    let mut another = self::doorway("");
    another.comes(PEER, NOW);
    assert!(orders(another.recall(PEER, answered["keep"]["fact"].as_str().unwrap(), NOW)).is_object());
    assert_eq!(another.waits(0, PEER, NOW)["decided"][0]["refusal"]["status"], 403);
}

#[test]
fn a_request_that_waited_long_enough_goes_on_and_the_late_answer_serves_the_next() {
    let mut doorway = doorway("");
    doorway.comes(PEER, NOW);
    doorway.waits(0, PEER, NOW);
    doorway.next(9, NOW);
    let swept = orders(doorway.sweep(NOW + 750.0));
    assert_eq!(swept["decided"][0]["tag"], "verdict=allow, source=first_look");
    assert!(doorway.waiting.iter().next().is_none());
    doorway.answered(1, 200, REPORT.as_bytes(), "", NOW + 900.0);
    assert_eq!(doorway.comes(PEER, NOW + 1_000.0)["decided"][0]["refusal"]["status"], 403);
    let counts = orders(doorway.counts(NOW + 1_000.0));
    assert_eq!(counts["criminalip_failed_open_total;reason=hold_expired"], 1);
    assert_eq!(counts["criminalip_lookups_total;outcome=assessed"], 1);
}

#[test]
fn invariant_6_a_stream_that_left_and_a_lookup_that_nobody_ends_leave_nothing_behind() {
    let mut doorway = doorway("");
    doorway.comes(PEER, NOW);
    doorway.waits(0, PEER, NOW);
    doorway.next(9, NOW);
    doorway.leave(0);
    assert_eq!((doorway.waiting.iter().count(), doorway.gate.held(), doorway.asked.iter().count()), (0, 0, 1));
    doorway.next(9, NOW + 180_000.0);
    assert!(doorway.asked.iter().next().is_none() && !doorway.wants(PEER));
}

#[test]
fn each_failure_has_its_reason() {
    for (end, reason) in [
        (
            Box::new(|doorway: &mut Doorway| doorway.failed(1, "timeout", NOW)) as Box<dyn Fn(&mut Doorway) -> String>,
            "timeout",
        ),
        (Box::new(|doorway| doorway.failed(1, "no such thing", NOW)), "not_sent"),
        (Box::new(|doorway| doorway.answered(1, 200, &[b' '; 5 << 20], "", NOW)), "too_large"),
        (Box::new(|doorway| doorway.answered(1, 502, b"<html>", "", NOW)), "server_error"),
        (Box::new(|doorway| doorway.answered(1, 200, REPORT.replace(".9", ".8").as_bytes(), "", NOW)), "other_address"),
    ] {
        let mut doorway = doorway(r#", "on_error": "deny", "log": "all""#);
        doorway.comes(PEER, NOW);
        doorway.waits(0, PEER, NOW);
        doorway.next(9, NOW);
        let ended = orders(end(&mut doorway));
        let line: Value = serde_json::from_str(ended["decided"][0]["log"]["text"].as_str().unwrap()).unwrap();
        assert_eq!((&line["reason"], &line["action"]), (&object!(reason), &object!("deny")));
        assert_eq!(ended.get("keep"), None, "{reason} is no fact");
    }
}

#[test]
fn what_does_nothing_here_is_said_and_what_would_be_wrong_is_refused() {
    let settings = orders(doorway(r#", "tag": {"filter_state": "x"}, "cache": {"shared_slots": 8}"#).settings());
    let paths: Vec<_> = settings["without_effect"].as_array().unwrap().iter().map(|it| it["path"].clone()).collect();
    assert_eq!(paths, ["tag.filter_state", "cache.shared_slots"]);
    for (document, path, code) in [
        (r#"{"api": {"cluster": "c"}, "direction": "egress"}"#, "direction", "unknown_value"),
        (r#"{"api": {"cluster": "c"}, "role": "network"}"#, "role", "unknown_value"),
        (r#"{"api": {}}"#, "api.cluster", "missing_key"),
    ] {
        let mistakes = orders(Doorway::new(document.as_bytes(), 7).err().unwrap());
        assert_eq!((&mistakes[0]["path"], &mistakes[0]["code"]), (&object!(path), &object!(code)));
    }
}

proptest! {
    #[test]
    fn any_request_and_any_answer_has_orders(peer: String, path: String, accept: String, body: Vec<u8>, kept: String) {
        let mut doorway = doorway("");
        doorway.knock(&peer, 1, &path, &accept, &path, &accept, &path, NOW);
        doorway.admit(7, &peer, 1, &path, &accept, &path, &accept, &path, f64::NAN);
        doorway.recall(PEER, &kept, -1.0);
        doorway.comes(PEER, NOW);
        doorway.waits(0, PEER, NOW);
        doorway.next(9, NOW);
        orders(doorway.answered(1, 200, &body, &accept, NOW));
        orders(doorway.answered(9, 200, &body, &accept, f64::INFINITY));
    }

    #[test]
    fn hexadecimal_digits_bring_every_byte_back(bytes: Vec<u8>, text: String) {
        prop_assert_eq!(from_hex(&hex(&bytes)), Some(bytes));
        let _ = from_hex(&text);
    }
}
