//! Runs the examples of `docs/cli.md`, and compares what they print.
#![allow(clippy::disallowed_methods, reason = "a test outside the proxy: it reads files")]

use std::env;
use std::path::Path;
use std::process::Command;

#[test]
fn every_example_prints_what_the_document_says() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let text = std::fs::read_to_string(tests.join("../../docs/cli.md")).unwrap();
    let examples: Vec<_> =
        text.split("```console\n$ ").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(examples.len() > 5, "the examples have gone");
    let programs = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap();
    let path =
        env::join_paths([programs.to_owned()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
    for example in examples {
        let (command, expected) = example.split_once('\n').unwrap();
        let run = Command::new("sh")
            .args(["-c", command])
            .current_dir(tests.join("reports"))
            .env("PATH", path.as_ref().unwrap())
            .output()
            .unwrap();
        let mut printed = String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap();
        if !run.status.success() {
            printed += &format!("? {}\n", run.status.code().unwrap());
        }
        assert_eq!(printed.trim_end(), expected, "{command}");
    }
}
