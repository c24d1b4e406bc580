//! Messages: what a webhook is told, in the form that it takes.
//!
//! All of it is put together from texts that need no escaping, in JSON or for Slack: addresses, normalised domains, codes,
//! times, numbers.

use crate::{NotifyFormat, Subject};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use evaluator::{Assessment, Direction, Finding, Timestamp, report_link};

/// One thing to tell.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Something bad was learned about a peer.
    Peer(PeerNotice),
    /// A security event ended.
    Ended(Ended),
}

/// Something bad that was learned about a peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerNotice {
    pub(super) subject: Subject,
    pub(super) direction: Direction,
    pub(super) learned: Assessment,
}

/// The end of a security event.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// What outsiders call the event.
    pub(crate) id: String,
    /// What came of it, in words that need no escaping.
    pub(crate) words: String,
    /// The same as JSON.
    pub(crate) json: String,
    /// When it ended.
    pub(crate) at: Timestamp,
}

impl Notice {
    /// What is told, in words.
    fn words(&self) -> String {
        match self {
            Notice::Peer(peer) => [peer.name(), peer.words()].concat(),
            Notice::Ended(event) => event.words.clone(),
        }
    }
}

/// The name of a message, made of a random number.
pub(super) fn name(random: u64) -> Box<str> {
    let mut name = String::from("msg_");
    for digit in random.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        name.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
    }
    name.into()
}

/// The text of a message. `dropped` notices had to make room since the one before.
pub(super) fn write(format: NotifyFormat, name: &str, notices: &[Notice], dropped: u32, now: Timestamp) -> String {
    let (mut out, dropped_text) = (String::new(), dropped.to_string());
    let (item, end): (fn(&mut String, &PeerNotice, &str), _) = match format {
        NotifyFormat::Json => {
            let now = now.to_rfc3339();
            let start =
                ["{\"type\":\"portcullis.notifications\",\"timestamp\":\"", &now, "\",\"dropped\":", &dropped_text];
            put(&mut out, &start);
            out.push_str(",\"notifications\":[");
            (json, "]}")
        }
        NotifyFormat::Slack => {
            out.push_str("{\"text\":\"Portcullis: ");
            for (index, notice) in notices.iter().enumerate() {
                let separator = if index > 0 { "; " } else { "" };
                put(&mut out, &[separator, &notice.words()]);
            }
            out.push_str("\",\"blocks\":[");
            (slack, "]}")
        }
        NotifyFormat::Ecs => {
            out.push('[');
            (ecs, "]")
        }
    };
    for (index, notice) in notices.iter().enumerate() {
        let number = index.to_string();
        out.push_str(if index > 0 { "," } else { "" });
        // Only documents of their own need a name of their own.
        let id = if format == NotifyFormat::Ecs { [name, "-", &number].concat() } else { number };
        match (notice, format) {
            (Notice::Peer(peer), _) => item(&mut out, peer, &id),
            (Notice::Ended(event), NotifyFormat::Json) => out.push_str(&event.json),
            (Notice::Ended(event), NotifyFormat::Slack) => section(&mut out, &[&event.words]),
            (Notice::Ended(event), NotifyFormat::Ecs) => ecs_end(&mut out, event, &id),
        }
    }
    if format == NotifyFormat::Slack && dropped > 0 {
        out.push(',');
        section(&mut out, &[&dropped_text, " older notifications were dropped, because they could not be delivered."]);
    }
    out.push_str(end);
    out
}

/// The form of our own. Stable: other programs read it.
fn json(out: &mut String, notice: &PeerNotice, _: &str) {
    let key = if notice.address().is_some() { "peer" } else { "host" };
    let class = notice.learned.class().name();
    put(
        out,
        &[
            "{\"event\":\"peer\",\"at\":\"",
            &notice.at(),
            "\",\"",
            key,
            "\":\"",
            &notice.name(),
            "\",\"direction\":\"",
            notice.direction.name(),
            "\",\"class\":\"",
            class,
            "\",\"score\":",
            &notice.score().unwrap_or("null".into()),
            ",\"findings\":",
            &notice.findings(),
            ",\"asn\":",
            &notice.asn().unwrap_or("null".into()),
            ",\"country\":",
            &notice.country().map_or("null".into(), |country| ["\"", &country, "\""].concat()),
            ",\"report\":",
            &notice.report().map_or("null".into(), |report| ["\"", &report, "\""].concat()),
            "}",
        ],
    );
}

/// A block of Slack's: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
fn slack(out: &mut String, notice: &PeerNotice, _: &str) {
    let name = match notice.report() {
        Some(link) => ["<", &link, "|", &notice.name(), ">"].concat(),
        None => notice.name(),
    };
    let system = notice.asn().map_or(String::new(), |asn| [" · AS", &asn].concat());
    let country = notice.country().map_or(String::new(), |country| [" · ", &country].concat());
    section(out, &["*", &name, "*", &notice.words(), &system, &country]);
}

