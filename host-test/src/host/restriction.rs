//! The moments at which a module may make only some host calls: any other is a trap. Which those are was found by having
//! a real Envoy 1.40 load modules that make each call at each of the moments.

use super::table::HostFunction;

/// Such a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restriction {
    /// While the start functions run, before the first callback.
    Start,
    /// While the host has the module's allocator make room.
    Allocator,
}

/// The functions of WASI that must wait for the first callback.
const NOT_AT_START: [&str; 6] = ["proc_exit", "fd_close", "fd_read", "fd_seek", "path_open", "sched_yield"];

impl Restriction {
    /// Whether this call can be made.
    pub(crate) fn allows(self, function: &HostFunction) -> bool {
        let name = function.name;
        match self {
            Restriction::Start => {
                let of_wasi = !function.modules.contains(&"env");
                (of_wasi && !NOT_AT_START.contains(&name))
                    || matches!(name, "proxy_log" | "emscripten_notify_memory_growth")
            }
            // Envoy does not look when it is about waiting, the time or output.
            Restriction::Allocator => matches!(name, "proxy_log" | "poll_oneoff" | "clock_time_get" | "fd_write"),
        }
    }
}
