//! The vectors of the evaluator in the built module, which must say of each what every other runtime says.
#![allow(clippy::disallowed_methods, reason = "tests read their fixtures from files")]

use super::{CLUSTER, MODULE, PATIENCE};
use host_test::{
    lab,
    sim::{Answer, Config, Request, Rule, Sim},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// What the module logs of a request by, or to, the address of this case. The clock, the configuration, the answer to the
/// lookup and what the request asks for are the case's.
fn decide(case: &Value, ip: &str) -> Value {
    let evaluator = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../evaluator");
    let report = fs::read(evaluator.join("tests/fixtures").join(case["report"].as_str().unwrap())).unwrap();
    let status = u32::try_from(case["status"].as_u64().unwrap()).unwrap();
    let mut changes = case["config"].clone();
    changes["log"] = json!("all");
    let mut config = Config::of(MODULE.clone(), lab::plugin(changes).to_string()).cluster(CLUSTER).workers(1);
    let at: jiff::Timestamp = case["at"].as_str().unwrap().parse().unwrap();
    config.start = u64::try_from(at.as_nanosecond()).unwrap();
    let mut sim = Sim::start(config).unwrap();
    sim.tell(CLUSTER, Rule::always(Answer::response(status, report)));

    let given = |key: &str, default: &str| case["connection"][key].as_str().unwrap_or(default).to_owned();
    let port = case["connection"]["port"].as_u64().unwrap_or(8080);
    let mut request = Request::new(&given("method", "GET"), &given("path", "/"));
    request.headers.replace(":authority", given("host", "example.com"));
    if case["judgement"]["direction"] == "egress" {
        request.destination = format!("{ip}:{port}");
    } else {
        (request.source, request.destination) = (format!("{ip}:50000"), format!("10.0.0.1:{port}"));
    }
    let stream = sim.request(request);
    assert!(sim.run_until_over(stream, PATIENCE), "{}", case["name"]);
    let lines = sim.log_lines(r#""event":"decision""#);
    let line = lines.first().unwrap_or_else(|| panic!("no decision: {}", case["name"]));
    serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap()
}

#[test]
fn the_filter_judges_as_the_vectors_say() {
    let cases: Value = serde_json::from_str(include_str!("../../../evaluator/vectors/verdicts.json")).unwrap();
    let mut judged = 0;
    for case in cases.as_array().unwrap() {
        let (judgement, name) = (&case["judgement"], &case["name"]);
        // A proxy knows of no product.
        if !case["connection"]["product"].is_null() {
            continue;
        }
        let decision = decide(case, judgement["ip"].as_str().unwrap());
        if judgement["verdict"].is_null() {
            assert!(decision["rule"].is_null() && decision["source"] != "api", "{name}: {decision}");
        } else {
            let codes = |findings: &Value, code: fn(&Value) -> &Value| -> BTreeSet<String> {
                findings.as_array().unwrap().iter().map(|found| code(found).as_str().unwrap().to_owned()).collect()
            };
            let found = codes(&decision["findings"], |code| code);
            assert_eq!(found, codes(&judgement["findings"], |found| &found["code"]), "{name}");
            assert_eq!(
                [&decision["action"], &decision["rule"], &decision["source"]],
                [&judgement["verdict"], &judgement["rule"], &json!("api")],
                "{name}"
            );
        }
        judged += 1;
    }
    assert!(judged > 20);
}
