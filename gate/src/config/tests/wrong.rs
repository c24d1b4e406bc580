//! Documents that are wrong all over: what is wrong with one key is said once, and nothing is said of others because of it.

use super::Mistake;
use crate::Config;
use crate::config::read_new_alert;

#[track_caller]
fn check(document: &str, lines: &str) {
    let found: Vec<String> = Config::parse(document.as_bytes()).unwrap_err().iter().map(Mistake::to_string).collect();
    let lines: Vec<&str> = lines.lines().map(str::trim).collect();
    assert!(found == lines, "these are the mistakes:\n{}", found.join("\n"));
}

#[test]
fn a_document_that_is_wrong_in_every_key_has_one_mistake_for_each() {
    check(include_str!("wrong.json"), include_str!("wrong.txt"));
}

#[test]
fn a_value_that_is_wrong_conflicts_with_no_other() {
    for (members, lines) in [
        (r#""role": "htpt", "control": {"read_token_env": "A"}"#, r#"role: "htpt""#),
        (r#""direction": "egres", "destination": "name", "select": {"domains": true}"#, r#"direction: "egres""#),
        (r#""destination": "nam""#, r#"destination: "nam""#),
        (r#""lists": {"allow_hosts": [{"host": "a b"}]}"#, r#"lists.allow_hosts[0].host: "a b""#),
        (r#""select": {"domains": 1}"#, "select.domains: must be"),
        (
            r#""policy": {"rules": [{"name": "a", "when": {"any": ["anonymity.tor", "trr"], "none": ["anonymity.tor"]}, "then": "deny"}]}"#,
            r#"policy.rules[0].when.any[1]: "trr""#,
        ),
        (
            r#""policy": {"rules": [{"name": "a", "when": {"all": ["x"], "none": ["y"]}, "then": "deny"}]}"#,
            "policy.rules[0].when.all[0]: \"x\"\npolicy.rules[0].when.none[0]: \"y\"",
        ),
        (
            r#""lists": {"feeds": [{"cluster": "c", "authority": "a", "path": "/", "then": "deny", "format": "tsv", "column": "ip"}]}"#,
            r#"lists.feeds[0].format: "tsv""#,
        ),
        (r#""role": "control", "control": []"#, "control: must be"),
        (r#""role": "control", "control": {"read_certificates": [1]}"#, "control.read_certificates[0]: must be"),
    ] {
        let document = format!(r#"{{"api": {{"cluster": "c"}}, {members}}}"#);
        let found: Vec<String> =
            Config::parse(document.as_bytes()).unwrap_err().iter().map(Mistake::to_string).collect();
        assert_eq!(found.len(), lines.lines().count(), "{members}: {found:?}");
        for (found, start) in found.iter().zip(lines.lines()) {
            assert!(found.starts_with(start), "{members}: {found}");
        }
    }
    for budget in [r#"{"per_day": -1, "reserve_for_events": 5}"#, r#"{"per_day": 5, "reserve_for_events": "9"}"#] {
        let document = format!(r#"{{"api": {{"cluster": "c", "budget": {budget}}}}}"#);
        assert_eq!(Config::parse(document.as_bytes()).unwrap_err().len(), 1, "{budget}");
    }
}

#[test]
fn an_event_of_an_unknown_type_needs_no_source() {
    for (body, path) in [(r#"{"type": "fire"}"#, "type"), (r#"{"type": "malware"}"#, "source"), ("{}", "type")] {
        let mistakes = read_new_alert(body.as_bytes()).unwrap_err();
        let paths: Vec<&str> = mistakes.iter().map(|mistake| &*mistake.path).collect();
        assert_eq!(paths, [path], "{body}");
    }
}
