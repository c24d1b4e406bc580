//! Every check that a change has to pass, the quick ones first.

use std::path::Path;

use anyhow::Result;

use crate::command::{cargo, run as run_command, succeeds};
use crate::step::Steps;
use crate::{chromium, consumers, edge, envoy, fuzz, module, soak, toolchain};

/// How long each fuzz target runs here.
const FUZZ_SECONDS: u32 = 5;

/// The crates that are tested natively, away from any proxy.
const NATIVE: [&str; 10] =
    ["--package", "evaluator", "--package", "gate", "--package", "cli", "--package", "edge", "--package", "xtask"];

/// Runs every check, stopping at the first that fails. `fast` leaves out those that need an Envoy or
/// JavaScript runtimes.
pub(crate) fn run(fast: bool) -> Result<()> {
    let mut steps = Steps::new("test");
    steps.run("toolchain", "", || {
        toolchain::add_component("rustfmt", "fmt")?;
        toolchain::add_component("clippy", "clippy")?;
        toolchain::add_target(toolchain::MODULE)?;
        toolchain::add_target(toolchain::BARE)
    })?;
    steps.run("format", "`cargo fmt --all` puts it right", || {
        run_command(&mut cargo(["fmt", "--all", "--check"]))?;
        run_command(&mut cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    })?;
    steps.run("lint", "", lint)?;
    steps.run("documentation", "", documentation)?;
    steps.run("unit and property tests", "", || {
        run_command(cargo(["test", "--tests"]).args(NATIVE))?;
        run_command(&mut cargo([
            "test",
            "--package",
            "host-test",
            "--lib",
            "--bins",
            "--test",
            "fake",
            "--test",
            "cli_*",
            "--test",
            "envoy_*",
        ]))
    })?;
    steps.run("documentation tests", "", || {
        // Apart: together they want other features of what they share, and the whole engine would be built once more.
        run_command(&mut cargo(["test", "--doc", "--package", "evaluator", "--package", "gate"]))?;
        run_command(&mut cargo(["test", "--doc", "--package", "host-test"]))
    })?;
    let module = steps.run("module", "", module::build)?;
    steps.run("guest", "", || module::guest("conformance"))?;
    steps.run("simulation", soak::HINT, || simulation(&module))?;
    if fast {
        steps.skip("end to end", "--fast");
    } else {
        let envoy = steps.run("envoy", "`--fast` leaves out what needs an Envoy", envoy::find)?;
        steps.run("consumers of exports", "`--fast` leaves them out", || exports(&envoy))?;
        let browser = steps.run("chromium", "`--fast` leaves out what needs a browser", chromium::find)?;
        steps.run("end to end", "", || end_to_end(&envoy, &module, browser))?;
        steps
            .run("JavaScript runtimes", "`cargo xtask edge --test` runs this alone", || edge::build_and(true, false))?;
    }
    steps.run("fuzz", fuzz::HINT, || fuzz::targets(FUZZ_SECONDS))?;
    if succeeds(&mut cargo(["deny", "--version"])) {
        steps.run("dependencies", "deny.toml says what is allowed and why", || {
            run_command(&mut cargo(["deny", "--all-features", "check", "bans", "licenses", "sources"]))
        })?;
    } else {
        steps.skip("dependencies", "cargo-deny is not installed: `cargo install --locked cargo-deny`");
    }
    steps.finish();
    Ok(())
}

/// The lints, on the target that each crate is for. The evaluator must also build where there is no host at all.
fn lint() -> Result<()> {
    let deny = ["--", "--deny", "warnings"];
    run_command(cargo(["clippy", "--workspace", "--exclude", "filter", "--all-targets"]).args(deny))?;
    run_command(cargo(["clippy", "--package", "filter", "--target", toolchain::MODULE]).args(deny))?;
    for feature in edge::features() {
        let alone = ["clippy", "--package", "edge", "--target", toolchain::BARE, "--no-default-features", "--features"];
        run_command(cargo(alone).arg(feature).args(deny))?;
    }
    run_command(&mut cargo(["check", "--package", "evaluator", "--target", toolchain::BARE]))
}

/// The documentation, whose links must lead somewhere. The filter has nothing public, so its links may lead inside.
fn documentation() -> Result<()> {
    let deny = "--deny warnings";
    let deny_inside = "--deny warnings --allow rustdoc::private-intra-doc-links";
    let filter = ["doc", "--no-deps", "--package", "filter", "--target", toolchain::MODULE, "--document-private-items"];
    run_command(cargo(["doc", "--no-deps", "--workspace", "--exclude", "filter"]).env("RUSTDOCFLAGS", deny))?;
    run_command(cargo(filter).env("RUSTDOCFLAGS", deny_inside))
}

/// What the command exports, shown to those it is for.
fn exports(envoy: &Path) -> Result<()> {
    let complete = consumers::install()?;
    let mut test = cargo(["test", "--package", "host-test", "--test", "cli_exports"]);
    if complete {
        test.env("PORTCULLIS_CONSUMERS", "all");
    }
    run_command(test.env("ENVOY", envoy))
}

/// In the simulated proxy.
fn simulation(module: &Path) -> Result<()> {
    run_command(cargo(["test", "--package", "host-test", "--test", "sim_*"]).env("PORTCULLIS_WASM", module))
}

/// In a real Envoy, the demo included, and the page in a real browser where there is one. Never with the real API: a test
/// spends no credits.
fn end_to_end(envoy: &Path, module: &Path, browser: bool) -> Result<()> {
    let mut test = cargo(["test", "--package", "host-test", "--test", "e2e_*"]);
    if browser {
        test.env("PORTCULLIS_BROWSER", "there");
    }
    run_command(test.env("ENVOY", envoy).env("PORTCULLIS_WASM", module).env_remove("CRIMINALIP_API_KEY"))
}
