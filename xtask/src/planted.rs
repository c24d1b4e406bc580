//! Proof that the worlds find bugs: each of a list is planted into a copy of the source, and must be found.

mod bugs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{cargo, output, program, run as run_command};
use crate::step::Steps;
use crate::{soak, toolchain, workspace};
use bugs::{BUGS, Bug};

/// How many worlds a bug may stay unseen: those of a normal run.
const WORLDS: &str = "2000";

/// Plants each bug whose name holds this text, and lives through worlds until it is found.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let mut steps = Steps::new("planted");
    steps.run("build the harness", "", || {
        toolchain::add_target(toolchain::MODULE)?;
        soak::build_harness()
    })?;
    let folder = workspace::target_directory().join("planted");
    steps.run("copy the source", "", || copy_source(&folder.join("source")))?;
    let mut unseen = Vec::new();
    let bugs = BUGS.iter().filter(|bug| only.is_none_or(|only| bug.name.contains(only)));
    for bug in bugs {
        let found = steps.run(bug.name, "", || find(bug, &folder))?;
        if !found {
            unseen.push(bug.name);
        }
    }
    ensure!(unseen.is_empty(), "{WORLDS} worlds do not show: {}", unseen.join(", "));
    steps.finish();
    Ok(())
}

/// Plants a bug, builds the module, and takes the bug out again. Tells whether worlds show it.
fn find(bug: &Bug, folder: &Path) -> Result<bool> {
    let source = folder.join("source");
    let file = source.join(bug.file);
    let right = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::write(&file, bug.planted_in(&right)?)?;
    let built = build(folder);
    fs::write(&file, right)?;
    let module = built?;
    let start = Instant::now();
    let mut worlds = soak::harness();
    worlds.args(["worlds", "--first", "--worlds", WORLDS, "--wasm"]).arg(module);
    let status = worlds.status().context("cannot start host-test")?;
    match status.code() {
        Some(1) => println!("   found within {:.1} s", start.elapsed().as_secs_f64()),
        Some(0) => println!("   NOT found in {WORLDS} worlds"),
        _ => bail!("host-test failed ({status})"),
    }
    Ok(status.code() == Some(1))
}

/// Builds the module quickly, for the simulation only.
fn build(folder: &Path) -> Result<PathBuf> {
    let target = folder.join("target");
    let mut build =
        cargo(["build", "--release", "--package", "filter", "--target", toolchain::MODULE, "--manifest-path"]);
    build.arg(folder.join("source/Cargo.toml")).arg("--target-dir").arg(&target);
    build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    run_command(&mut build)?;
    Ok(target.join(toolchain::MODULE).join("release/portcullis_filter.wasm"))
}

/// Copies what is versioned. What is as it was keeps its time, so that it is not built anew.
fn copy_source(to: &Path) -> Result<()> {
    for name in output(program("git").args(["ls-files"]))?.lines() {
        let (from, to) = (workspace::root().join(name), to.join(name));
        let bytes = match fs::read(&from) {
            Ok(bytes) => bytes,
            // A link to a folder, or a file that was deleted.
            Err(_) => continue,
        };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}
