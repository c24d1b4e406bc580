//! Makes modules smaller.

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

/// Writes the module `from` as small as it gets to `to`, which may be the same file. Names of functions are left out;
/// `arguments` go to Binaryen's `wasm-opt` as well.
///
/// # Errors
/// When Binaryen cannot be had, or does not take the module.
pub(crate) fn optimize(from: &Path, to: &Path, arguments: &[&str]) -> Result<()> {
    let tools = npm::BINARYEN.install()?;
    let mut optimizer = tools.program("wasm-opt");
    optimizer.args(FEATURES).args(["-Oz", "--converge", "--strip-producers", "--strip-target-features"]);
    run(optimizer.args(arguments).arg(from).arg("-o").arg(to))
        .with_context(|| format!("cannot optimize {}", from.display()))
}
