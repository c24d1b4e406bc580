//! Tools that come as packages of npm, at the versions that a lock file names.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, program, run, succeeds};
use crate::workspace;

/// What makes modules smaller.
pub(crate) const BINARYEN: Packages = Packages { lock: "xtask/tools", place: "target/tools/binaryen" };

/// A type checker, and the runtimes that the package for JavaScript is tested in.
pub(crate) const RUNTIMES: Packages = Packages { lock: "edge/tools", place: "target/edge/tools" };

/// The oldest Node that the tools run with.
const NODE: u32 = 20;

/// Packages that belong together, by folders from the root of the workspace.
pub(crate) struct Packages {
    /// Where their `package.json` and `package-lock.json` are.
    lock: &'static str,
    /// Where they are installed.
    place: &'static str,
}

/// Tools, installed.
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// One of them.
    pub(crate) fn program(&self, name: &str) -> Command {
        program(self.0.join("node_modules/.bin").join(name))
    }

    /// The lock file that they are of.
    pub(crate) fn lock(&self) -> Result<String> {
        fs::read_to_string(self.0.join("installed")).context("the tools are not installed")
    }
}

impl Packages {
    /// Installs them, unless they are there.
    ///
    /// # Errors
    /// When there is no Node that is new enough, or npm cannot fetch them.
    pub(crate) fn install(&self) -> Result<Tools> {
        if !is_there() {
            bail!("there is no Node {NODE} or newer with npm: install it (Debian, Ubuntu: apt-get install npm)");
        }
        let folder = workspace::root().join(self.place);
        let stamp = folder.join("installed");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let read = |name: &str| {
            let path = workspace::root().join(self.lock).join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (manifest, lock) = (read("package.json")?, read("package-lock.json")?);
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(Tools(folder));
        }
        for (name, text) in [("package.json", manifest), ("package-lock.json", lock.clone())] {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        // No script of a package runs: programs come as packages for this machine. Not `npm ci`, which wants the packages
        // for all other machines in the lock file as well.
        let arguments = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(program("npm").args(arguments).current_dir(&folder))
            .context("npm could not install the tools: is its registry reachable?")?;
        fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(Tools(folder))
    }
}

/// Whether there is a Node that is new enough, with npm.
pub(crate) fn is_there() -> bool {
    let version = output(program("node").arg("--version")).unwrap_or_default();
    let major = version.strip_prefix('v').and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= NODE) && succeeds(program("npm").arg("--version"))
}
