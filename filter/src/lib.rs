//! The proxy-wasm module: thin shells that carry the proxy's callbacks to the gate and its decisions to host calls.
//!
//! Here is no rule, no cache and no schedule. [`root`] carries configuration, time and lookups, [`http`] carries
//! requests, [`network`] connections, [`control`] what operators ask and do, [`place`] watches that the proxy has one where the
//! other belongs, [`worker`] is what both share in one VM, and [`host`] is the only module with unsafe code.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros
)]

mod callout;
mod control;
mod enforce;
mod feeds;
mod host;
mod http;
mod network;
mod notify;
mod place;
mod remote;
mod root;
mod route;
mod upstream;
mod worker;

use proxy_wasm::types::LogLevel;

// Generates the entry point `_initialize`.
#[allow(unsafe_code, missing_docs)]
mod entry {
    use super::{LogLevel, root};

    proxy_wasm::main! {{
        // Also makes the SDK's panic hook write to the proxy's log.
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
    }}
}
