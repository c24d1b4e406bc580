//! What is to be done with a request whose decision is there.

use alloc::{borrow::ToOwned, string::String, vec, vec::Vec};
use evaluator::Action;
use gate::{Config, Decision, Format, LogLevel, Mode, Remote, Writer};

/// A decided stream.
pub(crate) struct Decided {
    stream: u32,
    /// The tag; the header is removed where there is none.
    tag: Option<String>,
    /// The answer to the client, where the request must not pass.
    refusal: Option<Refusal>,
    log: Option<Line>,
}

struct Refusal {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

struct Line {
    level: &'static str,
    text: String,
}

/// How a client wants to be refused.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Body(Format),
    Grpc,
}

impl Manner {
    /// By the headers `accept` and `content-type` of the request.
    pub(crate) fn of(accept: &str, content_type: &str) -> Manner {
        let start = content_type.as_bytes().get(..16).unwrap_or_default();
        if start.eq_ignore_ascii_case(b"application/grpc") {
            return Manner::Grpc;
        }
        Manner::Body(Format::for_accept(accept.as_bytes()))
    }
}

impl Decided {
    /// A stream that is not judged.
    pub(crate) fn skipped(stream: u32) -> Decided {
        Decided { stream, tag: None, refusal: None, log: None }
    }

    /// Writes it as an item, without what there is none of.
    pub(crate) fn write(&self, json: &mut Writer) {
        json.open('{');
        json.number("stream", self.stream.into());
        if let Some(tag) = &self.tag {
            json.text("tag", tag);
        }
        if let Some(Refusal { status, headers, body }) = &self.refusal {
            json.object("refusal");
            json.number("status", (*status).into());
            json.list("headers");
            for (name, value) in headers {
                json.open('[');
                json.item(name);
                json.item(value);
                json.close(']');
            }
            json.close(']');
            json.text("body", body);
            json.close('}');
        }
        if let Some(Line { level, text }) = &self.log {
            json.object("log");
            json.text("level", level);
            json.text("text", text);
            json.close('}');
        }
        json.close('}');
    }

    /// What this decision asks for.
    pub(crate) fn new(
        stream: u32,
        config: &Config,
        remote: &Remote,
        decision: &Decision<'_>,
        manner: Manner,
    ) -> Decided {
        let mut tag = Vec::new();
        evaluator::write_tag(&mut tag, &decision.verdict, decision.source, config.mode == Mode::Shadow);
        let denied = decision.verdict.action == Action::Deny;
        let logged = match config.log {
            LogLevel::None => false,
            LogLevel::Denials => denied,
            LogLevel::All => true,
        };
        let level = if denied { "warn" } else { "info" };
        Decided {
            stream,
            tag: String::from_utf8(tag).ok(),
            refusal: decision.refuses(config.mode).then(|| Refusal::new(config, remote, decision, manner)),
            log: logged.then(|| Line { level, text: decision.log_line(config, remote) }),
        }
    }
}

impl Refusal {
    fn new(config: &Config, remote: &Remote, decision: &Decision<'_>, manner: Manner) -> Refusal {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        let Manner::Body(format) = manner else {
            // A response of headers alone, status 7 for PERMISSION_DENIED:
            // <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses>
            headers.push(("content-type", "application/grpc".into()));
            headers.push(("grpc-status", "7".into()));
            let message = gate::body(Format::Text, decision, config, remote);
            headers.push(("grpc-message", percent_encoded(&message)));
            return Refusal { status: 200, headers, body: String::new() };
        };
        headers.push(("content-type", format.content_type().into()));
        let mut body = gate::body(format, decision, config, remote);
        body.push('\n');
        Refusal { status: config.deny.status, headers, body }
    }
}

/// The text as `grpc-message` carries it: printable ASCII but `%` as it is, every other byte as `%` and two digits.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            other => {
                const DIGITS: [char; 16] =
                    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
                let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or('0');
                encoded.extend(['%', digit(other >> 4), digit(other)]);
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_hold_is_percent_encoded() {
        assert_eq!(percent_encoded("No entry, 100 % sure: é\n"), "No entry, 100 %25 sure: %C3%A9%0A");
    }

    #[test]
    fn grpc_clients_are_known_by_what_they_send() {
        for (content_type, is_grpc) in
            [("application/grpc", true), ("Application/gRPC+proto", true), ("application/json", false), ("", false)]
        {
            assert_eq!(matches!(Manner::of("", content_type), Manner::Grpc), is_grpc, "{content_type}");
        }
    }
}
