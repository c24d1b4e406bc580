//! The guest in a real Envoy.

pub(super) mod configuration;
pub(super) mod servers;
mod streams;

use super::{
    CONFIGURATION, NAME, early,
    matrix::{Answers, Cell, collect},
    oldest,
    plan::{Kind, Plan},
};
use crate::envoy::{self, Envoy, Start};
use anyhow::{Context, Result};
use configuration::{Guest, WITHOUT};
use serde_json::Value;
use servers::Servers;
use std::{
    fs,
    path::{Path, PathBuf},
};
use streams::Way;
use tempfile::TempDir;

/// What becomes of a stream by which Envoy ended.
const CRASH: &str = "Envoy crashes";

/// What becomes of one whose context was called after its end, which the SDK does not survive.
const TRAP: &str = "called after its end";

/// All answers of Envoy.
///
/// # Errors
/// When there is no Envoy or no guest, or Envoy ends before it has answered.
///
/// Streams by which Envoy is known to end are left out: each takes a start of Envoy.
pub async fn answers(known: &Answers) -> Result<Answers> {
    let mut answers = early().await?;
    for all in Plan::all() {
        let all = all.without(|subject, phase, call| {
            let cell = Cell { call: call.to_owned(), subject: subject.to_owned(), phase: phase.to_owned() };
            let known = known.get_key_value(&cell);
            let ends = known.filter(|(_, answer)| answer.ends_with(CRASH) || answer.ends_with(TRAP));
            answers.extend(ends.map(|(cell, answer)| (cell.clone(), answer.clone())));
            ends.is_some()
        });
        let (mut log, mut outcomes) = (Vec::new(), Vec::new());
        // Some calls end Envoy: the next one goes on with the streams that are left.
        while outcomes.len() < all.streams.len() {
            let first = outcomes.len();
            let plan = all.from(first);
            let part = run(&plan).await?;
            log.extend(part.log.iter().map(|line| numbered(line, first)));
            outcomes.extend(part.outcomes);
        }
        answers.extend(collect(&all, &log, &outcomes));
    }
    Ok(answers)
}

/// What Envoy answers before the first callback: it loads the listeners of the modules that it would run.
async fn early() -> Result<Answers> {
    let (folder, servers) = (TempDir::new()?, Servers::start()?);
    let mut modules = Vec::new();
    for (number, probe) in early::probes().iter().enumerate() {
        let path = folder.path().join(format!("{number}.wasm"));
        fs::write(&path, wat::parse_str(&probe.module)?)?;
        modules.push((number.to_string(), path));
    }
    let listeners = folder.path().join("listeners.json");
    configuration::write_modules(&listeners, &modules)?;
    let envoy = start(&configuration::bootstrap(&servers, &listeners), folder).await?;
    envoy.wait_for_log("Error adding/updating listener(s)").await?;
    let loaded = envoy.listeners().await?;
    Ok(early::answers(|number, _| loaded.contains_key(&number.to_string())))
}

/// The line with the number that its stream has in the whole plan.
fn numbered(line: &str, first: usize) -> String {
    match line.split_once(' ').map(|(stream, rest)| (stream.parse::<usize>(), rest)) {
        Some((Ok(stream), rest)) => format!("{} {rest}", stream + first),
        _ => line.to_owned(),
    }
}

/// Starts an Envoy with one worker.
pub(super) async fn start(bootstrap: &Value, folder: TempDir) -> Result<Envoy> {
    Envoy::start(Start {
        envoy: envoy::find()?,
        bootstrap: bootstrap.to_string(),
        json: true,
        concurrency: 1,
        drain_seconds: 1,
        environment: Vec::new(),
        folder,
    })
    .await
}

struct Part {
    log: Vec<String>,
    outcomes: Vec<String>,
}

/// Makes the streams of a plan in one Envoy, until they are over or Envoy is.
async fn run(plan: &Plan) -> Result<Part> {
    let (folder, servers) = (TempDir::new()?, Servers::start()?);
    let (module, program) = (module(plan, folder.path())?, plan.program());
    let guest = Guest { module: &module, network: plan.kind == Kind::Connections, program: &program };
    let listeners = folder.path().join("listeners.json");
    configuration::write_listeners(&listeners, guest, CONFIGURATION)?;
    let envoy = start(&configuration::bootstrap(&servers, &listeners), folder).await?;
    let addresses = envoy.listeners().await?;
    let address = |name: &str| addresses.get(name).copied().context("no listener");
    let way = Way { with_guest: address(NAME)?, without: address(WITHOUT)?, servers };
    for line in plan.root_lines() {
        envoy.wait_for_log(line).await?;
    }
    // From now on there is a connection to the upstream that requests can take at once.
    way.settle().await?;
    let mut outcomes = Vec::new();
    for _ in &plan.streams {
        let outcome = if guest.network { way.connection().await } else { way.request().await };
        let Ok(outcome) = outcome else {
            outcomes.push(CRASH.to_owned());
            return Ok(Part { log: logged(&envoy, plan), outcomes });
        };
        outcomes.push(outcome);
        if envoy.log().iter().any(|line| line.contains("Uncaught RuntimeError")) {
            let log = logged(&envoy, plan);
            // It may have been seen late: the last one that said something is the one.
            let number = |line: &String| line.split_once(' ')?.0.parse::<usize>().ok();
            outcomes.truncate(log.iter().filter_map(number).max().unwrap_or(0));
            outcomes.push(TRAP.to_owned());
            return Ok(Part { log, outcomes });
        }
    }
    envoy.wait_for_log(&plan.last_line()).await?;
    let mut log = logged(&envoy, plan);
    if !plan.root.is_empty() {
        let before = log.len();
        configuration::write_listeners(&listeners, guest, "another configuration")?;
        envoy.wait_for_log(&format!("root delete {} ", plan.root.len().saturating_sub(1))).await?;
        log.extend(logged(&envoy, plan).into_iter().skip(before).filter(|line| super::is_of_last_callbacks(line)));
    }
    Ok(Part { log, outcomes })
}

/// The guest of a plan.
fn module(plan: &Plan, folder: &Path) -> Result<PathBuf> {
    if plan.kind != Kind::Oldest {
        return super::guest();
    }
    let path = folder.join("oldest.wasm");
    fs::write(&path, wat::parse_str(oldest::module(plan))?)?;
    Ok(path)
}

/// What the guest logged: Envoy puts the plugin's name before the lines of streams, and its root's name, which is empty,
/// before those of the root.
fn logged(envoy: &Envoy, plan: &Plan) -> Vec<String> {
    let marks = [format!("wasm log {NAME}: "), "wasm log: ".to_owned()];
    let own = |line: &String| marks.iter().find_map(|mark| Some(line.split_once(mark)?.1.to_owned()));
    let lines = envoy.log().iter().filter_map(own).collect();
    super::readable(plan, lines)
}
