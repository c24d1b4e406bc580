//! Node's tools for the package: an optimiser, a type checker, and the runtimes that it is tested in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, program, run, succeeds};
use crate::workspace;

/// The oldest Node that the tests run with.
const NODE: u32 = 20;

/// Tools, installed.
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// One of them.
    pub(crate) fn program(&self, name: &str) -> Command {
        program(self.0.join("node_modules/.bin").join(name))
    }
}

/// Installs what `edge/tools/package-lock.json` names into `target/edge/tools`, unless it is there.
pub(crate) fn install() -> Result<Tools> {
    let version = output(program("node").arg("--version")).unwrap_or_default();
    let major = version.strip_prefix('v').and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE) || !succeeds(program("npm").arg("--version")) {
        bail!(
            "the package for JavaScript runtimes needs Node {NODE} or newer with npm (Debian, Ubuntu: apt-get install npm)"
        );
    }
    let folder = workspace::root().join("target/edge/tools");
    let stamp = folder.join("installed");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let read = |name: &str| {
        let path = workspace::root().join("edge/tools").join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (manifest, lock) = (read("package.json")?, read("package-lock.json")?);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(Tools(folder));
    }
    for (name, text) in [("package.json", manifest), ("package-lock.json", lock.clone())] {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    // No script of a package runs: the runtimes come as packages for this machine. Not `npm ci`, which wants the packages
    // for all other machines in the lock file as well.
    let arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run(program("npm").args(arguments).current_dir(&folder))
        .context("npm could not install the tools: is its registry reachable?")?;
    fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(Tools(folder))
}
