//! Messages: what a webhook is told, in the form that it takes.

use crate::writer::Writer;
use crate::{NotifyFormat, Subject};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use evaluator::{Assessment, Direction, Finding, Timestamp, decimal, how_many, report_link};

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
    /// What came of it, in words that Slack takes as they are.
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
    let mut writer = Writer::default();
    match format {
        NotifyFormat::Json => {
            writer.open('{');
            writer.text("type", "portcullis.notifications");
            writer.text("timestamp", &now.to_rfc3339());
            writer.number("dropped", dropped.into());
            writer.list("notifications");
        }
        NotifyFormat::Slack => {
            let words: Vec<String> = notices.iter().map(Notice::words).collect();
            writer.open('{');
            writer.text("text", &["Portcullis: ", &words.join("; ")].concat());
            writer.list("blocks");
        }
        NotifyFormat::Ecs => writer.open('['),
    }
    for (index, notice) in notices.iter().enumerate() {
        match (format, notice) {
            (NotifyFormat::Json, Notice::Peer(peer)) => json(&mut writer, peer),
            (NotifyFormat::Json, Notice::Ended(event)) => writer.written(&event.json),
            (NotifyFormat::Slack, Notice::Peer(peer)) => slack(&mut writer, peer),
            (NotifyFormat::Slack, Notice::Ended(event)) => section(&mut writer, &event.words),
            (NotifyFormat::Ecs, _) => ecs(&mut writer, notice, &[name, "-", &how_many(index)].concat()),
        }
    }
    if format == NotifyFormat::Slack && dropped > 0 {
        let more = " older notifications were dropped, because they could not be delivered.";
        section(&mut writer, &[&decimal(dropped.into()), more].concat());
    }
    writer.close(']');
    if format != NotifyFormat::Ecs {
        writer.close('}');
    }
    writer.into_line()
}

/// The form of our own. Stable: other programs read it.
fn json(writer: &mut Writer, notice: &PeerNotice) {
    let learned = &notice.learned;
    writer.open('{');
    writer.text("event", "peer");
    writer.text("at", &learned.learned.to_rfc3339());
    writer.text(if notice.address().is_some() { "peer" } else { "host" }, &notice.name());
    writer.text("direction", notice.direction.name());
    writer.text("class", learned.class().name());
    writer.number_or_null("score", notice.score());
    writer.findings(learned.findings);
    writer.number_or_null("asn", notice.asn());
    writer.text_or_null("country", notice.country().as_deref());
    writer.report(notice.address());
    writer.close('}');
}

/// A block of Slack's: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>. What is in it needs no
/// escaping there: addresses, normalised domains, codes, numbers.
fn slack(writer: &mut Writer, notice: &PeerNotice) {
    let name = match notice.report() {
        Some(link) => ["<", &link, "|", &notice.name(), ">"].concat(),
        None => notice.name(),
    };
    let system = notice.asn().map_or(String::new(), |asn| [" · AS", &decimal(asn)].concat());
    let country = notice.country().map_or(String::new(), |country| [" · ", &country].concat());
    section(writer, &["*", &name, "*", &notice.words(), &system, &country].concat());
}

#[inline(never)]
fn section(writer: &mut Writer, text: &str) {
    writer.open('{');
    writer.text("type", "section");
    writer.object("text");
    writer.text("type", "mrkdwn");
    writer.text("text", text);
    writer.close('}');
    writer.close('}');
}

