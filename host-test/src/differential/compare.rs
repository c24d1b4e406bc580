//! What came of a scenario here and there, side by side.

use super::{calls, run::Observed};
use crate::{
    host::HeaderMap,
    scenario::{Report, Scenario},
    sim::{Outcome, PluginKind},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

/// Headers that are not compared: those by which HTTP/1.1 says how long a body is, those of the proxy's own clock and name,
/// and those that tell one run from another.
const NOT_COMPARED: [&str; 9] = [
    ":scheme",
    "content-length",
    "date",
    "server",
    "te",
    "transfer-encoding",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-upstream-service-time",
    "x-request-id",
];

/// Each difference, in a line.
pub(super) fn differences(scenario: &Scenario, simulated: &Report, observed: &Observed) -> Vec<String> {
    let mut found = observed.unexpected.clone();
    for ((place, there), here) in observed.outcomes.iter().zip(&simulated.outcomes) {
        let before = found.len();
        of_outcome(place, here, there, scenario.plugin.kind == PluginKind::Http, &mut found);
        // Of many streams that are alike, one tells it all.
        let mut seen = BTreeSet::new();
        let (old, new) = found.split_at(before);
        let new: Vec<_> = new.iter().filter(|line| !old.contains(line) && seen.insert(*line)).cloned().collect();
        found.truncate(before);
        found.extend(new);
    }
    found.extend(calls_that_differ(scenario, simulated, &observed.log));
    found
}

/// Where the calls of streams differ, in a line for each stream, if those of the scenario are compared.
pub(super) fn calls_that_differ(scenario: &Scenario, simulated: &Report, log: &[String]) -> Vec<String> {
    // Of streams that come at once, it is chance which finds another's work done.
    if scenario.workers == 1 && scenario.step.iter().all(|step| step.times.unwrap_or(1) == 1) {
        calls::differences(&simulated.trace, log)
    } else {
        Vec::new()
    }
}

fn of_outcome(place: &str, here: &Outcome, there: &Outcome, http: bool, found: &mut Vec<String>) {
    let mut differ = Differ { place, found };
    differ.check("end", &here.end, &there.end);
    differ.check("status", &here.status, &there.status);
    if http {
        differ.check("details", &here.details, &there.details);
    }
    differ.headers("header", Some(&here.response_headers), Some(&there.response_headers));
    differ.check("body", &text(&here.response_body), &text(&there.response_body));
    differ.headers("trailer", here.response_trailers.as_ref(), there.response_trailers.as_ref());
    differ.check("forwarded", &here.forwarded.is_some(), &there.forwarded.is_some());
    differ.check("connected", &here.connected, &there.connected);
    if here.forwarded.is_some() && there.forwarded.is_some() {
        differ.headers("forwarded header", here.forwarded.as_ref(), there.forwarded.as_ref());
        differ.headers("forwarded trailer", here.forwarded_trailers.as_ref(), there.forwarded_trailers.as_ref());
    }
    differ.check("forwarded body", &text(&here.forwarded_body), &text(&there.forwarded_body));
    let names: BTreeSet<_> = here.filter_state.keys().chain(there.filter_state.keys()).collect();
    for name in names {
        let what = format!("filter state {name}");
        differ.check(&what, &here.filter_state.get(name), &there.filter_state.get(name));
    }
}

struct Differ<'a> {
    place: &'a str,
    found: &'a mut Vec<String>,
}

impl Differ<'_> {
    fn check<T: PartialEq + Debug>(&mut self, what: &str, here: &T, there: &T) {
        if here != there {
            self.found.push(format!("{}: {what}: simulation {here:?}, Envoy {there:?}", self.place));
        }
    }

    /// All values of each name, in their order; the order of names is not compared.
    fn headers(&mut self, what: &str, here: Option<&HeaderMap>, there: Option<&HeaderMap>) {
        let (here, there) = (by_name(here), by_name(there));
        let names: BTreeSet<_> = here.keys().chain(there.keys()).collect();
        for name in names {
            self.check(&format!("{what} {name}"), &here.get(name), &there.get(name));
        }
    }
}

fn by_name(headers: Option<&HeaderMap>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers.into_iter().flat_map(HeaderMap::iter) {
        let name = text(name).to_ascii_lowercase();
        if name != ":status" && !NOT_COMPARED.contains(&name.as_str()) {
            all.entry(name).or_default().push(text(value));
        }
    }
    all
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
