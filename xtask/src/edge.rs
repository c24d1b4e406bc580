//! Builds the package for JavaScript runtimes.

mod test;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, program, run};
use crate::{module, toolchain, workspace};

/// The modules of the package: the feature of the crate that each is built with, its name, and the most bytes that it may
/// have, as it is and compressed by `gzip -9`.
const MODULES: [(&str, &str, usize, usize); 2] =
    [("policy", "policy", 129_500, 59_500), ("doorway", "gate", 244_500, 113_000)];

/// The features of the crate, each of which is a module.
pub(crate) fn features() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(feature, ..)| *feature)
}

/// Where the finished package is.
fn package() -> PathBuf {
    workspace::root().join("target/edge/portcullis")
}

/// Builds the package, and tests and measures it where that is wanted.
///
/// # Errors
/// What fails.
pub(crate) fn build_and(test: bool, bench: bool) -> Result<()> {
    build()?;
    if test {
        test::run_all()?;
    }
    if bench {
        test::bench()?;
    }
    Ok(())
}

/// Builds the modules, makes their JavaScript, and puts the package together in `target/edge/portcullis`, whose path is
/// returned.
///
/// # Errors
/// When something does not build, or when a module is too large.
fn build() -> Result<PathBuf> {
    toolchain::add_target(toolchain::BARE)?;
    let package = package();
    if package.exists() {
        fs::remove_dir_all(&package).with_context(|| format!("cannot replace {}", package.display()))?;
    }
    let source = workspace::root().join("edge");
    copy(&source.join("js"), &package)?;
    copy(&source.join("worker"), &package.join("worker"))?;
    fs::copy(source.join("README.md"), package.join("README.md")).context("edge/README.md")?;
    for (feature, name, most, most_compressed) in MODULES {
        let module = build_module(feature, name, &package.join("wasm"))?;
        let (bytes, compressed) = (size(&module)?, compressed(&module)?);
        println!("   {name}: {bytes} bytes of at most {most}, {compressed} of at most {most_compressed} compressed");
        ensure!(bytes <= most && compressed <= most_compressed, "the module {name} has grown too large");
    }
    Ok(package)
}

/// Builds one module with its JavaScript into this folder.
fn build_module(feature: &str, name: &str, folder: &Path) -> Result<PathBuf> {
    let mut build = cargo(["build", "--package", "edge", "--target", toolchain::BARE, "--profile", "wasm"]);
    build.args(["--no-default-features", "--features", feature]);
    // Flags are separated by this character where any other could be part of a path.
    run(build.env("CARGO_ENCODED_RUSTFLAGS", toolchain::flags_without_paths()?.join("\u{1f}")))?;
    let built = workspace::target_directory().join(toolchain::BARE).join("wasm/portcullis_edge.wasm");
    let bindgen = ["run", "--quiet", "--package", "edge-bindgen", "--", "--name", name];
    run(cargo(bindgen).arg(&built).arg(folder))?;
    let module = folder.join(format!("{name}_bg.wasm"));
    // A function that is called but once stays one, and zeros between data stay where they are: the module is somewhat larger,
    // but compresses better.
    module::optimize(&module, &module, &["--one-caller-inline-max-function-size=0", "--skip-pass=memory-packing"])?;
    // The entries of the package load the module in the ways of their runtimes.
    fs::remove_file(folder.join(format!("{name}.js"))).context("wasm-bindgen has written no entry")?;
    Ok(module)
}

/// Copies the files of a folder, without those of the folders in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let file = entry?.path();
        if file.is_dir() {
            continue;
        }
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

fn size(file: &Path) -> Result<usize> {
    let length = fs::metadata(file).with_context(|| file.display().to_string())?.len();
    Ok(usize::try_from(length)?)
}

/// How many bytes `gzip -9` makes of it.
fn compressed(file: &Path) -> Result<usize> {
    let done = program("gzip").args(["-9", "--stdout"]).arg(file).output().context("gzip could not be started")?;
    ensure!(done.status.success(), "gzip failed");
    Ok(done.stdout.len())
}
