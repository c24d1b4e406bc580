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
