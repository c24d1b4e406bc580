//! Answers to callouts, mutated, through the whole module: whatever Criminal IP, or who sits between, sends, no VM fails, every
//! stream ends, and nobody is denied or tagged by what is no report. `ROUNDS=100000` goes on for longer.
#![allow(clippy::disallowed_methods, reason = "a test takes its length from the environment")]

use host_test::{
    envoy,
    host::{HeaderMap, Module, Random},
    lab,
    sim::{Answer, Config, Request, Rule, Sim},
    trace::{Level, lint},
};
use serde_json::json;
use std::{fs, time::Duration};

/// Whom the answers are about, and who asks.
const PEER: &str = "198.51.100.7";

/// Real answers, all of them about one peer, to be mutated.
fn corpus() -> Vec<Vec<u8>> {
    let folder = envoy::workspace().join("evaluator/tests/fixtures");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| about_the_peer(&fs::read_to_string(file).unwrap()).into_bytes()).collect()
}

fn about_the_peer(answer: &str) -> String {
    let Some((before, rest)) = answer.split_once("\"ip\":\"") else { return answer.to_owned() };
    let (_, after) = rest.split_once('"').unwrap();
    format!("{before}\"ip\":\"{PEER}\"{after}")
}

/// What breaks readers of JSON, numbers and text.
const TOKENS: [&[u8]; 14] = [
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\"\\ud800\"",
    b"[[[[[[[[[[[[[[[[",
    b"{\"status\":200}",
    b"\"200\"",
    b"\xff\xfe",
    b"\0",
    b"true",
    b"{}",
    b"[]",
    b"\"score\"",
];

fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut body = random.pick(corpus).clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(body.len() as u64 + 1) as usize;
        let end = (at + random.below(64) as usize).min(body.len());
        match random.below(7) {
            0 => body.truncate(at),
            1 => drop(body.drain(at..end)),
            2 => drop(body.splice(at..end, random.pick(&TOKENS).iter().copied())),
            3 => drop(body.splice(at..at, random.pick(corpus).clone())),
            4 if at < body.len() => body[at] ^= 1 << random.below(8),
            5 => drop(body.splice(at..at, body[at..end].to_vec().repeat(1 + random.below(40) as usize))),
            _ => drop(body.splice(at..at, [random.below(256) as u8])),
        }
    }
    body
}

fn answer(random: &mut Random, corpus: &[Vec<u8>]) -> Answer {
    let mut headers = HeaderMap::default();
    if random.once_in(4) {
        let value: Vec<u8> = (0..random.below(20)).map(|_| random.below(256) as u8).collect();
        headers.add(*random.pick(&["retry-after", "content-type", "x-envoy-upstream-service-time"]), value);
    }
    let status = if random.once_in(4) { random.below(1000) as u32 } else { 200 };
    Answer::Response { status, headers, body: mutated(random, corpus), trailers: HeaderMap::default() }
}

#[test]
fn mutated_answers_fail_no_vm_and_leave_no_stream_behind() {
    let module = Module::read(&envoy::module().unwrap()).unwrap();
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3_000);
    let corpus = corpus();
    let short = json!({"clean": "1s", "suspicious": "1s", "malicious": "1s", "error": "1s"});
    let changes = json!({"log": "all", "first_look": {"hold": "1s"}, "cache": {"ttl": short, "stale": "0s"},
        "policy": {"block": {"ttl": "1s", "factor": 1, "max": "1s"}}});
    let mut read = 0;
    for seed in 0..rounds.div_ceil(250) {
        let configuration = lab::plugin(changes.clone()).to_string();
        let config = Config::of(module.clone(), configuration.as_str()).cluster("criminalip").seed(seed);
        let mut sim = Sim::start(config.only_workers().trace(Level::Events)).unwrap();
        let mut random = Random::new(seed);
        for round in 0..250 {
            // Whatever was learned is worth nothing any more, and with a new configuration nothing speaks against asking.
            sim.run_for(Duration::from_secs(2));
            sim.update(0, configuration.as_str()).unwrap();
            let answer = answer(&mut random, &corpus);
            let is_json = matches!(&answer, Answer::Response { status: 200, body, .. }
                if serde_json::from_slice::<serde_json::Value>(body).is_ok());
            sim.tell("criminalip", Rule::always(answer.clone()).times(1));
            let stream = sim.request(Request::get("/").source(&format!("{PEER}:5000")));
            let over = sim.run_until_over(stream, Duration::from_secs(5));
            assert!(over && sim.is_alive(1), "seed {seed}, round {round}: {answer:?}");
            let tag = sim.outcome(stream).forwarded.clone().unwrap_or_default();
            let tag = String::from_utf8_lossy(tag.first("x-criminalip").unwrap_or_default()).into_owned();
            let by_facts = sim.outcome(stream).status == Some(403) || tag.contains("source=api");
            assert!(!by_facts || is_json, "seed {seed}, round {round}: facts from what is no JSON: {answer:?}");
            read += u64::from(by_facts);
            sim.forget_rules("criminalip");
        }
        assert_eq!(lint::lints(sim.trace().entries()), []);
        sim.clear_trace();
    }
    assert!(read > rounds / 100, "only {read} of {rounds} answers are still reports: the mutations are too coarse");
}
