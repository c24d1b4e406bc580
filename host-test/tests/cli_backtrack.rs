//! `portcullis backtrack` on logs that are as they should be, and on others.

use anyhow::{Context, Result};
use host_test::command::Desk;
use host_test::fake::{Answer, Rule};
use serde_json::Value;

const BACK: &str = "portcullis backtrack --at 2026-03-30T09:00:00Z --treat-as-public 192.0.2.0/24 --format json --log";

/// A log of connections from one host to these, a second apart, the last a second before the alert.
fn log(peers: &[&str]) -> String {
    let line = |(index, peer): (usize, &&str)| {
        let second = 60 - (peers.len() - index);
        format!(
            "{{\"time\":\"2026-03-30T08:59:{second:02}Z\",\"source\":\"10.0.0.5\",\"destination\":\"{peer}\",\"port\":443}}\n"
        )
    };
    peers.iter().enumerate().map(line).collect()
}

#[test]
fn compressed_logs_and_pipes_are_read_as_others_are() -> Result<()> {
    let desk = Desk::new()?;
    std::fs::write(desk.folder().join("log"), log(&["192.0.2.10", "192.0.2.40"]))?;
    let plain = desk.run(&format!("{BACK} log"))?;
    assert_eq!((plain.code, plain.out.lines().count()), (Some(0), 2), "{plain:?}");
    for line in ["gzip -k log; LOG=log.gz", "cat log.gz log.gz > two.gz; LOG='two.gz --window 1s'", "LOG=-"] {
        let printed = desk.run(&format!("{line}; {BACK} $LOG < log"))?;
        assert_eq!(printed.code, Some(0), "{line}: {printed:?}");
        if !line.contains("two") {
            assert_eq!(printed.out, plain.out, "{line}");
        } else {
            assert!(printed.out.contains("x2 until"), "{printed:?}");
        }
    }
    let mut bytes = Vec::new();
    std::io::Write::write_all(&mut ZstdStore(&mut bytes), log(&["192.0.2.10", "192.0.2.40"]).as_bytes())?;
    std::fs::write(desk.folder().join("log.zst"), bytes)?;
    assert_eq!(desk.run(&format!("{BACK} log.zst"))?.out, plain.out);
    Ok(())
}

/// Writes a Zstandard frame of one raw block (RFC 8878), for want of a compressor here.
struct ZstdStore<'b>(&'b mut Vec<u8>);

impl std::io::Write for ZstdStore<'_> {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let size = u32::try_from(text.len()).map_err(std::io::Error::other)?;
        self.0.extend([0x28, 0xb5, 0x2f, 0xfd, 0xa0]);
        self.0.extend(size.to_le_bytes());
        // The last block, raw.
        self.0.extend(&(size << 3 | 1).to_le_bytes()[..3]);
        self.0.extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_peers_nearest_to_the_alert_are_asked_about_first() -> Result<()> {
    let desk = Desk::new()?;
    std::fs::write(
        desk.folder().join("log"),
        log(&["192.0.2.10", "192.0.2.20", "10.1.1.1", "192.0.2.40", "192.0.2.50"]),
    )?;
    let printed = desk.run(&format!("{BACK} log --credits 2 --json --export csv=out.csv"))?;
    assert_eq!(printed.code, Some(4), "{printed:?}");
    let rows: Vec<Value> = printed.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let outcomes: Vec<_> = rows.iter().map(|row| row["outcome"].as_str().unwrap_or_default()).collect();
    assert_eq!(outcomes, ["credit_limit", "credit_limit", "assessed", "assessed"]);
    assert!(rows.iter().all(|row| (row["verdict"].is_null()) == (row["outcome"] != "assessed")), "{rows:?}");
    let asked: Vec<_> = desk.fake.calls().iter().filter_map(|call| Some(call.ip?.to_string())).collect();
    assert_eq!(asked, ["192.0.2.50", "192.0.2.40"]);
    // What is in the cache decides without calls.
    let offline = desk.run(&format!("CRIMINALIP_API_KEY= {BACK} log --offline"))?;
    assert_eq!((offline.code, offline.out.matches("[NOT ASSESSED] offline").count()), (Some(0), 2), "{offline:?}");
    assert_eq!((desk.fake.calls().len(), offline.out.matches("[SUSPICIOUS]").count()), (2, 2));
    Ok(())
}

