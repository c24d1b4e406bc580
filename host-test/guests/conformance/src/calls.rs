//! Host calls by name, with arguments made of a program's.

#![allow(unsafe_code, reason = "host calls are C functions")]

use crate::program::{Argument, Call};
use std::fmt::Write;

macro_rules! calls {
    ($($name:ident($($ty:ident),*);)*) => {
        #[link(wasm_import_module = "env")]
        unsafe extern "C" {
            $(fn $name($(_: $ty),*) -> u32;)*
        }

        /// Makes the call; `None` when there is none of this name. Missing arguments are 0.
        fn by_name(name: &str, arguments: &[u64]) -> Option<u32> {
            let mut arguments = arguments.iter().copied();
            match name {
                // SAFETY: the host checks each pointer, and writes only to the places that it was given.
                $(stringify!($name) => Some(unsafe { $name($(next::<$ty>(&mut arguments)),*) }),)*
                _ => None,
            }
        }
    };
}

calls! {
    proxy_log(u32, u32, u32);
    proxy_get_log_level(u32);
    proxy_get_current_time_nanoseconds(u32);
    proxy_set_tick_period_milliseconds(u32);
    proxy_get_status(u32, u32, u32);
    proxy_set_effective_context(u32);
    proxy_done();
    proxy_call_foreign_function(u32, u32, u32, u32, u32, u32);
    proxy_get_property(u32, u32, u32, u32);
    proxy_set_property(u32, u32, u32, u32);
    proxy_continue_stream(u32);
    proxy_close_stream(u32);
    proxy_send_local_response(u32, u32, u32, u32, u32, u32, u32, u32);
    proxy_get_shared_data(u32, u32, u32, u32, u32);
    proxy_set_shared_data(u32, u32, u32, u32, u32);
    proxy_register_shared_queue(u32, u32, u32);
    proxy_resolve_shared_queue(u32, u32, u32, u32, u32);
    proxy_enqueue_shared_queue(u32, u32, u32);
    proxy_dequeue_shared_queue(u32, u32, u32);
    proxy_define_metric(u32, u32, u32, u32);
    proxy_increment_metric(u32, u64);
    proxy_record_metric(u32, u64);
    proxy_get_metric(u32, u32);
    proxy_get_header_map_pairs(u32, u32, u32);
    proxy_set_header_map_pairs(u32, u32, u32);
    proxy_get_header_map_value(u32, u32, u32, u32, u32);
    proxy_add_header_map_value(u32, u32, u32, u32, u32);
    proxy_replace_header_map_value(u32, u32, u32, u32, u32);
    proxy_remove_header_map_value(u32, u32, u32);
    proxy_get_header_map_size(u32, u32);
    proxy_get_buffer_bytes(u32, u32, u32, u32, u32);
    proxy_get_buffer_status(u32, u32, u32);
    proxy_set_buffer_bytes(u32, u32, u32, u32, u32);
    proxy_http_call(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
    proxy_grpc_call(u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
    proxy_grpc_stream(u32, u32, u32, u32, u32, u32, u32, u32, u32);
    proxy_grpc_send(u32, u32, u32, u32);
    proxy_grpc_cancel(u32);
    proxy_grpc_close(u32);
}

trait Number {
    fn of(number: u64) -> Self;
}

impl Number for u32 {
    fn of(number: u64) -> u32 {
        (number & u64::from(u32::MAX)).try_into().unwrap_or(0)
    }
}

impl Number for u64 {
    fn of(number: u64) -> u64 {
        number
    }
}

fn next<N: Number>(arguments: &mut impl Iterator<Item = u64>) -> N {
    N::of(arguments.next().unwrap_or(0))
}

/// What a place for a number or a pointer holds before the call.
const UNTOUCHED: u64 = 0xdead_beef_dead_beef;

/// Makes the call on behalf of this context, and shows its status and what it gave.
pub(crate) fn make(call: &Call, context: u32) -> String {
    let mut places = [UNTOUCHED; 12];
    let mut arguments = Vec::new();
    for (argument, place) in call.arguments.iter().zip(places.iter_mut()) {
        let place = address(std::ptr::from_mut(place));
        match argument {
            Argument::Number(number) => arguments.push(*number),
            Argument::Bytes(bytes) => arguments.extend([address(bytes.as_ptr()), bytes.len() as u64]),
            Argument::OutNumber { .. } => arguments.push(place),
            // The pointer in the first four bytes, the size in the others.
            Argument::OutBytes { .. } => arguments.extend([place, place + 4]),
        }
    }
    let Some(status) = by_name(&call.name, &arguments) else { return "no such call".to_owned() };
    let mut shown = status.to_string();
    for (argument, place) in call.arguments.iter().zip(places) {
        let written = place != UNTOUCHED;
        match argument {
            Argument::OutNumber { shown: true } if written => {
                let _ = write!(shown, " {}", u32::of(place));
            }
            Argument::OutBytes { shown: all } if written => {
                let bytes = taken(place);
                let some = if bytes.is_empty() { "nothing" } else { "something" };
                let _ = if *all { write!(shown, " \"{}\"", bytes.escape_ascii()) } else { write!(shown, " {some}") };
            }
            _ => {}
        }
    }
    // What follows is about this context again.
    by_name("proxy_set_effective_context", &[u64::from(context)]);
    shown
}

pub(crate) fn resume_request() {
    by_name("proxy_continue_stream", &[0]);
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.addr() as u64
}

/// The bytes that the host handed over in memory that it had allocated, by the place's pointer and size.
fn taken(place: u64) -> Vec<u8> {
    let (pointer, size) = (u32::of(place) as usize, u32::of(place >> 32) as usize);
    if pointer == 0 || size == 0 {
        return Vec::new();
    }
    // SAFETY: the SDK's allocator made a vector of this capacity, whose only owner is whom the host gave it to.
    unsafe { Vec::from_raw_parts(std::ptr::with_exposed_provenance_mut(pointer), size, size) }
}
