//! Where things are.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// The root of the workspace, as cargo tells it when it runs this program: one binary may serve several checkouts that
/// share a target directory.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let ours = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let ours = ours.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        ours.parent().map(Path::to_owned).unwrap_or(ours)
    });
    &ROOT
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // A relative one counts from where cargo runs, and it runs at the root.
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// Where cargo keeps the sources of dependencies.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let given = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let usual = || std::env::home_dir().map(|home| home.join(".cargo"));
    given.or_else(usual).context("neither CARGO_HOME nor a home directory is known")
}

/// Where the finished module goes, and where tests and the demo look for it.
pub(crate) fn module() -> PathBuf {
    root().join("target/portcullis.wasm")
}