#[test]
fn a_failure_of_the_api_is_never_a_verdict() -> Result<()> {
    let desk = Desk::new()?;
    std::fs::write(desk.folder().join("log"), log(&["192.0.2.10", "192.0.2.40"]))?;
    desk.fake.tell(Rule::answer(Answer::NoCredit));
    let printed = desk.run(&format!("{BACK} log --export csv=out.csv"))?;
    assert_eq!((printed.code, printed.out.matches("[NOT ASSESSED]").count()), (Some(10), 2), "{printed:?}");
    assert!(!printed.out.contains("[OK]"));
    assert_eq!(std::fs::read_to_string(desk.folder().join("out.csv"))?.lines().count(), 1);
    Ok(())
}

#[test]
fn logs_that_are_none_are_told_from_each_other() -> Result<()> {
    let desk = Desk::new()?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(desk.folder().join(name), bytes);
    write("good", log(&["192.0.2.10"]).as_bytes())?;
    desk.run("gzip -k good; head -c 40 good.gz > torn.gz; printf '\\050\\265\\057\\375\\044\\001' > torn.zst")?;
    write("binary", &[b"\x7fELF\x02\x01\0\0".as_slice(), &[7; 100]].concat())?;
    write("long", format!("{{\"time\":\"{}\"}}\n{}", "x".repeat(3 << 20), log(&["192.0.2.10"])).as_bytes())?;
    write("latin", b"{\"time\":\"2026-03-30T08:59:59Z\",\"destination\":\"\xe9\"}\n")?;
    write("empty", b"")?;
    write("noend", log(&["192.0.2.10"]).trim_end().as_bytes())?;
    desk.run("portcullis check --ip 192.0.2.10 --treat-as-public 192.0.2.0/24")?;
    for (name, code, message) in [
        ("gone", 2, "gone: No such file"),
        (".", 2, ".: a folder"),
        ("torn.gz", 2, "torn.gz: ends in the middle of its compression"),
        ("torn.zst", 2, "torn.zst: "),
        ("binary", 2, "binary: binary data"),
        ("long", 0, "longer than 1 MiB"),
        ("latin", 0, "1 of 1 lines could not be read"),
        ("latin --max-unknown 0", 6, "more than 0 lines could not be read"),
        ("latin --max-unknown 1", 0, "1 of 1 lines could not be read"),
        ("empty", 0, "0 lines, 0 connections"),
        ("noend", 0, "1 lines, 1 connections in the window, 0 of them not public; 0 calls made"),
        ("good --at yesterday", 2, "not a time; right would be"),
        ("good --window 5minutes", 2, "right would be"),
        ("good --source office", 2, "not a network; right would be"),
        ("good --export pf=out", 2, "write FORM or FORM=FILE"),
        ("good --export csv --export stix", 2, "only one form can go to standard output"),
        ("good --export csv=nowhere/out", 5, "nowhere/out: No such file"),
        ("good --config gone.json", 2, "gone.json: No such file"),
        ("good --config wrong.json", 1, "wrong.json:2:3: error: mode"),
        ("good --log-zone Mars/Olympus", 2, "no time zone of that name"),
        ("good --field colour=red", 2, "WHAT is one of time, source"),
    ] {
        let at = if name.contains("--at") { BACK.replace("--at 2026-03-30T09:00:00Z", "") } else { BACK.to_owned() };
        let printed = desk.run(&format!("{at} {name}"))?;
        assert_eq!(printed.code, Some(code), "{name}: {printed:?}");
        assert!(printed.err.contains(message), "{name}: {printed:?}");
    }
    Ok(())
}

