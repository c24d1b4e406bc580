//! The vectors that every runtime runs, natively.
#![allow(clippy::disallowed_methods, reason = "tests read their fixtures from files")]

use super::*;
use crate::{List, is_public};
use evaluator::Timestamp;
use serde_json::{Value, json as object};

fn millis(time: &Value) -> f64 {
    f64::from(Timestamp::parse(time.as_str().unwrap()).unwrap().unix()) * 1000.0
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn reports_are_read_and_judged_as_the_vectors_say() {
    let cases = read(include_str!("../../../evaluator/vectors/verdicts.json"));
    for case in cases.as_array().unwrap() {
        let name = &case["name"];
        let path =
            format!("{}/../evaluator/tests/fixtures/{}", env!("CARGO_MANIFEST_DIR"), case["report"].as_str().unwrap());
        let (report, at) = (std::fs::read(path).unwrap(), millis(&case["at"]));
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let assessment = assess(status, &report, at);
        assert_eq!(read(&assessment), case["assessment"], "{name}");
        let policy = Policy::new(case["config"].to_string().as_bytes()).unwrap();
        let judgement = policy.decide(&assessment, &case["connection"].to_string(), at).unwrap();
        assert_eq!(read(&judgement), case["judgement"], "{name}");
    }
    assert!(cases.as_array().unwrap().len() > 20);
}

#[test]
fn addresses_are_public_or_not_as_the_vectors_say() {
    let vectors = read(include_str!("../../../evaluator/vectors/addresses.json"));
    for (kind, expected) in [("public", Some(true)), ("special", Some(false)), ("none", None)] {
        for address in vectors[kind].as_array().unwrap() {
            assert_eq!(is_public(address.as_str().unwrap()).ok(), expected, "{address}");
        }
    }
}

#[test]
fn lists_find_what_the_vectors_say() {
    let vectors = read(include_str!("../../../evaluator/vectors/lists.json"));
    let list = List::new(vectors["entries"].to_string().as_bytes()).ok().unwrap();
    assert_eq!(list.size(), vectors["entries"].as_array().unwrap().len());
    for case in vectors["matches"].as_array().unwrap() {
        let found = list.find(case["address"].as_str().unwrap(), millis(&case["at"])).unwrap();
        let found = found.map_or(Value::Null, |found| read(&found));
        assert_eq!((&found["cidr"], &found["owner"]), (&case["cidr"], &case["owner"]), "{}", case["address"]);
    }
    for case in vectors["mistakes"].as_array().unwrap() {
        let mistakes = read(&List::new(case["entries"].to_string().as_bytes()).err().unwrap());
        assert_eq!((&mistakes[0]["path"], &mistakes[0]["code"]), (&case["path"], &case["code"]));
    }
}

#[test]
fn what_is_no_assessment_or_no_connection_is_said() {
    let policy = Policy::new(b"{}").ok().unwrap();
    let clean =
        object!({"outcome": "assessed", "ip": "192.0.2.1", "score": {"inbound": 20, "outbound": null}}).to_string();
    for (assessment, connection, problem) in [
        ("[]", "{}", "this is no assessment"),
        (r#"{"outcome": "fine"}"#, "{}", "there is no outcome"),
        (r#"{"outcome": "assessed", "findings": [{"code": "tor"}]}"#, "{}", "there is no finding"),
        (r#"{"outcome": "assessed", "score": {"inbound": 30}}"#, "{}", "there is no level 30"),
        (r#"{"outcome": "bad_key"}"#, "{}", "connection.ip"),
        (&clean, r#"{"direction": "up"}"#, "connection.direction"),
        (&clean, r#"{"port": 70000}"#, "connection: "),
        (&clean, r#"{"prt": 1}"#, "connection: "),
    ] {
        let error = policy.decide(assessment, connection, 0.0).unwrap_err();
        assert!(error.starts_with(problem), "{error}");
    }
}
