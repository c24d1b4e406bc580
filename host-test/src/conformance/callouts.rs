//! Callouts over HTTP, and calls and streams of gRPC: what a guest hears of them when its upstream does this and that. The
//! same guest, which is written for each case, is in a real Envoy and in the simulation, and their logs of calls are
//! compared.

pub mod in_envoy;
pub mod in_sim;

mod cases;
mod guest;
pub(super) mod server;

pub use cases::{CASES, Case};

/// The part of a log in which the guest's one stream is.
fn of_stream(lines: impl Iterator<Item = String>) -> Vec<String> {
    lines.skip_while(|line| !line.starts_with("[host->vm] proxy_on_context_create(2")).collect()
}