#[test]
fn a_log_far_larger_than_the_memory_that_the_command_may_use_is_read_to_its_end() -> Result<()> {
    let desk = Desk::new()?;
    let filler = "x".repeat(3_000);
    let line = log(&["192.0.2.40"]).replace("\"port\"", &format!("\"filler\":\"{filler}\",\"port\""));
    std::fs::write(desk.folder().join("line"), &line)?;
    // The address space is limited, to 60 MB; the log has three times as many.
    for pack in ["cat", "gzip -1"] {
        let read = format!("yes \"$(cat line)\" | head -n 60000 | {pack} | (ulimit -v 60000; {BACK} - --json)");
        let printed = desk.run(&read)?;
        assert_eq!(printed.code, Some(0), "{pack}: {printed:?}");
        let row: Value = serde_json::from_str(&printed.out)?;
        assert_eq!((&row["connections"], &row["verdict"]), (&60_000.into(), &"deny".into()), "{pack}");
    }
    Ok(())
}

#[test]
fn exports_are_written_although_nobody_reads_the_timeline_and_all_parts_or_none() -> Result<()> {
    let desk = Desk::new()?;
    let line = log(&["192.0.2.40", "2001:db8::40"]);
    std::fs::write(desk.folder().join("log"), &line)?;
    let back = format!("{BACK} log --treat-as-public 2001:db8::/32 --export aws-wafv2-ipset=set.json");
    let printed = desk.run(&format!("mkdir set.2.json; {back}"))?;
    assert_eq!((printed.code, desk.folder().join("set.json").exists()), (Some(5), false), "{printed:?}");
    let printed = desk.run(&format!(
        "rmdir set.2.json; mkfifo pipe; (exec 3<pipe) & {back} --json > pipe; wait; {back} 2>/dev/full"
    ))?;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for (name, address) in [("set.json", "192.0.2.40/32"), ("set.2.json", "2001:db8::40/128")] {
        assert!(std::fs::read_to_string(desk.folder().join(name))?.contains(address), "{name}");
    }
    std::fs::write(desk.folder().join("log"), log(&["192.0.2.40"]))?;
    assert_eq!(desk.run(&back)?.code, Some(0));
    let second: Value = serde_json::from_str(&std::fs::read_to_string(desk.folder().join("set.2.json"))?)?;
    assert_eq!(second["Addresses"], serde_json::json!([]), "what an earlier export wrote is still there");
    Ok(())
}

#[test]
fn an_export_that_cannot_be_written_leaves_what_was_there() -> Result<()> {
    let desk = Desk::new()?;
    let many: Vec<String> = (1..=50).map(|host| format!("192.0.2.{host}")).collect();
    std::fs::write(desk.folder().join("log"), log(&many.iter().map(String::as_str).collect::<Vec<_>>()))?;
    std::fs::write(
        desk.folder().join("deny.json"),
        r#"{"direction":"egress","api":{"cluster":"c"},"lists":{"deny":[{"cidr":"192.0.2.0/24"}]}}"#,
    )?;
    std::fs::write(desk.folder().join("out.json"), "as it was")?;
    // A file may grow to 512 bytes: the disk is full for this command.
    let line = format!("trap '' XFSZ; ulimit -f 1; {BACK} log --config deny.json --export stix=out.json --no-cache");
    let printed = desk.run(&line)?;
    assert_eq!(printed.code, Some(5), "{printed:?}");
    assert!(printed.err.contains("out.json: File too large"), "{printed:?}");
    assert_eq!(std::fs::read_to_string(desk.folder().join("out.json"))?, "as it was");
    let left: Vec<_> = std::fs::read_dir(desk.folder())?.flatten().map(|file| file.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".portcullis")), "{left:?}");
    let printed = desk.run(&format!("{BACK} log --config deny.json --export stix=out.json"))?;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let bundle: Value = serde_json::from_str(&std::fs::read_to_string(desk.folder().join("out.json"))?)?;
    assert_eq!(bundle["objects"].as_array().context("objects")?.len(), 51);
    // A device is written to, and stays one.
    let device =
        desk.run(&format!("{BACK} log --config deny.json --export csv=/dev/full; test -c /dev/full && echo still"))?;
    assert!(device.out.ends_with("still\n") && device.err.contains("/dev/full: No space left"), "{device:?}");
    Ok(())
}
