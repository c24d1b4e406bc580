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

#[test]
fn the_five_minutes_of_the_document_lead_a_foreign_module_to_a_passing_scenario() {
    let document = include_str!("../../docs/harness.md");
    let (_, section) = document.split_once("## Five minutes").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("filter.wasm", &wat::parse_str(GUEST).unwrap());
    write("plugin.json", b"hello");
    let (_, scenario) = section.split_once("```toml\n").unwrap();
    write("hello.toml", scenario.split_once("```").unwrap().0.as_bytes());
    let mut seen = Vec::new();
    for line in section.lines().filter_map(|line| line.strip_prefix("$ host-test ")) {
        let output = host_test().args(words(line)).current_dir(&folder).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
        seen.push(stdout);
    }
    let [inspected, ran, tested] = seen.try_into().unwrap();
    assert!(inspected.contains("Envoy would load it"), "{inspected}");
    assert!(ran.contains("accept: text/html") && ran.contains("200 via_upstream"), "{ran}");
    assert!(tested.contains("1 passed, 0 failed"), "{tested}");
}

#[test]
fn a_scenario_that_no_envoy_can_live_through_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (guest, scenario) = (folder.path().join("guest.wasm"), folder.path().join("scenario.toml"));
    fs::write(&guest, wat::parse_str(GUEST).unwrap()).unwrap();
    fs::write(&scenario, "name = \"Back\"\n[[step]]\nclock = -1\n").unwrap();
    let run = |envoy: &str| {
        let arguments = ["test".as_ref(), scenario.as_os_str(), "--wasm".as_ref(), guest.as_os_str()];
        host_test().args(arguments).args(["--envoy", envoy]).output().unwrap()
    };
    // It is not started.
    let output = run(env!("CARGO_BIN_EXE_host-test"));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let expected = ", only simulated: step 1 (change): Envoy's clock is the machine's\n";
    assert!(output.status.success() && stdout.contains(expected), "{stdout}");
    let output = run("/nowhere/envoy");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "error: no Envoy at /nowhere/envoy: --envoy takes the path of the program\n");
    assert_eq!(output.status.code(), Some(2));
}

/// The words of a command line with simple quotes.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(place, part)| match place % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}
