//! A guest of ABI 0.1.0, for the calls that only that version has and for those of WASI: written as instructions, for each
//! plan.

use super::plan::{Call, Plan, REQUEST};
use crate::host::table::{HostFunction, Returns, TABLE};
use std::{collections::BTreeSet, fmt::Write};

/// Calls that change nothing.
pub const LOOKS: &[Call] = &[
    "proxy_get_configuration _ @",
    "pthread_equal 1 1",
    "pthread_equal 1 2",
    "emscripten_notify_memory_growth 0",
    "args_get _ _",
    "args_sizes_get @ @",
    "environ_get _ _",
    "environ_sizes_get @ @",
    "clock_res_get 0 @",
    "clock_res_get 1 @",
    "clock_res_get 2 @",
    "clock_res_get 4 @",
    "clock_time_get 0 0 _",
    "clock_time_get 1 0 _",
    "clock_time_get 2 0 _",
    "random_get _ 4",
    "random_get _ 65537",
    "proc_exit 1",
    "sched_yield",
    "poll_oneoff 0 0 0 _",
    "fd_write 1 vector 1 @",
    "fd_write 2 vector 1 @",
    "fd_write 3 vector 1 @",
    "fd_pwrite 1 vector 1 0 @",
    "fd_read 0 vector 1 @",
    "fd_pread 0 vector 1 0 @",
    "fd_seek 0 0 0 _",
    "fd_seek 1 0 0 _",
    "fd_seek 3 0 0 _",
    "fd_tell 0 @",
    "fd_tell 1 @",
    "fd_tell 3 @",
    "fd_close 0",
    "fd_close 1",
    "fd_close 3",
    "fd_fdstat_get 1 _",
    "fd_fdstat_get 3 _",
    "fd_fdstat_set_flags 0 0",
    "fd_fdstat_set_flags 1 0",
    "fd_fdstat_set_flags 3 0",
    "fd_fdstat_set_rights 0 0 0",
    "fd_fdstat_set_rights 1 0 0",
    "fd_fdstat_set_rights 3 0 0",
    "fd_filestat_get 0 _",
    "fd_filestat_get 1 _",
    "fd_filestat_get 3 _",
    "fd_filestat_set_size 0 0",
    "fd_filestat_set_size 1 0",
    "fd_filestat_set_size 3 0",
    "fd_filestat_set_times 0 0 0 0",
    "fd_filestat_set_times 1 0 0 0",
    "fd_filestat_set_times 3 0 0 0",
    "fd_prestat_get 3 _",
    "fd_prestat_dir_name 3 _ 4",
    "fd_readdir 0 _ 4 0 _",
    "fd_advise 0 0 0 0",
    "fd_advise 1 0 0 0",
    "fd_advise 3 0 0 0",
    "fd_allocate 0 0 0",
    "fd_allocate 1 0 0",
    "fd_allocate 3 0 0",
    "fd_datasync 0",
    "fd_datasync 1",
    "fd_datasync 3",
    "fd_sync 0",
    "fd_sync 1",
    "fd_sync 2",
    "fd_sync 3",
    "fd_renumber 0 1",
    "fd_renumber 1 1",
    "fd_renumber 1 3",
    "fd_renumber 2 1",
    "fd_renumber 3 1",
    "path_create_directory 3 0 0",
    "path_filestat_get 3 0 0 0 _",
    "path_filestat_set_times 3 0 0 0 0 0 0",
    "path_link 3 0 0 0 0 0",
    "path_open 3 0 0 0 0 0 0 0 _",
    "path_readlink 3 0 0 _ 4 _",
    "path_remove_directory 3 0 0",
    "path_rename 3 0 0 3 0 0",
    "path_symlink 0 0 3 0",
    "path_unlink_file 3 0 0",
    "sock_accept 0 0 _",
    "sock_recv 0 vector 1 0 _ _",
    "sock_send 0 vector 1 0 _",
    "sock_shutdown 0 0",
];

/// Calls that change a stream.
pub const ACTS: &[Call] = &["proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache"];

/// The callbacks of this guest: their parameters, and what they return.
const CALLBACKS: [(&str, usize, Option<u32>); 12] = [
    ("vm_start", 2, Some(1)),
    ("configure", 2, Some(1)),
    ("request_headers", 2, Some(0)),
    ("request_body", 3, Some(0)),
    ("request_trailers", 2, Some(0)),
    ("response_headers", 2, Some(0)),
    ("response_body", 3, Some(0)),
    ("response_trailers", 2, Some(0)),
    ("context_create", 2, None),
    ("log", 1, None),
    ("done", 1, Some(1)),
    ("delete", 1, None),
];

/// Where the first of the places for numbers is, where a vector of bytes is, and where the lines of the log begin.
const PLACES: usize = 1024;
const VECTOR: usize = 2048;
const LINES: usize = 8192;

const BEGIN: &str = r#"
    (memory (export "memory") 16)
    (data (i32.const 2048) "\08\08\00\00\02\00\00\00hi")
    (global $stream (mut i32) (i32.const -1))
    (global $current (mut i32) (i32.const 0))
    (global $seen (mut i32) (i32.const 0))
    (func (export "proxy_abi_version_0_1_0"))
    (func (export "malloc") (param i32) (result i32) i32.const 4096)
"#;

/// Instructions that write a number at a place, as eight digits.
pub const HEX: &str = r#"
    (func $hex (param $place i32) (param $value i32) (local $i i32) (local $digit i32)
        (loop $next
            (local.set $digit (i32.and (i32.const 15)
                (i32.shr_u (local.get $value) (i32.sub (i32.const 28) (i32.mul (local.get $i) (i32.const 4))))))
            (i32.store8 (i32.add (local.get $place) (local.get $i)) (i32.add (local.get $digit)
                (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 8)))))
