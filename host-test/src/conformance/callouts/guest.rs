//! The guest of a case: every callback, of which those of gRPC log what came.

use super::cases::{Case, METHODS};

/// Every callback, with its parameters, what it does in all cases, and what it returns.
const CALLBACKS: [(&str, usize, &str, Option<u32>); 12] = [
    ("context_create", 2, "", None),
    ("vm_start", 2, "", Some(1)),
    ("configure", 2, "", Some(1)),
    ("request_headers", 3, "", Some(1)),
    ("http_call_response", 5, "", None),
    ("grpc_receive_initial_metadata", 3, "(call $show_value (i32.const 4))", None),
    ("grpc_receive", 3, "(call $show_message)", None),
    ("grpc_receive_trailing_metadata", 3, "(call $show_value (i32.const 5))", None),
    ("grpc_close", 3, "(call $show_status)", None),
    ("done", 1, "", Some(1)),
    ("log", 1, "", None),
    ("delete", 1, "", None),
];

const BEGIN: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $act_on (param i32) (result i32)))
    (import "env" "proxy_get_status" (func $status (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_call"
        (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_stream" (func $grpc_stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_send" (func $grpc_send (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_cancel" (func $grpc_cancel (param i32) (result i32)))
    (import "env" "proxy_grpc_close" (func $grpc_close (param i32) (result i32)))
    (import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_initialize"))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
    (data (i32.const 100) "\0a\06\0a\04grpc") (data (i32.const 110) "\0a\06\0a\04none") (data (i32.const 120) "s")
    (data (i32.const 180) "\0a\06\0a\04bare")
    (data (i32.const 130) "x-a") (data (i32.const 140) "ping")
    (data (i32.const 600) "\01\00\00\00\03\00\00\00\01\00\00\00x-m\001\00")
    (data (i32.const 160) "none") (data (i32.const 170) "http") (data (i32.const 174) "mute")
    (data (i32.const 400) "\03\00\00\00\05\00\00\00\01\00\00\00\07\00\00\00\03\00\00\00\0a\00\00\00\01\00\00\00:path\00/\00:method\00GET\00:authority\00a\00")
    (func $ask (param $cluster i32) (param $milliseconds i32)
        (drop (call $http_call (local.get $cluster) (i32.const 4) (i32.const 400) (i32.const 61) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (local.get $milliseconds) (i32.const 8))))
    (func $call_of (param $service i32) (param $method i32) (param $milliseconds i32)
        (drop (call $grpc_call (local.get $service) (i32.const 8) (i32.const 120) (i32.const 1)
            (local.get $method) (i32.const 4) (i32.const 600) (i32.const 18) (i32.const 140) (i32.const 4)
            (local.get $milliseconds) (i32.const 8))))
    (func $stream_of (param $service i32) (param $method i32)
        (drop (call $grpc_stream (local.get $service) (i32.const 8) (i32.const 120) (i32.const 1)
            (local.get $method) (i32.const 4) (i32.const 600) (i32.const 18) (i32.const 8))))
    (func $call (param $method i32) (call $call_of (i32.const 100) (local.get $method) (i32.const 5000)))
    (func $stream (param $method i32) (call $stream_of (i32.const 100) (local.get $method)))
    (func $send (param $end i32)
        (drop (call $grpc_send (i32.load (i32.const 8)) (i32.const 140) (i32.const 4) (local.get $end))))
    (func $cancel (drop (call $grpc_cancel (i32.load (i32.const 8)))))
    (func $close (drop (call $grpc_close (i32.load (i32.const 8)))))
    (func $go (drop (call $act_on (i32.const 2))) (drop (call $continue (i32.const 0))))
    (func $show (drop (call $log (i32.const 2) (i32.load (i32.const 16)) (i32.load (i32.const 20)))))
    (func $show_value (param $map i32) (i32.store (i32.const 20) (i32.const 0))
        (drop (call $value (local.get $map) (i32.const 130) (i32.const 3) (i32.const 16) (i32.const 20)))
        (call $show))
    (func $show_message
        (drop (call $buffer (i32.const 5) (i32.const 0) (i32.const 100) (i32.const 16) (i32.const 20)))
        (call $show))
    (func $show_status (drop (call $status (i32.const 12) (i32.const 16) (i32.const 20))) (call $show))
"#;

/// The module of a case, as text.
pub(super) fn guest(case: &Case) -> String {
    let mut text = BEGIN.to_owned();
    for (number, method) in METHODS.iter().enumerate() {
        text += &format!("(data (i32.const {}) \"{method}\")\n", place(number));
    }
    for (name, parameters, always, result) in CALLBACKS {
        let body: String = case.does.iter().filter(|(other, _)| *other == name).map(|(_, body)| *body).collect();
        let result = result.map(|result| (format!("i32.const {result}"), "(result i32)")).unwrap_or_default();
        let (parameters, (value, kind)) = ("i32 ".repeat(parameters), result);
        text += &format!("(func (export \"proxy_on_{name}\") (param {parameters}) {kind} {always} {body} {value})\n");
    }
    for (number, method) in METHODS.iter().enumerate() {
        text = text.replace(&format!("@{method}"), &format!("(i32.const {})", place(number)));
    }
    text + ")"
}

/// Where the name of a method is.
fn place(number: usize) -> usize {
    200 + 4 * number
}
