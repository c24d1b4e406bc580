//! `host-test test`: a folder of scenarios.

use anyhow::{Context, Result, ensure};
use clap::Args;
use host_test::{
    differential::{self, Verdict},
    envoy,
    host::Module,
    scenario::{self, Report, Scenario},
    trace,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use tokio::runtime::{Builder, Runtime};

/// Runs scenarios: one, or all of a folder and those below it.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// A scenario or a folder
    path: PathBuf,
    /// The module, in the place of those that the scenarios name
    #[arg(long)]
    wasm: Option<PathBuf>,
    /// Only scenarios whose file or name holds this
    #[arg(long)]
    only: Option<String>,
    /// Another seed than the scenarios'
    #[arg(long)]
    seed: Option<u64>,
    /// Show the calls of those that fail, as in Envoy's trace log
    #[arg(long)]
    trace: bool,
    /// Run those that pass in a real Envoy as well, and show what differs; without a path, the Envoy of the environment's
    /// ENVOY or on PATH. A scenario that Envoy cannot be made to live through is named, with the reason
    #[arg(long, value_name = "PATH", num_args = 0..=1)]
    envoy: Option<Option<PathBuf>>,
}

impl Test {
    pub(super) fn run(&self) -> Result<bool> {
        let files = scenarios(&self.path)?;
        ensure!(!files.is_empty(), "no scenarios (*.toml) in {}", self.path.display());
        let mut modules = BTreeMap::new();
        let (mut passed, mut failed) = (0, 0);
        let start = Instant::now();
        let envoy = self.envoy.as_ref().map(|path| Real::of(path.as_deref())).transpose()?;
        for path in files {
            let mut scenario = Scenario::read(&path)?;
            let wanted = |text: &String| path.display().to_string().contains(text) || scenario.name.contains(text);
            if !self.only.as_ref().is_none_or(wanted) {
                continue;
            }
            scenario.seed = self.seed.unwrap_or(scenario.seed);
            let place = || format!("in {}", path.display());
            let wasm = self.wasm(&scenario).with_context(place)?;
            let module = module(&wasm, &mut modules).with_context(place)?;
            let report = scenario::run(&scenario, &module).with_context(place)?;
            let mut lines: Vec<_> = report.mismatches.iter().map(ToString::to_string).collect();
            let mut note = String::new();
            if let Some(envoy) = envoy.as_ref().filter(|_| report.passed()) {
                match envoy.compare(&scenario, &report, &wasm).with_context(place)? {
                    Verdict::Same => note.push_str(", the same in Envoy"),
                    Verdict::Differs(differences) => lines = differences,
                    Verdict::SimulationOnly(why) => note = format!(", only simulated: {why}"),
                }
            }
            let word = if lines.is_empty() { "ok    " } else { "FAILED" };
            println!("{word} {} ({}){note}", scenario.name, path.display());
            for line in &lines {
                println!("    {line}");
            }
            if self.trace && !lines.is_empty() {
                println!("{}", trace::envoy::lines(&report.trace));
            }
            if lines.is_empty() { passed += 1 } else { failed += 1 }
        }
        println!("{passed} passed, {failed} failed, in {:.2} s", start.elapsed().as_secs_f64());
        Ok(failed == 0)
    }

    fn wasm(&self, scenario: &Scenario) -> Result<PathBuf> {
        let path = self.wasm.clone().or_else(|| scenario.module.as_ref().map(PathBuf::from));
        path.context("it names no module: give one with --wasm")
    }
}

fn module(path: &Path, modules: &mut BTreeMap<PathBuf, Module>) -> Result<Module> {
    if !modules.contains_key(path) {
        modules.insert(path.to_owned(), Module::read(path)?);
    }
    Ok(modules[path].clone())
}

/// A real Envoy to compare with.
struct Real {
    envoy: PathBuf,
    runtime: Runtime,
}

impl Real {
    /// With the Envoy at this path, or any that is found.
    fn of(path: Option<&Path>) -> Result<Real> {
        let envoy = path.map_or_else(envoy::find, |path| Ok(path.to_owned()))?;
        ensure!(envoy.is_file(), "no Envoy at {}: --envoy takes the path of the program", envoy.display());
        Ok(Real { envoy, runtime: Builder::new_current_thread().enable_all().build()? })
    }

    fn compare(&self, scenario: &Scenario, report: &Report, wasm: &Path) -> Result<Verdict> {
        self.runtime.block_on(differential::compare(scenario, report, wasm, &self.envoy))
    }
}

fn scenarios(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(scenarios(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
