//! What `check` prints: JSON for programs, text for people.

use crate::ask::Facts;
use crate::judge::{Judge, Judged};
use crate::term::{self, DIM, styled};
use evaluator::{Direction, Judgement, Level, Levels, report_link};
use serde::Serialize;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// What is judged, and by what.
pub(super) struct Subject<'a> {
    pub(super) ip: IpAddr,
    pub(super) port: Option<u16>,
    pub(super) judge: &'a Judge,
}

/// What came of it.
pub(super) enum Outcome<'a> {
    Judged(&'a Judged<'a>, &'a Facts),
    /// There is no verdict; the code says why.
    None(&'static str),
}

/// The judgement, as everywhere, and what is known besides.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    judgement: Judgement<'a>,
    class: Option<&'static str>,
    country: Option<String>,
    asn: Option<u32>,
    source: Option<&'static str>,
}

/// One JSON object, on one line unless it is to be `pretty`.
pub(super) fn json(subject: &Subject<'_>, outcome: &Outcome<'_>, pretty: bool) -> serde_json::Result<String> {
    let answer = match outcome {
        Outcome::Judged(judged, facts) => Answer {
            judgement: judged.judgement.clone(),
            class: Some(judged.assessment.class().name()),
            country: judged.assessment.country.map(|country| country.letters().iter().collect()),
            asn: judged.assessment.asn.map(Into::into),
            source: Some(facts.from.code()),
        },
        Outcome::None(code) => Answer {
            judgement: Judgement {
                ip: subject.ip,
                port: subject.port,
                suspicious: None,
                verdict: None,
                rule: None,
                profile: subject.judge.profile.map(evaluator::Profile::name),
                direction: subject.judge.direction.name(),
                score: Levels::default(),
                findings: Vec::new(),
                outcome: code,
                link: report_link(subject.ip),
            },
            class: None,
            country: None,
            asn: None,
            source: None,
        },
    };
    let mut text = if pretty { serde_json::to_string_pretty(&answer)? } else { serde_json::to_string(&answer)? };
    text.push('\n');
    Ok(text)
}

/// A few lines about one address.
pub(super) fn text(subject: &Subject<'_>, judged: &Judged<'_>) -> String {
    let level = |level: Option<Level>| level.map_or_else(|| "unknown".into(), |level| format!("{level:?}"));
    let (action, score) = (judged.action, judged.assessment.score);
    let mut out = format!(
        "{} {}\n{}: {} (profile {}, {})\nscore: inbound {}, outbound {}\n",
        styled(term::style(action), &format!("[{}]", judged.mark())),
        peer(subject.ip, subject.port),
        action.name(),
        rule(judged),
        subject.judge.profile_name(),
        subject.judge.direction.name(),
        level(score.inbound),
        level(score.outbound),
    );
    for found in &judged.judgement.findings {
        // The evaluator has taken control characters out of the details; writing to a String cannot fail.
        let _ = match &found.detail {
            Some(detail) => writeln!(out, " - {}: {detail}", found.code),
            None => writeln!(out, " - {}", found.code),
        };
    }
    if judged.judgement.findings.is_empty() {
        out.push_str(" - (no findings)\n");
    }
    let _ = writeln!(out, "{}", styled(DIM, &judged.judgement.link));
    out
}

/// One line about one address of many.
pub(super) fn line(subject: &Subject<'_>, judged: &Judged<'_>) -> String {
    let action = judged.action;
    let mut out = format!(
        "{} {}  {}: {}",
        styled(term::style(action), &format!("[{}]", judged.mark())),
        peer(subject.ip, subject.port),
        action.name(),
        rule(judged),
    );
    let score = match subject.judge.direction {
        Direction::Ingress => judged.judgement.score.inbound,
        Direction::Egress => judged.judgement.score.outbound,
    };
    if let Some(score) = score {
        let _ = write!(out, ", score {score}");
    }
    let mut codes: Vec<_> = judged.judgement.findings.iter().map(|found| found.code).collect();
    codes.dedup();
    if !codes.is_empty() {
        let _ = write!(out, ", {}", codes.join(" "));
    }
    out.push('\n');
    out
}

/// The rule that decided.
fn rule(judged: &Judged<'_>) -> String {
    judged.judgement.rule.map_or_else(|| "no rule matched".into(), |rule| format!("rule {rule}"))
}

pub(super) fn peer(ip: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| ip.to_string(), |port| SocketAddr::new(ip, port).to_string())
}
