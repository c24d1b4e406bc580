//! A filter that does nothing, for `cargo xtask bench`: what a WebAssembly filter costs before it has done anything.

use proxy_wasm::traits::{Context, HttpContext};

struct Noop;

impl Context for Noop {}

// Every callback is the SDK's default, and all of them stay exported, as in any filter that is built on it.
impl HttpContext for Noop {}

// Generates the entry point `_initialize`.
#[allow(unsafe_code, missing_docs)]
mod entry {
    use super::Noop;

    proxy_wasm::main! {{
        proxy_wasm::set_http_context(|_, _| Box::new(Noop));
    }}
}
