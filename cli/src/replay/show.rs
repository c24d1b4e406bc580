//! The figures of a replay, side by side.

use super::Changes;
use super::side::{Fate, Fates, OTHERS, Side};
use crate::export::time;
use crate::term::{BAD, GOOD, ODD, plain, styled};
use anstyle::Style;
use evaluator::{Action, Finding};
use gate::Mode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Routes and hours that people want to see; JSON has them all.
const SHOWN: usize = 48;

/// For people.
pub(super) fn text(sides: &[Side<'_>], changes: &Changes) -> String {
    let mut table = Table::default();
    let total = sides.first().map_or(0, |side| side.fates.iter().sum());
    table.heading("requests", sides.iter().map(|side| side.name.clone()).collect());
    for fate in Fate::ALL {
        let counts: Vec<u64> = sides.iter().map(|side| side.fates[fate as usize]).collect();
        if counts.iter().any(|count| *count > 0) || matches!(fate, Fate::Allow | Fate::Tag | Fate::Deny) {
            let cells = counts.iter().map(|count| format!("{count} {}", share(*count, total))).collect();
            table.row(styled_name(fate), fate.name().len(), cells);
        }
    }
    by_rule(&mut table, sides);
    if sides.iter().any(|side| side.findings.iter().any(|count| *count > 0)) {
        table.heading("by finding", vec![String::new(); sides.len()]);
    }
    for (place, finding) in Finding::ALL.iter().enumerate() {
        table.counts(finding.code(), sides.iter().map(|side| side.findings[place]));
    }
    table.heading("credits", vec![String::new(); sides.len()]);
    for (what, credits) in [
        ("without cache and selection", sides.iter().map(|side| side.credits.without).collect::<Vec<_>>()),
        ("with cache", sides.iter().map(|side| side.credits.cached + side.credits.forgotten).collect()),
        ("with selection", sides.iter().map(|side| side.credits.selected).collect()),
        ("with both", sides.iter().map(|side| side.credits.both + side.credits.forgotten).collect()),
    ] {
        table.row(what.into(), what.len(), credits.iter().map(ToString::to_string).collect());
    }
    let kept: Vec<_> =
        sides.iter().map(|side| fates_by(side.routes.iter().map(|(name, f)| (plain(name), f)))).collect();
    table.fates("by route", &kept);
    let kept: Vec<_> = sides.iter().map(|side| fates_by(side.hours.iter().map(|(h, f)| (hour(*h), f)))).collect();
    table.fates("by hour", &kept);
    let mut out = table.print();
    for side in sides.iter().filter(|side| side.site.config.mode == Mode::Shadow) {
        let _ = writeln!(out, "{} is in shadow mode: it would refuse nothing.", side.name);
    }
    for (count, side) in sides.iter().map(|side| (side.credits.forgotten, side)).filter(|(count, _)| *count > 0) {
        let _ = writeln!(out, "{}: {count} requests came from peers beyond the first 500,000.", side.name);
    }
    for ((one, other), count) in &changes.counts {
        let peers = changes.peers.get(&(*one, *other)).into_iter().flatten();
        let peers: Vec<_> = peers.map(ToString::to_string).collect();
        let _ = writeln!(
            out,
            "changed: {} > {}: {count} requests, such as of {}",
            one.name(),
            other.name(),
            peers.join(", ")
        );
    }
    out
}

/// The rules that decided anything, in the order of the first configuration.
fn by_rule(table: &mut Table, sides: &[Side<'_>]) {
    table.heading("by rule", vec![String::new(); sides.len()]);
    let mut done = BTreeSet::new();
    for (name, action, _) in sides.iter().flat_map(|side| &side.rules) {
        if !done.insert((name, *action)) {
            continue;
        }
        let count = |side: &Side<'_>| {
            side.rules.iter().find(|rule| (&rule.0, rule.1) == (name, *action)).map_or(0, |rule| rule.2)
        };
        let name = format!("{} {}", action.name(), plain(name));
        table.counts(&name, sides.iter().map(count));
    }
}

/// When an hour began.
fn hour(hour: i64) -> String {
    if hour == OTHERS { "(others)".into() } else { time(hour.saturating_mul(3_600)) }
}

fn share(count: u64, total: u64) -> String {
    if total == 0 { String::new() } else { format!("({:.1} %)", count as f64 * 100.0 / total as f64) }
}

fn styled_name(fate: Fate) -> String {
    let style = match fate {
        Fate::Allow => GOOD,
        Fate::Tag => ODD,
        Fate::Deny => BAD,
        _ => Style::new(),
    };
    styled(style, fate.name())
}

/// Names with their figures.
type Named = Vec<(String, Fates)>;

fn fates_by<'f>(figures: impl Iterator<Item = (String, &'f Fates)>) -> Named {
    figures.map(|(name, fates)| (name, *fates)).collect()
}

