//! The command `host-test`, run as its users run it.

use std::{
    env, fs,
    process::{Command, Stdio},
};

const GUEST: &str = r#"(module (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) i32.const 4096))"#;

fn host_test() -> Command {
    Command::new(env!("CARGO_BIN_EXE_host-test"))
}

#[test]
fn output_that_nobody_reads_any_more_ends_the_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let guest = folder.path().join("guest.wasm");
    fs::write(&guest, wat::parse_str(GUEST).unwrap()).unwrap();
    for command in [&["inspect"][..], &["run", "--trace", "--wasm"]] {
        // The reader is gone before the command starts.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = host_test().args(command).arg(&guest).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
        assert!(output.status.success(), "{command:?}: {}", output.status);
    }
}

/// A guest whose SDK knows roots by name: it says so and traps when its root has none.
const NAMED_ROOT: &str = r#"(module (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "no root of this name")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) i32.const 4096)
    (func (export "proxy_on_context_create") (param i32 i32)
        (drop (call $log (i32.const 4) (i32.const 64) (i32.const 20)))
        unreachable))"#;

#[test]
fn a_filter_that_does_not_start_is_shown_with_what_it_logged_and_what_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let guest = folder.path().join("guest.wasm");
    fs::write(&guest, wat::parse_str(NAMED_ROOT).unwrap()).unwrap();
    let run = |more: &[&str]| {
        let output = host_test().args(["run", "--wasm"]).arg(&guest).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let output = run(&[]);
    assert!(output.contains("the module failed: proxy_on_context_create"), "{output}");
    assert!(output.contains("\n  no root of this name\n"), "{output}");
    assert!(output.contains("--root-id"), "{output}");
    let named = run(&["--root-id", "mine"]);
    assert!(!named.contains("--root-id"), "{named}");
}
