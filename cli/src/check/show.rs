//! What `check` prints: JSON for programs, text for people.

use evaluator::{Examination, Judgement, Level};
use std::fmt::Write;
use std::net::SocketAddr;

/// One JSON object on one line.
pub(super) fn json(judgement: &Judgement<'_>) -> serde_json::Result<String> {
    let mut text = serde_json::to_string(judgement)?;
    text.push('\n');
    Ok(text)
}

/// A few lines about what could be judged.
pub(super) fn text(judgement: &Judgement<'_>, examined: &Examination) -> String {
    let mark = if judgement.suspicious == Some(false) { "OK" } else { "SUSPICIOUS" };
    let peer = match judgement.port {
        Some(port) => SocketAddr::new(judgement.ip, port).to_string(),
        None => judgement.ip.to_string(),
    };
    let level = |level: Option<Level>| level.map_or_else(|| "unknown".into(), |level| format!("{level:?}"));
    let rule = judgement.rule.map_or_else(|| "no rule matched".into(), |rule| format!("rule {rule}"));
    let score = examined.reading.assessment.score;
    let mut out = format!(
        "[{mark}] {peer}\n{}: {rule} (profile {}, {})\nscore: inbound {}, outbound {}\n",
        judgement.verdict.unwrap_or_default(),
        judgement.profile.unwrap_or("none"),
        judgement.direction,
        level(score.inbound),
        level(score.outbound),
    );
    for found in &judgement.findings {
        // The evaluator has taken control characters out of the details; writing to a String cannot fail.
        let _ = match &found.detail {
            Some(detail) => writeln!(out, " - {}: {}", found.code, detail),
            None => writeln!(out, " - {}", found.code),
        };
    }
    if judgement.findings.is_empty() {
        out.push_str(" - (no findings)\n");
    }
    out.push_str(&judgement.link);
    out.push('\n');
    out
}
