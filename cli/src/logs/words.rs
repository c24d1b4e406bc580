//! Text: Envoy's own access log, and FortiGate's keys and values.

use super::clock::Clock;
use super::fields::{Found, Slot};
use super::{Line, Unknown};
use std::borrow::Cow;

/// Envoy's default format, and Istio's, which goes on where that one ends:
/// <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#default-format-string>,
/// <https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format>.
pub(super) fn envoy<'l>(line: &'l [u8], clock: &Clock) -> Line<'l> {
    let text = str::from_utf8(line).map_err(|_| Unknown::NotTheFormat)?.trim_end();
    let (time, rest) = text.strip_prefix('[').and_then(|text| text.split_once(']')).ok_or(Unknown::NotTheFormat)?;
    let words: Vec<&str> = words(rest).collect();
    let istio = words.len() >= 21;
    let quoted = if istio { 10 } else { 7 };
    let (Some(request), Some(&[forwarded, _, _, authority, upstream])) =
        (words.first(), words.get(quoted..quoted + 5).and_then(|words| words.first_chunk::<5>()))
    else {
        return Err(Unknown::NotTheFormat);
    };
    let mut found = Found::new();
    let mut note = |slot, place, text: &'l str| found.note(slot, place, Cow::Borrowed(text));
    note(Slot::Time, 0, time);
    // What Envoy added itself comes last; what stands before it may be the client's invention.
    note(Slot::Source, 1, forwarded.rsplit(',').next().unwrap_or_default().trim());
    note(Slot::Host, 0, authority);
    note(Slot::Destination, 0, upstream);
    let mut parts = request.split(' ');
    note(Slot::Method, 0, parts.next().unwrap_or_default());
    note(Slot::Path, 0, parts.next().unwrap_or_default());
    if istio {
        note(Slot::LocalAddress, 0, words[17]);
        note(Slot::Source, 0, words[18]);
        note(Slot::Route, 0, words.get(20).copied().unwrap_or_default());
    }
    found.record(clock)
}

/// Words, each in quotation marks or without spaces.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(' ');
        if rest.is_empty() {
            return None;
        }
        let word;
        (word, rest) = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"').unwrap_or((inside, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        Some(word)
    })
}

/// `date=2026-03-30 time=09:00:00 tz="+0900" srcip=... dstip=... dstport=443 ...`, after a header of syslog or not:
/// <https://docs.fortinet.com/document/fortigate/7.6.0/fortios-log-message-reference/>. The time of the event is there in
/// nanoseconds too, without doubt about its zone.
pub(super) fn fortinet<'l>(line: &'l [u8], clock: &Clock) -> Line<'l> {
    let text = str::from_utf8(line).map_err(|_| Unknown::NotTheFormat)?.trim_end();
    let (mut found, mut known) = (Found::new(), false);
    let (mut date, mut time, mut zone) = ("", "", "");
    for (key, value) in pairs(text) {
        match key {
            "date" => date = value,
            "time" => time = value,
            "tz" => zone = value,
            "eventtime" => found.note(Slot::Time, 0, Cow::Borrowed(value)),
            "srcip" => found.note(Slot::Source, 0, Cow::Borrowed(value)),
            "dstip" => found.note(Slot::Destination, 0, Cow::Borrowed(value)),
            "dstport" => found.note(Slot::Port, 0, Cow::Borrowed(value)),
            "hostname" => found.note(Slot::Host, 0, Cow::Borrowed(value)),
            _ => continue,
        }
        known = true;
    }
    if !known {
        return Err(Unknown::NotTheFormat);
    }
    if !date.is_empty() {
        found.note(Slot::Time, 1, Cow::Owned(format!("{date}T{time}{zone}")));
    }
    found.record(clock)
}

/// `key=value` and `key="a value"`.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (before, after) = rest.split_once('=')?;
        let key = before.rsplit([' ', '>']).next().unwrap_or(before);
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(inside) => inside.split_once('"').unwrap_or((inside, "")),
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        Some((key, value))
    })
}
