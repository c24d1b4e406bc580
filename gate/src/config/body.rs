//! What operators send to the control listener, read as strictly as a configuration.

use super::Mistake;
use super::document::parse_as;
use super::form::{Choice, OrNull, Span};
use super::keys::{Keys, Section};
use super::mistake::MistakeKind;
use super::text::{MOMENT, NETWORK, REMARK, SHORT_REMARK};
use crate::alert::{AlertAction, AlertKind};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Action, Timestamp};
use ipnet::IpNet;

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
    parse_as(&Section(new_alert), bytes, "body")
}

/// Reads an override.
pub(crate) fn read_new_override(bytes: &[u8]) -> Result<NewOverride, Vec<Mistake>> {
    parse_as(&Section(new_override), bytes, "body")
}

fn new_alert(keys: &mut Keys<'_>) -> NewAlert {
    const KIND: Choice<AlertKind> = Choice::of(AlertKind::NAMES, AlertKind::ALL);
    const ACTION: Choice<AlertAction> = Choice::of(&["policy", "deny"], &[AlertAction::Policy, AlertAction::Deny]);
    const WINDOW: Span = Span { least: Duration::from_secs(1), most: Duration::from_secs(86_400) };
    let new = NewAlert {
        kind: keys.required("type", &KIND),
        at: keys.optional("at", &MOMENT),
        window: keys.or("window", &WINDOW, "5m"),
        source: keys.optional("source", &NETWORK),
        note: keys.optional("note", &REMARK),
        action: keys.or("action", &ACTION, "policy"),
    };
    if new.kind.is_about_a_source() && new.source.is_none() && keys.is_right("type") {
        let message = "an event of this type is about one machine; right would be its address, or its network";
        keys.note_at("source", MistakeKind::MissingKey, message.into());
    }
    new
}

fn new_override(keys: &mut Keys<'_>) -> NewOverride {
    const ACTION: Choice<Action> = Choice::of(&["allow", "deny"], &[Action::Allow, Action::Deny]);
    NewOverride {
        action: keys.required("action", &ACTION),
        owner: keys.required("owner", &SHORT_REMARK),
        reason: keys.required("reason", &REMARK),
        until: keys.optional("until", &OrNull(MOMENT)).flatten(),
    }
}
