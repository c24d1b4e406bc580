//! The answers: call by phase, as a document that people and tests read.

use super::{
    early, oldest,
    plan::{ACTS, CONNECTION, Call, LOOKS, Plan, REPLY, REQUEST, ROOT},
};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fmt::Write};

/// What a context stands for, and the phases that it has.
const SUBJECTS: [(&str, &[&str]); 5] =
    [("vm", early::PHASES), ("root", ROOT), ("request", REQUEST), ("reply", REPLY), ("connection", CONNECTION)];

/// An answer of a call in a phase of a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The call with its arguments.
    pub call: String,
    /// The subject.
    pub subject: String,
    /// The phase.
    pub phase: String,
}

/// Status and values that were given, and what came of the stream where that is not the usual.
pub type Answers = BTreeMap<Cell, String>;

/// What a guest logged, and what became of its streams, as answers.
pub fn collect(plan: &Plan, log: &[String], outcomes: &[String]) -> Answers {
    let mut answers = Answers::new();
    // The last stream of a subject is the one that only looks.
    let usual = |subject: &str| {
        let last = plan.streams.iter().zip(outcomes).rfind(|(stream, _)| stream.subject == subject);
        last.map(|(_, outcome)| outcome)
    };
    let mut put = |subject: &str, phase: &str, call: Call, answer: String| {
        let cell = Cell { call: call.to_owned(), subject: subject.to_owned(), phase: phase.to_owned() };
        let known = answers.entry(cell).or_insert_with(|| answer.clone());
        if *known != answer && !known.split(" or ").any(|known| known == answer) {
            let _ = write!(known, " or {answer}");
        }
    };
    for line in log {
        let mut words = line.splitn(4, ' ');
        let (Some(who), Some(phase), Some(index), Some(answer)) =
            (words.next(), words.next(), words.next().and_then(|index| index.parse::<usize>().ok()), words.next())
        else {
            continue;
        };
        if who == "root" {
            if let Some(call) = plan.root.get(index) {
                put("root", phase, call, answer.to_owned());
            }
        } else if let Some(number) = who.parse::<usize>().ok()
            && let Some(stream) = plan.streams.get(number)
            && let Some((_, call)) = stream.calls.get(index)
        {
            let changed = outcomes.get(number).filter(|outcome| Some(*outcome) != usual(stream.subject));
            let then = changed.map(|outcome| format!("; {outcome}")).unwrap_or_default();
            put(stream.subject, phase, call, format!("{answer}{then}"));
        }
    }
    answers
}

/// The document.
pub fn document(answers: &Answers) -> String {
    let mut text = String::from(HEAD);
    for call in LOOKS
        .iter()
        .chain(ACTS)
        .chain(oldest::LOOKS)
        .chain(oldest::ACTS)
        .map(|call| (*call).to_owned())
        .chain(early::calls())
    {
        let _ = write!(text, "\n`{call}`\n\n");
        let mut groups: Vec<(&str, Vec<&Cell>)> = Vec::new();
        for (subject, phases) in SUBJECTS {
            for phase in phases {
                let cell = Cell { call: call.clone(), subject: subject.to_owned(), phase: (*phase).to_owned() };
                let Some((cell, answer)) = answers.get_key_value(&cell) else { continue };
                match groups.iter_mut().find(|(other, _)| other == answer) {
                    Some((_, cells)) => cells.push(cell),
                    None => groups.push((answer, vec![cell])),
                }
            }
        }
        for (answer, cells) in groups {
            let _ = writeln!(text, "- `{answer}` in {}", places(&cells));
        }
    }
    text
}

const HEAD: &str = "# What Envoy answers

Every host call in every phase, as Envoy 1.40 answers it: made by [a guest](../host-test/guests/conformance/src/lib.rs) in a real
one. `UPDATE=1 cargo test -p host-test --test e2e_conformance` writes this anew. The simulated proxy answers the same but for
[these differences](host-differences.md); [the host functions](host-functions.md) say what the arguments are.

An answer is the status, then what was given. `@` is a number that is shown and `_` one that is not; `*` are bytes that are shown
and `?` bytes of which is shown whether there are any. What comes of a stream is shown where the call changed it: what its
client got, and what its upstream got. A `reply` is a request that the guest answered itself when it had seen the headers.

The calls that only ABI 0.1.0 has, and those of WASI, are made by [a guest of that
version](../host-test/src/conformance/oldest.rs); `vector` is a list of one text of two bytes. The rows at the end are about calls before the first callback (`start`) and while the module makes room for the host
(`allocator`), by a module of its own for each.
";

/// Phases by subject: `root: tick, done; request: all`.
pub fn places(cells: &[&Cell]) -> String {
    let of = |subject: &str, all: &[&str]| {
        let phases: Vec<_> =
            cells.iter().filter(|cell| cell.subject == subject).map(|cell| cell.phase.as_str()).collect();
        let list = if phases.len() == all.len() { "all".to_owned() } else { phases.join(", ") };
        (!phases.is_empty()).then(|| format!("{subject}: {list}"))
    };
    SUBJECTS.iter().filter_map(|(subject, all)| of(subject, all)).collect::<Vec<_>>().join("; ")
}

/// The cells of a call that [`places`] wrote.
///
/// # Errors
/// When there is no such subject.
pub fn cells(call: &str, places: &str) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for place in places.split("; ") {
        let (subject, phases) = place.split_once(": ").with_context(|| format!("no phases in {place:?}"))?;
        let (_, all) =
            SUBJECTS.iter().find(|(other, _)| *other == subject).with_context(|| format!("no subject {subject:?}"))?;
        let phases: Vec<_> = if phases == "all" { all.to_vec() } else { phases.split(", ").collect() };
        cells.extend(phases.into_iter().map(|phase| Cell {
            call: call.to_owned(),
            subject: subject.to_owned(),
            phase: phase.to_owned(),
        }));
    }
    Ok(cells)
}

/// Reads a document.
///
/// # Errors
/// When it is none.
pub fn read(document: &str) -> Result<Answers> {
    let mut answers = Answers::new();
    let mut call: Option<&str> = None;
    for line in document.lines() {
        if let Some(line) = line.strip_prefix("- `") {
            let (answer, places) = line.rsplit_once("` in ").with_context(|| format!("no answer: {line}"))?;
            let call = call.with_context(|| format!("an answer without a call: {line}"))?;
            answers.extend(cells(call, places)?.into_iter().map(|cell| (cell, answer.to_owned())));
        } else if let Some(name) = line.strip_prefix('`').and_then(|line| line.strip_suffix('`')) {
            call = Some(name);
        }
    }
    Ok(answers)
}
