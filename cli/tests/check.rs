//! `portcullis check`, run as a program.
#![allow(clippy::disallowed_methods, reason = "a test outside the proxy: it reads files")]

use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `portcullis check` with these arguments among the reports, as of 30 March 2026.
fn check(arguments: &str, stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("check")
        .args(arguments.split_whitespace())
        .args(["--at", "2026-03-30T12:00:00+09:00"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments is gone before it reads.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

/// The object that `--json` prints, and nothing else.
fn object(output: &Output) -> Value {
    let text = str::from_utf8(&output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_profile_and_the_connection_decide() {
    for (arguments, verdict, rule, findings) in [
        ("--ip 203.0.113.10 --report clean.json", "allow", json!(null), json!([])),
        ("--ip 203.0.113.10 --report clean.json --port 443", "allow", json!(null), json!([])),
        ("--ip 203.0.113.10 --report clean.json --port 22", "deny", json!("ssh"), json!(["ssh.port"])),
        ("--ip 203.0.113.10 --report clean.json --port 55", "deny", json!("dns-port-55"), json!(["dns.port55"])),
        (
            "--ip 203.0.113.10 --report clean.json --port 2022 --product openssh_9",
            "deny",
            json!("ssh"),
            json!(["ssh.openssh"]),
        ),
        ("--ip 203.0.113.10 --report clean.json --product OpenSSH", "allow", json!(null), json!([])),
        ("--ip 203.0.113.10 --report clean.json --profile ingress --port 22", "allow", json!(null), json!([])),
        (
            "--ip 203.0.113.10 --report clean.json --profile egress --port 2022 --product OpenSSH",
            "tag",
            json!("ssh-unusual-port"),
            json!(["ssh.openssh"]),
        ),
        (
            "--ip 198.51.100.23 --report tor-exit.json --profile ingress",
            "tag",
            json!("anonymity"),
            json!(["anonymity.tor", "scanner", "hosting"]),
        ),
        ("--ip 198.51.100.23 --report tor-exit.json", "deny", json!("anonymity"), json!(["anonymity.tor"])),
        (
            "--ip 203.0.113.66 --report c2-server.json",
            "deny",
            json!("reputation"),
            json!(["reputation", "tls.self_signed", "exposure.directory_listing", "ssh.openssh"]),
        ),
        (
            "--ip 203.0.113.66 --report c2-server.json --profile ingress",
            "deny",
            json!("c2"),
            json!(["reputation", "tls.self_signed", "ssh.openssh", "c2", "hosting"]),
        ),
        (
            "--ip 203.0.113.66 --report c2-server.json --profile ingress --direction egress",
            "deny",
            json!("score-80"),
            json!(["reputation", "tls.self_signed", "ssh.openssh", "c2", "hosting"]),
        ),
        (
            "--ip 2001:db8::22 --report ssh-host.json --profile egress --port 443",
            "tag",
            json!("tls"),
            json!(["tls.expired", "ssh.openssh"]),
        ),
        (
            "--ip 10.0.0.1 --report tor-exit.json --profile ingress",
            "tag",
            json!("anonymity"),
            json!(["anonymity.tor", "scanner", "hosting"]),
        ),
    ] {
        let output = check(&format!("{arguments} --json"), b"");
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        let object = object(&output);
        let codes: Value = object["findings"].as_array().unwrap().iter().map(|line| line["code"].clone()).collect();
        assert_eq!((&object["verdict"], &object["rule"]), (&json!(verdict), &rule), "{arguments}");
        assert_eq!(codes, findings, "{arguments}");
        assert_eq!(object["suspicious"], json!(verdict != "allow"), "{arguments}");
        assert_eq!(object["outcome"], json!("assessed"), "{arguments}");
    }
}

#[test]
fn what_is_no_report_has_no_verdict_and_says_what_it_is() {
    for (body, outcome, code) in [
        (&br#"{"status":401,"message":"invalid api key"}"#[..], "bad_key", 12),
        (br#"{"status":403,"message":"limit exceeded"}"#, "no_credit", 10),
        (br#"{"status":400,"message":"Invalid IP Address."}"#, "invalid_address", 13),
        (br#"{"status":500,"message":"An unexpected error occured"}"#, "server_error", 15),
        (br#"{"status":200}"#, "malformed", 16),
        (b"<html>Bad gateway</html>", "malformed", 16),
        (b"\xff\xfe", "malformed", 16),
        (b"", "malformed", 16),
    ] {
        let output = check("--ip 203.0.113.10 --port 22 --report - --json", body);
        let shown = String::from_utf8_lossy(body);
        let (object, message) = (object(&output), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert_eq!(object["outcome"], json!(outcome), "{shown}");
        for key in ["suspicious", "verdict", "rule"] {
            assert_eq!(object[key], Value::Null, "{shown}");
        }
        assert_eq!((&object["findings"], &object["score"]), (&json!([]), &json!({"inbound": null, "outbound": null})));
        assert!(message.starts_with("portcullis: standard input: "), "{message}");
        assert!(message.contains("a report is a JSON object"), "{message}");
        let plain = check("--ip 203.0.113.10 --report -", body);
        assert_eq!((plain.status.code(), &plain.stdout[..]), (Some(code), &b""[..]), "{shown}");
    }
}

#[test]
fn mistakes_on_the_command_line_end_with_status_2_and_say_what_would_be_right() {
    for (arguments, message) in [
        ("--ip 203.0.113.10 --report gone.json --json", "gone.json: No such file"),
        ("--ip 203.0.113.10 --report .", "--report takes a saved report"),
        ("--report clean.json", "<--ip <IP>|--batch <FILE>>"),
        ("--batch list.txt --report clean.json", "cannot be used with"),
        ("--ip 203.0.113.10 --batch list.txt", "cannot be used with"),
        ("--ip 203.0.113.10 --credits 3", "cannot be used with"),
        ("--batch gone.txt --column ip --concurrency 0", "not in 1..=64"),
        ("--ip 203.0.113 --report clean.json", "right would be 203.0.113.9"),
        ("--ip 203.0.113.10 --port 65536 --report clean.json", "0..=65535"),
        ("--ip 203.0.113.10 --report clean.json --profile strict", "pipeline, ingress, egress"),
        ("--ip 203.0.113.10 --report clean.json --direction in", "ingress, egress"),
    ] {
        let output = check(arguments, b"");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{arguments}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(message), "{arguments}: {error}");
    }
}

#[test]
fn control_characters_of_a_report_never_reach_the_terminal() {
    let report = include_str!("examples/ssh-host.json").replace("OpenSSH", r"OpenSSH\u001b[2J\u009b31m");
    let output = check("--ip 2001:db8::22 --report -", report.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("OpenSSH\u{fffd}[2J\u{fffd}31m"), "{text}");
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text}");
}

#[test]
fn a_report_about_another_address_is_judged_with_a_warning() {
    for (ip, warned) in [("203.0.113.10", false), ("::ffff:203.0.113.10", false), ("203.0.113.11", true)] {
        let output = check(&format!("--ip {ip} --report clean.json"), b"");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(!output.stderr.is_empty(), warned, "{ip}");
    }
}
