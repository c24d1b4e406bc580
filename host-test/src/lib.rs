//! Hosts for testing the module from outside. Nothing here knows the module's source.
//!
//! - The harness: a proxy-wasm host ([`host`]) in a simulated proxy ([`sim`]) that records what happens ([`trace`]), and
//!   [`scenario`]s of it as files. It runs any proxy-wasm module; the [`worlds`] are for this one.
//! - The rig: a stand-in for Criminal IP ([`fake`]), an echoing [`upstream`], [`client`]s that speak for many peers, and a
//!   real Envoy around them ([`envoy`], [`lab`]).

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "this crate runs outside the proxy"
)]

pub mod bench;
pub mod browser;
pub mod client;
pub mod command;
pub mod conformance;
pub mod differential;
pub mod dns;
pub mod envoy;
pub mod fake;
pub mod feed;
pub mod flood;
pub mod hello;
pub mod host;
pub mod lab;
pub mod scenario;
pub mod sim;
pub mod tcp;
pub mod trace;
pub mod upstream;
pub mod worlds;

/// The examples of the document are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/harness.md")]
struct Harness;

mod background;
mod changes;
mod message;

/// How long the waiting functions of this crate wait before they give up: far longer than anything here takes, on a machine
/// that is slow and busy with something else as well.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// Looks again and again until `look` succeeds, for [`PATIENCE`] at most: for what gives no event to wait for.
///
/// # Errors
/// The last error of `look`.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Err(_) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            result => return result,
        }
    }
}
