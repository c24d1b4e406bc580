//! The ends of contexts.
//!
//! A proxy ends a context by two calls, `proxy_on_done` and, once it has answered yes, `proxy_on_delete`. Both would come
//! for every request, and each call into the VM costs the proxy some 1,700 instructions. So the module has only the first
//! and lets the SDK delete at once what is done: `cargo xtask build` exports these functions in the place of the SDK's.

use super::done as tell_done;
use std::cell::Cell;

unsafe extern "C" {
    // The SDK's own, in this module.
    safe fn proxy_on_done(context: u32) -> bool;
    safe fn proxy_on_delete(context: u32);
    safe fn proxy_on_http_call_response(context: u32, token: u32, headers: usize, body_size: usize, trailers: usize);
}

thread_local! {
    /// The root that got its last answer and waited for it.
    static ENDED: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Tells the proxy that the current root context, which asked for more time in its `on_done`, is done. Call it from
/// [`proxy_wasm::traits::Context::on_http_call_response`].
pub(crate) fn end_root(context: u32) {
    let _ = tell_done();
    ENDED.set(Some(context));
}

#[unsafe(no_mangle)]
extern "C" fn portcullis_on_done(context: u32) -> bool {
    let done = proxy_on_done(context);
    if done {
        proxy_on_delete(context);
    }
    done
}

#[unsafe(no_mangle)]
extern "C" fn portcullis_on_http_call_response(
    context: u32,
    token: u32,
    headers: usize,
    body_size: usize,
    trailers: usize,
) {
    proxy_on_http_call_response(context, token, headers, body_size, trailers);
    if let Some(ended) = ENDED.take() {
        proxy_on_delete(ended);
    }
}
