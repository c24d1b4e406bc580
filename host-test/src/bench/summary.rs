//! What the rounds come to: medians, the table, the goals, and the file for machines.

use super::{
    arm::NONE,
    meter::{Counted, Used},
};
use crate::bench::load::Served;
use serde_json::{Value, json};

/// What one arm is to add over `none`, at most, as a share of what another arm adds.
const GOALS: [(&str, &str, f64); 5] = [
    ("portcullis", "lua", 0.75),
    ("portcullis", "ext_authz", 0.13),
    ("portcullis", "rbac_1000", 0.22),
    ("portcullis_100k", "portcullis", 1.1),
    ("connection", "ext_authz", 0.05),
];
/// How many instructions an arm is to add over `none`, at most.
const MOST_INSTRUCTIONS: (&str, f64) = ("connection", 3_000.0);

/// One arm in one round, per request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    pub(super) cpu_us: f64,
    pub(super) counted: Option<Counted>,
}

impl Sample {
    /// Shares what a round used among the requests that it served.
    #[allow(clippy::cast_precision_loss, reason = "neither comes near 2^52")]
    pub(super) fn new(served: Served, used: Used) -> Sample {
        let requests = served.requests as f64;
        let share = |counted: Counted| Counted {
            instructions: counted.instructions / requests,
            cycles: counted.cycles / requests,
        };
        Sample {
            requests_per_second: served.per_second,
            cpu_us: used.cpu_ns as f64 / 1_000.0 / requests,
            counted: used.counted.map(share),
        }
    }

    /// What this one has more than another.
    fn beyond(&self, base: &Sample) -> Sample {
        let beyond = |(counted, base): (Counted, Counted)| Counted {
            instructions: counted.instructions - base.instructions,
            cycles: counted.cycles - base.cycles,
        };
        Sample {
            requests_per_second: self.requests_per_second - base.requests_per_second,
            cpu_us: self.cpu_us - base.cpu_us,
            counted: self.counted.zip(base.counted).map(beyond),
        }
    }

    /// Medians, each number taken by itself.
    fn median(samples: &[Sample]) -> Sample {
        let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
        let counted: Vec<_> = samples.iter().filter_map(|sample| sample.counted).collect();
        Sample {
            requests_per_second: of(|sample| sample.requests_per_second),
            cpu_us: of(|sample| sample.cpu_us),
            counted: (!counted.is_empty()).then(|| Counted {
                instructions: median(counted.iter().map(|counted| counted.instructions).collect()),
                cycles: median(counted.iter().map(|counted| counted.cycles).collect()),
            }),
        }
    }
}

/// An arm over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    name: &'static str,
    median: Sample,
    /// The median of what it had more than `none` in the same round: what slows a round down slows both down.
    added: Option<Sample>,
    /// The smallest and the largest CPU time of a round.
    cpu_range: (f64, f64),
    /// Its instructions, and what these are more than those of `none`: by the counters, or by Valgrind.
    instructions: Option<f64>,
    instructions_added: Option<f64>,
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    counters: bool,
    arms: Vec<Line>,
}

