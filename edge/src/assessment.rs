//! Assessments as JSON, with what each finding rests on: they go out when a report is read, and come back to be judged.

use crate::json;
use evaluator::{
    AnswerError, Assessment, Country, Detail, Examination, Finding, Findings, Found, Level, Levels, Reading, Score,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU32;

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
        Err(error) => return json(&Failure { outcome: error.code(), error: error.to_string() }),
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

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    ip: Option<IpAddr>,
    #[serde(default)]
    learned: u32,
    #[serde(default)]
    score: GivenLevels,
    #[serde(borrow, default)]
    findings: Vec<GivenFinding<'a>>,
    #[serde(borrow, default)]
    published: Vec<GivenFinding<'a>>,
    asn: Option<NonZeroU32>,
    country: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct GivenLevels {
    inbound: Option<u8>,
    outbound: Option<u8>,
}

#[derive(Deserialize)]
struct GivenFinding<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    detail: Option<Cow<'a, str>>,
}

/// Reads an assessment, or the failure that took its place.
///
/// # Errors
/// What is wrong with it, where it is neither.
pub(crate) fn read(text: &str) -> Result<Result<Examination, AnswerError>, String> {
    let given: Given<'_> = serde_json::from_str(text).map_err(|error| format!("this is no assessment: {error}"))?;
    if given.outcome != "assessed" {
        let error = AnswerError::ALL.iter().find(|error| error.code() == given.outcome);
        return error.map(|error| Err(*error)).ok_or_else(|| format!("there is no outcome {:?}", given.outcome));
    }
    let (current, published) = (details(given.findings)?, details(given.published)?);
    let set = |details: &[Detail]| details.iter().fold(Findings::EMPTY, with);
    let assessment = Assessment {
        learned: Timestamp::from_unix(given.learned.into()),
        findings: set(&current),
        published: set(&published),
        asn: given.asn,
        country: given.country.as_deref().and_then(Country::parse),
        score: Score { inbound: level(given.score.inbound)?, outbound: level(given.score.outbound)? },
    };
    let reading = Reading { assessment, subject: given.ip, anomalies: 0 };
    Ok(Ok(Examination { reading, current, published }))
}

fn details(findings: Vec<GivenFinding<'_>>) -> Result<Vec<Detail>, String> {
    let detail = |GivenFinding { code, detail }| {
        let finding = Finding::from_code(&code).ok_or_else(|| format!("there is no finding {code:?}"))?;
        Ok(Detail { finding, detail: detail.map(Cow::into_owned) })
    };
    findings.into_iter().map(detail).collect()
}

fn with(mut findings: Findings, detail: &Detail) -> Findings {
    findings.insert(detail.finding);
    findings
}

fn level(number: Option<u8>) -> Result<Option<Level>, String> {
    use Level::{Critical, Dangerous, Low, Moderate, Safe};
    let Some(number) = number else { return Ok(None) };
    let level = [Safe, Low, Moderate, Dangerous, Critical].into_iter().find(|level| *level as u8 == number);
    level.map(Some).ok_or_else(|| format!("there is no level {number}; there are 20, 40, 60, 80 and 100"))
}
