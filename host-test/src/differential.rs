//! Scenarios in a real Envoy: the same steps, and what came of them beside what came of them in the simulation.
//!
//! What is compared, and what is not, is in `docs/harness.md`.

mod calls;
mod client;
mod compare;
mod configuration;
mod possible;
mod run;
mod servers;

use crate::scenario::{Report, Scenario};
use anyhow::Result;
use std::path::Path;

/// What a real Envoy makes of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same as the simulation.
    Same,
    /// Something else: each difference in a line.
    Differs(Vec<String>),
    /// It has something in it that a real Envoy cannot be made to do: what, and why.
    SimulationOnly(String),
}

/// Runs a scenario in a real Envoy, and compares it with what came of it in the simulation.
///
/// # Errors
/// When Envoy does not start, or a server of the scenario cannot listen.
pub async fn compare(scenario: &Scenario, simulated: &Report, wasm: &Path, envoy: &Path) -> Result<Verdict> {
    if let Some(why) = possible::why_not(scenario) {
        return Ok(Verdict::SimulationOnly(why));
    }
    let observed = run::run(scenario, simulated, wasm, envoy).await?;
    let differences = compare::differences(scenario, simulated, &observed);
    Ok(if differences.is_empty() { Verdict::Same } else { Verdict::Differs(differences) })
}
