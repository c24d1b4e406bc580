//! Random worlds of the filter in the simulated proxy, for as long as one likes.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, program, run as run_command};
use crate::step::Steps;
use crate::{module, workspace};

/// What to do when a world has a mistake.
pub(crate) const HINT: &str = "the line that begins with `again:` repeats the smallest world that shows it";

/// Builds the module and lives through worlds for so many minutes, from this seed on.
pub(crate) fn run(minutes: u32, seed: u64) -> Result<()> {
    let mut steps = Steps::new("soak");
    let module = steps.run("build the module", "", module::build)?;
    steps.run("build the harness", "", build_harness)?;
    steps.run("worlds", HINT, || {
        let mut worlds = harness();
        worlds.args(["worlds", "--minutes", &minutes.to_string(), "--seed", &seed.to_string(), "--wasm"]);
        run_command(worlds.arg(module))
    })?;
    steps.finish();
    Ok(())
}

pub(crate) fn build_harness() -> Result<()> {
    run_command(&mut cargo(["build", "--package", "host-test", "--bin", "host-test"]))
}

/// The command `host-test`.
pub(crate) fn harness() -> Command {
    program(workspace::target_directory().join("debug/host-test"))
}
