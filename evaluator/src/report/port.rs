//! The port block. Its records are a history: one for each port and scan, so that a port comes many times.

use super::json::{self, Fields, Scalar, Slots};
use super::{Gathered, Marks, meaning, timestamp};
use crate::certificate::{self, Certificate, Words};
use crate::{Finding, Runs, Timestamp, decimal};
use alloc::string::String;

/// What is read of each record.
pub(super) const NAMES: [&str; 9] = [
    "open_port_no",
    "socket",
    "confirmed_time",
    "app_name",
    "app_version",
    "tags",
    "ssl_info_raw",
    "banner",
    "is_vulnerability",
];

/// The newest record of each port so far.
#[derive(Default)]
pub(super) struct Ports(Runs<Place, Newest>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Socket {
    Tcp,
    Udp,
    Other,
}

/// Where a service listens. A record without a readable port has a place of its own, its number in the block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Port(u16, Socket),
    Unknown(usize),
}

struct Newest {
    seen: Option<Timestamp>,
    marks: Marks,
}

impl Ports {
    /// Reads one record: what the published pipeline sees goes into `gathered` at once, the rest waits here until it
    /// is known which record is the newest of its port.
    pub(super) fn read(&mut self, slots: Slots<'_, 9>, gathered: &mut Gathered) {
        let [port, socket, seen, app, version, tags, tls, banner, vulnerable] = slots;
        let port = Scalar::read(port);
        let number = port.integer().and_then(|number| u16::try_from(number).ok());
        let seen = timestamp(seen);
        gathered.odd_if(number.is_none());
        gathered.odd_if(seen.is_none());
        let socket = Scalar::read(socket);
        let socket = match socket.text() {
            Some(text) if text.eq_ignore_ascii_case("tcp") => Socket::Tcp,
            Some(text) if text.eq_ignore_ascii_case("udp") => Socket::Udp,
            _ => Socket::Other,
        };
        let label = Label { number, socket };

        let mut marks = Marks::new(gathered.explain);
        let app = Scalar::read(app);
        if let Some(app) = app.text().filter(|app| meaning::contains(app.as_bytes(), "openssh")) {
            let version = Scalar::read(version);
            let detail = || label.with(&[app, " ", version.text().unwrap_or_default()].concat());
            marks.add(Finding::Openssh, &detail);
            // The pipeline wants a number here; to Python, which it is written in, a boolean is one.
            if matches!(port, Scalar::Integer(_) | Scalar::Bool(_)) {
                gathered.published.add(Finding::Openssh, &detail);
            }
        }
        for_each_tag(tags, &mut |tag| {
            if let Some(finding) = meaning::tag(tag) {
                marks.add(finding, &|| label.with(tag));
                if meaning::is_published(finding) {
                    gathered.published.add(finding, &|| label.with(tag));
                }
            }
        });
        read_certificate(tls, banner, seen, label, &mut marks, gathered);
        if Scalar::read(vulnerable).flag() == Some(true) {
            marks.add(Finding::Vulnerable, &|| label.with("known vulnerabilities"));
        }

        let place = number.map_or(Place::Unknown(self.0.len()), |number| Place::Port(number, socket));
        match self.0.get_mut(&place) {
            None => drop(self.0.insert(place, Newest { seen, marks })),
            Some(newest) if newest.seen < seen => *newest = Newest { seen, marks },
            Some(newest) if newest.seen == seen => newest.marks.append(marks),
            Some(_) => {}
        }
    }

    /// Adds what the newest records say.
    pub(super) fn finish(self, gathered: &mut Gathered) {
        for (_, Newest { seen, marks }) in self.0 {
            gathered.published.take(Finding::TlsExpired, &marks);
            if gathered.is_recent(seen) {
                gathered.current.append(marks);
            }
        }
    }
}

/// What certificate texts begin with.
const HEADING: &str = "TLS Certificate";

