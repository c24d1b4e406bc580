//! The stand-in as a cluster of the simulation: the same answers, without a network.

use super::{Answer, clock::Clock, fixtures};
use crate::{host::HeaderMap, sim};
use std::net::IpAddr;

/// A rule for a simulated cluster that answers as the stand-in does. `start` is the simulation's time of day at its start,
/// in Unix nanoseconds: the evidence in reports is fresh then.
pub fn simulated(answer: Answer, start: u64) -> sim::Rule {
    let clock = Clock(i64::try_from(start / 1_000_000_000).unwrap_or(0));
    sim::Rule::by(move |request| {
        let path = request.path();
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let ip: Option<IpAddr> = parameter("ip").and_then(|ip| ip.replace("%3A", ":").replace("%3a", ":").parse().ok());
        let report = ip.and_then(|ip| fixtures::report(ip, clock));
        let report = report.map(|report| report.body(parameter("full") == Some("true")));
        let answer = match (&answer, &report) {
            (Answer::Report, None) => &Answer::InvalidAddress,
            (answer, _) => answer,
        };
        convert(answer, report.as_deref().unwrap_or_default())
    })
}

fn convert(answer: &Answer, report: &[u8]) -> sim::Answer {
    match answer.message(report) {
        Some((status, body)) => {
            let mut headers = HeaderMap::default();
            headers.add("content-type", if *answer == Answer::BadGateway { "text/html" } else { "application/json" });
            if let Answer::RateLimited(Some(seconds)) = answer {
                headers.add("retry-after", seconds.to_string());
            }
            sim::Answer::Response { status: status.into(), headers, body, trailers: HeaderMap::default() }
        }
        None if *answer == Answer::Cut => sim::Answer::Cut,
        None if *answer == Answer::Close => sim::Answer::Reset,
        None => sim::Answer::Never,
    }
}