impl Summary {
    /// Sums up the arms' rounds, of which there are equally many, at least one; with what Valgrind counted of an arm.
    pub(super) fn new(counters: bool, arms: &[(&'static str, Vec<Sample>)], by_valgrind: &[(&str, f64)]) -> Summary {
        let none = arms.iter().find(|(name, _)| *name == NONE).map(|(_, samples)| &samples[..]);
        let counted =
            |name: &str| by_valgrind.iter().find(|(arm, _)| *arm == name).map(|(_, instructions)| *instructions);
        let line = |(name, samples): &(&'static str, Vec<Sample>)| Line::new(name, samples, none, &counted);
        Summary { counters, arms: arms.iter().map(line).collect() }
    }

    /// For machines; what was not counted is null.
    pub(super) fn json(&self) -> Value {
        let arm = |line: &Line| {
            let Sample { requests_per_second, cpu_us, counted } = line.median;
            json!({
                "instructions": line.instructions,
                "cycles": counted.map(|counted| counted.cycles),
                "cpu_us": cpu_us,
                "requests_per_second": requests_per_second,
            })
        };
        let arms: serde_json::Map<_, _> = self.arms.iter().map(|line| (line.name.to_owned(), arm(line))).collect();
        json!({"counters": self.counters, "arms": arms})
    }

    /// For people: the medians, and what each arm adds over `none`.
    pub(super) fn table(&self) -> String {
        let mut heads = vec!["arm", "requests/s", "CPU us", "added", "lowest", "highest"];
        if self.arms.iter().any(|line| line.instructions.is_some()) {
            heads.extend(["instructions", "added"]);
        }
        if self.counters {
            heads.extend(["cycles", "added"]);
        }
        let mut rows = vec![heads.into_iter().map(str::to_owned).collect()];
        for Line { name, median, added, cpu_range: (lowest, highest), instructions, instructions_added } in &self.arms {
            let mut row = vec![(*name).to_owned(), format!("{:.0}", median.requests_per_second)];
            row.push(format!("{:.2}", median.cpu_us));
            row.push(added.map(|added| format!("{:.2}", added.cpu_us)).unwrap_or_default());
            row.extend([lowest, highest].map(|cpu_us| format!("{cpu_us:.2}")));
            let cycles = median.counted.map(|counted| counted.cycles);
            let cycles_added = added.and_then(|added| added.counted).map(|counted| counted.cycles);
            for (count, added) in [(instructions, instructions_added), (&cycles, &cycles_added)] {
                if let Some(count) = count {
                    row.push(format!("{count:.0}"));
                    row.push(added.map(|added| format!("{added:.0}")).unwrap_or_default());
                }
            }
            rows.push(row);
        }
        aligned(&rows)
    }

    /// For people: what the arms add over `none`, in relation to each other and to the goals, in cycles where they are
    /// counted, else in CPU time. What the lowest CPU times of the rounds come to, which other work on the machine reaches
    /// least, is shown beside, and so are instructions where they are known. Goals whose arms were not measured are left out;
    /// `None` if no goal is left.
    pub(super) fn goals(&self) -> Option<String> {
        let unit = if self.counters { "cycles" } else { "CPU time" };
        let mut rows = vec![vec![format!("added {unit}, as a ratio"), "measured".into(), "at most".into()]];
        let in_instructions = |name: &str| self.line(name)?.instructions_added;
        for (arm, other, goal) in GOALS {
            let (Some(added), Some(other_added)) = (self.added(arm), self.added(other)) else { continue };
            let ratio = added / other_added;
            let (measured, outcome) = if added <= 0.0 || other_added <= 0.0 {
                // Nothing is free; it only seems so.
                ("-".into(), "too noisy")
            } else {
                (format!("{ratio:.3}"), if ratio <= goal { "reached" } else { "missed" })
            };
            let mut row = vec![format!("{arm} / {other}"), measured, format!("{goal:.2}"), outcome.into()];
            if let (false, Some(arm), Some(other)) = (self.counters, self.lowest(arm), self.lowest(other)) {
                let is_known = arm > 0.0 && other > 0.0;
                row.push(if is_known { format!("of the lowest {:.3}", arm / other) } else { "of the lowest -".into() });
            }
            if let (Some(arm), Some(other)) = (in_instructions(arm), in_instructions(other)) {
                row.push(format!("in instructions {:.3}", arm / other));
            }
            rows.push(row);
        }
        let (arm, most) = MOST_INSTRUCTIONS;
        if let Some(added) = in_instructions(arm) {
            let outcome = if added <= most { "reached" } else { "missed" };
            let row = [format!("{arm}, in instructions"), format!("{added:.0}"), format!("{most:.0}"), outcome.into()];
            rows.push(row.into());
        }
        (rows.len() > 1).then(|| aligned(&rows))
    }

    fn line(&self, name: &str) -> Option<&Line> {
        self.arms.iter().find(|line| line.name == name)
    }

    /// What an arm adds over `none`, in the unit of the goals.
    fn added(&self, name: &str) -> Option<f64> {
        let added = self.line(name)?.added?;
        if self.counters { Some(added.counted?.cycles) } else { Some(added.cpu_us) }
    }

    /// What an arm adds over `none` in CPU time where each had its best round.
    fn lowest(&self, name: &str) -> Option<f64> {
        Some(self.line(name)?.cpu_range.0 - self.line(NONE)?.cpu_range.0)
    }
}

impl Line {
    fn new(
        name: &'static str,
        samples: &[Sample],
        none: Option<&[Sample]>,
        by_valgrind: &dyn Fn(&str) -> Option<f64>,
    ) -> Line {
        let added = none.filter(|_| name != NONE).map(|none| {
            let rounds = samples.iter().zip(none);
            Sample::median(&rounds.map(|(sample, none)| sample.beyond(none)).collect::<Vec<_>>())
        });
        let times = || samples.iter().map(|sample| sample.cpu_us);
        let cpu_range = (times().fold(f64::MAX, f64::min), times().fold(0.0, f64::max));
        let median = Sample::median(samples);
        let by_counters = |sample: Sample| sample.counted.map(|counted| counted.instructions);
        let beyond_none = || Some(by_valgrind(name)? - by_valgrind(NONE).filter(|_| name != NONE)?);
        Line {
            name,
            median,
            added,
            cpu_range,
            instructions: by_counters(median).or_else(|| by_valgrind(name)),
            instructions_added: added.and_then(by_counters).or_else(beyond_none),
        }
    }
}

/// The middle value, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => 0.0,
    }
}

/// Rows of cells as lines: the first column to the left, all others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            line += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_us: f64, counted: Option<(f64, f64)>) -> Sample {
        let counted = counted.map(|(instructions, cycles)| Counted { instructions, cycles });
        Sample { requests_per_second: 1e6 / cpu_us, cpu_us, counted }
    }

    fn timed() -> Summary {
        let arms = [
            ("none", vec![sample(20.0, None), sample(30.0, None), sample(21.0, None)]),
            ("portcullis", vec![sample(26.0, None), sample(25.0, None), sample(40.0, None)]),
            ("lua", vec![sample(31.0, None), sample(29.0, None), sample(31.5, None)]),
        ];
        Summary::new(false, &arms, &[])
    }

    fn counted() -> Summary {
        let arms = [
            ("none", vec![sample(20.0, Some((65_000.0, 25_000.0)))]),
            ("portcullis", vec![sample(50.0, Some((92_000.0, 33_000.0)))]),
            ("lua", vec![sample(25.0, Some((91_000.0, 35_000.0)))]),
        ];
        Summary::new(true, &arms, &[])
    }

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        for (values, expected) in
            [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 3.0, 2.0], 2.5), (vec![7.0], 7.0), (vec![], 0.0)]
        {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn what_a_round_used_is_shared_among_its_requests() {
        let counted = Some(Counted { instructions: 1e9, cycles: 4e8 });
        let used = Used { cpu_ns: 250_000_000, counted };
        let sample = Sample::new(Served { requests: 10_000, per_second: 5_000.0 }, used);
        let counted = Some(Counted { instructions: 100_000.0, cycles: 40_000.0 });
        assert_eq!(sample, Sample { requests_per_second: 5_000.0, cpu_us: 25.0, counted });
    }

    #[test]
    fn the_table_shows_what_each_arm_adds() {
        assert_eq!(
            timed().table(),
            "\
arm         requests/s  CPU us  added  lowest  highest
none             47619   21.00          20.00    30.00
portcullis       38462   26.00   6.00   25.00    40.00
lua              32258   31.00  10.50   29.00    31.50"
        );
        assert_eq!(
            counted().table(),
            "\
arm         requests/s  CPU us  added  lowest  highest  instructions  added  cycles  added
none             50000   20.00          20.00    20.00         65000          25000
portcullis       20000   50.00  30.00   50.00    50.00         92000  27000   33000   8000
lua              40000   25.00   5.00   25.00    25.00         91000  26000   35000  10000"
        );
    }

    #[test]
    fn the_goals_are_judged_by_cycles_where_there_are_any_and_by_cpu_time_elsewhere() {
        assert_eq!(
            timed().goals().unwrap(),
            "\
added CPU time, as a ratio  measured  at most
portcullis / lua               0.571     0.75  reached  of the lowest 0.556"
        );
        assert_eq!(
            counted().goals().unwrap(),
            "\
added cycles, as a ratio  measured  at most
portcullis / lua             0.800     0.75  missed  in instructions 1.038"
        );
    }

    #[test]
    fn what_valgrind_counted_stands_beside_cpu_time() {
        let arms = ["none", "connection", "ext_authz"].map(|name| (name, vec![sample(20.0, None)]));
        let counted = [("none", 70_000.0), ("connection", 72_000.4), ("ext_authz", 270_000.0)];
        let summary = Summary::new(false, &arms, &counted);
        assert_eq!(
            summary.table(),
            "\
arm         requests/s  CPU us  added  lowest  highest  instructions   added
none             50000   20.00          20.00    20.00         70000
connection       50000   20.00   0.00   20.00    20.00         72000    2000
ext_authz        50000   20.00   0.00   20.00    20.00        270000  200000"
        );
        assert_eq!(
            summary.goals().unwrap(),
            "\
added CPU time, as a ratio   measured  at most
connection / ext_authz              -     0.05  too noisy  of the lowest -  in instructions 0.010
connection, in instructions      2000     3000    reached"
        );
        assert_eq!(summary.json()["arms"]["connection"]["instructions"], 72_000.4);
        let only_connection = [("none", 70_000.0), ("connection", 73_001.0)];
        let goals = Summary::new(false, &arms[..2], &only_connection).goals().unwrap();
        assert!(goals.ends_with("connection, in instructions      3001     3000  missed"), "{goals}");
    }

    #[test]
    fn an_arm_that_seems_to_cost_nothing_is_no_measure() {
        for (portcullis, lua) in [(20.0, 25.0), (25.0, 20.0)] {
            let arms = [("none", 20.0), ("portcullis", portcullis), ("lua", lua)];
            let goals = Summary::new(false, &arms.map(|(name, cpu_us)| (name, vec![sample(cpu_us, None)])), &[]);
            let goals = goals.goals().unwrap();
            assert!(
                goals.ends_with("\nportcullis / lua                   -     0.75  too noisy  of the lowest -"),
                "{goals}"
            );
        }
    }

    #[test]
    fn what_slows_down_whole_rounds_does_not_count_as_added() {
        let rounds = |added: f64| [20.0, 30.0, 21.0, 45.0].map(|none| sample(none + added, None)).to_vec();
        let summary =
            Summary::new(false, &[("none", rounds(0.0)), ("portcullis", rounds(3.0)), ("lua", rounds(6.0))], &[]);
        assert_eq!(summary.added("portcullis"), Some(3.0));
        assert!(summary.goals().unwrap().contains(" 0.500 "));
    }

    #[test]
    fn without_two_arms_to_compare_there_is_no_goal() {
        let arms = [("none", vec![sample(20.0, None)]), ("portcullis", vec![sample(25.0, None)])];
        assert_eq!(Summary::new(false, &arms, &[]).goals(), None);
    }

    #[test]
    fn the_file_has_medians_and_null_where_nothing_was_counted() {
        let json = timed().json();
        assert_eq!(json["counters"], false);
        assert_eq!(
            json["arms"]["none"],
            json!({"instructions": null, "cycles": null, "cpu_us": 21.0, "requests_per_second": 1e6 / 21.0})
        );
        let json = counted().json();
        assert_eq!(json["counters"], true);
        assert_eq!(json["arms"]["lua"]["instructions"], 91_000.0);
        assert_eq!(json["arms"]["lua"]["cycles"], 35_000.0);
    }
}
