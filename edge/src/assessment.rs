//! Assessments as JSON, with what each finding rests on.

use crate::json;
use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, num::NonZeroU32};
use evaluator::{AnswerError, Examination, Found, Levels, Reading};
use serde::Serialize;

#[derive(Serialize)]
struct Written<'a> {
    outcome: &'static str,
    /// The address that the report names.
    ip: Option<IpAddr>,
    /// Seconds since the start of 1970.
    learned: u32,
    class: &'static str,
    score: Levels,
    findings: Vec<Found<'a>>,
    published: Vec<Found<'a>>,
    asn: Option<NonZeroU32>,
    country: Option<String>,
    anomalies: u32,
}

#[derive(Serialize)]
struct Failure {
    outcome: &'static str,
    error: String,
}

/// The JSON of what was read.
pub(crate) fn write(examined: &Result<Examination, AnswerError>) -> String {
    let examination = match examined {
        Ok(examination) => examination,
        Err(error) => return json(&Failure { outcome: error.code(), error: format!("{error}") }),
    };
    let Reading { assessment, subject, anomalies } = examination.reading;
    json(&Written {
        outcome: "assessed",
        ip: subject,
        learned: assessment.learned.unix(),
        class: assessment.class().name(),
        score: assessment.score.into(),
        findings: examination.current.iter().map(Found::from).collect(),
        published: examination.published.iter().map(Found::from).collect(),
        asn: assessment.asn,
        country: assessment.country.map(|country| country.letters().iter().collect()),
        anomalies,
    })
}
