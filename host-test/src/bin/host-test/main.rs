//! The command of the harness: runs proxy-wasm filters as Envoy would, without an Envoy.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a command for the terminal"
)]

#[macro_use]
mod out;

mod bench;
mod inspect;
mod replay;
mod run;
mod soak;
mod suite;
mod worlds;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use host_test::scenario::{Answer, Plugin, Scenario};
use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

/// Runs proxy-wasm filters as Envoy would: with time, network and threads simulated, and every run repeatable.
///
/// As a cargo runner: `runner = "host-test run --wasm"` for your target in `.cargo/config.toml`.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends one request through a filter and shows what comes of it
    Run(run::Run),
    /// Runs all scenarios of a folder, or one
    Test(suite::Test),
    /// Shows what a module is: ABI, imports, exports, memory, sections; and whether Envoy would load it
    Inspect(inspect::Inspect),
    /// Measures what a request costs: fuel, host calls, bytes, memory, time
    Bench(bench::Bench),
    /// Runs the scenario of a recorded trace again and shows where the new trace differs
    Replay(replay::Replay),
    /// Runs random scenarios from seeds and looks for mistakes
    Soak(soak::Soak),
    Worlds(worlds::Worlds),
}

/// A filter, and the clusters around it.
#[derive(Clone, Debug, Args)]
struct Filter {
    /// The module
    #[arg(long)]
    wasm: PathBuf,
    /// A file with the plugin's configuration
    #[arg(long)]
    config: Option<PathBuf>,
    /// The name of its root, where the module has several or insists on one
    #[arg(long, default_value = "")]
    root_id: String,
    /// An environment variable, as NAME=VALUE
    #[arg(long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,
    /// A cluster and how it answers, as NAME=STATUS, NAME=STATUS:BODY, NAME=@FILE, or NAME=criminalip for the stand-in
    #[arg(long = "cluster", value_name = "NAME=ANSWER")]
    clusters: Vec<String>,
    /// How many workers the proxy has
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// What all choices follow from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// It filters TCP connections
    #[arg(long)]
    network: bool,
}

impl Filter {
    fn scenario(&self) -> Result<Scenario> {
        let configuration = match &self.config {
            Some(path) => fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
            None => String::new(),
        };
        let pair = |text: &String, what: &str| {
            let (name, value) = text.split_once('=').with_context(|| format!("{text:?}: write {what}"))?;
            anyhow::Ok((name.to_owned(), value.to_owned()))
        };
        let environment = self.environment.iter().map(|text| pair(text, "NAME=VALUE")).collect::<Result<_>>()?;
        let mut cluster = BTreeMap::new();
        for text in &self.clusters {
            let (name, answer) = pair(text, "NAME=STATUS, NAME=STATUS:BODY, NAME=@FILE or NAME=criminalip")?;
            cluster.entry(name).or_insert_with(Vec::new).push(self::answer(&answer)?);
        }
        let kind = if self.network { host_test::sim::PluginKind::Network } else { host_test::sim::PluginKind::Http };
        let root_id = self.root_id.clone();
        let plugin = Plugin { configuration, environment, kind, root_id, ..Plugin::default() };
        Ok(Scenario { seed: self.seed, workers: self.workers, plugin, cluster, ..Scenario::default() })
    }
}

fn answer(text: &str) -> Result<Answer> {
    if text == "criminalip" {
        return Ok(Answer { criminalip: Some("report".into()), ..Answer::default() });
    }
    if let Some(file) = text.strip_prefix('@') {
        let body = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        return Ok(Answer { body, ..Answer::default() });
    }
    let (status, body) = text.split_once(':').unwrap_or((text, ""));
    let status = status.parse().with_context(|| format!("{text:?}: neither a status, @FILE nor criminalip"))?;
    Ok(Answer { status: Some(status), body: body.to_owned(), ..Answer::default() })
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Soak(command) => command.run(),
        Command::Worlds(command) => command.run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
