//! Which modules are loaded, and how they are started and called, by the version of the ABI: as Envoy 1.40 was seen to do.

use host_test::{
    host::{LoadError, Module, abi::AbiVersion},
    sim::{Config, Request, Sim},
};

const NEEDED: &str = r#"(memory (export "memory") 1)
    (func (export "malloc") (param i32) (result i32) i32.const 4096)"#;

fn load(abi: AbiVersion, text: &str) -> Result<Module, LoadError> {
    let marker = format!(r#"(func (export "{}"))"#, abi.marker());
    Module::load(format!("(module {text} {NEEDED} {marker})").as_bytes())
}

#[test]
fn functions_of_one_version_are_missing_in_the_others() {
    use AbiVersion::{V0_1_0, V0_2_0, V0_2_1};
    for (name, ty, versions) in [
        ("proxy_clear_route_cache", "(result i32)", &[V0_1_0][..]),
        ("proxy_continue_request", "(result i32)", &[V0_1_0]),
        ("proxy_continue_response", "(result i32)", &[V0_1_0]),
        ("proxy_get_configuration", "(param i32 i32) (result i32)", &[V0_1_0]),
        ("proxy_continue_stream", "(param i32) (result i32)", &[V0_2_0, V0_2_1]),
        ("proxy_close_stream", "(param i32) (result i32)", &[V0_2_0, V0_2_1]),
        ("proxy_get_log_level", "(param i32) (result i32)", &[V0_2_1]),
        ("emscripten_notify_memory_growth", "(param i32)", &[V0_1_0, V0_2_0, V0_2_1]),
        ("pthread_equal", "(param i32 i32) (result i32)", &[V0_1_0, V0_2_0, V0_2_1]),
        ("abort", "", &[]),
        ("emscripten_resize_heap", "(param i32) (result i32)", &[]),
    ] {
        for version in AbiVersion::ALL {
            let loaded = load(version, &format!(r#"(import "env" "{name}" (func {ty}))"#));
            match versions.contains(&version) {
                true => assert!(loaded.is_ok(), "{name} in {version}: {:?}", loaded.err()),
                false => assert_eq!(loaded.err(), Some(LoadError::MissingImport(format!("env.{name}"))), "{version}"),
            }
        }
    }
}

#[test]
fn wasi_is_offered_under_both_names_and_with_envoys_types() {
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let with = |import: &str| load(AbiVersion::V0_2_1, &format!(r#"(import "{module}" {import})"#));
        assert!(with(r#""poll_oneoff" (func (param i32 i32 i32 i32) (result i32))"#).is_ok());
        assert!(with(r#""fd_filestat_get" (func (param i32 i32) (result i32))"#).is_ok());
        assert!(matches!(with(r#""proc_raise" (func (param i32) (result i32))"#), Err(LoadError::MissingImport(_))));
        let link = with(r#""path_link" (func (param i32 i32 i32 i32 i32 i32 i32) (result i32))"#);
        let Err(LoadError::ImportType { have, .. }) = link else { panic!("{link:?}") };
        assert_eq!(have, "i32 i32 i32 i32 i32 i32 -> i32");
    }
}

#[test]
fn what_envoy_would_not_load_is_named() {
    assert!(matches!(Module::load(b"\0asm nonsense"), Err(LoadError::NotAModule(_))));
    assert_eq!(Module::load(b"(module)").err(), Some(LoadError::NoAbiVersion));
    let marker = r#"(func (export "proxy_abi_version_0_2_1"))"#;
    let bare = Module::load(format!("(module {marker})").as_bytes());
    assert_eq!(bare.err(), Some(LoadError::MissingAllocator));
    let wrong = load(
        AbiVersion::V0_2_1,
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) i32.const 0)"#,
    );
    assert!(matches!(wrong, Err(LoadError::ExportType { .. })), "{wrong:?}");
}

#[test]
fn headers_callbacks_of_the_oldest_version_are_not_told_whether_the_stream_ends() {
    let callback = r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) i32.const 0)"#;
    let module = load(AbiVersion::V0_1_0, callback).unwrap();
    let mut sim = Sim::start(Config::of(module, "")).unwrap();
    let stream = sim.request(Request::get("/"));
    sim.run();
    assert_eq!(sim.outcome(stream).status, Some(200));
    let text = host_test::trace::envoy::text(&sim.trace());
    assert!(text.contains("[host->vm] proxy_on_request_headers(2, 6)\n"), "{text}");
}

#[test]
fn a_header_that_is_not_there_is_empty_in_the_oldest_version_and_not_found_later() {
    for (version, status, parameters) in [(AbiVersion::V0_1_0, 0, 2), (AbiVersion::V0_2_0, 1, 3)] {
        let text = format!(
            r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
            (func (export "proxy_on_request_headers") (param {}) (result i32)
                (if (i32.ne (call $get (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 8) (i32.const 12)) (i32.const {status}))
                    (then unreachable))
                i32.const 0)"#,
            "i32 ".repeat(parameters),
        );
        let mut sim = Sim::start(Config::of(load(version, &text).unwrap(), "")).unwrap();
        let stream = sim.request(Request::get("/"));
        sim.run();
        assert_eq!(sim.outcome(stream).status, Some(200), "{version}");
    }
}

#[test]
fn a_reactor_is_initialized_and_its_main_called_and_a_command_is_started() {
    let started = |exports: &str| {
        let sim = Sim::start(Config::of(load(AbiVersion::V0_2_1, exports).unwrap(), "").only_workers()).unwrap();
        let text = host_test::trace::envoy::text(&sim.trace());
        let calls = text.lines().filter_map(|line| line.strip_prefix("[host->vm] "));
        calls.map(str::to_owned).collect::<Vec<_>>()
    };
    let main = r#"(func (export "main") (param i32 i32) (result i32) i32.const 0)"#;
    let initialize = r#"(func (export "_initialize"))"#;
    let start = r#"(func (export "_start"))"#;
    assert_eq!(started(&format!("{initialize} {main} {start}")), ["_initialize()", "main(0, 0)"]);
    assert_eq!(started(&format!("{start} {main}")), ["_start()"]);
    assert!(started("").is_empty());
}

/// Starts a module that makes this call in a callback of its own.
fn starting(import: &str, ty: &str, arguments: &str, callback: &str) -> Result<(), String> {
    let text = format!(
        r#"(import {import} (func $call {ty}))
        (import "env" "proxy_get_buffer_bytes" (func $bytes (param i32 i32 i32 i32 i32) (result i32)))
        (func $try (drop (call $call {arguments}))) {callback}"#
    );
    let marker = AbiVersion::V0_2_1.marker();
    let memory = r#"(memory (export "memory") 1)"#;
    let module = Module::load(format!(r#"(module {text} {memory} (func (export "{marker}")))"#).as_bytes()).unwrap();
    Sim::start(Config::of(module, "abc")).map(|_| ()).map_err(|error| error.to_string())
}

/// The runtime of Go, for one, does not start otherwise.
#[test]
fn the_clock_that_only_goes_forward_is_past_zero_from_the_start() {
    let reads = r#"(func (export "malloc") (param i32) (result i32) i32.const 4096)
        (func (export "_initialize") (call $try) (if (i64.eqz (i64.load (i32.const 8))) (then unreachable)))"#;
    let import = r#""wasi_snapshot_preview1" "clock_time_get""#;
    let arguments = "(i32.const 1) (i64.const 0) (i32.const 8)";
    assert_eq!(starting(import, "(param i32 i64 i32) (result i32)", arguments, reads), Ok(()));
}