fn section(out: &mut String, text: &[&str]) {
    out.push_str("{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"");
    put(out, text);
    out.push_str("\"}}");
}

/// A document of the Elastic Common Schema, 8.17: <https://www.elastic.co/docs/reference/ecs>.
fn ecs(out: &mut String, notice: &PeerNotice, id: &str) {
    let (name, at) = (notice.name(), notice.at());
    let (key, kind, related) = match notice.address() {
        Some(IpAddr::V4(_)) => ("ip", "ipv4-addr", "ip"),
        Some(IpAddr::V6(_)) => ("ip", "ipv6-addr", "ip"),
        None => ("domain", "domain-name", "hosts"),
    };
    let system = notice.asn().map_or(String::new(), |asn| [",\"as\":{\"number\":", &asn, "}"].concat());
    let country = notice.country();
    let geo = country.map_or(String::new(), |code| [",\"geo\":{\"country_iso_code\":\"", &code, "\"}"].concat());
    let peer = ["\"", key, "\":\"", &name, "\"", &system, &geo].concat();
    let score = notice.score().map_or(String::new(), |score| [",\"risk_score\":", &score].concat());
    let reference = notice.report().map_or(String::new(), |link| [",\"reference\":\"", &link, "\""].concat());
    let end = match notice.direction {
        Direction::Ingress => "source",
        Direction::Egress => "destination",
    };
    put(
        out,
        &[
            "{\"@timestamp\":\"",
            &at,
            "\",\"ecs\":{\"version\":\"8.17.0\"},\"message\":\"",
            &name,
            &notice.words(),
            "\",\"event\":{\"id\":\"",
            id,
            "\",\"kind\":\"alert\",\"category\":[\"threat\"],\"type\":[\"indicator\"],\"action\":\"peer-learned\",\
             \"module\":\"portcullis\",\"dataset\":\"portcullis.peer\"",
            &score,
            &reference,
            "},\"threat\":{\"indicator\":{\"type\":\"",
            kind,
            "\",\"provider\":\"Criminal IP\",\"last_seen\":\"",
            &at,
            "\",",
            &peer,
            &reference,
            "}},\"",
            end,
            "\":{",
            &peer,
            "},\"network\":{\"direction\":\"",
            notice.direction.name(),
            "\"},\"observer\":{\"product\":\"Portcullis\",\"type\":\"proxy\"},\"related\":{\"",
            related,
            "\":[\"",
            &name,
            "\"]},\"tags\":",
            &notice.findings(),
            "}",
        ],
    );
}

fn ecs_end(out: &mut String, event: &Ended, id: &str) {
    put(
        out,
        &[
            "{\"@timestamp\":\"",
            &event.at.to_rfc3339(),
            "\",\"ecs\":{\"version\":\"8.17.0\"},\"message\":\"",
            &event.words,
            "\",\"event\":{\"id\":\"",
            id,
            "\",\"kind\":\"event\",\"category\":[\"intrusion_detection\"],\"type\":[\"info\"],\"action\":\"event-ended\",\
             \"module\":\"portcullis\",\"dataset\":\"portcullis.event\"},\"labels\":{\"portcullis_event\":\"",
            &event.id,
            "\"},\"observer\":{\"product\":\"Portcullis\",\"type\":\"proxy\"}}",
        ],
    );
}

#[inline(never)]
fn put(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

// Called once, or not at all, for each thing that is told: inlined they would be many times in the module.
impl PeerNotice {
    fn address(&self) -> Option<IpAddr> {
        match self.subject {
            Subject::Address(address) => Some(address),
            Subject::Domain(_) => None,
        }
    }

    #[inline(never)]
    fn name(&self) -> String {
        self.subject.to_string()
    }

    #[inline(never)]
    fn score(&self) -> Option<String> {
        self.learned.score.toward(self.direction).map(|level| (level as u8).to_string())
    }

    /// As a JSON array.
    #[inline(never)]
    fn findings(&self) -> String {
        let codes: Vec<&str> = self.learned.findings.iter().map(Finding::code).collect();
        if codes.is_empty() { "[]".into() } else { ["[\"", &codes.join("\",\""), "\"]"].concat() }
    }

    #[inline(never)]
    fn at(&self) -> String {
        self.learned.learned.to_rfc3339()
    }

    #[inline(never)]
    fn country(&self) -> Option<String> {
        self.learned.country.map(|country| country.letters().into_iter().collect())
    }

    #[inline(never)]
    fn asn(&self) -> Option<String> {
        self.learned.asn.map(|asn| asn.get().to_string())
    }

    #[inline(never)]
    fn report(&self) -> Option<String> {
        self.address().map(report_link)
    }

    /// What was learned, in words that follow the name.
    #[inline(never)]
    fn words(&self) -> String {
        let mut words = String::new();
        match self.score() {
            Some(score) => put(&mut words, &[" scored ", &score]),
            None => words.push_str(" is listed as malicious"),
        }
        words.push_str(match self.direction {
            Direction::Ingress => " as a client",
            Direction::Egress => " as a destination",
        });
        let codes: Vec<&str> = self.learned.findings.iter().map(Finding::code).collect();
        if !codes.is_empty() {
            put(&mut words, &[": ", &codes.join(", ")]);
        }
        words
    }
}
