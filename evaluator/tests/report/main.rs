//! Reading answers of Criminal IP: whole reports, odd ones, errors, and the published pipeline's view of them.
#![allow(clippy::disallowed_methods, reason = "tests read their fixtures from files")]

mod answers;
mod odd;
mod pipeline;
mod properties;
mod reports;

use evaluator::{Reading, Timestamp, read_answer};

/// The time of every test that does not say otherwise.
const NOW: &str = "2024-03-25 00:00:00";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text} is no time"))
}

/// A report of these members, which may leave out the score: it is safe both ways then.
fn report(members: &str) -> String {
    let score = if members.contains(r#""score""#) { "" } else { r#""score":{"inbound":"Safe","outbound":"Safe"},"# };
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"ip":"192.0.2.1",{score}{members}{comma}"status":200}}"#)
}

/// What a body says that must be a report.
fn read(body: &str) -> Reading {
    read_answer(200, body.as_bytes(), time(NOW)).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The codes of findings, as the tables of the tests write them.
fn codes(findings: evaluator::Findings) -> Vec<&'static str> {
    findings.iter().map(evaluator::Finding::code).collect()
}
