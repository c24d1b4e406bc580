//! Whether the simulated proxy answers host calls as a real Envoy: every call in every phase, made by the same guest in
//! both. What Envoy answers is written down ([`matrix`]); where the simulation answers otherwise, that is a listed
//! difference with a reason ([`differences`]), or a mistake.

pub mod callouts;
pub mod differences;
pub mod early;
pub mod in_envoy;
pub mod in_sim;
pub mod matrix;
pub mod oldest;
pub mod plan;

use anyhow::{Result, bail};
use std::path::PathBuf;

/// Where `cargo xtask test` builds the guest, from the workspace's root.
const GUEST: &str = "target/wasm32-wasip1/wasm/conformance.wasm";

/// The guest: the environment's `CONFORMANCE_WASM`, else the one that `cargo xtask test` built.
///
/// # Errors
/// When there is none.
pub fn guest() -> Result<PathBuf> {
    let guest =
        std::env::var_os("CONFORMANCE_WASM").map_or_else(|| crate::envoy::workspace().join(GUEST), PathBuf::from);
    if !guest.is_file() {
        bail!(
            "no module at {}: `cargo build -p conformance --target wasm32-wasip1 --profile wasm` makes it",
            guest.display()
        );
    }
    Ok(guest)
}

/// The plugin's name and configuration.
const NAME: &str = "probe";
const CONFIGURATION: &str = "0123456789";

/// What clients and upstreams send.
const CLIENT_HEADERS: [(&str, &str); 2] = [("x-a", "1"), ("x-a", "2")];
const CLIENT_BODY: &str = "abc";
const CLIENT_TRAILERS: [(&str, &str); 1] = [("x-t", "3")];
const UPSTREAM_HEADERS: [(&str, &str); 2] = [("x-a", "4"), ("x-a", "5")];
const UPSTREAM_BODY: &str = "ok";
const UPSTREAM_TRAILERS: [(&str, &str); 1] = [("x-t", "6")];

/// A message as it arrived: only those of its headers that clients, upstreams and the guest wrote.
fn shown(
    first: Option<&str>,
    headers: &[(String, String)],
    body: &[u8],
    trailers: &[(String, String)],
    end: &str,
) -> String {
    let own = |(name, value): &(String, String)| {
        matches!(name.as_str(), "x-a" | "x-t" | "x-set" | "x-reply").then(|| format!("{name}={value}"))
    };
    let mut parts: Vec<String> = first.map(str::to_owned).into_iter().collect();
    parts.extend(headers.iter().filter_map(own));
    if !body.is_empty() {
        parts.push(format!("\"{}\"", body.escape_ascii()));
    }
    parts.extend(trailers.iter().filter_map(own));
    parts.extend((!end.is_empty()).then(|| end.to_owned()));
    parts.join(" ")
}

/// The lines of a guest's log, as people read them.
fn readable(plan: &plan::Plan, lines: Vec<String>) -> Vec<String> {
    if plan.kind == plan::Kind::Oldest { lines.iter().map(|line| oldest::readable(line)).collect() } else { lines }
}

/// Whether it is about the last callbacks of a root.
fn is_of_last_callbacks(line: &str) -> bool {
    line.starts_with("root done ") || line.starts_with("root delete ")
}
