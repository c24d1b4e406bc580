//! The body of a refusal, in the form that the client understands best.

use crate::writer::Writer;
use crate::{Config, Decision, Remote};
use alloc::string::String;
use evaluator::{Direction, filled, ip_text, report_link};

/// The form of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain`, which is also what becomes of `grpc-message`.
    Text,
    /// `application/json`
    Json,
    /// `text/html`
    Html,
}

impl Format {
    /// Chooses by the `Accept` header (RFC 9110 section 12.5.1), read as bytes: the acceptable form with the highest
    /// quality, the first named among equals; text where none is named.
    pub fn for_accept(accept: &[u8]) -> Format {
        let mut best = (Format::Text, 0);
        for range in accept.split(|byte| *byte == b',') {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_slice() {
                b"text/html" | b"application/xhtml+xml" => Format::Html,
                b"application/json" | b"application/*" => Format::Json,
                b"text/plain" | b"text/*" => Format::Text,
                media if media.starts_with(b"application/") && media.ends_with(b"+json") => Format::Json,
                _ => continue,
            };
            let quality = quality(parts).unwrap_or(0);
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    /// The value of `content-type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; charset=utf-8",
            Format::Json => "application/json",
            Format::Html => "text/html; charset=utf-8",
        }
    }
}

/// The quality of a media range in thousandths, 1000 where none is given; `None` where it cannot be read.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    let Some(value) = parameters.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="))) else {
        return Some(1000);
    };
    let (whole, fraction) = match value.split_first()? {
        (whole, []) => (whole, &[][..]),
        (whole, [b'.', fraction @ ..]) if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte.wrapping_sub(b'0')));
    let mut thousandths = digit(*whole)?;
    for place in 0..3 {
        let next = fraction.get(place).map_or(Some(0), |byte| digit(*byte))?;
        thousandths = thousandths.saturating_mul(10).saturating_add(next);
    }
    (thousandths <= 1000).then_some(thousandths)
}

/// The body that refuses a stream. Clients learn what was found about their address, or about where they wanted to go, and
/// where to read more, so that the owner of an address that is clean by now can say so.
pub fn body(format: Format, decision: &Decision<'_>, config: &Config, remote: &Remote) -> String {
    let message = &*config.deny.message;
    match format {
        Format::Text => {
            // With room for the end of the line.
            let mut text = String::with_capacity(message.len().saturating_add(1));
            text.push_str(message);
            text
        }
        Format::Json => {
            let mut body = Writer::default();
            body.open('{');
            body.text("error", message);
            body.text_or_null("peer", remote.address.map(ip_text).as_deref());
            if let Some(host) = &remote.host {
                body.text("host", host);
            }
            body.text_or_null("rule", decision.rule(config));
            body.findings(decision.verdict.findings);
            body.report(remote.address);
            body.close('}');
            body.into_line()
        }
        Format::Html => {
            let message = escape(message);
            let about = about(remote, config.direction);
            filled(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
                 <body><h1>{}</h1>\n<p>{}</p></body></html>\n",
                &[&message, &message, &about],
            )
        }
    }
}

/// Who was judged, as HTML. Names are normalised, so nothing in them needs escaping.
fn about(remote: &Remote, direction: Direction) -> String {
    let end = match direction {
        Direction::Ingress => "Your address",
        Direction::Egress => "The destination",
    };
    let host = remote.host.as_deref();
    match remote.address {
        Some(address) => {
            let host = host.map_or(String::new(), |host| [host, ", "].concat());
            let (address, link) = (ip_text(address), report_link(address));
            filled(
                "{} is {}{}. <a href=\"{}\" rel=\"noreferrer\">What Criminal IP knows about it</a>",
                &[end, &host, &address, &link],
            )
        }
        None => filled("{} is {}.", &[end, host.unwrap_or("unknown")]),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_gets_the_form_it_prefers() {
        for (accept, format) in [
            (&b""[..], Format::Text),
            (b"*/*", Format::Text),
            (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Html),
            (b"application/json", Format::Json),
            (b"Application/JSON; charset=utf-8", Format::Json),
            (b"application/problem+json", Format::Json),
            (b"text/html;q=0.5, application/json", Format::Json),
            (b"text/plain, application/json;q=0.9", Format::Text),
            (b"application/json;q=0", Format::Text),
            (b"application/json;q=nan,text/html;q=0.1", Format::Html),
            (b"application/json;q=1.5,text/html;q=0.001", Format::Html),
            (b"application/json;q=0.55,text/html;q=0.6", Format::Html),
            (b"\xff\xfe;q=\xff,,;;", Format::Text),
        ] {
            assert_eq!(Format::for_accept(accept), format, "{}", accept.escape_ascii());
        }
    }

    #[test]
    fn what_the_operator_writes_cannot_break_the_page() {
        assert_eq!(escape("<b> & \"it's\""), "&lt;b&gt; &amp; &quot;it&#39;s&quot;");
    }
}
