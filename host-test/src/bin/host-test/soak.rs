//! `host-test soak`: random scenarios.

use super::Filter;
use anyhow::Result;
use clap::Args;
use host_test::{
    host::Module,
    scenario::{self, random},
};
use std::time::{Duration, Instant};

/// Runs random scenarios, one a seed: traffic, moods of the clusters, faults, crashes.
#[derive(Debug, Args)]
pub(super) struct Soak {
    #[command(flatten)]
    filter: Filter,
    /// How many seeds, from --seed on
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Run for so many minutes instead
    #[arg(long)]
    minutes: Option<u64>,
    /// Let host calls fail too
    #[arg(long)]
    faults: bool,
}

impl Soak {
    pub(super) fn run(&self) -> Result<bool> {
        let module = Module::read(&self.filter.wasm)?;
        let base = self.filter.scenario()?;
        let start = Instant::now();
        let end = self.minutes.map(|minutes| Duration::from_secs(minutes * 60));
        let mut failed = 0;
        let mut seed = self.filter.seed;
        let more = |seed: u64| match end {
            Some(end) => start.elapsed() < end,
            None => seed < self.filter.seed + self.seeds,
        };
        while more(seed) {
            let report = scenario::run(&random(&base, seed, self.faults), &module)?;
            if !report.passed() {
                failed += 1;
                println!("seed {seed}: `host-test soak --seed {seed} --seeds 1` and the other arguments repeat it");
                for mismatch in report.mismatches.iter().take(5) {
                    println!("    {mismatch}");
                }
            }
            seed += 1;
        }
        let ran = seed - self.filter.seed;
        println!("{ran} scenarios, {failed} with mistakes, in {:.1} s", start.elapsed().as_secs_f64());
        Ok(failed == 0)
    }
}
