//! Builds the module for the proxy and checks that a proxy can load it.

mod check;
mod trim;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, run};
use crate::{toolchain, workspace};

/// Builds the filter, trims it, checks it and puts it at `target/portcullis.wasm`, whose path is returned.
///
/// # Errors
/// When it does not build, or when the module asks for what the proxy does not offer or lacks what the proxy needs; every
/// such flaw is named.
pub(crate) fn build() -> Result<PathBuf> {
    toolchain::add_target(toolchain::MODULE)?;
    let mut build = cargo(["build", "--package", "filter", "--target", toolchain::MODULE, "--profile", "wasm"]);
    // Flags are separated by this character where any other could be part of a path.
    run(build.env("CARGO_ENCODED_RUSTFLAGS", toolchain::flags_without_paths()?.join("\u{1f}")))?;
    let built = workspace::target_directory().join(toolchain::MODULE).join("wasm/portcullis_filter.wasm");
    let bytes = fs::read(&built).with_context(|| format!("cargo has not left a module at {}", built.display()))?;
    let bytes = trim::trim(&bytes).with_context(|| format!("cannot trim {}", built.display()))?;
    let flaws = check::flaws(&bytes, &[workspace::root(), &workspace::cargo_home()?]);
    if !flaws.is_empty() {
        let list: String = flaws.iter().map(|flaw| format!("\n  - {flaw}")).collect();
        bail!("no proxy could run the module {}:{list}", built.display());
    }
    let module = workspace::module();
    if let Some(parent) = module.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(&module, &bytes).with_context(|| format!("cannot write {}", module.display()))?;
    println!("   target/portcullis.wasm: {} bytes, of at most {}", bytes.len(), check::MAX_BYTES);
    Ok(module)
}
