//! The flood: what requests of ever more new peers do to a real Envoy with the module.

use anyhow::{Result, bail};

use crate::command::{cargo, program, run as run_command};
use crate::step::Steps;
use crate::{envoy, module, workspace};

/// Builds what the flood needs, and sends it. Fails where a limit is broken.
pub(crate) fn run(peers: u32) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("the flood reads Envoy's memory as only Linux shows it");
    }
    let mut steps = Steps::new("flood");
    let envoy = steps.run("envoy", "", envoy::find)?;
    let module = steps.run("build the module", "", module::build)?;
    // Optimized, since what the client takes of the machine the proxy has not.
    steps.run("build the flood", "", || {
        run_command(&mut cargo(["build", "--release", "--package", "host-test", "--bin", "flood"]))
    })?;
    steps.run("flood", "", || {
        let mut flood = program(workspace::target_directory().join("release/flood"));
        flood.env("ENVOY", envoy).env("PORTCULLIS_WASM", module);
        run_command(flood.args(["--peers", &peers.to_string()]))
    })?;
    steps.finish();
    Ok(())
}