"#;

/// The module for a plan, as text.
pub fn module(plan: &Plan) -> String {
    let calls: BTreeSet<Call> = plan
        .root
        .iter()
        .copied()
        .chain(plan.streams.iter().flat_map(|s| s.calls.iter().map(|(_, call)| *call)))
        .collect();
    let functions: BTreeSet<_> =
        calls.iter().filter_map(|call| Some(function(call)?.name)).chain(["proxy_log"]).collect();
    let mut text = String::from("(module");
    for function in TABLE.iter().filter(|function| functions.contains(function.name)) {
        let types: Vec<_> = function.parameters.iter().map(|name| ty(name)).collect();
        let result = if function.returns == Returns::Nothing { "" } else { "(result i32)" };
        let (module, name) = (function.modules[0], function.name);
        let _ = write!(text, "(import \"{module}\" \"{name}\" (func ${name} (param {}) {result}))", types.join(" "));
    }
    text = text + BEGIN + HEX;
    let mut lines = Lines { next: LINES, data: String::new() };
    for (number, (phase, parameters, result)) in CALLBACKS.into_iter().enumerate() {
        let root: String = plan
            .root
            .iter()
            .enumerate()
            .map(|(index, call)| lines.call(&format!("root {phase} {index} "), call))
            .collect();
        let mut stream = String::new();
        for (place, of) in plan.streams.iter().enumerate() {
            let calls = of.calls.iter().enumerate().filter(|(_, (at, _))| *at == phase || *at == "*");
            let calls: String =
                calls.map(|(index, (_, call))| lines.call(&format!("{place} {phase} {index} "), call)).collect();
            if !calls.is_empty() {
                let _ = writeln!(stream, "(if (i32.eq (global.get $stream) (i32.const {place})) (then {calls}))");
            }
        }
        let begins = match phase {
            // A stream is what has another context for its root.
            "context_create" => {
                "(if (local.get 1) (then (global.set $current (local.get 0)) (global.set $seen (i32.const 0))
                    (global.set $stream (i32.add (global.get $stream) (i32.const 1)))))"
            }
            _ => "",
        };
        let root = if matches!(phase, "vm_start" | "configure" | "done" | "delete") { root } else { String::new() };
        let (kind, value) = result.map_or(("", String::new()), |value| ("(result i32)", format!("i32.const {value}")));
        let _ = write!(
            text,
            "(func (export \"proxy_on_{phase}\") (param {}) {kind} (local $status i32) {begins}
            (if (i32.ne (local.get 0) (global.get $current)) (then {root}) (else
                (if (i32.eqz (i32.and (global.get $seen) (i32.const {bit}))) (then
                    (global.set $seen (i32.or (global.get $seen) (i32.const {bit})))
                    {stream}))))
            {value})",
            "i32 ".repeat(parameters),
            bit = 1 << number,
        );
    }
    text + &lines.data + ")"
}

/// The phases of requests in which this guest is called.
pub fn phases() -> impl Iterator<Item = &'static str> {
    REQUEST.iter().copied().filter(|phase| CALLBACKS.iter().any(|(other, ..)| other == phase))
}

fn function(call: &str) -> Option<&'static HostFunction> {
    let name = call.split(' ').next()?;
    TABLE.iter().find(|function| function.name == name)
}

fn ty(parameter: &str) -> &'static str {
    if parameter.starts_with("i64:") { "i64" } else { "i32" }
}

/// The lines of the log: each has its beginning and room for numbers.
struct Lines {
    next: usize,
    data: String,
}

impl Lines {
    /// The instructions of a call, and of the line that says what it answered.
    fn call(&mut self, begin: &str, call: &str) -> String {
        let Some(function) = function(call) else { return String::new() };
        let (mut arguments, mut numbers, mut text) = (String::new(), Vec::new(), String::new());
        for (number, (word, name)) in call.split(' ').skip(1).zip(function.parameters).enumerate() {
            let place = PLACES + 16 * number;
            let value = match word {
                "_" | "@" => place.to_string(),
                "vector" => VECTOR.to_string(),
                word => word.to_owned(),
            };
            if word == "@" {
                numbers.push(place);
                let _ = write!(text, "(i32.store (i32.const {place}) (i32.const -1))");
            }
            let _ = write!(arguments, "({}.const {value})", ty(name));
        }
        let returns = function.returns != Returns::Nothing;
        let (from, at) = (self.next, self.next + begin.len());
        let end = if returns { "        " } else { "void" };
        let _ = write!(self.data, "(data (i32.const {from}) \"{begin}{end}{}\")", "         ".repeat(numbers.len()));
        let length = begin.len() + end.len() + 9 * numbers.len();
        self.next += length;
        let called = format!("(call ${} {arguments})", function.name);
        if returns {
            let _ = write!(text, "(local.set $status {called}) (call $hex (i32.const {at}) (local.get $status))");
        } else {
            text += &called;
        }
        for (index, place) in numbers.iter().enumerate() {
            let at = at + end.len() + 1 + 9 * index;
            let _ = write!(text, "(call $hex (i32.const {at}) (i32.load (i32.const {place})))");
        }
        let _ = writeln!(text, "(drop (call $proxy_log (i32.const 2) (i32.const {from}) (i32.const {length})))");
        text
    }
}

/// A line of the log with its numbers as people write them; those that were not written are left out.
pub fn readable(line: &str) -> String {
    let word = |(index, word): (usize, &str)| match u32::from_str_radix(word, 16) {
        Ok(number) if index > 2 && word.len() == 8 => (number != u32::MAX).then(|| number.to_string()),
        _ => Some(word.to_owned()),
    };
    line.split(' ').enumerate().filter_map(word).collect::<Vec<_>>().join(" ")
}
