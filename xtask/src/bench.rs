//! The bench: what a request costs a real Envoy, with and without the module.

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output, program, run as run_command};
use crate::step::Steps;
use crate::{envoy, module, workspace};

/// Fetches and builds what the bench needs, runs it, and leaves `target/bench/summary.json`.
///
/// Each of the `arms` (all if there is none) is loaded for so many `seconds` in each of the `rounds`.
pub(crate) fn run(rounds: u32, seconds: u32, arms: &[String]) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the bench reads CPU time and pins processes as only Linux lets it");
    }
    let mut steps = Steps::new("bench");
    steps.run("load generator", "", load_generator)?;
    let envoy = steps.run("envoy", "", envoy::find)?;
    let module = steps.run("build the module", "", module::build)?;
    let noop = steps.run("build the filter that does nothing", "", || module::guest("noop"))?;
    steps.run("build the bench", "", || {
        run_command(&mut cargo(["build", "--package", "host-test", "--bin", "bench"]))
    })?;
    steps.run("measure", "", || {
        let mut bench = program(workspace::target_directory().join("debug/bench"));
        bench.env("ENVOY", envoy).env("PORTCULLIS_WASM", module);
        bench.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
        if !arms.is_empty() {
            bench.arg("--arms").arg(arms.join(","));
        }
        bench.arg("--noop").arg(noop);
        bench.arg("--summary").arg(workspace::root().join("target/bench/summary.json"));
        run_command(&mut bench)
    })?;
    println!("   target/bench/summary.json has the medians per request\n");
    steps.finish();
    Ok(())
}

/// Sees to wrk, and says what perf would add where it is missing.
fn load_generator() -> Result<()> {
    if envoy::on_path("perf").is_none() {
        println!("   note: without perf (Debian: linux-perf) there is CPU time only, no instructions and no cycles");
    }
    if envoy::on_path("wrk").is_some() {
        return Ok(());
    }
    let help = "the load generator wrk is not on the path: install it (Debian, Ubuntu: apt-get install wrk)";
    if envoy::on_path("apt-get").is_none() || output(program("id").arg("-u"))? != "0" {
        bail!("{help}");
    }
    run_command(program("apt-get").args(["update", "--quiet"])).context(help)?;
    run_command(program("apt-get").args(["install", "--quiet", "--yes", "--no-install-recommends", "wrk"]))
        .context(help)
}
