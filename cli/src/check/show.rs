//! What `check` prints: JSON for programs, text for people.

use super::{Args, Judged};
use evaluator::{Action, AnswerError, Direction, Level};
use serde::Serialize;
use std::fmt::Write;
use std::net::SocketAddr;

#[derive(Serialize)]
struct Answer<'a> {
    ip: String,
    port: Option<u16>,
    /// `null` where there is no verdict.
    suspicious: Option<bool>,
    verdict: Option<&'static str>,
    rule: Option<&'a str>,
    profile: &'static str,
    direction: &'static str,
    score: Levels,
    findings: Vec<Line<'a>>,
    /// `assessed`, or the code of the error.
    outcome: &'static str,
    link: String,
}

#[derive(Default, Serialize)]
struct Levels {
    inbound: Option<u8>,
    outbound: Option<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    code: &'static str,
    detail: Option<&'a str>,
}

/// One JSON object on one line.
pub(super) fn json(
    args: &Args,
    direction: Direction,
    judged: &Result<Judged<'_>, AnswerError>,
) -> serde_json::Result<String> {
    let judged_ref = judged.as_ref().ok();
    let number = |level: Option<Level>| level.map(|level| level as u8);
    let answer = Answer {
        ip: args.ip.to_string(),
        port: args.port,
        suspicious: judged_ref.map(|judged| judged.verdict.action != Action::Allow),
        verdict: judged_ref.map(|judged| judged.verdict.action.name()),
        rule: judged_ref.and_then(|judged| judged.rule),
        profile: args.profile.name(),
        direction: direction.name(),
        score: judged_ref.map_or_else(Levels::default, |judged| Levels {
            inbound: number(judged.score.inbound),
            outbound: number(judged.score.outbound),
        }),
        findings: judged_ref.into_iter().flat_map(lines).collect(),
        outcome: judged.as_ref().map_or_else(|error| error.code(), |_| "assessed"),
        link: link(args),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    Ok(text)
}

/// A few lines; without a verdict nothing, since the message on standard error says it all.
pub(super) fn text(args: &Args, direction: Direction, judged: &Result<Judged<'_>, AnswerError>) -> String {
    let Ok(judged) = judged else { return String::new() };
    let mark = if judged.verdict.action == Action::Allow { "OK" } else { "SUSPICIOUS" };
    let peer = match args.port {
        Some(port) => SocketAddr::new(args.ip, port).to_string(),
        None => args.ip.to_string(),
    };
    let level = |level: Option<Level>| level.map_or_else(|| "unknown".into(), |level| format!("{level:?}"));
    let rule = judged.rule.map_or_else(|| "no rule matched".into(), |rule| format!("rule {rule}"));
    let mut out = format!(
        "[{mark}] {peer}\n{}: {rule} (profile {}, {})\nscore: inbound {}, outbound {}\n",
        judged.verdict.action.name(),
        args.profile.name(),
        direction.name(),
        level(judged.score.inbound),
        level(judged.score.outbound),
    );
    for line in lines(judged) {
        // The evaluator has taken control characters out of the details; writing to a String cannot fail.
        let _ = match line.detail {
            Some(detail) => writeln!(out, " - {}: {}", line.code, detail),
            None => writeln!(out, " - {}", line.code),
        };
    }
    if judged.evidence.is_empty() {
        out.push_str(" - (no findings)\n");
    }
    out.push_str(&link(args));
    out.push('\n');
    out
}

fn lines<'a>(judged: &'a Judged<'_>) -> impl Iterator<Item = Line<'a>> {
    judged.evidence.iter().map(|(finding, detail)| Line { code: finding.code(), detail: detail.as_deref() })
}

fn link(args: &Args) -> String {
    format!("https://www.criminalip.io/asset/report/{}", args.ip.to_canonical())
}
