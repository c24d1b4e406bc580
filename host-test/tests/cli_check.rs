//! `portcullis check` against the stand-in: lookups, their failures, the cache, batches.

use anyhow::{Context, Result, ensure};
use host_test::command::{Desk, Printed};
use host_test::eventually;
use host_test::fake::{Answer, Rule, peer};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

const ASK: &str = "portcullis check --treat-as-public 192.0.2.0/24 --treat-as-public 198.51.100.0/24";

fn object(printed: &Printed) -> Result<Value> {
    serde_json::from_str(&printed.out).with_context(|| format!("{printed:?}"))
}

#[test]
fn an_address_is_asked_about_once_while_its_facts_count() -> Result<()> {
    let desk = Desk::new()?;
    for (source, arguments) in [("api", ""), ("cache", ""), ("cache", "--profile ingress"), ("api", "--no-cache")] {
        let printed = desk.run(&format!("{ASK} --ip {} --json {arguments}", peer::TOR))?;
        assert_eq!((printed.code, printed.err.as_str()), (Some(0), ""), "{printed:?}");
        let object = object(&printed)?;
        assert_eq!((&object["source"], &object["outcome"]), (&json!(source), &json!("assessed")), "{printed:?}");
    }
    let calls = desk.fake.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].target, format!("/v1/asset/ip/report?ip={}&full=true", peer::TOR));
    assert!(calls[0].header("user-agent").is_some_and(|agent| agent.starts_with("portcullis/")));
    Ok(())
}

#[test]
fn each_failure_has_a_message_and_an_exit_code_of_its_own_and_no_verdict() -> Result<()> {
    let desk = Desk::new()?;
    let (mut codes, mut messages) = (Vec::new(), Vec::new());
    for (answer, outcome, code) in [
        (Answer::NoCredit, "no_credit", 10),
        (Answer::ConcurrencyRefused, "concurrency_refused", 11),
        (Answer::BadKey, "bad_key", 12),
        (Answer::InvalidAddress, "invalid_address", 13),
        (Answer::RateLimited(None), "rate_limited", 14),
        (Answer::ServerError, "server_error", 15),
        (Answer::Truncated, "malformed", 16),
        (Answer::Raw(200, br#"{"status":420,"message":"failed"}"#.into()), "unknown", 17),
        (
            Answer::Raw(
                200,
                br#"{"ip":"192.0.2.99","score":{"inbound":"Safe","outbound":"Safe"},"status":200}"#.into(),
            ),
            "other_address",
            18,
        ),
        (Answer::Silence, "timeout", 19),
        (Answer::Cut, "reset", 21),
        (Answer::Padded((32 << 20) + 1), "too_large", 22),
    ] {
        desk.fake.tell(Rule::answer(answer));
        let timeout = if outcome == "timeout" { "--timeout 100ms" } else { "" };
        let printed = desk.run(&format!("{ASK} --ip {} --json {timeout}", peer::CLEAN))?;
        let object = object(&printed)?;
        assert_eq!((object["outcome"].as_str(), printed.code), (Some(outcome), Some(code)), "{printed:?}");
        assert_eq!((&object["suspicious"], &object["verdict"]), (&Value::Null, &Value::Null));
        assert!(printed.err.starts_with("portcullis: 192.0.2.10 was not assessed: "), "{printed:?}");
        codes.push(code);
        messages.push(printed.err);
        let plain = desk.run(&format!("{ASK} --ip {} {timeout}", peer::CLEAN))?;
        assert_eq!((plain.out.as_str(), plain.code), ("", Some(code)));
    }
    for (url, code) in [("http://127.0.0.1:1", 20), ("http://nowhere.invalid", 20), ("http://", 2)] {
        let printed = desk.run(&format!("CRIMINALIP_API_URL={url} {ASK} --ip {}", peer::CLEAN))?;
        assert_eq!((printed.out.as_str(), printed.code), ("", Some(code)), "{printed:?}");
    }
    // The stand-in does not speak TLS.
    let printed = desk.run(&format!("{ASK} --api https://${{CRIMINALIP_API_URL#http://}} --ip {}", peer::CLEAN))?;
    assert_eq!((printed.out.as_str(), printed.code), ("", Some(20)), "{printed:?}");
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), codes.len(), "{messages:?}");
    Ok(())
}

