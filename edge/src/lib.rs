//! The evaluator and the gate for JavaScript runtimes: Cloudflare Workers, Deno, Node, Bun and browsers.
//!
//! Everything crosses the border as bytes, numbers and JSON. Classes, types and errors that JavaScript users meet are
//! made of it in `edge/js` and `edge/worker`; what is decided is decided here. In a runtime the crate is `no_std`: the standard
//! library would be a good part of its modules.
#![cfg_attr(target_family = "wasm", no_std)]
#![cfg_attr(
    not(test),
    deny(
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
    )
)]

extern crate alloc;

mod mistakes;

#[cfg(feature = "policy")]
mod assessment;
#[cfg(feature = "doorway")]
mod doorway;
#[cfg(feature = "doorway")]
mod enforce;
#[cfg(feature = "policy")]
mod list;
#[cfg(feature = "doorway")]
mod memory;
#[cfg(feature = "policy")]
mod policy;
#[cfg(target_family = "wasm")]
mod runtime;

#[cfg(feature = "doorway")]
pub use doorway::Doorway;
#[cfg(feature = "policy")]
pub use {
    list::{List, is_public},
    policy::{Policy, address, assess, is_as_judged},
};

use alloc::string::String;
use gate::{Moment, Writer};

/// The moment of this many milliseconds after the start of 1970, as `Date.now()` gives it.
fn moment(millis: f64) -> Moment {
    // Numbers outside the range become its nearest end, and what is no number its start.
    Moment::from_millis(millis as u64)
}

/// The JSON of an object with the members that this writes.
fn object(members: impl FnOnce(&mut Writer)) -> String {
    let mut json = Writer::default();
    json.open('{');
    members(&mut json);
    json.close('}');
    json.into_line()
}