/// Where the heading begins. The library's search for texts would do, but its code is large.
fn heading(text: &str) -> Option<usize> {
    let mut places = text.match_indices('T').map(|(place, _)| place);
    places.find(|place| text.get(*place..).is_some_and(|rest| rest.starts_with(HEADING)))
}

fn read_certificate(
    tls: Option<&str>,
    banner: Option<&str>,
    seen: Option<Timestamp>,
    label: Label,
    marks: &mut Marks,
    gathered: &mut Gathered,
) {
    let (raw, in_banner) = match (tls.filter(|raw| *raw != "null"), banner) {
        (Some(text), _) => (text, false),
        (None, Some(banner)) if heading(banner).is_some() => (banner, true),
        _ => return,
    };
    // Most texts are read as they stand in the body; only an escape that may hide letters makes a copy worth it.
    let plain = certificate::may_hide_letters(raw).then(|| json::plain(raw));
    let text = plain.as_deref().unwrap_or_else(|| json::unquoted(raw));
    // What comes before the certificate in a banner is the server's own words.
    let start = if in_banner { heading(text).unwrap_or_default() } else { 0 };
    let text = text.get(start..).unwrap_or_default();
    let words = Words::find(text);
    let certificate = match plain {
        Some(_) if raw.starts_with('"') => Certificate::read(text.split('\n')),
        _ => Certificate::read(certificate::escaped_lines(text)),
    };
    if words.self_signed_true || certificate.own_issuer {
        marks.add(Finding::TlsSelfSigned, &|| label.with("issued by its own subject"));
        gathered.published.add(Finding::TlsSelfSigned, &|| label.with("issued by its own subject"));
    }
    if let Some(end) = certificate.end {
        let detail = || label.with("past its end");
        if end < gathered.now {
            marks.add(Finding::TlsExpired, &detail);
        }
        if Some(end) < seen {
            gathered.published.add(Finding::TlsExpired, &detail);
        }
    }
    // The pipeline looks for its words in `ssl_info_raw` only.
    if words.self_signed && !in_banner {
        gathered.published.add(Finding::TlsSelfSigned, &|| label.with("the text says self-signed"));
    }
    if words.expired && !in_banner {
        gathered.published.add(Finding::TlsExpired, &|| label.with("the text says expired"));
    }
}

/// Hands on the tags of a record: a list of strings or of objects that name them, or one string.
fn for_each_tag(raw: Option<&str>, each: &mut impl FnMut(&str)) {
    match Scalar::read(raw) {
        Scalar::Nested(list) => {
            for tag in json::elements(list) {
                if let Some(tag) = tag_name(tag).text().filter(|tag| !tag.is_empty()) {
                    each(tag);
                }
            }
        }
        tag => tag.text().into_iter().for_each(each),
    }
}

/// A tag's name; of an object the first of these members that is not empty.
fn tag_name(raw: &str) -> Scalar<'_> {
    let tag = Scalar::read(Some(raw));
    if !matches!(tag, Scalar::Nested(_)) {
        return tag;
    }
    let names = Fields(["tag", "name", "label", "title"]).read(raw).unwrap_or_default();
    names.into_iter().map(Scalar::read).find(is_something).unwrap_or(Scalar::Null)
}

fn is_something(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Null | Scalar::Bool(false) | Scalar::Integer(Some(0)) => false,
        Scalar::Text(text) => !text.is_empty(),
        Scalar::Nested(raw) => raw.get(1..raw.len().saturating_sub(1)).is_some_and(|inner| !inner.trim().is_empty()),
        _ => true,
    }
}

/// How a detail names the port.
#[derive(Clone, Copy)]
struct Label {
    number: Option<u16>,
    socket: Socket,
}

impl Label {
    fn with(self, what: &str) -> String {
        let what = what.trim_end();
        let socket = match self.socket {
            Socket::Tcp => "/tcp",
            Socket::Udp => "/udp",
            Socket::Other => "",
        };
        match self.number {
            Some(number) => ["port ", &decimal(number.into()), socket, ": ", what].concat(),
            None => ["unknown port: ", what].concat(),
        }
    }
}