/// A document of the Elastic Common Schema, 8.17: <https://www.elastic.co/docs/reference/ecs>.
fn ecs(writer: &mut Writer, notice: &Notice, id: &str) {
    let (at, [kind, category, sort, action, dataset]) = match notice {
        Notice::Peer(peer) => {
            (peer.learned.learned, ["alert", "threat", "indicator", "peer-learned", "portcullis.peer"])
        }
        Notice::Ended(event) => (event.at, ["event", "intrusion_detection", "info", "event-ended", "portcullis.event"]),
    };
    writer.open('{');
    writer.text("@timestamp", &at.to_rfc3339());
    of_one(writer, "ecs", "version", "8.17.0");
    writer.text("message", &notice.words());
    writer.object("event");
    writer.text("id", id);
    writer.text("kind", kind);
    list_of_one(writer, "category", category);
    list_of_one(writer, "type", sort);
    writer.text("action", action);
    writer.text("module", "portcullis");
    writer.text("dataset", dataset);
    match notice {
        Notice::Peer(peer) => ecs_peer(writer, peer),
        Notice::Ended(event) => {
            writer.close('}');
            of_one(writer, "labels", "portcullis_event", &event.id);
        }
    }
    writer.object("observer");
    writer.text("product", "Portcullis");
    writer.text("type", "proxy");
    writer.close('}');
    writer.close('}');
}

/// What such a document says of a peer, from the end of its `event` on.
fn ecs_peer(writer: &mut Writer, notice: &PeerNotice) {
    let (name, link) = (notice.name(), notice.report());
    let (key, kind, related) = match notice.address() {
        Some(IpAddr::V4(_)) => ("ip", "ipv4-addr", "ip"),
        Some(IpAddr::V6(_)) => ("ip", "ipv6-addr", "ip"),
        None => ("domain", "domain-name", "hosts"),
    };
    let peer = |writer: &mut Writer| {
        writer.text(key, &name);
        if let Some(asn) = notice.asn() {
            writer.object("as");
            writer.number("number", asn);
            writer.close('}');
        }
        if let Some(country) = notice.country() {
            of_one(writer, "geo", "country_iso_code", &country);
        }
    };
    let reference = |writer: &mut Writer| {
        if let Some(link) = &link {
            writer.text("reference", link);
        }
    };
    if let Some(score) = notice.score() {
        writer.number("risk_score", score);
    }
    reference(writer);
    writer.close('}');
    writer.object("threat");
    writer.object("indicator");
    writer.text("type", kind);
    writer.text("provider", "Criminal IP");
    writer.text("last_seen", &notice.learned.learned.to_rfc3339());
    peer(writer);
    reference(writer);
    writer.close('}');
    writer.close('}');
    writer.object(match notice.direction {
        Direction::Ingress => "source",
        Direction::Egress => "destination",
    });
    peer(writer);
    writer.close('}');
    of_one(writer, "network", "direction", notice.direction.name());
    writer.object("related");
    list_of_one(writer, related, &name);
    writer.close('}');
    writer.codes("tags", notice.learned.findings);
}

/// A member that is an object with one member.
#[inline(never)]
fn of_one(writer: &mut Writer, name: &str, inner: &str, value: &str) {
    writer.object(name);
    writer.text(inner, value);
    writer.close('}');
}

/// A member that is a list with one item.
#[inline(never)]
fn list_of_one(writer: &mut Writer, name: &str, item: &str) {
    writer.list(name);
    writer.item(item);
    writer.close(']');
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
        self.subject.text()
    }

    fn score(&self) -> Option<u64> {
        self.learned.score.toward(self.direction).map(|level| (level as u8).into())
    }

    #[inline(never)]
    fn country(&self) -> Option<String> {
        self.learned.country.map(|country| country.letters().into_iter().collect())
    }

    fn asn(&self) -> Option<u64> {
        self.learned.asn.map(|asn| asn.get().into())
    }

    #[inline(never)]
    fn report(&self) -> Option<String> {
        self.address().map(report_link)
    }

    /// What was learned, in words that follow the name.
    #[inline(never)]
    fn words(&self) -> String {
        let what = match self.score() {
            Some(score) => [" scored ", &decimal(score)].concat(),
            None => " is listed as malicious".into(),
        };
        let end = match self.direction {
            Direction::Ingress => " as a client",
            Direction::Egress => " as a destination",
        };
        let codes: Vec<&str> = self.learned.findings.iter().map(Finding::code).collect();
        let colon = if codes.is_empty() { "" } else { ": " };
        [&what, end, colon, &codes.join(", ")].concat()
    }
}
