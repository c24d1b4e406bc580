//! What is looked for in a line, and the names under which formats have it.

use super::clock::Clock;
use super::{Line, Record, Unknown};
use evaluator::parse_peer;
use std::borrow::Cow;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Slot {
    Time,
    Source,
    Destination,
    /// The destination where nothing better is known.
    LocalAddress,
    Port,
    Method,
    Path,
    Host,
    Route,
}

/// How many slots there are.
pub(super) const SLOTS: usize = 9;

/// The names of slots on the command line.
const NAMES: [(&str, Slot); 8] = [
    ("time", Slot::Time),
    ("source", Slot::Source),
    ("destination", Slot::Destination),
    ("port", Slot::Port),
    ("method", Slot::Method),
    ("path", Slot::Path),
    ("host", Slot::Host),
    ("route", Slot::Route),
];

/// Reads `time=received`.
pub(super) fn parse(text: &str) -> Result<(Slot, String), String> {
    let known = NAMES.map(|(name, _)| name).join(", ");
    let right = format!("write WHAT=NAME, where WHAT is one of {known}");
    let (what, name) = text.split_once('=').filter(|(_, name)| !name.is_empty()).ok_or(right.clone())?;
    let slot = NAMES.iter().find(|(known, _)| *known == what).ok_or(right)?.1;
    Ok((slot, name.to_owned()))
}

/// Names, and what they name; of several for one thing the first that is there counts.
pub(super) type Names = &'static [(&'static str, Slot)];

/// As access logs of Envoy usually call things: by the names of its operators in lower case, as Istio does, or as in the
/// configurations under `envoy/`.
pub(super) const ENVOY: Names = &[
    ("time", Slot::Time),
    ("start_time", Slot::Time),
    ("timestamp", Slot::Time),
    ("@timestamp", Slot::Time),
    ("peer", Slot::Source),
    ("downstream_remote_address", Slot::Source),
    ("downstream_remote_address_without_port", Slot::Source),
    ("client_ip", Slot::Source),
    ("upstream_host", Slot::Destination),
    ("upstream_remote_address", Slot::Destination),
    ("downstream_local_address", Slot::LocalAddress),
    ("method", Slot::Method),
    ("path", Slot::Path),
    ("authority", Slot::Host),
    ("host", Slot::Host),
    ("requested_server_name", Slot::Host),
    ("route_name", Slot::Route),
    ("route", Slot::Route),
];

/// Fields of eve.json, <https://docs.suricata.io/en/latest/output/eve/eve-json-format.html>.
pub(super) const SURICATA: Names = &[
    ("timestamp", Slot::Time),
    ("src_ip", Slot::Source),
    ("dest_ip", Slot::Destination),
    ("dest_port", Slot::Port),
    ("http.hostname", Slot::Host),
    ("http.url", Slot::Path),
    ("http.http_method", Slot::Method),
    ("tls.sni", Slot::Host),
];

/// Fields of conn.log, <https://docs.zeek.org/en/master/logs/conn.html>.
pub(super) const ZEEK: Names =
    &[("ts", Slot::Time), ("id.orig_h", Slot::Source), ("id.resp_h", Slot::Destination), ("id.resp_p", Slot::Port)];

/// What others call things.
pub(super) const ANY: Names = &[
    ("time", Slot::Time),
    ("timestamp", Slot::Time),
    ("@timestamp", Slot::Time),
    ("start_time", Slot::Time),
    ("ts", Slot::Time),
    ("date", Slot::Time),
    ("source", Slot::Source),
    ("source_ip", Slot::Source),
    ("source.ip", Slot::Source),
    ("src_ip", Slot::Source),
    ("srcip", Slot::Source),
    ("src", Slot::Source),
    ("client_ip", Slot::Source),
    ("remote_addr", Slot::Source),
    ("destination", Slot::Destination),
    ("destination_ip", Slot::Destination),
    ("destination.ip", Slot::Destination),
    ("dest_ip", Slot::Destination),
    ("dst_ip", Slot::Destination),
    ("dstip", Slot::Destination),
    ("dst", Slot::Destination),
    ("ip", Slot::Destination),
    ("port", Slot::Port),
    ("destination_port", Slot::Port),
    ("destination.port", Slot::Port),
    ("dest_port", Slot::Port),
    ("dst_port", Slot::Port),
    ("dstport", Slot::Port),
    ("dport", Slot::Port),
    ("method", Slot::Method),
    ("path", Slot::Path),
    ("host", Slot::Host),
    ("route", Slot::Route),
];

/// The names of one log.
pub(super) struct Columns {
    pub(super) names: Vec<(Box<str>, Slot)>,
}

impl Columns {
    /// The usual names, but for what has names of its own in this log.
    pub(super) fn new(usual: Names, own: &[(Slot, String)]) -> Columns {
        let replaced = |slot: Slot| own.iter().any(|(other, _)| *other == slot);
        let usual = usual.iter().filter(|(_, slot)| !replaced(*slot)).map(|(name, slot)| ((*name).into(), *slot));
        Columns { names: own.iter().map(|(slot, name)| (name.as_str().into(), *slot)).chain(usual).collect() }
    }

    /// What is looked for under this name, and how early it stands among the names for the same.
    pub(super) fn find(&self, name: &str) -> Option<(Slot, u8)> {
        let place = self.names.iter().position(|(known, _)| known.len() == name.len() && **known == *name)?;
        Some((self.names[place].1, u8::try_from(place).unwrap_or(u8::MAX)))
    }

    /// The same in any case.
    pub(super) fn find_any_case(&self, name: &str) -> Option<(Slot, u8)> {
        let place = self.names.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some((self.names[place].1, u8::try_from(place).unwrap_or(u8::MAX)))
    }
}

/// What was found, by slot.
pub(super) struct Found<'a> {
    values: [Option<Cow<'a, str>>; SLOTS],
    places: [u8; SLOTS],
}

impl<'a> Found<'a> {
    pub(super) fn new() -> Found<'a> {
        Found { values: [const { None }; SLOTS], places: [u8::MAX; SLOTS] }
    }

    /// Notes a value, unless a better name had one, or the value says that there is none.
    pub(super) fn note(&mut self, slot: Slot, place: u8, value: Cow<'a, str>) {
        let slot = slot as usize;
        if place <= self.places[slot] && !matches!(&*value, "" | "-") {
            self.values[slot] = Some(value);
            self.places[slot] = place;
        }
    }

    /// The record that the values make.
    pub(super) fn record(self, clock: &Clock) -> Line<'a> {
        let [time, source, destination, local, port, method, path, host, route] = self.values;
        let time = time.and_then(|text| clock.read(&text)).ok_or(Unknown::NoTime)?;
        let peer = |text: Option<Cow<'_, str>>| text.and_then(|text| parse_peer(text.as_bytes()).ok());
        let (source, destination) = (peer(source), peer(destination).or_else(|| peer(local)));
        let port = port.and_then(|text| text.parse().ok()).filter(|port| *port != 0);
        Ok(Some(Record {
            time,
            source: source.map(|peer| peer.ip),
            destination: destination.map(|peer| peer.ip),
            port: port.or(destination.and_then(|peer| peer.port)),
            method,
            path,
            host,
            route,
        }))
    }
}
