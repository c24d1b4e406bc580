//! Tests the package in the runtimes that it is for.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::copy;
use crate::command::{cargo, program, run};
use crate::{npm, workspace};

/// Checks the types, and runs the tests in Node, Deno, Bun, workerd and Chromium, with the stand-in for Criminal IP. The package
/// must be built.
pub(crate) fn run_all() -> Result<()> {
    let tools = npm::RUNTIMES.install()?;
    run(&mut cargo(["build", "--package", "host-test", "--bin", "fake-criminalip"]))?;
    let (source, place) = (workspace::root().join("edge/tests"), workspace::root().join("target/edge"));
    let tests = place.join("tests");
    if tests.exists() {
        fs::remove_dir_all(&tests).with_context(|| format!("cannot replace {}", tests.display()))?;
    }
    copy(&source, &tests)?;
    copy(&source.join("programs"), &tests.join("programs"))?;
    link(&place)?;
    for project in ["tsconfig.json", "tsconfig.bundler.json"] {
        run(tools.program("tsc").args(["--project", project]).current_dir(&tests))?;
    }
    let mut node = program("node");
    node.args(["--test", "--test-reporter=spec", "--test-concurrency=2"]);
    node.args(test_files(&tests)?).current_dir(&tests);
    node.env("FAKE_CRIMINALIP", workspace::target_directory().join("debug/fake-criminalip"));
    // A test spends no credits.
    run(node.env("EVALUATOR", workspace::root().join("evaluator")).env_remove("CRIMINALIP_API_KEY"))
}

/// Measures the package in Node. It must be built.
pub(crate) fn bench() -> Result<()> {
    let (source, place) = (workspace::root().join("edge/bench"), workspace::root().join("target/edge"));
    copy(&source, &place.join("bench"))?;
    link(&place)?;
    let mut node = program("node");
    run(node.arg(place.join("bench/speed.mjs")).env("EVALUATOR", workspace::root().join("evaluator")))
}

/// Lets the tests find the package by its name, as its users do.
fn link(place: &Path) -> Result<()> {
    let modules = place.join("node_modules");
    fs::create_dir_all(&modules).with_context(|| format!("cannot create {}", modules.display()))?;
    fs::write(place.join("package.json"), "{\"private\": true, \"type\": \"module\"}\n").context("package.json")?;
    let link = modules.join("portcullis");
    if !link.exists() {
        std::os::unix::fs::symlink("../portcullis", &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

fn test_files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        files.extend(name.ends_with(".test.mjs").then_some(name));
    }
    files.sort();
    Ok(files)
}
