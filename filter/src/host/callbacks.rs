//! The first callback of a stream, before the SDK has it: `cargo xtask build` exports these in the place of the SDK's.

use super::{close_connection, reset_request};
use crate::enforce::report;
use crate::place::fits;
use gate::Role;

/// What a callback answers so that the stream goes no further.
const PAUSE: u32 = 1;

#[unsafe(export_name = "portcullis_on_new_connection")]
extern "C" fn new_connection(context: u32) -> u32 {
    if !fits(context, Role::Network) {
        report("close a connection", close_connection());
        return PAUSE;
    }
    // SAFETY: it is the SDK's callback, called as the proxy would call it.
    unsafe { sdk::proxy_on_new_connection(context) }
}

#[unsafe(export_name = "portcullis_on_request_headers")]
extern "C" fn request_headers(context: u32, headers: usize, end: bool) -> u32 {
    if !fits(context, Role::Http) {
        report("reset a request", reset_request());
        return PAUSE;
    }
    // SAFETY: it is the SDK's callback, called as the proxy would call it.
    unsafe { sdk::proxy_on_request_headers(context, headers, end) }
}

/// Every body of every listener comes here once the module has this callback; only what is sent to a control listener is
/// anybody's business.
#[unsafe(export_name = "portcullis_on_request_body")]
extern "C" fn request_body(context: u32, size: usize, end: bool) -> u32 {
    const CONTINUE: u32 = 0;
    if !crate::worker::awaits_bodies() {
        return CONTINUE;
    }
    // SAFETY: it is the SDK's callback, called as the proxy would call it.
    unsafe { sdk::proxy_on_request_body(context, size, end) }
}

mod sdk {
    unsafe extern "C" {
        pub(super) fn proxy_on_request_body(context: u32, size: usize, end: bool) -> u32;
        pub(super) fn proxy_on_new_connection(context: u32) -> u32;
        pub(super) fn proxy_on_request_headers(context: u32, headers: usize, end: bool) -> u32;
    }
}
