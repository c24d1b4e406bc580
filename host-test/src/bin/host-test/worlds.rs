//! `host-test worlds`: deterministic simulation testing of Portcullis.

use anyhow::Result;
use clap::Args;
use host_test::{
    host::Module,
    trace::{Level, envoy},
    worlds::World,
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Lives through random worlds of Portcullis, and checks after every step that nothing happens that never may
#[derive(Debug, Args)]
pub(super) struct Worlds {
    /// The module
    #[arg(long)]
    wasm: PathBuf,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many worlds, one a seed
    #[arg(long, default_value_t = 2_000, conflicts_with = "minutes")]
    worlds: u64,
    /// As many worlds as fit into so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Of one world only these steps, as a failure names them
    #[arg(long, value_delimiter = ',', conflicts_with = "minutes")]
    steps: Option<Vec<usize>>,
    /// Stop at the first world with a mistake
    #[arg(long)]
    first: bool,
    /// Show the calls of worlds with mistakes, as in Envoy's trace log
    #[arg(long)]
    trace: bool,
}

/// How many mistakes of one world are shown.
const SHOWN: usize = 5;

impl Worlds {
    pub(super) fn run(&self) -> Result<bool> {
        let module = Module::read(&self.wasm)?;
        let start = Instant::now();
        let end = self.minutes.map(|minutes| Duration::from_secs(minutes * 60));
        let worlds = if self.steps.is_some() { 1 } else { self.worlds };
        let (mut seed, mut bad, mut streams) = (self.seed, 0, 0);
        while end.map_or(seed - self.seed < worlds, |end| start.elapsed() < end) {
            let mut world = World::of(seed);
            if let Some(steps) = &self.steps {
                world = world.only(&steps.iter().copied().collect());
            }
            let lived = world.live(&module, Level::Events)?;
            streams += lived.outcomes.len();
            if !lived.mistakes.is_empty() {
                bad += 1;
                self.show(seed, &world, &module)?;
                if self.first {
                    println!("found after {:.1} s, with seed {seed}", start.elapsed().as_secs_f64());
                    return Ok(false);
                }
            }
            seed += 1;
        }
        let (ran, seconds) = (seed - self.seed, start.elapsed().as_secs_f64());
        println!("{ran} worlds with {streams} streams, {bad} with mistakes, in {seconds:.1} s");
        Ok(bad == 0)
    }

    /// Shows the least that it takes to see the mistake.
    fn show(&self, seed: u64, world: &World, module: &Module) -> Result<()> {
        let small = world.shrunk(module)?;
        let lived = small.live(module, Level::Calls)?;
        let places: BTreeSet<usize> = small.places();
        let steps: Vec<String> = places.iter().map(usize::to_string).collect();
        println!("seed {seed}, {} of {} steps:", steps.len(), world.places().len());
        for mistake in lived.mistakes.iter().take(SHOWN) {
            println!("    {mistake}");
        }
        let steps = if steps.is_empty() { String::new() } else { format!(" --steps {}", steps.join(",")) };
        println!("  again: host-test worlds --wasm {} --seed {seed}{steps} --trace", self.wasm.display());
        if self.trace {
            println!("{}", toml::to_string(&small.scenario())?);
            println!("{}", envoy::lines(&lived.trace));
        }
        Ok(())
    }
}