#[test]
fn bodies_of_other_kinds_are_never_a_verdict() -> Result<()> {
    let desk = Desk::new()?;
    for (answer, code) in [
        (Answer::Empty, 16),
        (Answer::Garbage, 16),
        (Answer::BadGateway, 15),
        (Answer::Close, 21),
        (Answer::Raw(302, b"moved".into()), 17),
        (Answer::Raw(500, b"away".into()), 15),
    ] {
        let shown = format!("{answer:?}");
        desk.fake.tell(Rule::answer(answer));
        let printed = desk.run(&format!("{ASK} --ip {}", peer::CLEAN))?;
        assert_eq!((printed.out.as_str(), printed.code), ("", Some(code)), "{shown}: {printed:?}");
    }
    Ok(())
}

#[test]
fn a_refusal_for_concurrency_is_asked_again() -> Result<()> {
    let desk = Desk::new()?;
    desk.fake.tell(Rule::answer(Answer::ConcurrencyRefused).times(2));
    let printed = desk.run(&format!("{ASK} --ip {} --json", peer::CLEAN))?;
    assert_eq!((object(&printed)?["verdict"].as_str(), desk.fake.calls().len()), (Some("allow"), 3));
    Ok(())
}

#[test]
fn the_key_comes_from_a_file_or_the_environment_and_is_never_shown() -> Result<()> {
    let desk = Desk::new()?;
    let write = |name: &str, text: &str| std::fs::write(desk.folder().join(name), text);
    write("key.json", r#"{"api_key": "stand-in-key", "other": 1}"#)?;
    write("wrong.json", r#"{"api_key": "sesame-1234"}"#)?;
    write("torn.json", r#"{"api_key": "sesame-1234"#)?;
    write("spaces.json", r#"{"api_key": "sesame 1234"}"#)?;
    write("other.json", r#"{"key": "sesame-1234"}"#)?;
    for (setting, code) in [
        ("CRIMINALIP_API_KEY=", 3),
        ("CRIMINALIP_API_KEY=sesame-1234", 12),
        ("CRIMINALIP_API_KEY= KEYFILE='--keyfile key.json'", 0),
        ("KEYFILE='--keyfile wrong.json'", 12),
        ("KEYFILE='--keyfile torn.json'", 3),
        ("KEYFILE='--keyfile spaces.json'", 3),
        ("KEYFILE='--keyfile other.json'", 3),
        ("KEYFILE='--keyfile gone.json'", 3),
        ("KEYFILE='--keyfile .'", 3),
    ] {
        let printed = desk.run(&format!("export {setting}; {ASK} --no-cache --ip {} $KEYFILE", peer::CLEAN))?;
        assert_eq!(printed.code, Some(code), "{setting}: {printed:?}");
        assert!(!printed.out.contains("sesame") && !printed.err.contains("sesame"), "{printed:?}");
    }
    Ok(())
}

#[test]
fn an_address_that_is_not_public_is_not_asked_about() -> Result<()> {
    let desk = Desk::new()?;
    for ip in ["10.0.0.1", "192.0.2.10", "::1", "::ffff:10.0.0.1"] {
        let printed = desk.run(&format!("portcullis check --ip {ip} --json"))?;
        assert_eq!((printed.code, object(&printed)?["outcome"].as_str()), (Some(7), Some("not_public")), "{ip}");
    }
    assert_eq!(desk.fake.calls().len(), 0);
    Ok(())
}

#[test]
fn the_report_itself_is_printed_byte_for_byte() -> Result<()> {
    let desk = Desk::new()?;
    let printed = desk.run(&format!("{ASK} --ip {} --dump-json | tee saved.json", peer::EVERYTHING))?;
    let report: Value = object(&printed)?;
    assert_eq!((report["status"].as_u64(), report["ip"].as_str()), (Some(200), Some("192.0.2.110")));
    // What was saved is judged as what was asked for.
    let asked = desk.run(&format!("{ASK} --ip {}", peer::EVERYTHING))?;
    let saved = desk.run(&format!("portcullis check --ip {} --report saved.json", peer::EVERYTHING))?;
    assert_eq!((asked.out, asked.err), (saved.out, saved.err));
    Ok(())
}

#[test]
fn a_batch_within_its_credits_says_what_was_not_assessed() -> Result<()> {
    let desk = Desk::new()?;
    std::fs::write(
        desk.folder().join("list.txt"),
        "# known\n192.0.2.10\n192.0.2.20:443\n\n10.0.0.1\n192.0.2.10\nexample.com\n192.0.2.40\n192.0.2.50\n",
    )?;
    let printed = desk.run(&format!("{ASK} --batch list.txt --credits 3 --json"))?;
    assert_eq!(printed.code, Some(4), "{printed:?}");
    let lines: Vec<Value> = printed.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let outcomes: Vec<_> =
        lines.iter().map(|line| (line["ip"].as_str().unwrap(), line["outcome"].as_str().unwrap())).collect();
    let expected = [
        ("192.0.2.10", "assessed"),
        ("192.0.2.20", "assessed"),
        ("10.0.0.1", "not_public"),
        ("192.0.2.40", "assessed"),
        ("192.0.2.50", "credit_limit"),
    ];
    assert_eq!(outcomes, expected);
    assert!(printed.err.contains("line 7: no address: \"example.com\""), "{printed:?}");
    let summary =
        "2 suspicious, 1 ok, 1 NOT ASSESSED, 1 not public, 1 no addresses, 1 repeated; 3 calls made, 0 from the cache";
    assert!(printed.err.contains(summary), "{printed:?}");
    // The rest costs only what is not known yet.
    let again = desk.run(&format!("{ASK} --batch list.txt --credits 3"))?;
    assert!(again.err.contains("3 suspicious, 1 ok, 1 not public"), "{again:?}");
    assert_eq!((desk.fake.calls().len(), again.code), (4, Some(2)));
    assert!(desk.fake.calls().iter().all(|call| !call.overlapped));
    Ok(())
}

#[test]
fn a_batch_stops_asking_when_the_key_is_refused_or_nothing_answers() -> Result<()> {
    for (answer, calls, code) in [
        (Answer::NoCredit, 1, 10),
        (Answer::BadKey, 1, 12),
        (Answer::RateLimited(None), 1, 14),
        (Answer::ServerError, 5, 15),
        (Answer::InvalidAddress, 8, 13),
    ] {
        let desk = Desk::new()?;
        let shown = format!("{answer:?}");
        desk.fake.tell(Rule::answer(answer));
        let line = format!("for n in 1 2 3 4 5 6 7 8; do echo 198.51.100.$n; done | {ASK} --batch -");
        let printed = desk.run(&line)?;
        assert_eq!((desk.fake.calls().len(), printed.code), (calls, Some(code)), "{shown}: {printed:?}");
        assert!(!printed.out.contains("[OK]"), "{printed:?}");
        assert_eq!(printed.out.matches("[NOT ASSESSED]").count(), 8, "{printed:?}");
    }
    Ok(())
}

#[test]
fn a_column_of_a_csv_file_is_a_batch() -> Result<()> {
    let desk = Desk::new()?;
    std::fs::write(desk.folder().join("hosts.csv"), "name,IP\n\"a, b\",192.0.2.20\nc,192.0.2.10\nd,\n")?;
    for column in ["ip", "2"] {
        let printed = desk.run(&format!("{ASK} --batch hosts.csv --column {column}"))?;
        assert_eq!((printed.code, printed.out.lines().count()), (Some(0), 2), "{printed:?}");
    }
    let printed = desk.run(&format!("{ASK} --batch hosts.csv --column address"))?;
    assert_eq!(printed.code, Some(2));
    assert!(printed.err.contains("there is no column \"address\"; there are name, IP"), "{printed:?}");
    Ok(())
}

#[test]
fn a_batch_that_was_broken_off_goes_on_where_it_was() -> Result<()> {
    let desk = Desk::new()?;
    desk.fake.tell(Rule::hold().only(peer::SCANNER));
    let mut child = desk
        .shell(&format!("exec {ASK} --no-cache --resume done.jsonl --batch -"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(b"192.0.2.10\n192.0.2.20\n192.0.2.30\n")?;
    // The third is under way when the command is killed, and what the second came to is written, which may take longer.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        desk.fake.wait_for_call_about(peer::SCANNER).await?;
        eventually(async || {
            let lines = desk.run("wc -l < done.jsonl")?.out;
            ensure!(lines.trim() == "2", "{lines} lines");
            Ok(())
        })
        .await
    })?;
    child.kill()?;
    child.wait()?;
    desk.fake.forget_rules();
    let torn = desk.run("printf '{\"ip\":\"192.0.2.30\",\"suspi' >> done.jsonl; wc -l < done.jsonl")?;
    assert_eq!(torn.out.trim(), "2");
    let line = format!(
        "printf '192.0.2.10\\n192.0.2.20\\n192.0.2.30\\n' | {ASK} --no-cache --resume done.jsonl --batch - --credits 1"
    );
    let printed = desk.run(&line)?;
    assert_eq!((printed.code, printed.out.lines().count()), (Some(0), 1), "{printed:?}");
    assert!(printed.err.contains("1 suspicious, 2 ok, 2 done before; 1 calls made"), "{printed:?}");
    assert_eq!(desk.fake.calls().len(), 4);
    let other = desk.run(&format!("echo 192.0.2.10 | {ASK} --resume done.jsonl --batch - --profile ingress"))?;
    assert_eq!((other.code, other.out.as_str()), (Some(2), ""), "{other:?}");
    Ok(())
}

#[test]
fn as_many_calls_are_made_at_a_time_as_are_allowed() -> Result<()> {
    let desk = Desk::new()?;
    desk.fake.set_concurrency(None);
    desk.fake.tell(Rule::hold());
    let line = format!("for n in 1 2 3 4; do echo 198.51.100.$n; done | {ASK} --batch - --concurrency 3");
    let child = desk.shell(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(desk.fake.wait_for_calls(3))?;
    desk.fake.forget_rules();
    desk.fake.release();
    let output = child.wait_with_output()?;
    assert_eq!((output.status.code(), desk.fake.calls().len()), (Some(0), 4));
    Ok(())
}

#[test]
fn colour_is_for_those_who_want_it() -> Result<()> {
    let desk = Desk::new()?;
    let line = format!("{ASK} --ip {}", peer::TOR);
    for (setting, coloured) in [("", false), ("CLICOLOR_FORCE=1", true), ("NO_COLOR=1", false)] {
        let printed = desk.run(&format!("{setting} {line}"))?;
        assert_eq!(printed.out.contains("\u{1b}[1m\u{1b}[31m[SUSPICIOUS]\u{1b}[0m"), coloured, "{printed:?}");
        assert_eq!(printed.out.contains('\u{1b}'), coloured);
    }
    Ok(())
}

#[test]
fn a_reader_that_leaves_or_a_full_disk_ends_the_command_in_order() -> Result<()> {
    let desk = Desk::new()?;
    let line = format!("{ASK} --ip {}", peer::TOR);
    let left = desk.run(&format!("({line}; echo $? >&2) | true"))?;
    assert_eq!(left.err.trim(), "0", "{left:?}");
    let full = desk.run(&format!("{line} > /dev/full"))?;
    assert_eq!(full.code, Some(5), "{full:?}");
    assert!(full.err.starts_with("portcullis: standard output: No space left"), "{full:?}");
    Ok(())
}
