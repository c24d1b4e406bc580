//! Where the simulation answers otherwise than Envoy, and why: the list that people read is the one that tests check.

use super::matrix::{Answers, Cell, cells, places};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fmt::Write};

/// Reads the rows of the list: call, places, Envoy's answer, the answer here, reason.
///
/// # Errors
/// When a row is none.
fn read(document: &str) -> Result<BTreeMap<Cell, (String, String)>> {
    let mut listed = BTreeMap::new();
    for row in document.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")) {
        let columns: Vec<_> = row.split(" | ").collect();
        let [call, places, envoy, here, _] = columns[..] else { anyhow::bail!("not five columns: {row}") };
        let code = |text: &str| text.trim_matches('`').to_owned();
        for cell in cells(&code(call), places).with_context(|| row.to_owned())? {
            listed.insert(cell, (code(envoy), code(here)));
        }
    }
    Ok(listed)
}

/// What is wrong with the list: differences that are not in it, as rows for it, and rows that are none any more. Empty when
/// nothing is.
///
/// # Errors
/// When the list cannot be read.
pub fn complaints(document: &str, envoy: &Answers, here: &Answers) -> Result<String> {
    const NOTHING: &str = "not called";
    let listed = read(document)?;
    let of = |answers: &Answers, cell: &Cell| answers.get(cell).cloned().unwrap_or_else(|| NOTHING.to_owned());
    let mut missing: BTreeMap<(String, String, String), Vec<&Cell>> = BTreeMap::new();
    for cell in envoy.keys().chain(here.keys()) {
        let (theirs, ours) = (of(envoy, cell), of(here, cell));
        if theirs != ours && listed.get(cell) != Some(&(theirs.clone(), ours.clone())) {
            let cells = missing.entry((cell.call.clone(), theirs, ours)).or_default();
            if !cells.contains(&cell) {
                cells.push(cell);
            }
        }
    }
    let mut text = String::new();
    for ((call, theirs, ours), cells) in missing {
        let _ = writeln!(text, "not listed: | `{call}` | {} | `{theirs}` | `{ours}` | why |", places(&cells));
    }
    for cell in listed.keys().filter(|cell| of(envoy, cell) == of(here, cell)) {
        let _ = writeln!(text, "no difference any more: `{}` in {}: {}", cell.call, cell.subject, cell.phase);
    }
    Ok(text)
}