/// Rows of a name and a cell for each side.
#[derive(Default)]
struct Table {
    /// The name, how wide it is, the cells, and whether it is a heading.
    rows: Vec<(String, usize, Vec<String>, bool)>,
}

impl Table {
    fn heading(&mut self, name: &str, cells: Vec<String>) {
        self.rows.push((styled(Style::new().bold(), name), name.chars().count(), cells, true));
    }

    fn row(&mut self, name: String, width: usize, cells: Vec<String>) {
        self.rows.push((name, width, cells, false));
    }

    /// A row of counts, unless all are 0.
    fn counts(&mut self, name: &str, counts: impl Iterator<Item = u64>) {
        let counts: Vec<u64> = counts.collect();
        if counts.iter().any(|count| *count > 0) {
            self.row(name.into(), name.chars().count(), counts.iter().map(ToString::to_string).collect());
        }
    }

    /// A row for each name: how many were allowed, tagged, denied, and everything else.
    fn fates(&mut self, heading: &str, sides: &[Named]) {
        let mut names: Vec<(&str, u64)> = Vec::new();
        for (name, fates) in sides.iter().flatten() {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name, fates.iter().sum()));
            }
        }
        let left_out = names.len().saturating_sub(SHOWN);
        if left_out > 0 {
            names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            names.truncate(SHOWN);
        }
        self.heading(heading, vec!["allow/tag/deny/other".into(); sides.len()]);
        for (name, _) in names {
            let cells = sides.iter().map(|side| {
                let fates = side.iter().find(|(known, _)| known == name).map_or(Fates::default(), |(_, fates)| *fates);
                let [allow, tag, deny, rest @ ..] = fates;
                format!("{allow}/{tag}/{deny}/{}", rest.iter().sum::<u64>())
            });
            self.row(name.into(), name.chars().count(), cells.collect());
        }
        if left_out > 0 {
            let name = format!("and {left_out} more");
            self.row(name.clone(), name.len(), vec![String::new(); sides.len()]);
        }
    }

    fn print(&self) -> String {
        let first = self.rows.iter().map(|row| row.1).max().unwrap_or_default() + 2;
        let columns = self.rows.iter().map(|row| row.2.len()).max().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.2.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default() + 2).collect();
        let mut out = String::new();
        for (name, wide, cells, heading) in &self.rows {
            let indent = if *heading { "" } else { "  " };
            let mut line = format!("{indent}{name}{}", " ".repeat((first + 2).saturating_sub(wide + indent.len())));
            for (cell, width) in cells.iter().zip(&widths) {
                line += cell;
                line += &" ".repeat(width.saturating_sub(cell.chars().count()));
            }
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }
}

/// For programs: everything, as one object.
pub(super) fn json(sides: &[Side<'_>], changes: &Changes) -> serde_json::Result<String> {
    let fates = |fates: &Fates| -> Value {
        Fate::ALL.iter().map(|fate| (fate.name().replace(' ', "_"), json!(fates[*fate as usize]))).collect()
    };
    let side = |side: &Side<'_>| {
        let rules = side.rules.iter().filter(|rule| rule.2 > 0);
        let rules = rules
            .map(|(name, action, count)| json!({"rule": name, "action": Action::name(*action), "requests": count}));
        let findings = Finding::ALL.iter().enumerate().filter(|(place, _)| side.findings[*place] > 0);
        json!({
            "config": side.name,
            "shadow": side.site.config.mode == Mode::Shadow,
            "first": (side.first <= side.last).then(|| time(side.first)),
            "last": (side.first <= side.last).then(|| time(side.last)),
            "requests": fates(&side.fates),
            "rules": rules.collect::<Vec<_>>(),
            "findings": findings.map(|(place, f)| (f.code().to_owned(), json!(side.findings[place]))).collect::<Value>(),
            "routes": side.routes.iter().map(|(name, f)| (name.to_string(), fates(f))).collect::<Value>(),
            "hours": side.hours.iter().map(|(hour, f)| (self::hour(*hour), fates(f))).collect::<Value>(),
            "credits": {
                "without": side.credits.without, "cache": side.credits.cached + side.credits.forgotten,
                "selection": side.credits.selected, "both": side.credits.both + side.credits.forgotten,
            },
        })
    };
    let changed = changes.counts.iter().map(|((one, other), count)| {
        json!({"from": one.name(), "to": other.name(), "requests": count, "peers": changes.peers.get(&(*one, *other))})
    });
    let object = json!({"sides": sides.iter().map(side).collect::<Vec<_>>(), "changes": changed.collect::<Vec<_>>()});
    Ok(serde_json::to_string(&object)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let mut table = Table::default();
        table.heading("by rule", vec!["one.json".into(), "two.json".into()]);
        table.counts("deny c2", [1, 23].into_iter());
        table.counts("nothing", [0, 0].into_iter());
        let text = anstream::adapter::strip_str(&table.print()).to_string();
        assert_eq!(text, "by rule    one.json  two.json\n  deny c2  1         23\n");
    }
}
