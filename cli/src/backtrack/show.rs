//! The timeline.

use super::seen::Contact;
use crate::ask::{Desk, Origin};
use crate::export::{Blocked, time};
use crate::judge::{Judged, Site, link};
use crate::term::{self, DIM, ODD, styled};
use evaluator::{Action, Direction, Entry};
use serde_json::json;
use std::net::SocketAddr;

/// A contact, and what became of it.
pub(super) struct Row<'c> {
    pub(super) contact: &'c Contact,
    pub(super) fate: Fate,
}

/// What is said about a contact.
pub(super) enum Fate {
    Listed(Action, Entry),
    NotSelected,
    NotAssessed(&'static str, String),
    Judged { action: Action, rule: Option<String>, score: Option<u8>, findings: Vec<&'static str>, from: Origin },
}

impl Fate {
    pub(super) fn of(judged: &Judged<'_>, from: Origin) -> Fate {
        let judgement = &judged.judgement;
        let ingress = judgement.direction == Direction::Ingress.name();
        let mut findings: Vec<_> = judgement.findings.iter().map(|found| found.code).collect();
        findings.dedup();
        Fate::Judged {
            action: judged.action,
            rule: judgement.rule.map(Into::into),
            score: if ingress { judgement.score.inbound } else { judgement.score.outbound },
            findings,
            from,
        }
    }

    /// `None` where there is no verdict.
    pub(super) fn action(&self) -> Option<Action> {
        match self {
            Fate::Listed(action, _) | Fate::Judged { action, .. } => Some(*action),
            Fate::NotSelected | Fate::NotAssessed(..) => None,
        }
    }

    fn rule(&self) -> Option<String> {
        match self {
            Fate::Listed(action, _) => Some(format!("{} list", action.name())),
            Fate::Judged { rule, .. } => rule.clone(),
            Fate::NotSelected | Fate::NotAssessed(..) => None,
        }
    }

    /// The entry of an export, without connections yet.
    pub(super) fn blocked(&self, contact: &Contact) -> Blocked {
        let (score, findings) = match self {
            Fate::Judged { score, findings, .. } => (*score, findings.clone()),
            _ => (None, Vec::new()),
        };
        Blocked {
            ip: contact.peer,
            rule: self.rule().unwrap_or_default(),
            score,
            findings,
            first: contact.first,
            last: contact.last,
            connections: 0,
            ports: Vec::new(),
            sources: Vec::new(),
        }
    }
}

/// One line.
pub(super) fn line(row: &Row<'_>) -> String {
    let Row { contact, fate } = row;
    let peer =
        contact.port.map_or_else(|| contact.peer.to_string(), |port| SocketAddr::new(contact.peer, port).to_string());
    let source = contact.source.map_or_else(|| "?".into(), |source| source.to_string());
    let again =
        if contact.count > 1 { format!(" x{} until {}", contact.count, time(contact.last)) } else { String::new() };
    let what = match fate {
        Fate::NotSelected => styled(DIM, "[NOT SELECTED]"),
        Fate::NotAssessed(code, text) => format!("{} {code}: {text}", styled(ODD, "[NOT ASSESSED]")),
        Fate::Listed(action, entry) => {
            let mark = if *action == Action::Allow { "[OK]" } else { "[SUSPICIOUS]" };
            let reason = entry.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let mark = styled(term::style(*action), mark);
            format!("{mark} {}: {} list, {}{reason}", action.name(), action.name(), entry.net)
        }
        Fate::Judged { action, rule, score, findings, .. } => {
            let mark = if *action == Action::Allow { "[OK]" } else { "[SUSPICIOUS]" };
            let mut text = format!("{} {}: ", styled(term::style(*action), mark), action.name());
            text += &rule.as_deref().map_or_else(|| "no rule matched".into(), |rule| format!("rule {rule}"));
            text += &score.map(|score| format!(", score {score}")).unwrap_or_default();
            if !findings.is_empty() {
                text += &format!(", {}", findings.join(" "));
            }
            text
        }
    };
    format!("{} {source} > {peer}{again}  {what}\n", time(contact.first))
}

/// One object on one line.
pub(super) fn json(site: &Site, row: &Row<'_>) -> serde_json::Result<String> {
    let Row { contact, fate } = row;
    let (score, findings, from) = match fate {
        Fate::Judged { score, findings, from, .. } => (*score, findings.clone(), Some(from.code())),
        _ => (None, Vec::new(), None),
    };
    let outcome = match fate {
        Fate::Judged { .. } => "assessed",
        Fate::Listed(..) => "listed",
        Fate::NotSelected => "not_selected",
        Fate::NotAssessed(code, _) => code,
    };
    let action = fate.action();
    let object = json!({
        "first": time(contact.first), "last": time(contact.last), "connections": contact.count,
        "source": contact.source, "peer": contact.peer, "port": contact.port,
        "direction": site.judge.direction.name(),
        "suspicious": action.map(|action| action != Action::Allow), "verdict": action.map(Action::name),
        "rule": fate.rule(), "score": score, "findings": findings, "outcome": outcome, "facts": from,
        "link": link(contact.peer),
    });
    Ok(serde_json::to_string(&object)? + "\n")
}

/// The last line, on standard error.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) lines: u64,
    pub(super) connections: u64,
    pub(super) not_public: u64,
    pub(super) blocked: usize,
}

impl Summary {
    pub(super) fn print(&self, desk: &Desk) {
        crate::term::say!(
            "{} lines, {} connections in the window, {} of them not public; {} calls made; {} addresses to block",
            self.lines,
            self.connections,
            self.not_public,
            desk.spent(),
            self.blocked
        );
    }
}
