//! Builds the module for the proxy and checks that a proxy can load it.

mod check;
mod optimize;

pub(crate) use optimize::optimize;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wasm_encoder::{NameMap, NameSection, Section};

use crate::command::{cargo, run};
use crate::{npm, toolchain, workspace};

/// The largest module we want to ship. Every worker of a proxy holds its own copy of the compiled code.
const MAX_BYTES: usize = 385_000;

/// Builds the filter, makes it small, checks it and puts it at `target/portcullis.wasm`, whose path is
/// returned. The names of its functions go to `target/portcullis.symbols`.
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
    let (small, most) = if npm::is_there() {
        let small = built.with_file_name("small.wasm");
        let symbols = workspace::module().with_extension("symbols");
        // Functions that differ by a few constants become one, which costs calls: not where speed counts most.
        let arguments = ["--merge-similar-functions", "-Oz", &format!("--symbolmap={}", symbols.display())];
        if optimize::optimize_if_changed(&built, &small, &arguments)? {
            demangle(&symbols)?;
        }
        (small, MAX_BYTES)
    } else {
        println!("   note: there is no Node with npm, so the module stays larger than it could be");
        (built, usize::MAX)
    };
    ship(&small, most)
}

/// Builds one of the guests of `host-test`, by the SDK and with all its callbacks; gives its path.
///
/// # Errors
/// When it does not build.
pub(crate) fn guest(name: &str) -> Result<PathBuf> {
    toolchain::add_target(toolchain::MODULE)?;
    run(&mut cargo(["build", "--package", name, "--target", toolchain::MODULE, "--profile", "wasm"]))?;
    Ok(workspace::target_directory().join(toolchain::MODULE).join(format!("wasm/{name}.wasm")))
}

/// Makes the names in a list of functions, one a line behind its number, as they are in the source.
fn demangle(symbols: &Path) -> Result<()> {
    let mangled = fs::read_to_string(symbols).with_context(|| format!("cannot read {}", symbols.display()))?;
    let lines = mangled.lines().filter_map(|line| line.split_once(':'));
    let list: String =
        lines.map(|(number, name)| format!("{number}: {:#}\n", rustc_demangle::demangle(name))).collect();
    fs::write(symbols, list).with_context(|| format!("cannot write {}", symbols.display()))
}

/// Gives one function a name. Of a module without any, Envoy logs no backtrace when it traps; of this one it does, with the
/// numbers of the functions (`V8::getFailMessage`, <https://github.com/proxy-wasm/proxy-wasm-cpp-host/blob/main/src/v8/v8.cc>).
fn name_one_function(module: &mut Vec<u8>) {
    let mut functions = NameMap::new();
    functions.append(0, "0");
    let mut names = NameSection::new();
    names.functions(&functions);
    names.append_to(module);
}

/// Puts the module to where it is looked for, if it has no flaw.
fn ship(built: &Path, most: usize) -> Result<PathBuf> {
    let mut bytes = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    name_one_function(&mut bytes);
    let flaws = check::flaws(&bytes, &[workspace::root(), &workspace::cargo_home()?], most);
    if !flaws.is_empty() {
        let list: String = flaws.iter().map(|flaw| format!("\n  - {flaw}")).collect();
        bail!("no proxy could run the module {}:{list}", built.display());
    }
    let module = workspace::module();
    fs::write(&module, &bytes).with_context(|| format!("cannot write {}", module.display()))?;
    println!("   target/portcullis.wasm: {} bytes, of at most {most}", bytes.len());
    Ok(module)
}
