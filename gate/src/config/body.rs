//! What operators send to the control listener, read as strictly as a configuration.

use super::Mistake;
use super::form::{Choice, Form, Span};
use super::json::Json;
use super::keys::{Keys, Section};
use super::mistake::{At, MistakeKind, Mistakes};
use super::text::{MOMENT, NETWORK, REMARK, SHORT_REMARK};
use crate::alert::{AlertAction, AlertKind};
use evaluator::{Action, Timestamp};
use ipnet::IpNet;
use std::time::Duration;

/// A security event as it is handed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewAlert {
    pub(crate) kind: AlertKind,
    pub(crate) at: Option<Timestamp>,
    pub(crate) window: Duration,
    pub(crate) source: Option<IpNet>,
    pub(crate) note: Option<Box<str>>,
    pub(crate) action: AlertAction,
}

/// An override as it is put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewOverride {
    pub(crate) action: Action,
    pub(crate) owner: Box<str>,
    pub(crate) reason: Box<str>,
    pub(crate) until: Option<Timestamp>,
}

/// Reads a security event.
pub(crate) fn read_new_alert(bytes: &[u8]) -> Result<NewAlert, Vec<Mistake>> {
    read(bytes, Section(new_alert))
}

/// Reads an override.
pub(crate) fn read_new_override(bytes: &[u8]) -> Result<NewOverride, Vec<Mistake>> {
    read(bytes, Section(new_override))
}

fn new_alert(keys: &mut Keys<'_>) -> Option<NewAlert> {
    const ACTION: Choice<AlertAction> = Choice(&[("policy", AlertAction::Policy), ("deny", AlertAction::Deny)]);
    const WINDOW: Span = Span { least: Duration::from_secs(1), most: Duration::from_secs(86_400) };
    let kind = keys.required("type", Choice(AlertKind::NAMED));
    let at = keys.optional("at", MOMENT);
    let window = keys.or("window", WINDOW, "5m");
    let source = keys.optional("source", NETWORK);
    let note = keys.optional("note", REMARK);
    let action = keys.or("action", ACTION, "policy");
    if kind.is_some_and(AlertKind::is_about_a_source) && keys.find("source").is_none() {
        let (at, mistakes) = keys.parts();
        let message = "an event of this type is about one machine; right would be its address, or its network";
        return mistakes.add(&At::Key(at, "source"), MistakeKind::MissingKey, message.into());
    }
    Some(NewAlert { kind: kind?, at, window: window?, source, note, action: action? })
}

fn new_override(keys: &mut Keys<'_>) -> Option<NewOverride> {
    const ACTION: Choice<Action> = Choice(&[("allow", Action::Allow), ("deny", Action::Deny)]);
    let action = keys.required("action", ACTION);
    let owner = keys.required("owner", SHORT_REMARK);
    let reason = keys.required("reason", REMARK);
    let until = keys.optional("until", super::form::OrNull(MOMENT)).flatten();
    Some(NewOverride { action: action?, owner: owner?, reason: reason?, until })
}

fn read<T>(bytes: &[u8], form: Section<T>) -> Result<T, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let value = match Json::parse(bytes) {
        Ok(document) => form.read(&document, &At::Document, &mut mistakes),
        Err(error) => mistakes.add(&At::Document, MistakeKind::NotJson, format!("the body is not JSON: {error}")),
    };
    match (value, mistakes.into_vec()) {
        (Some(value), mistakes) if mistakes.is_empty() => Ok(value),
        (_, mistakes) => Err(mistakes),
    }
}
