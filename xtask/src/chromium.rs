//! Finds a Chromium that WebDriver can drive, for the tests of the page, or installs one.

use anyhow::Result;

use crate::consumers::install_packages;
use crate::envoy::on_path;

/// The programs, which are named as the packages that bring them, but for the driver's.
const PROGRAMS: [(&str, &str); 2] = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// Whether there is one, after Debian's packages were installed where that can be done.
///
/// # Errors
/// When they can be installed, but that failed.
pub(crate) fn find() -> Result<bool> {
    let absent = PROGRAMS.iter().filter(|(program, _)| on_path(program).is_none());
    let missing: Vec<&str> = absent.map(|(_, package)| *package).collect();
    let there = install_packages(&missing)?;
    if !there {
        println!("   note: {} are not installed; the page is not looked at", missing.join(", "));
    }
    Ok(there)
}
