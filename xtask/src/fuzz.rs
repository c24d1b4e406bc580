//! Feeds the parsers mutated input, for a while.
//!
//! The targets live in `fuzz/`, laid out for cargo-fuzz, but neither cargo-fuzz nor a nightly toolchain is needed here:
//! the coverage that libFuzzer steers by comes from flags of the stable compiler. What stays out is the address
//! sanitizer, which code without `unsafe` can do without.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, program, run as run_command, succeeds};
use crate::step::Steps;
use crate::{toolchain, workspace};

/// Makes the compiler count edges and record comparisons for libFuzzer, and check arithmetic although it optimises.
const COVERAGE: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Where a target's seeds are, if there are any: files that are good input, to be mutated.
const SEEDS: [(&str, &str); 5] = [
    ("report", "evaluator/tests/fixtures"),
    ("configuration", "fuzz/seeds/configuration"),
    ("feed", "fuzz/seeds/feed"),
    ("host", "fuzz/seeds/host"),
    ("control", "fuzz/seeds/control"),
];

/// Runs every target for so many seconds.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let mut steps = Steps::new("fuzz");
    steps.run("fuzz", HINT, || targets(seconds))?;
    steps.finish();
    Ok(())
}

/// What to do when a target finds something.
pub(crate) const HINT: &str = "a crashing input is kept below target/fuzz/artifacts; run the target with its path to see \
    it again, and add it to the tests";

/// Builds the targets and runs each for so many seconds; without a C++ compiler, which libFuzzer needs, the property tests
/// run with many more cases instead.
pub(crate) fn targets(seconds: u32) -> Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !succeeds(program(&compiler).arg("--version")) {
        println!("   no C++ compiler ({}), so no libFuzzer: running the property tests longer", compiler.display());
        let mut tests = cargo(["test", "--quiet", "--package", "evaluator", "--package", "gate", "--tests"]);
        return run_command(tests.env("PROPTEST_CASES", "20000"));
    }
    let names = names(&workspace::root().join("fuzz/fuzz_targets"))?;
    let host = toolchain::host()?;
    let target_directory = workspace::root().join("target/fuzz");
    // Naming the target keeps the flags away from build scripts.
    let arguments = ["build", "--manifest-path", "fuzz/Cargo.toml", "--release", "--bins", "--target", &host];
    run_command(cargo(arguments).arg("--target-dir").arg(&target_directory).env("RUSTFLAGS", COVERAGE))?;
    let binaries = target_directory.join(&host).join("release");
    for name in &names {
        fuzz(name, &binaries.join(name), &target_directory, seconds)?;
    }
    Ok(())
}

/// Runs one target. What it learns stays below `target/fuzz` for the next run; the seeds are only read.
fn fuzz(name: &str, binary: &Path, target_directory: &Path, seconds: u32) -> Result<()> {
    let corpus = target_directory.join("corpus").join(name);
    let artifacts = target_directory.join("artifacts").join(name);
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    }
    println!("   {name}: {seconds} s");
    let mut command = program(binary);
    command.args(["-verbosity=0", "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=1024"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus);
    command.args(SEEDS.iter().filter(|(target, _)| *target == name).map(|(_, directory)| directory));
    run_command(&mut command).with_context(|| format!("the fuzz target {name} found something"))
}

/// The names of the targets: one file each.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        bail!("there are no fuzz targets in {}", directory.display());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_there_and_belong_to_a_target() {
        let names = names(&workspace::root().join("fuzz/fuzz_targets")).unwrap();
        for (target, directory) in SEEDS {
            assert!(names.iter().any(|name| name == target), "there is no target {target}");
            assert!(workspace::root().join(directory).is_dir(), "there are no seeds in {directory}");
        }
    }
}
