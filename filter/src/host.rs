//! The proxy's host calls, with bytes and statuses as they are.
//!
//! The Rust SDK's panic on statuses they do not foresee and on bytes that are not UTF-8, and a panic takes the worker's VM
//! down with every stream that waits in it. These return an error instead. Names and numbers are those of
//! the proxy-wasm ABI 0.2.1 (<https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>).
#![allow(unsafe_code)]

mod abi;

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use evaluator::decimal;
use gate::{Conflict, Moment, Store, Version};

/// A host call did not succeed: its status, as the ABI numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u32);

impl Status {
    /// Whether there is no such thing.
    pub(crate) const fn is_not_found(self) -> bool {
        self.0 == 1
    }

    /// What the proxy says of an argument that makes no sense: of the number of a context, that it is gone.
    const fn is_bad_argument(self) -> bool {
        self.0 == 2
    }
}

impl Status {
    /// How logs show it.
    #[cold]
    pub(crate) fn text(self) -> String {
        ["host status ", &decimal(self.0.into())].concat()
    }
}

/// The stream type of requests in the ABI.
const HTTP_REQUEST: u32 = 0;

/// The stream type of responses in the ABI.
const HTTP_RESPONSE: u32 = 1;

/// The stream type of connections from clients in the ABI.
const DOWNSTREAM: u32 = 2;

/// Log levels of the ABI.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// What a callback has the proxy do with the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Action {
    Continue = 0,
    Pause = 1,
}

/// Header maps of the ABI.
#[derive(Clone, Copy)]
pub(crate) enum Headers {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
    CalloutResponse = 6,
}

/// Buffers of the ABI.
#[derive(Clone, Copy)]
pub(crate) enum Buffer {
    RequestBody = 0,
    CalloutResponseBody = 4,
    PluginConfiguration = 7,
}

/// Kinds of metrics of the ABI.
#[derive(Clone, Copy)]
pub(crate) enum MetricKind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

/// Writes a line to the proxy's log.
pub(crate) fn log(level: Level, line: &str) {
    // SAFETY: the pointer and length are of one live string.
    let _ = unsafe { abi::proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// The current time; `None` when the proxy does not tell.
pub(crate) fn now() -> Option<Moment> {
    let mut nanoseconds = 0u64;
    // SAFETY: the pointer is to a live u64.
    check(unsafe { abi::proxy_get_current_time_nanoseconds(&mut nanoseconds) }).ok()?;
    Some(Moment::from_millis(nanoseconds.checked_div(1_000_000)?))
}

/// The value of a property. The path's parts are separated by NUL.
pub(crate) fn property(path: &[u8]) -> Result<Vec<u8>, Status> {
    // SAFETY: the path is one live slice; `received` hands over valid places for the answer.
    received(|data, size| unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// What `read` makes of a property that is short, such as an address: no memory is allocated for it. A longer one is read all the
/// same.
pub(crate) fn short_property<R>(path: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<R, Status> {
    let (mut data, mut size) = (core::ptr::null_mut(), 0);
    SHORT.is_offered.set(true);
    // SAFETY: the path is one live slice, and the places for the answer are live.
    let status = unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    SHORT.is_offered.set(false);
    check(status)?;
    if data == SHORT.bytes.get().cast() {
        // SAFETY: the host has filled these bytes and keeps no pointer, and nobody is given them again before they are read:
        // they are offered for the time of one host call alone.
        return Ok(read(unsafe { core::slice::from_raw_parts(data, size.min(ROOM)) }));
    }
    Ok(read(&taken(data, size)))
}

/// Sets a property of the current context: filter state under the key `wasm.` and the name.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: both pointers and lengths are of live slices.
    check(unsafe { abi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// The value of a header; several of one name come joined by commas.
pub(crate) fn header(map: Headers, name: &str) -> Option<Vec<u8>> {
    // SAFETY: the name is one live slice; `received` hands over valid places for the answer.
    let get =
        |data, size| unsafe { abi::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size) };
    received(get).ok()
}

/// Sets a header in the place of all of its name.
pub(crate) fn set_header(map: Headers, name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: all pointers and lengths are of live slices.
    check(unsafe {
        abi::proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes every header of this name.
pub(crate) fn remove_header(map: Headers, name: &str) -> Result<(), Status> {
    // SAFETY: the pointer and length are of one live slice.
    check(unsafe { abi::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// The first `most` bytes of a buffer.
pub(crate) fn buffer(which: Buffer, most: usize) -> Result<Vec<u8>, Status> {
    // SAFETY: `received` hands over valid places for the answer.
    received(|data, size| unsafe { abi::proxy_get_buffer_bytes(which as u32, 0, most, data, size) })
}

/// Makes the following host calls of this callback act on another context; `false` when it is gone.
pub(crate) fn act_on(context: u32) -> Result<bool, Status> {
    // SAFETY: no pointers.
    match check(unsafe { abi::proxy_set_effective_context(context) }) {
        Err(status) if status.is_bad_argument() => Ok(false),
        answer => answer.map(|()| true),
    }
}

/// Lets the current context's paused request go on.
pub(crate) fn resume_request() -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_continue_stream(HTTP_REQUEST) })
}

/// Lets the response to the current context's request go on.
pub(crate) fn resume_response() -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_continue_stream(HTTP_RESPONSE) })
}

/// Resets the stream of the current context's request.
pub(crate) fn reset_request() -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_close_stream(HTTP_REQUEST) })
}

/// Lets the current context's paused connection go on.
pub(crate) fn resume_connection() -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_continue_stream(DOWNSTREAM) })
}

/// Closes the client's side of the current context's connection, and so all of it.
pub(crate) fn close_connection() -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_close_stream(DOWNSTREAM) })
}

