//! `host-test test`: a folder of scenarios.

use anyhow::{Context, Result, ensure};
use clap::Args;
use host_test::{
    host::Module,
    scenario::{self, Scenario},
    trace::envoy,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

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
}

impl Test {
    pub(super) fn run(&self) -> Result<bool> {
        let files = scenarios(&self.path)?;
        ensure!(!files.is_empty(), "no scenarios (*.toml) in {}", self.path.display());
        let mut modules = BTreeMap::new();
        let (mut passed, mut failed) = (0, 0);
        let start = Instant::now();
        for path in files {
            let mut scenario = Scenario::read(&path)?;
            let wanted = |text: &String| path.display().to_string().contains(text) || scenario.name.contains(text);
            if !self.only.as_ref().is_none_or(wanted) {
                continue;
            }
            scenario.seed = self.seed.unwrap_or(scenario.seed);
            let module = self.module(&scenario, &mut modules).with_context(|| format!("in {}", path.display()))?;
            let report = scenario::run(&scenario, &module).with_context(|| format!("in {}", path.display()))?;
            let word = if report.passed() { "ok    " } else { "FAILED" };
            println!("{word} {} ({})", scenario.name, path.display());
            for mismatch in &report.mismatches {
                println!("    {mismatch}");
            }
            if self.trace && !report.passed() {
                println!("{}", envoy::lines(&report.trace));
            }
            if report.passed() { passed += 1 } else { failed += 1 }
        }
        println!("{passed} passed, {failed} failed, in {:.2} s", start.elapsed().as_secs_f64());
        Ok(failed == 0)
    }

    fn module(&self, scenario: &Scenario, modules: &mut BTreeMap<PathBuf, Module>) -> Result<Module> {
        let path = self.wasm.clone().or_else(|| scenario.module.as_ref().map(PathBuf::from));
        let path = path.context("it names no module: give one with --wasm")?;
        if !modules.contains_key(&path) {
            modules.insert(path.clone(), Module::read(&path)?);
        }
        Ok(modules[&path].clone())
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
