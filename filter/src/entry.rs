//! What the proxy calls: the callbacks of the proxy-wasm ABI 0.2.1 that the module has, and no other.
//!
//! A proxy calls what is exported, and each call into the VM costs it some 1,700 instructions for every request that comes.
//! So there is no `proxy_on_delete`, which would come right after `proxy_on_done` said yes: that lets go of the context. And a
//! context that nobody knows is no reason to end the VM, with every stream that waits in it: its stream goes no further.
#![allow(unsafe_code)]

use crate::contexts::{self, Stream};
use crate::enforce::report;
use crate::host::{self, Action, Level};
use crate::worker;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use evaluator::filled;
use gate::{Role, StreamId};

/// The proxy's first call: constructors of C. Without a call of them the linker would put one around each callback.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: this is the one call, before anything else.
    unsafe { __wasm_call_ctors() };
}

/// The ABI that the module speaks.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Room for bytes of the proxy, which [`host`] reads in place or takes over as a vector; none where there is no memory, so that
/// the host call fails and not the VM.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut MaybeUninit<u8> {
    if let Some(room) = host::short_room(size) {
        return room;
    }
    let mut room: Vec<MaybeUninit<u8>> = Vec::new();
    if room.try_reserve_exact(size).is_err() {
        return core::ptr::null_mut();
    }
    // The vector's own bytes, `size` of them: the proxy fills them and gives them back.
    room.leak().as_mut_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    contexts::with(|contexts| match root {
        0 => contexts.add_root(context),
        root => contexts.add_stream(StreamId(context), root),
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _: usize) -> u32 {
    contexts::with(|contexts| contexts.root(root).is_some_and(|root| root.on_configure())).unwrap_or(false).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    contexts::with(|contexts| contexts.root(root).map(|root| root.on_tick()));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(root: u32, _: u32) {
    contexts::with(|contexts| contexts.root(root).map(|root| root.on_queue_ready()));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(root: u32, token: u32, headers: usize, body: usize, _: usize) {
    contexts::with(|contexts| {
        let ended = contexts.root(root).is_some_and(|root| root.on_http_call_response(token, headers, body));
        if ended {
            report("end", host::done());
            contexts.remove(root);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> u32 {
    contexts::with(|contexts| contexts.done(context)).unwrap_or(true).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: usize, end: u32) -> Action {
    of_request(context, |stream| match stream {
        Some(Stream::Http(http)) => http.on_request_headers(),
        Some(Stream::Control(control)) => control.on_request_headers(end != 0),
        other => {
            misplaced(other, Role::Http);
            report("reset a request", host::reset_request());
            Action::Pause
        }
    })
}

/// Every body of every listener comes here once the module has this callback; only what is sent to a control listener, and what a
/// journal counts, is anybody's business.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end: u32) -> Action {
    if !worker::wants_bodies() {
        return Action::Continue;
    }
    of_request(context, |stream| match stream {
        Some(Stream::Control(control)) => control.on_request_body(size, end != 0),
        Some(Stream::Http(http)) => {
            http.on_request_body(size);
            Action::Continue
        }
        _ => Action::Continue,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _: usize) -> Action {
    of_request(context, |stream| match stream {
        Some(Stream::Http(http)) => http.on_request_trailers(),
        _ => Action::Continue,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _: usize, _: u32) -> Action {
    of_request(context, |stream| match stream {
        Some(Stream::Http(http)) => http.on_response_headers(),
        _ => Action::Continue,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_new_connection(context: u32) -> Action {
    of_connection(context, |stream| match stream {
        Some(Stream::Network(network)) => network.on_new_connection(),
        other => {
            misplaced(other, Role::Network);
            report("close a connection", host::close_connection());
            Action::Pause
        }
    })
}

/// Of a connection whose filter is not one of connections nothing comes here: it was closed.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_downstream_data(context: u32, size: usize, _: u32) -> Action {
    of_connection(context, |stream| match stream {
        Some(Stream::Network(network)) => network.on_downstream_data(size),
        _ => Action::Pause,
    })
}

fn of_request(context: u32, act: impl FnOnce(Option<&mut Stream>) -> Action) -> Action {
    contexts::with(|contexts| act(contexts.stream(context))).unwrap_or_else(|| {
        report("reset a request", host::reset_request());
        Action::Pause
    })
}

fn of_connection(context: u32, act: impl FnOnce(Option<&mut Stream>) -> Action) -> Action {
    contexts::with(|contexts| act(contexts.stream(context))).unwrap_or_else(|| {
        report("close a connection", host::close_connection());
        Action::Pause
    })
}

/// The configuration says that the filter is of another kind than the one that the proxy has put it into: that is counted, and
/// logged once. Which of both it is, only a stream's first callback tells.
#[cold]
fn misplaced(stream: Option<&mut Stream>, is: Role) {
    let Some(site) = stream.map(|stream| stream.site()) else {
        return host::log(Level::Error, "portcullis: the proxy speaks of a stream that it did not create");
    };
    let first = worker::with(|worker| {
        worker.gate.misplaced();
        let first = !worker.misplaced.contains(&site.root);
        // Once a root, however many streams come.
        worker.misplaced.extend(first.then_some(site.root));
        first
    });
    if first.unwrap_or(true) {
        let (says, streams) = (site.config.role.name(), if is == Role::Network { "connections" } else { "requests" });
        host::log(
            Level::Error,
            &filled(
                "portcullis: role: the configuration says \"{}\", but this is a filter of role \"{}\": all its {} are refused",
                &[says, is.name(), streams],
            ),
        );
    }
}
