//! The one table of host functions. The linker, the trace, the faults and the document take their names from it.
//!
//! What is offered to which version of the ABI, with which parameters, was read from Envoy 1.40 by loading modules that
//! import each of them: it refuses a module that imports anything else, or with another type.

use super::abi::Status;
use super::{abi::AbiVersion, call::Call, calls, wasi};

/// A function that a module may import.
#[derive(Debug)]
pub struct HostFunction {
    /// The modules under which it is imported.
    pub modules: &'static [&'static str],
    /// Its name.
    pub name: &'static str,
    /// The names of its parameters; those that start with `i64:` have 64 bits, the others 32.
    pub parameters: &'static [&'static str],
    /// What it returns.
    pub returns: Returns,
    /// The versions of the ABI that have it.
    pub versions: &'static [AbiVersion],
    /// What it does here, in a few words.
    pub what: &'static str,
    pub(crate) run: Run,
}

impl HostFunction {
    /// Whether a module of this version may import it.
    pub fn is_in(&self, version: AbiVersion) -> bool {
        self.versions.contains(&version)
    }
}

/// What a host function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// A status of the ABI.
    Status,
    /// An error number of WASI.
    Errno,
    /// A number.
    Number,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    Proxy(fn(&mut Call<'_>) -> Result<(), Status>),
    Wasi(fn(&mut Call<'_>) -> Result<(), u32>),
    /// A WASI function that always fails so.
    Errno(u32),
    Number(fn(&mut Call<'_>) -> u32),
    Nothing,
}

const ALL: &[AbiVersion] = &AbiVersion::ALL;
const OLD: &[AbiVersion] = &[AbiVersion::V0_1_0];
const NEW: &[AbiVersion] = &[AbiVersion::V0_2_0, AbiVersion::V0_2_1];
const NEWEST: &[AbiVersion] = &[AbiVersion::V0_2_1];

const ENV: &[&str] = &["env"];
const WASI: &[&str] = &["wasi_snapshot_preview1", "wasi_unstable"];

const fn proxy(
    name: &'static str,
    parameters: &'static [&'static str],
    versions: &'static [AbiVersion],
    run: fn(&mut Call<'_>) -> Result<(), Status>,
    what: &'static str,
) -> HostFunction {
    HostFunction { modules: ENV, name, parameters, returns: Returns::Status, versions, what, run: Run::Proxy(run) }
}

const fn wasi(name: &'static str, parameters: &'static [&'static str], run: Run, what: &'static str) -> HostFunction {
    HostFunction { modules: WASI, name, parameters, returns: Returns::Errno, versions: ALL, what, run }
}

const NOTHING: Run = Run::Wasi(|_| Ok(()));
/// What standard output and error take, and do not do.
const OF_OUTPUT: Run = Run::Wasi(wasi::of_output);
const NO_SUCH_CALL: Run = Run::Errno(wasi::NOSYS);
const UNSUPPORTED: Run = Run::Errno(wasi::NOTSUP);

/// Every function that a module may import.
pub static TABLE: &[HostFunction] = &[
    proxy("proxy_log", &["level", "message", "size"], ALL, calls::log, "writes a line to the log"),
    proxy("proxy_get_log_level", &["out_level"], NEWEST, calls::get_log_level, "the level of the log"),
    proxy("proxy_get_current_time_nanoseconds", &["out_time"], ALL, calls::get_current_time, "the time of day"),
    proxy(
        "proxy_set_tick_period_milliseconds",
        &["milliseconds"],
        ALL,
        calls::set_tick_period,
        "has the root called so often; 0 for never",
    ),
    proxy("proxy_get_configuration", &["out_data", "out_size"], OLD, calls::get_configuration, "the configuration"),
    proxy("proxy_get_status", &["out_code", "out_data", "out_size"], ALL, calls::get_status, "why a callout failed"),
    proxy("proxy_set_effective_context", &["context"], ALL, calls::set_effective_context, "acts on another context"),
    proxy("proxy_done", &[], ALL, calls::done, "ends a root that asked for more time"),
    proxy(
        "proxy_call_foreign_function",
        &["name", "name_size", "argument", "argument_size", "out_data", "out_size"],
        ALL,
        calls::foreign::call,
        "calls a function of the proxy: `clear_route_cache`, `declare_property`, `set_envoy_filter_state`",
    ),
    proxy(
        "proxy_get_property",
        &["path", "size", "out_data", "out_size"],
        ALL,
        calls::get_property,
        "reads a property",
    ),
    proxy(
        "proxy_set_property",
        &["path", "size", "value", "value_size"],
        ALL,
        calls::set_property,
        "sets filter state",
    ),
    proxy("proxy_continue_stream", &["stream"], NEW, calls::streams::continue_stream, "lets a stream go on"),
    proxy("proxy_close_stream", &["stream"], NEW, calls::streams::close_stream, "closes or resets a stream"),
    proxy("proxy_continue_request", &[], OLD, calls::streams::continue_request, "lets a request go on"),
    proxy("proxy_continue_response", &[], OLD, calls::streams::continue_response, "lets a response go on"),
    proxy("proxy_clear_route_cache", &[], OLD, calls::streams::clear_route_cache, "has the route chosen again"),
    proxy(
        "proxy_send_local_response",
        &["status", "details", "details_size", "body", "body_size", "headers", "headers_size", "grpc_status"],
        ALL,
        calls::streams::send_local_response,
        "answers in the place of the upstream",
    ),
    proxy(
        "proxy_get_shared_data",
        &["key", "size", "out_data", "out_size", "out_cas"],
        ALL,
        calls::shared::get_data,
        "reads what VMs share",
    ),
    proxy(
        "proxy_set_shared_data",
        &["key", "size", "value", "value_size", "cas"],
        ALL,
        calls::shared::set_data,
        "writes what VMs share",
    ),
    proxy(
        "proxy_register_shared_queue",
        &["name", "size", "out_token"],
        ALL,
        calls::shared::register_queue,
        "makes a queue, or takes it over",
    ),
    proxy(
        "proxy_resolve_shared_queue",
        &["vm_id", "vm_id_size", "name", "name_size", "out_token"],
        ALL,
        calls::shared::resolve_queue,
        "finds a queue",
    ),
    proxy(
        "proxy_enqueue_shared_queue",
        &["token", "data", "size"],
        ALL,
        calls::shared::enqueue,
        "adds a message and wakes the owner",
    ),
    proxy(
        "proxy_dequeue_shared_queue",
        &["token", "out_data", "out_size"],
        ALL,
        calls::shared::dequeue,
        "takes a message",
    ),
    proxy(
        "proxy_define_metric",
        &["kind", "name", "size", "out_id"],
        ALL,
        calls::shared::define_metric,
        "defines a metric",
    ),
    proxy(
        "proxy_increment_metric",
        &["id", "i64:offset"],
        ALL,
        calls::shared::increment_metric,
        "adds to a counter or gauge",
    ),
    proxy(
        "proxy_record_metric",
        &["id", "i64:value"],
        ALL,
        calls::shared::record_metric,
        "sets a gauge, records a value",
    ),
    proxy("proxy_get_metric", &["id", "out_value"], ALL, calls::shared::get_metric, "reads a counter or gauge"),
    proxy(
        "proxy_get_header_map_pairs",
        &["map", "out_data", "out_size"],
        ALL,
        calls::headers::pairs,
        "reads all headers",
    ),
    proxy(
        "proxy_set_header_map_pairs",
        &["map", "data", "size"],
        ALL,
        calls::headers::set_pairs,
        "replaces all headers",
    ),
    proxy(
        "proxy_get_header_map_value",
        &["map", "name", "size", "out_data", "out_size"],
        ALL,
        calls::headers::value,
        "reads the first header of a name",
    ),
    proxy(
        "proxy_add_header_map_value",
        &["map", "name", "size", "value", "value_size"],
        ALL,
        calls::headers::add,
        "adds a header",
    ),
    proxy(
        "proxy_replace_header_map_value",
        &["map", "name", "size", "value", "value_size"],
        ALL,
        calls::headers::replace,
        "puts a header in the place of all of its name",
    ),
    proxy(
        "proxy_remove_header_map_value",
        &["map", "name", "size"],
        ALL,
        calls::headers::remove,
        "removes all headers of a name",
    ),
    proxy(
        "proxy_get_header_map_size",
        &["map", "out_size"],
        ALL,
        calls::headers::size,
        "the bytes of all names and values",
    ),
    proxy(
        "proxy_get_buffer_bytes",
        &["buffer", "start", "length", "out_data", "out_size"],
        ALL,
        calls::buffers::bytes,
        "reads a part of a buffer",
    ),
    proxy(
        "proxy_get_buffer_status",
        &["buffer", "out_length", "out_flags"],
        ALL,
        calls::buffers::status,
        "the length of a buffer",
    ),
    proxy(
        "proxy_set_buffer_bytes",
        &["buffer", "start", "length", "data", "size"],
        ALL,
        calls::buffers::set,
        "changes a buffer",
    ),
    proxy(
        "proxy_http_call",
        &[
            "cluster",
            "cluster_size",
            "headers",
            "headers_size",
            "body",
            "body_size",
            "trailers",
            "trailers_size",
            "milliseconds",
            "out_token",
        ],
        ALL,
        calls::callouts::http_call,
        "sends a request to a cluster",
    ),
    proxy(
        "proxy_grpc_call",
        &[
            "service",
            "service_size",
            "name",
            "name_size",
            "method",
            "method_size",
            "metadata",
            "metadata_size",
            "message",
            "message_size",
            "milliseconds",
            "out_token",
        ],
        ALL,
        calls::grpc::call,
        "makes a gRPC call",
    ),
    proxy(
        "proxy_grpc_stream",
        &[
            "service",
            "service_size",
            "name",
            "name_size",
            "method",
            "method_size",
            "metadata",
            "metadata_size",
            "out_token",
        ],
        ALL,
        calls::grpc::stream,
        "opens a gRPC stream",
    ),
    proxy(
        "proxy_grpc_send",
        &["token", "message", "size", "end_of_stream"],
        ALL,
        calls::grpc::send_message,
        "sends on a gRPC stream",
    ),
    proxy("proxy_grpc_cancel", &["token"], ALL, calls::grpc::cancel, "ends a gRPC call or stream without an answer"),
    proxy(
        "proxy_grpc_close",
        &["token"],
        ALL,
        calls::grpc::close,
        "sends no more on a gRPC stream; cancels a gRPC call",
    ),
    HostFunction {
        modules: ENV,
        name: "emscripten_notify_memory_growth",
        parameters: &["index"],
        returns: Returns::Nothing,
        versions: ALL,
        what: "nothing",
        run: Run::Nothing,
    },
    HostFunction {
        modules: ENV,
        name: "pthread_equal",
        parameters: &["left", "right"],
        returns: Returns::Number,
        versions: ALL,
        what: "whether two numbers are equal",
        run: Run::Number(|call| u32::from(call.arg(0) == call.arg(1))),
    },
    HostFunction {
        modules: WASI,
        name: "proc_exit",
        parameters: &["code"],
        returns: Returns::Nothing,
        versions: ALL,
        what: "nothing, as in Envoy: the module goes on",
        run: Run::Nothing,
    },
    wasi("args_get", &["argv", "buffer"], NOTHING, "there are none"),
    wasi("args_sizes_get", &["out_count", "out_size"], Run::Wasi(wasi::args_sizes), "there are none"),
    wasi("environ_get", &["out_array", "out_buffer"], Run::Wasi(wasi::environ), "the environment of the VM"),
    wasi("environ_sizes_get", &["out_count", "out_size"], Run::Wasi(wasi::environ_sizes), "the environment of the VM"),
    wasi("clock_res_get", &["clock", "out_resolution"], Run::Wasi(wasi::clock_resolution), "always 1"),
    wasi(
        "clock_time_get",
        &["clock", "i64:precision", "out_time"],
        Run::Wasi(wasi::clock_time),
        "0: time of day, 1: a clock that only goes forward, past 0 from the start",
    ),
    wasi("fd_advise", &["fd", "i64:offset", "i64:length", "advice"], NOTHING, ""),
    wasi("fd_allocate", &["fd", "i64:offset", "i64:length"], OF_OUTPUT, ""),
    wasi("fd_close", &["fd"], NOTHING, ""),
    wasi("fd_datasync", &["fd"], OF_OUTPUT, ""),
    wasi("fd_fdstat_get", &["fd", "out_stat"], Run::Wasi(wasi::fdstat), "standard output and error can be written to"),
    wasi("fd_fdstat_set_flags", &["fd", "flags"], NO_SUCH_CALL, ""),
    wasi("fd_fdstat_set_rights", &["fd", "i64:base", "i64:inheriting"], OF_OUTPUT, ""),
    wasi("fd_filestat_get", &["fd", "out_stat"], Run::Errno(wasi::BADF), ""),
    wasi("fd_filestat_set_size", &["fd", "i64:size"], OF_OUTPUT, ""),
    wasi("fd_filestat_set_times", &["fd", "i64:accessed", "i64:modified", "flags"], OF_OUTPUT, ""),
    wasi("fd_pread", &["fd", "vectors", "count", "i64:offset", "out_read"], NO_SUCH_CALL, ""),
    wasi("fd_prestat_get", &["fd", "out_prestat"], Run::Errno(wasi::BADF), "there are no directories"),
    wasi("fd_prestat_dir_name", &["fd", "path", "size"], NO_SUCH_CALL, ""),
    wasi(
        "fd_pwrite",
        &["fd", "vectors", "count", "i64:offset", "out_written"],
        Run::Wasi(wasi::fd_pwrite),
        "writes a line to the log",
    ),
    wasi("fd_read", &["fd", "vectors", "count", "out_read"], NO_SUCH_CALL, ""),
    wasi("fd_readdir", &["fd", "buffer", "size", "i64:cookie", "out_used"], Run::Errno(wasi::EXIST), ""),
    wasi("fd_renumber", &["from", "to"], Run::Wasi(wasi::fd_renumber), ""),
    wasi("fd_seek", &["fd", "i64:offset", "whence", "out_offset"], NOTHING, ""),
    wasi("fd_sync", &["fd"], OF_OUTPUT, ""),
    wasi("fd_tell", &["fd", "out_offset"], Run::Wasi(wasi::fd_tell), "always 0"),
    wasi(
        "fd_write",
        &["fd", "vectors", "count", "out_written"],
        Run::Wasi(wasi::fd_write),
        "1: an info line in the log, 2: an error line",
    ),
    wasi("path_create_directory", &["fd", "path", "size"], UNSUPPORTED, ""),
    wasi("path_filestat_get", &["fd", "flags", "path", "size", "out_stat"], UNSUPPORTED, ""),
    wasi(
        "path_filestat_set_times",
        &["fd", "flags", "path", "size", "i64:accessed", "i64:modified", "times"],
        UNSUPPORTED,
        "",
    ),
    wasi(
        "path_link",
        &["fd", "flags", "path", "size", "to", "to_size"],
        UNSUPPORTED,
        "takes six arguments, one less than WASI's",
    ),
    wasi(
        "path_open",
        &["fd", "flags", "path", "size", "open", "i64:base", "i64:inheriting", "fd_flags", "out_fd"],
        Run::Errno(wasi::NOENT),
        "there are no files",
    ),
    wasi("path_readlink", &["fd", "path", "size", "buffer", "buffer_size", "out_used"], UNSUPPORTED, ""),
    wasi("path_remove_directory", &["fd", "path", "size"], UNSUPPORTED, ""),
    wasi("path_rename", &["fd", "path", "size", "to_fd", "to", "to_size"], UNSUPPORTED, ""),
    wasi("path_symlink", &["path", "size", "fd", "to"], UNSUPPORTED, "takes four arguments, one less than WASI's"),
    wasi("path_unlink_file", &["fd", "path", "size"], UNSUPPORTED, ""),
    wasi("poll_oneoff", &["subscriptions", "events", "count", "out_count"], NOTHING, "waits for nothing"),
    wasi("random_get", &["buffer", "size"], Run::Wasi(wasi::random), "bytes from the seed, at most 65,536"),
    wasi("sched_yield", &[], NOTHING, ""),
    wasi("sock_accept", &["fd", "flags", "out_fd"], UNSUPPORTED, ""),
    wasi("sock_recv", &["fd", "vectors", "count", "flags", "out_size", "out_flags"], UNSUPPORTED, ""),
    wasi("sock_send", &["fd", "vectors", "count", "flags", "out_size"], UNSUPPORTED, ""),
    wasi("sock_shutdown", &["fd", "how"], UNSUPPORTED, ""),
];

#[cfg(test)]
mod tests;
