//! The vectors that every runtime runs, natively.
#![allow(clippy::disallowed_methods, reason = "tests read their fixtures from files")]

use super::*;
use crate::{List, is_public};
use evaluator::{Judgement, Timestamp};
use serde_json::{Value, json as object};

fn millis(time: &Value) -> f64 {
    f64::from(Timestamp::parse(time.as_str().unwrap()).unwrap().unix()) * 1000.0
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What [`Policy::decide`] says about a case, from the assessment as JavaScript has it.
fn decide(policy: &Policy, terms: &Value, assessment: &Value, connection: &Value, now: f64) -> u32 {
    let text = |key: &str| connection[key].as_str().map(str::to_owned);
    let codes = assessment[terms["evidence"].as_str().unwrap()].as_array();
    let findings = codes.into_iter().flatten().filter_map(|found| Finding::from_code(found["code"].as_str().unwrap()));
    let bits = Findings::of(&findings.collect::<Vec<_>>()).bits();
    let country = assessment["country"]
        .as_str()
        .map_or(0, |letters| u32::from(u16::from_le_bytes(letters.as_bytes().try_into().unwrap())));
    let level = |direction: &str| u8::try_from(assessment["score"][direction].as_u64().unwrap_or(0)).unwrap();
    let egress = connection["direction"].as_str().or(terms["direction"].as_str()) == Some("egress");
    let asn = u32::try_from(assessment["asn"].as_u64().unwrap_or(0)).unwrap();
    let port = connection["port"].as_i64().map_or(-1, |port| i32::try_from(port).unwrap());
    let (inbound, outbound) = (level("inbound"), level("outbound"));
    let (product, path, method, host) = (text("product"), text("path"), text("method"), text("host"));
    policy.decide(bits, inbound, outbound, asn, country, egress, port, now, product, path, method, host)
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
        let assessment = read(&assess(status, &report, at));
        assert_eq!(assessment, case["assessment"], "{name}");
        let policy = Policy::new(case["config"].to_string().as_bytes()).unwrap();
        let terms = read(&policy.terms());
        let judgement = &case["judgement"];
        let decided = decide(&policy, &terms, &assessment, &case["connection"], at);
        let rule = &terms["rules"][usize::try_from(decided & (SHOWS - 1)).unwrap()];
        if assessment["outcome"] == "assessed" {
            assert_eq!(*rule, object!([judgement["rule"], judgement["verdict"]]), "{name}");
        }
        assert_eq!(read(&whole(&policy.0, status, &report, at, &case["connection"])), *judgement, "{name}");
    }
    assert!(cases.as_array().unwrap().len() > 20);
}

/// The judgement as the command line has it.
fn whole(config: &Judging, status: u16, report: &[u8], at: f64, given: &Value) -> String {
    let now = moment(at).timestamp();
    let examined = examine(status, report, now);
    let subject = examined.as_ref().ok().and_then(|examination| examination.reading.subject);
    let ip = given["ip"].as_str().map(|ip| ip.parse().unwrap()).or(subject).unwrap();
    let bytes = |key: &str| given[key].as_str().map(str::as_bytes);
    let connection = Connection {
        port: given["port"].as_u64().map(|port| u16::try_from(port).unwrap()),
        product: given["product"].as_str(),
        path: bytes("path"),
        method: bytes("method"),
        host: bytes("host"),
        ..Connection::new(config.direction, now)
    };
    let profile = config.profile.map(Profile::name);
    let judgement = Judgement::new(ip, examined.as_ref().map_err(|error| *error), &config.policy, profile, &connection);
    serde_json::to_string(&judgement).unwrap()
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
fn an_address_that_a_judgement_writes_in_another_way_is_said_to_be_so() {
    for (text, as_judged) in [
        ("192.0.2.1", true),
        ("2001:db8::1", true),
        ("2001:DB8::1", false),
        ("2001:db8:0::1", false),
        // The page is that of the IPv4 address.
        ("::ffff:192.0.2.7", false),
    ] {
        let ip: core::net::IpAddr = text.parse().unwrap();
        assert_eq!(is_as_judged(text), as_judged, "{text}");
        assert_eq!((ip.to_string(), report_link(ip)) == (text.into(), format!("{REPORT_PAGES}{text}")), as_judged);
    }
    assert!(!is_as_judged("192.0.2"));
    assert!(address("192.0.2", "connection.client").unwrap_err().starts_with("connection.client: "));
}