/// Answers the current context's request in the place of the upstream.
pub(crate) fn reply(
    status: u16,
    details: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    grpc_status: Option<i32>,
) -> Result<(), Status> {
    let headers = pairs(headers);
    // SAFETY: all pointers and lengths are of live slices.
    check(unsafe {
        abi::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.unwrap_or(-1),
        )
    })
}

/// Sends a request to a cluster of the proxy. Returns the token that its answer will bear.
pub(crate) fn send(cluster: &str, headers: &[(&str, &str)], body: &[u8], milliseconds: u32) -> Result<u32, Status> {
    let (headers, mut token) = (pairs(headers), 0);
    // SAFETY: all pointers and lengths are of live slices, and the last is to a live u32.
    check(unsafe {
        abi::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            [].as_ptr(),
            0,
            milliseconds,
            &mut token,
        )
    })?;
    Ok(token)
}

/// Makes the proxy call `on_tick` this often.
pub(crate) fn tick_every(milliseconds: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Registers a queue, or takes over the one of this name: its messages wake the current root context.
pub(crate) fn register_queue(name: &str) -> Result<u32, Status> {
    let mut queue = 0;
    // SAFETY: the name is one live slice and the other pointer is to a live u32.
    check(unsafe { abi::proxy_register_shared_queue(name.as_ptr(), name.len(), &mut queue) })?;
    Ok(queue)
}

/// Puts a message into a queue.
pub(crate) fn put_into_queue(queue: u32, message: &[u8]) -> Result<(), Status> {
    // SAFETY: the pointer and length are of one live slice.
    check(unsafe { abi::proxy_enqueue_shared_queue(queue, message.as_ptr(), message.len()) })
}

/// Takes one message from a queue; an error when it is empty.
pub(crate) fn take_from_queue(queue: u32) -> Result<Vec<u8>, Status> {
    // SAFETY: `received` hands over valid places for the answer.
    received(|data, size| unsafe { abi::proxy_dequeue_shared_queue(queue, data, size) })
}

/// The values that all VMs of this id share, in the proxy's memory.
pub(crate) struct SharedData;

impl Store for SharedData {
    fn read(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        let mut version = 0;
        // SAFETY: the key is one live slice, the version's pointer is to a live u32, and `received` hands over valid
        // places for the answer.
        let value = received(|data, size| unsafe {
            abi::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut version)
        });
        Some((value.ok()?, Version(version)))
    }

    fn write(&self, key: &str, value: &[u8], version: Option<Version>) -> Result<(), Conflict> {
        // The proxy writes a new key whatever the version, an existing one only if it has this version; and zero would
        // mean any.
        const NEW: Version = Version(u32::MAX);
        let Version(version) = version.unwrap_or(NEW);
        // SAFETY: both pointers and lengths are of live slices.
        check(unsafe { abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) })
            .map_err(|_| Conflict)
    }
}

/// Defines a metric of the proxy.
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Result<u32, Status> {
    let mut metric = 0;
    // SAFETY: the name is one live slice and the other pointer is to a live u32.
    check(unsafe { abi::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut metric) })?;
    Ok(metric)
}

/// Adds to a counter or a gauge of the proxy; to a gauge also what is less than nothing.
pub(crate) fn add_to_metric(metric: u32, more: i64) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_increment_metric(metric, more) })
}

/// Sets a gauge of the proxy, or gives a histogram one more value.
pub(crate) fn record_metric(metric: u32, value: u64) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_record_metric(metric, value) })
}

/// Calls one of the proxy's own functions.
pub(crate) fn call_foreign(name: &str, argument: &[u8]) -> Result<Vec<u8>, Status> {
    // SAFETY: both pointers and lengths are of live slices; `received` hands over valid places for the answer.
    received(|data, size| unsafe {
        abi::proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), data, size)
    })
}

/// Tells the proxy that the current root context, which asked for more time, is done.
pub(crate) fn done() -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { abi::proxy_done() })
}

fn check(status: u32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// Receives bytes that the host put into memory from the module's own allocator.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (core::ptr::null_mut(), 0);
    check(call(&mut data, &mut size))?;
    Ok(taken(data, size))
}

/// Takes over what the host put into memory from the module's own allocator.
fn taken(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the host allocated exactly `size` bytes by `proxy_on_memory_allocate`, whose allocator is Vec's, filled
    // them, and keeps no pointer.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// As long as an address gets, with a port and the name of an interface.
const ROOM: usize = 64;

/// Room for an answer that is read before anything else is asked for. Memory from the allocator costs a warm request an eighth of
/// what it runs in the module.
struct Short {
    bytes: UnsafeCell<[MaybeUninit<u8>; ROOM]>,
    is_offered: Cell<bool>,
}

// SAFETY: a VM of the proxy has one thread, and so has every module that is built for it without the feature `atomics`.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for Short {}

static SHORT: Short = Short { bytes: UnsafeCell::new([MaybeUninit::uninit(); ROOM]), is_offered: Cell::new(false) };

/// The room for a short answer, where the host call under way offers it and so many bytes fit.
pub(crate) fn short_room(size: usize) -> Option<*mut MaybeUninit<u8>> {
    (size <= ROOM && SHORT.is_offered.replace(false)).then(|| SHORT.bytes.get().cast())
}

/// Writes headers in the ABI's form: their number, each one's lengths, then names and values, each ended by NUL.
fn pairs(headers: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    // At once: a warm refusal writes them too.
    let room = headers.iter().map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(10));
    let mut bytes = Vec::with_capacity(room.fold(4, usize::saturating_add));
    bytes.extend_from_slice(&u32::try_from(headers.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (name, value) in headers {
        bytes.extend_from_slice(&length(name));
        bytes.extend_from_slice(&length(value));
    }
    for (name, value) in headers {
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}
