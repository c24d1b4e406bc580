//! Counters. They add up inside the worker and reach the proxy once a tick, so that the warm path pays no host call.

use crate::{LookupError, Mode, Reason, Skip};
use evaluator::{Action, Source};

/// One counter of the proxy. Labels stand in the name, `;key=value`; the proxy's tag extraction makes them labels
/// (`stats_tags` in the configurations under `envoy/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// `criminalip_decisions_total`: decisions about streams.
    Decision(Action, Source, Mode),
    /// `criminalip_lookups_total`: lookups that ended; `None` is a report.
    Lookup(Option<LookupError>),
    /// `criminalip_failed_open_total`: streams let through without facts.
    FailedOpen(Reason),
    /// `criminalip_failed_closed_total`: streams refused without facts.
    FailedClosed(Reason),
    /// `criminalip_dropped_total`: addresses that left the queue of lookups, or were not let in, because it was full.
    Dropped,
    /// `criminalip_skipped_total`: streams that the gate did not judge.
    Skipped(Skip),
}

impl Counter {
    /// The name under which the proxy keeps it, its labels included.
    pub fn name(self) -> String {
        match self {
            Counter::Decision(action, source, mode) => format!(
                "criminalip_decisions_total;action={};source={};mode={}",
                action.name(),
                source.code(),
                mode.name()
            ),
            Counter::Lookup(error) => {
                format!("criminalip_lookups_total;outcome={}", error.map_or("assessed", |error| error.code()))
            }
            Counter::FailedOpen(reason) => format!("criminalip_failed_open_total;reason={}", reason.code()),
            Counter::FailedClosed(reason) => format!("criminalip_failed_closed_total;reason={}", reason.code()),
            Counter::Dropped => "criminalip_dropped_total".into(),
            Counter::Skipped(skip) => format!("criminalip_skipped_total;reason={}", skip.code()),
        }
    }
}

impl Counter {
    /// Every counter there is, each once.
    pub fn all() -> impl Iterator<Item = Counter> {
        let actions = [Action::Allow, Action::Tag, Action::Deny];
        let sources = Source::ALL.iter().copied();
        let modes = [Mode::Enforce, Mode::Shadow];
        let decisions = actions.into_iter().flat_map(move |action| {
            sources.clone().flat_map(move |source| modes.map(|mode| Counter::Decision(action, source, mode)))
        });
        decisions
            .chain([Counter::Lookup(None)])
            .chain(LookupError::all().map(|error| Counter::Lookup(Some(error))))
            .chain(Reason::all().map(Counter::FailedOpen))
            .chain(Reason::all().map(Counter::FailedClosed))
            .chain([Counter::Dropped])
            .chain(Skip::ALL.map(Counter::Skipped))
    }
}

/// What was counted since the last time it was taken, sorted by counter.
#[derive(Debug)]
pub struct Counters(Box<[(Counter, u64)]>);

impl Default for Counters {
    fn default() -> Counters {
        let mut counters: Vec<_> = Counter::all().map(|counter| (counter, 0)).collect();
        counters.sort_unstable();
        Counters(counters.into())
    }
}

impl Counters {
    /// Adds one.
    pub fn add(&mut self, counter: Counter) {
        let place = self.0.binary_search_by_key(&counter, |(counter, _)| *counter);
        if let Some((_, count)) = place.ok().and_then(|place| self.0.get_mut(place)) {
            *count = count.saturating_add(1);
        }
    }

    /// Gives every counter that grew to `record`, with how much it grew, and starts again from zero.
    pub fn take(&mut self, mut record: impl FnMut(Counter, u64)) {
        for (counter, count) in &mut self.0 {
            if *count > 0 {
                record(*counter, std::mem::take(count));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_counter_counts_under_a_name_of_its_own() {
        let mut counters = Counters::default();
        for counter in Counter::all() {
            counters.add(counter);
        }
        let mut names = BTreeSet::new();
        counters.take(|counter, count| assert!(count == 1 && names.insert(counter.name()), "{counter:?}"));
        assert_eq!(names.len(), Counter::all().count());
        counters.take(|counter, _| panic!("{counter:?} was taken already"));
    }

    /// The first cells of a table of `docs/decisions.md`, without their code marks.
    fn documented(heading: &str) -> BTreeSet<&'static str> {
        let page = include_str!("../../docs/decisions.md");
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        rows.map(|(cell, _)| cell).collect()
    }

    #[test]
    fn the_documentation_lists_every_counter_reason_source_and_finding() {
        let names: Vec<String> = Counter::all().map(Counter::name).collect();
        let families = names.iter().map(|name| name.split(';').next().unwrap()).collect();
        assert_eq!(documented("Counters"), families);
        for name in &names {
            for label in name.split(';').skip(1).map(|label| label.split('=').next().unwrap()) {
                assert!(include_str!("../../docs/decisions.md").contains(&format!("`{label}`")), "{label}");
            }
        }
        assert_eq!(documented("Reasons"), Reason::all().map(Reason::code).collect());
        assert_eq!(documented("Sources"), Source::ALL.iter().map(|source| source.code()).collect());
        assert_eq!(documented("Findings"), evaluator::Finding::ALL.iter().map(|finding| finding.code()).collect());
    }
}
