//! Metrics. They add up inside the worker and reach the proxy in callbacks of the root, so that the warm path pays no host
//! call; what did not change is not reported.

use alloc::string::String;

mod counter;
mod gauge;
mod histogram;

pub(crate) use counter::Counters;
pub use counter::{Counter, Found, RouteMetadata};
pub use gauge::Gauge;
pub(crate) use gauge::Gauges;
pub use histogram::Histogram;

/// One metric of the proxy. Labels stand in the name, `;key=value`; the proxy's tag extraction makes them labels
/// (`stats_tags` in the configurations under `envoy/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// It only grows.
    Counter(Counter),
    /// It goes up and down.
    Gauge(Gauge),
    /// It has a distribution.
    Histogram(Histogram),
}

/// News of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// A counter grew by this much, or a gauge changed by it; never zero.
    Add(i64),
    /// The value of a gauge, or one more for a histogram.
    Record(u64),
}

impl Metric {
    /// The name under which the proxy keeps it, its labels included.
    pub fn name(self) -> String {
        match self {
            Metric::Counter(counter) => counter.name(),
            Metric::Gauge(gauge) => gauge.name(),
            Metric::Histogram(histogram) => histogram.name().into(),
        }
    }

    /// Every metric there is, each once.
    pub fn all() -> impl Iterator<Item = Metric> {
        let counters = Counter::all().map(Metric::Counter);
        counters.chain(Gauge::all().map(Metric::Gauge)).chain(Histogram::ALL.map(Metric::Histogram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;
    use evaluator::Source;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_counter_counts_under_a_name_of_its_own() {
        let mut counters = Counters::default();
        for counter in Counter::all() {
            counters.add(counter);
            let mut taken = Vec::new();
            counters.take(&mut |counter, count| taken.push((counter, count)));
            assert_eq!(taken, [(counter, 1)]);
        }
        counters.take(&mut |counter, _| panic!("{counter:?} was taken already"));
        let names: BTreeSet<_> = Metric::all().map(Metric::name).collect();
        assert_eq!(names.len(), Metric::all().count());
    }

    /// The rows of a table of `docs/decisions.md`: the first cell without its code marks, and the rest.
    fn documented(heading: &str) -> BTreeMap<&'static str, &'static str> {
        let page = include_str!("../../docs/decisions.md");
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).collect()
    }

    #[test]
    fn the_documentation_lists_every_metric_with_its_kind_and_labels() {
        let mut families = BTreeMap::<String, String>::new();
        for metric in Metric::all() {
            let name = metric.name();
            let mut parts = name.split(';');
            let family = parts.next().unwrap().to_owned();
            let labels: Vec<_> = parts.map(|part| format!("`{}`", part.split('=').next().unwrap())).collect();
            let kind = match metric {
                Metric::Counter(_) => "counter",
                Metric::Gauge(_) => "gauge",
                Metric::Histogram(_) => "histogram",
            };
            families.insert(family, format!(" | {kind} | {}", labels.join(", ")).trim_end().to_owned());
        }
        let documented = documented("Metrics");
        assert_eq!(
            documented.keys().map(|family| (*family).to_owned()).collect::<Vec<_>>(),
            families.keys().cloned().collect::<Vec<_>>()
        );
        for (family, start) in &families {
            assert!(
                documented[family.as_str()].starts_with(start.as_str()),
                "{family}{start}: {}",
                documented[family.as_str()]
            );
        }
    }

    #[test]
    fn the_shipped_configurations_make_a_label_of_every_label() {
        let names: Vec<_> = Metric::all().map(Metric::name).collect();
        let labels: BTreeSet<_> = names
            .iter()
            .flat_map(|name| name.split(';').skip(1))
            .map(|label| label.split('=').next().unwrap())
            .collect();
        for (file, text) in [
            ("ingress.yaml", include_str!("../../envoy/ingress.yaml")),
            ("demo.yaml", include_str!("../../envoy/demo.yaml")),
        ] {
            let rules = text.lines().filter(|line| line.contains("tag_name: ")).count();
            for label in &labels {
                let rule = format!("{{tag_name: {label}, regex: \"(;{label}=([^;]+))\"}}");
                assert!(text.contains(&rule), "{file} has no {rule}");
            }
            assert_eq!(rules, labels.len(), "{file}");
        }
    }

    #[test]
    fn the_documentation_lists_every_reason_source_and_finding() {
        let codes = |heading| documented(heading).into_keys().collect::<BTreeSet<_>>();
        assert_eq!(codes("Reasons"), Reason::all().map(Reason::code).collect());
        assert_eq!(codes("Sources"), Source::ALL.iter().map(|source| source.code()).collect());
        assert_eq!(codes("Findings"), evaluator::Finding::ALL.iter().map(|finding| finding.code()).collect());
    }
}
