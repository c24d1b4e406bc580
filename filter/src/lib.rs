//! The proxy-wasm module: thin shells that carry the proxy's callbacks to the gate and its decisions to host calls.
//!
//! Here is no rule, no cache and no schedule. [`root`] carries configuration, time and lookups, [`http`] carries
//! requests, [`network`] connections, [`control`] what operators ask and do, [`worker`] is what all share in one VM. The proxy
//! comes in by [`entry`] and is called by [`host`]; [`vm`] is what the standard library would be, which the module goes without to
//! be small. Only these three have unsafe code.
#![no_std]
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

#[macro_use]
extern crate alloc;

mod callout;
mod contexts;
mod control;
mod enforce;
mod entry;
mod feeds;
mod host;
mod http;
mod network;
mod notify;
mod remote;
mod root;
mod route;
mod secrets;
mod upstream;
mod vm;
mod worker;
