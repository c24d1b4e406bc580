//! `journal` and `control`: what is remembered of connections, and who may ask and act.

use super::form::{Span, Whole};
use super::json::Json;
use super::keys::{Keys, any_number_of};
use super::mistake::{At, MistakeKind};
use super::text::{CERTIFICATE_NAME, HEADER, VARIABLE};
use super::{Role, role::refuse};
use std::time::Duration;

/// What one worker remembers of the connections that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The most entries, up to 1,000,000; with 0 there is no journal.
    pub entries: u32,
    /// For how long an entry that had to make room counts as lost, 1 s to 1 d: as far as events look back.
    pub window: Duration,
}

/// Who may use the control listener. At least one of these is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Who may read.
    pub read: Credentials,
    /// Who may read and write.
    pub write: Credentials,
}

/// How somebody shows who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The environment variable that holds the bearer token.
    pub token_env: Option<Box<str>>,
    /// The request header in which the proxy hands the bearer token over, in lower case.
    pub token_header: Option<Box<str>>,
    /// Names in client certificates.
    pub certificates: Vec<Box<str>>,
}

impl Credentials {
    fn is_empty(&self) -> bool {
        self.token_env.is_none() && self.token_header.is_none() && self.certificates.is_empty()
    }
}

pub(super) fn journal(keys: &mut Keys<'_>) -> Option<Journal> {
    let entries = keys.or("entries", Whole { least: 0, most: 1_000_000 }, 0);
    let window = keys.or("window", Span { least: Duration::from_secs(1), most: Duration::from_secs(86_400) }, "10m");
    Some(Journal { entries: entries?, window: window? })
}

pub(super) fn control(keys: &mut Keys<'_>) -> Option<Control> {
    let none = || Json::Array(Vec::new());
    let token_env = keys.optional("read_token_env", VARIABLE);
    let token_header = keys.optional("read_token_header", HEADER);
    let read = keys.or("read_certificates", any_number_of(CERTIFICATE_NAME), none());
    let read = read.map(|certificates| Credentials { token_env, token_header, certificates });
    let token_env = keys.optional("write_token_env", VARIABLE);
    let token_header = keys.optional("write_token_header", HEADER);
    let write = keys.or("write_certificates", any_number_of(CERTIFICATE_NAME), none());
    let write = write.map(|certificates| Credentials { token_env, token_header, certificates });
    Some(Control { read: read?, write: write? })
}

/// Keys that say how streams are judged, of which a control listener has none.
const ABOUT_STREAMS: [&str; 13] = [
    "mode",
    "direction",
    "destination",
    "first_look",
    "on_error",
    "policy",
    "select",
    "lists",
    "tag",
    "deny",
    "log",
    "route_metadata",
    "journal",
];

/// Notes where a control listener is open to everybody, or is told what it has no use for, or where credentials are given
/// to what is none.
pub(super) fn check_control(keys: &mut Keys<'_>, role: Option<Role>, control: Option<&Control>) {
    let written = keys.find("control").is_some();
    let about_streams = ABOUT_STREAMS.map(|key| (key, keys.find(key)));
    let (at, mistakes) = keys.parts();
    if role != Some(Role::Control) {
        if written && role.is_some() {
            let message = "this is about the control listener; it needs \"role\": \"control\"";
            mistakes.note(&At::Key(at, "control"), MistakeKind::Conflict, message.into());
        }
        return;
    }
    for (key, found) in about_streams {
        refuse(
            found,
            &At::Key(at, key),
            "this is about streams, and with \"role\": \"control\" there are none; leave it out",
            mistakes,
        );
    }
    let open = control.is_none_or(|control| control.read.is_empty() && control.write.is_empty());
    if open && !(written && control.is_none()) {
        let message = "anybody could use the control listener; right would be at least one of read_token_env, \
                       read_token_header, read_certificates, write_token_env, write_token_header, write_certificates";
        mistakes.note(&At::Key(at, "control"), MistakeKind::MissingKey, message.into());
    }
}
