//! Makes modules smaller.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::run;
use crate::npm;

/// What the compiler uses of WebAssembly beyond its first version.
const FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// What makes a module small. Control flow is built anew first, which the compiler leaves longer than it need be. Nothing is
/// at the lowest addresses but the far end of the stack, so that a constant may move from an address into an offset.
const LESS: [&str; 7] = [
    "--low-memory-unused",
    "--flatten",
    "--rereloop",
    "-Oz",
    "--converge",
    "--strip-producers",
    "--strip-target-features",
];

/// Writes the module `from` as small as it gets to `to`, which may be the same file. Names of functions are left out;
/// `arguments` go to Binaryen's `wasm-opt` as well.
///
/// # Errors
/// When Binaryen cannot be had, or does not take the module.
pub(crate) fn optimize(from: &Path, to: &Path, arguments: &[&str]) -> Result<()> {
    let arguments = [&FEATURES[..], &LESS, arguments].concat();
    run(npm::BINARYEN.install()?.program("wasm-opt").args(arguments).arg(from).arg("-o").arg(to))
        .with_context(|| format!("cannot optimize {}", from.display()))
}

/// The same, which takes half a minute for a module such as ours, unless `to` is there and was made of the same bytes, with the
/// same arguments and the same Binaryen. Returns whether anything was done.
///
/// # Errors
/// As [`optimize`].
pub(crate) fn optimize_if_changed(from: &Path, to: &Path, arguments: &[&str]) -> Result<bool> {
    let recipe = to.with_extension("recipe");
    let mut made_of = [&FEATURES[..], &LESS, arguments].concat().join("\n").into_bytes();
    made_of.extend(npm::BINARYEN.install()?.lock()?.bytes());
    made_of.extend(fs::read(from).with_context(|| format!("cannot read {}", from.display()))?);
    if to.exists() && fs::read(&recipe).is_ok_and(|before| before == made_of) {
        println!("   the module is as it was, and so is what Binaryen made of it");
        return Ok(false);
    }
    optimize(from, to, arguments)?;
    fs::write(&recipe, made_of).with_context(|| format!("cannot write {}", recipe.display()))?;
    Ok(true)
}
