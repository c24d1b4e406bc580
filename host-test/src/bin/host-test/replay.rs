//! `host-test replay`: a recorded run again.

use anyhow::{Context, Result};
use clap::Args;
use host_test::{
    host::Module,
    scenario::{self, Scenario},
    trace::{Entry, envoy},
};
use std::{fs, path::PathBuf};

/// Runs the scenario of a recorded trace again.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// What `host-test run --record` wrote
    recorded: PathBuf,
    /// The module: the same as then, or another
    #[arg(long)]
    wasm: PathBuf,
}

/// A recording: the scenario in the first line, then the trace.
pub(super) fn record(scenario: &Scenario, trace: &[Entry]) -> Result<String> {
    let mut text = serde_json::to_string(scenario)?;
    for entry in trace {
        text.push('\n');
        text.push_str(&serde_json::to_string(entry)?);
    }
    text.push('\n');
    Ok(text)
}

/// How many lines before the first difference are shown.
const CONTEXT: usize = 5;

impl Replay {
    pub(super) fn run(&self) -> Result<bool> {
        let text =
            fs::read_to_string(&self.recorded).with_context(|| format!("cannot read {}", self.recorded.display()))?;
        let (first, rest) = text.split_once('\n').context("an empty recording")?;
        let scenario: Scenario =
            serde_json::from_str(first).context("the first line is no scenario: was it written by --record?")?;
        let report = scenario::run(&scenario, &Module::read(&self.wasm)?)?;
        let again: Vec<String> = report.trace.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let before: Vec<&str> = rest.lines().collect();
        let same = before.iter().zip(&again).take_while(|(before, again)| before == again).count();
        if same == before.len() && same == again.len() {
            println!("the same, to the byte: {same} entries");
            return Ok(true);
        }
        println!("the same for {same} entries, then they differ:");
        print!("{}", envoy::lines(&report.trace[same.saturating_sub(CONTEXT)..same]));
        println!(
            "- {}\n+ {}",
            before.get(same).unwrap_or(&"(the end)"),
            again.get(same).map_or("(the end)", String::as_str)
        );
        Ok(false)
    }
}
