//! The cases in the simulation.

use super::{CASES, Case, guest::guest, of_stream};
use crate::{
    host::{HeaderMap, Module},
    sim::{Answer, Config, Request, Rule, Sim, upstream},
    trace,
};
use anyhow::Result;
use std::time::Duration;

/// The calls of each case.
///
/// # Errors
/// When a guest does not start.
pub fn calls() -> Result<Vec<Vec<String>>> {
    CASES.iter().map(calls_of).collect()
}

fn calls_of(case: &Case) -> Result<Vec<String>> {
    let module = Module::load(guest(case).as_bytes())?;
    let mut config = Config::of(module, "").only_workers();
    // As many headers as there are in Envoy, which adds two.
    let headers = headers(&[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")]);
    let web = Answer::Response { status: 200, headers, body: b"ok".into(), trailers: HeaderMap::default() };
    config.clusters = [
        ("http", vec![Rule::always(web)]),
        ("mute", vec![Rule::always(Answer::Never)]),
        ("grpc", vec![Rule::by(answer)]),
        ("bare", Vec::new()),
    ]
    .map(|(name, rules)| (name.to_owned(), rules))
    .into();
    let mut sim = Sim::start(config)?;
    let request = Request::get("/");
    sim.request(if case.leaves { request.leaves_after(Duration::from_millis(10)) } else { request });
    sim.run_for(Duration::from_secs(1));
    Ok(of_stream(sim.trace().entries().iter().filter_map(|entry| trace::envoy::line(&entry.event))))
}

const INITIAL: [(&str, &str); 2] = [("content-type", "application/grpc"), ("x-a", "initial")];

/// An answer with so many messages, and this status.
fn part(messages: usize, status: &str) -> Answer {
    Answer::Grpc {
        headers: headers(&INITIAL),
        messages: vec![b"pong".into(); messages],
        trailers: Some(headers(&[("x-a", "trailing"), ("grpc-status", status)])),
    }
}

/// What the method `pong` answers.
pub(in crate::conformance) fn pong() -> Answer {
    part(1, "0")
}

/// What the server's methods do.
fn answer(request: &upstream::Request) -> Answer {
    let response = |status, more: &[(&str, &str)], body: &[u8]| Answer::Response {
        status,
        headers: headers(&[&INITIAL, more].concat()),
        body: body.into(),
        trailers: HeaderMap::default(),
    };
    match request.path().trim_start_matches("/s/") {
        "pong" => pong(),
        "both" => part(2, "0"),
        "mute" => part(0, "0"),
        "late" => part(1, "7"),
        "fail" => response(200, &[("grpc-status", "5"), ("grpc-message", "none")], b""),
        "http" => response(503, &[], b""),
        "text" => response(503, &[], b"text"),
        "drop" => Answer::Reset,
        "half" => Answer::Cut,
        "echo" => {
            Answer::Grpc { headers: headers(&INITIAL[..1]), messages: vec![request.body.clone()], trailers: None }
        }
        _ => Answer::Never,
    }
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().copied().collect()
}
