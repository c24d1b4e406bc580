//! `journal` and `control`: what is remembered of connections, and who may ask and act.

use super::Role;
use super::form::{Span, Whole};
use super::keys::{Keys, Many, any_number_of};
use super::mistake::MistakeKind;
use super::text::{CERTIFICATE_NAME, HEADER, Text, VARIABLE};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

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

pub(super) fn journal(keys: &mut Keys<'_>) -> Journal {
    const WINDOW: Span = Span { least: Duration::from_secs(1), most: Duration::from_secs(86_400) };
    Journal {
        entries: keys.or("entries", &Whole { least: 0, most: 1_000_000 }, "0"),
        window: keys.or("window", &WINDOW, "10m"),
    }
}

pub(super) fn control(keys: &mut Keys<'_>) -> Arc<Control> {
    const NAMES: Many<Text<Box<str>>> = any_number_of(CERTIFICATE_NAME);
    Arc::new(Control {
        read: Credentials {
            token_env: keys.optional("read_token_env", &VARIABLE),
            token_header: keys.optional("read_token_header", &HEADER),
            certificates: keys.or("read_certificates", &NAMES, "[]"),
        },
        write: Credentials {
            token_env: keys.optional("write_token_env", &VARIABLE),
            token_header: keys.optional("write_token_header", &HEADER),
            certificates: keys.or("write_certificates", &NAMES, "[]"),
        },
    })
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
pub(super) fn check_control(keys: &mut Keys<'_>, role: Role, control: Option<&Control>) {
    if role != Role::Control {
        if control.is_some() && keys.is_right("role") {
            let message = "this is about the control listener; it needs \"role\": \"control\"";
            keys.note_at("control", MistakeKind::Conflict, message.into());
        }
        return;
    }
    keys.refuse(&ABOUT_STREAMS, "this is about streams, and with \"role\": \"control\" there are none; leave it out");
    let open = control.is_none_or(|control| control.read.is_empty() && control.write.is_empty());
    if open && keys.is_right("control") {
        let message = "anybody could use the control listener; right would be at least one of read_token_env, \
                       read_token_header, read_certificates, write_token_env, write_token_header, write_certificates";
        keys.note_at("control", MistakeKind::MissingKey, message.into());
    }
}
