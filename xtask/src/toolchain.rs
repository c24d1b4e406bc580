//! Sees to what the toolchain needs: compilation targets, the formatter, the linter.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{cargo, output, program, run, succeeds};
use crate::workspace;

/// The target of the module: proxy-wasm with the few functions of WASI that proxies offer.
pub(crate) const MODULE: &str = "wasm32-wasip1";
/// A target without any host, on which the evaluator must build.
pub(crate) const BARE: &str = "wasm32-unknown-unknown";

/// Adds a target to the toolchain that is in use, unless it is there.
pub(crate) fn add_target(target: &str) -> Result<()> {
    let libraries = output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(&libraries).is_dir() {
        return Ok(());
    }
    println!("   the toolchain has no target {target} yet");
    run(program("rustup").args(["target", "add", target])).with_context(|| {
        format!(
            "the Rust target {target} is missing and could not be added: install it with `rustup target add {target}`, \
             or with your distribution's package of the standard library for it"
        )
    })
}

/// Adds a component that provides a command of cargo (`rustfmt` and `fmt`), unless that command is there.
pub(crate) fn add_component(component: &str, command: &str) -> Result<()> {
    if succeeds(&mut cargo([command, "--version"])) {
        return Ok(());
    }
    println!("   the toolchain has no {component} yet");
    run(program("rustup").args(["component", "add", component])).with_context(|| {
        format!(
            "{component} is missing and could not be added: install it with `rustup component add {component}`, or with \
             your distribution's package"
        )
    })
}

/// The triple of this machine.
pub(crate) fn host() -> Result<String> {
    about("host")
}

/// Flags for the compiler that keep paths of this machine out of what it builds, so that the same source gives the same
/// bytes wherever it is built: dependencies come from `registry`, the standard library from where its own build put it.
pub(crate) fn flags_without_paths() -> Result<Vec<String>> {
    let library = format!("{}/lib/rustlib/src/rust", output(rustc().args(["--print", "sysroot"]))?);
    let dependencies = workspace::cargo_home()?.join("registry/src");
    let remap = |from: &str, to: &str| format!("--remap-path-prefix={from}={to}");
    let mut flags = vec![
        remap(&library, &format!("/rustc/{}", about("commit-hash")?)),
        remap(&dependencies.to_string_lossy(), "registry"),
        remap(&workspace::root().to_string_lossy(), "."),
    ];
    // Each registry has a directory there, whose long name would be in the module as often as a file of its crates. The last flag
    // that fits is the one that counts.
    for registry in fs::read_dir(dependencies).into_iter().flatten().flatten() {
        flags.push(remap(&registry.path().to_string_lossy(), "registry"));
    }
    Ok(flags)
}

/// A line of what `rustc -vV` says about itself.
fn about(what: &str) -> Result<String> {
    let version = output(rustc().arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
    Ok(line.with_context(|| format!("`rustc -vV` names no {what}"))?.to_owned())
}

fn rustc() -> std::process::Command {
    program(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}
