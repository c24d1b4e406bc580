//! The demo: a real Envoy, real traffic, and a table of who was let through, tagged and denied.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::command::{cargo, program, run as run_command};
use crate::step::Steps;
use crate::{envoy, module, workspace};

/// Fetches and builds what the demo needs, then becomes the demo.
///
/// With `serve`, Envoy stays up until Ctrl-C. The process is replaced, so that Ctrl-C reaches the demo alone and its exit
/// status is ours; this returns only when something is missing.
pub(crate) fn run(serve: bool) -> Result<()> {
    let mut steps = Steps::new("preparing the demo");
    let envoy = steps.run("envoy", "", envoy::find)?;
    let module = steps.run("build the module", "", module::build)?;
    steps
        .run("build the demo", "", || run_command(&mut cargo(["build", "--package", "host-test", "--bin", "demo"])))?;
    steps.finish();
    println!();
    let mut demo = program(workspace::target_directory().join("debug/demo"));
    demo.arg("--envoy").arg(envoy).arg("--wasm").arg(module);
    if serve {
        demo.arg("--serve");
    }
    Err(demo.exec()).context("the demo could not be started")
}
