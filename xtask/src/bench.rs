//! The bench: what a request costs a real Envoy, with and without the module.

use anyhow::{Result, bail, ensure};

use crate::command::{cargo, program, run as run_command};
use crate::consumers::install_packages;
use crate::step::Steps;
use crate::{envoy, module, workspace};

/// Fetches and builds what the bench needs, runs it, and leaves `target/bench/summary.json`.
///
/// Each of the `arms` (all if there is none) is loaded for so many `seconds` in each of the `rounds`; `count` has Valgrind
/// count the instructions of each.
pub(crate) fn run(rounds: u32, seconds: u32, arms: &[String], count: bool) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the bench reads CPU time and pins processes as only Linux lets it");
    }
    let mut steps = Steps::new("bench");
    steps.run("load generator", "", load_generator)?;
    if count {
        steps.run("valgrind", "", || package("valgrind"))?;
    }
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
        if count {
            bench.arg("--count");
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
        println!("   note: without perf (Debian: linux-perf) there is CPU time only; --count counts instructions");
    }
    package("wrk")
}

/// Sees to a program, which a package of Debian's or Ubuntu's of this name brings.
fn package(name: &'static str) -> Result<()> {
    let there = envoy::on_path(name).is_some() || install_packages(&[name])?;
    ensure!(there, "{name} is not on the path: install it (Debian, Ubuntu: apt-get install {name})");
    Ok(())
}
