//! Comparing what happened with what was expected.

use super::{Expect, Holds};
use crate::{
    host::{HeaderMap, Metric},
    sim::{Cost, End, Outcome, Sim},
    trace::Event,
};
use std::{collections::BTreeMap, fmt};

/// Something that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where: the step, counted from 1, and what it is.
    pub place: String,
    /// What.
    pub what: String,
    /// What was expected, and what there was.
    pub expected: String,
    /// What there was.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}: expected {}, found {}", self.place, self.what, self.expected, self.found)
    }
}

/// How things were when a step began.
pub(super) struct Before {
    pub(super) entries: usize,
    pub(super) callouts: usize,
    pub(super) cost: Cost,
}

pub(super) struct Checker<'a> {
    pub(super) place: String,
    pub(super) found: &'a mut Vec<Mismatch>,
}

impl Checker<'_> {
    pub(super) fn fail(&mut self, what: &str, expected: impl fmt::Display, found: impl fmt::Display) {
        self.found.push(Mismatch {
            place: self.place.clone(),
            what: what.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    fn same<T: PartialEq + fmt::Debug>(&mut self, what: &str, expected: Option<&T>, found: &T) {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.fail(what, format!("{expected:?}"), format!("{found:?}"));
        }
    }

    pub(super) fn stream(&mut self, expect: &Expect, outcome: &Outcome) {
        let end = match outcome.end {
            Some(End::Answered) => "answered",
            Some(End::Reset) => "reset",
            Some(End::ClientLeft) => "client_left",
            None => "open",
        };
        if expect.status.is_some() && outcome.status != expect.status {
            let found = outcome
                .status
                .map_or_else(|| format!("none ({end})"), |status| format!("{status} ({})", outcome.details));
            self.fail("status", expect.status.unwrap_or(0), found);
        }
        self.same("end", expect.end.as_ref(), &end.to_owned());
        self.same("details", expect.details.as_ref(), &outcome.details);
        let forwarded = outcome.forwarded.is_some() || outcome.connected;
        self.same("forwarded", expect.forwarded.as_ref(), &forwarded);
        let none = HeaderMap::default();
        self.headers("header", &expect.headers, &outcome.response_headers);
        self.headers("trailer", &expect.trailers, outcome.response_trailers.as_ref().unwrap_or(&none));
        self.headers("forwarded header", &expect.forwarded_headers, outcome.forwarded.as_ref().unwrap_or(&none));
        let trailers = outcome.forwarded_trailers.as_ref().unwrap_or(&none);
        self.headers("forwarded trailer", &expect.forwarded_trailers, trailers);
        self.text("body", expect.body.as_deref(), &outcome.response_body);
        self.text("forwarded body", expect.forwarded_body.as_deref(), &outcome.forwarded_body);
        for (name, holds) in &expect.filter_state {
            let value = outcome.filter_state.get(name).map(|value| value.as_bytes().to_vec());
            self.holds("filter state", name, holds, value);
        }
        if let Some(least) = expect.takes_at_least.filter(|least| outcome.took < least.0) {
            self.fail("time", format!("at least {least}"), format!("{:?}", outcome.took));
        }
        if let Some(most) = expect.takes_at_most.filter(|most| outcome.took > most.0) {
            self.fail("time", format!("at most {most}"), format!("{:?}", outcome.took));
        }
    }

    fn headers(&mut self, what: &str, expected: &BTreeMap<String, Holds>, found: &HeaderMap) {
        for (name, holds) in expected {
            let values: Vec<_> = found.all(name).map(<[u8]>::to_vec).collect();
            self.holds(what, name, holds, (!values.is_empty()).then(|| values.join(&b", "[..])));
        }
    }

    fn holds(&mut self, what: &str, name: &str, holds: &Holds, value: Option<Vec<u8>>) {
        let shown =
            value.as_ref().map_or_else(|| "none".to_owned(), |value| format!("{:?}", String::from_utf8_lossy(value)));
        let what = format!("{what} {name}");
        match (holds, &value) {
            (Holds::Text(text), None) => self.fail(&what, format!("one with {text:?}"), shown),
            (Holds::Text(text), Some(value)) if !contains(value, text) => {
                self.fail(&what, format!("one with {text:?}"), shown)
            }
            (Holds::There(true), None) => self.fail(&what, "one", shown),
            (Holds::There(false), Some(_)) => self.fail(&what, "none", shown),
            _ => {}
        }
    }

    fn text(&mut self, what: &str, expected: Option<&str>, found: &[u8]) {
        if let Some(expected) = expected.filter(|expected| !contains(found, expected)) {
            self.fail(what, format!("one with {expected:?}"), format!("{:?}", String::from_utf8_lossy(found)));
        }
    }

    /// What concerns the whole proxy.
    pub(super) fn proxy(&mut self, expect: &Expect, sim: &Sim, before: &Before) {
        let lines = log_since(sim, before.entries);
        for text in &expect.log {
            if !lines.iter().any(|line| line.contains(text)) {
                let shown =
                    if lines.is_empty() { "no line".to_owned() } else { format!("only\n    {}", lines.join("\n    ")) };
                self.fail("log", format!("a line with {text:?}"), shown);
            }
        }
        self.same("callouts", expect.callouts.as_ref(), &(sim.callouts().1 - before.callouts));
        for (name, expected) in &expect.metrics {
            let found = sim.metric(name).map(|metric| match metric {
                Metric::Counter(value) | Metric::Gauge(value) => value,
                Metric::Histogram(values) => values.len() as u64,
            });
            if found != Some(*expected) {
                let known: Vec<_> = sim.metrics().into_keys().collect();
                let shown = found
                    .map_or_else(|| format!("none of this name among {}", known.join(", ")), |value| value.to_string());
                self.fail(&format!("metric {name}"), expected, shown);
            }
        }
        if let Some(expected) = expect.alive {
            let alive = (1..).take_while(|thread| *thread <= sim.workers()).all(|thread| sim.is_alive(thread));
            self.same("alive", Some(&expected), &alive);
        }
        let cost = sim.cost().since(&before.cost);
        if let Some(most) = expect.fuel_at_most.filter(|most| cost.fuel > *most) {
            self.fail("fuel", format!("at most {most}"), cost.fuel);
        }
        if let Some(most) = expect.host_calls_at_most.filter(|most| cost.host_calls() > *most) {
            self.fail("host calls", format!("at most {most}"), format!("{}: {:?}", cost.host_calls(), cost.calls));
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn log_since(sim: &Sim, entries: usize) -> Vec<String> {
    let trace = sim.trace();
    let lines = trace.entries()[entries..].iter().filter_map(|entry| match &entry.event {
        Event::Log { message, .. } => Some(message.clone()),
        _ => None,
    });
    lines.collect()
}
