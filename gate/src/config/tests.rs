mod values;
mod wrong;

use super::*;
use MistakeKind::*;

/// The mistakes of a document, without their messages.
fn mistakes(document: &str) -> Vec<(String, MistakeKind)> {
    match Config::parse(document.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.into_iter().map(|mistake| (mistake.path, mistake.kind)).collect(),
    }
}

/// Expects one mistake in the shortest right document with these members added, which reads as this line.
#[track_caller]
fn check(members: &str, line: &str) {
    let document = format!(r#"{{"api": {{"cluster": "c"}}, {members}}}"#);
    check_document(&document, line);
}

#[track_caller]
fn check_api(members: &str, line: &str) {
    check_document(&format!(r#"{{"api": {{"cluster": "c", {members}}}}}"#), line);
}

#[track_caller]
fn check_rule(when: &str, line: &str) {
    check(&format!(r#""policy": {{"rules": [{{"name": "r", "when": {when}, "then": "tag"}}]}}"#), line);
}

#[track_caller]
fn check_document(document: &str, line: &str) {
    let found: Vec<String> = Config::parse(document.as_bytes()).unwrap_err().iter().map(Mistake::to_string).collect();
    assert_eq!(found, [line], "{document}");
}

#[test]
fn a_document_that_is_no_json_object_has_one_mistake_with_its_place() {
    for (document, line) in [
        ("", r#"the configuration is empty; it needs at least "api": {"cluster": ...} (line 1 column 1) [not_json]"#),
        (
            " \n",
            r#"the configuration is empty; it needs at least "api": {"cluster": ...} (line 1 column 1) [not_json]"#,
        ),
        ("{\n  \"mode\" \"shadow\"}", "the configuration is not JSON: expected `:` at line 2 column 10 [not_json]"),
        ("{} {}", "the configuration is not JSON: expected the end at line 1 column 4 [not_json]"),
        ("\n  []", "the configuration must be an object, in { } (line 2 column 3) [not_an_object]"),
        ("\"mode\"", "the configuration must be an object, in { } (line 1 column 1) [not_an_object]"),
    ] {
        check_document(document, line);
    }
    let not_text = Config::parse(b"{\"mode\": \"\xff\"}").unwrap_err();
    assert_eq!((not_text.len(), not_text[0].kind), (1, NotJson));
    let deep = "[".repeat(100_000);
    assert_eq!(mistakes(&deep), [(String::new(), NotJson)]);
}

#[test]
fn keys_that_are_unknown_repeated_or_missing_are_named() {
    check(r#""mod": "shadow""#, r#"mod: there is no key "mod"; did you mean "mode"? [unknown_key]"#);
    check(
        r#""diary": {}"#,
        "diary: there is no key \"diary\"; possible are role, mode, direction, destination, api, first_look, on_error, \
         cache, policy, scope, select, lists, tag, deny, log, notify, route_metadata, journal, control, \
         self_test \
         [unknown_key]",
    );
    check(
        r#""deny": {"a \"b\"\n": 1}"#,
        r#"deny["a \"b\"\n"]: there is no key "a \"b\"\n"; possible are status, message [unknown_key]"#,
    );
    check(
        r#""mode": "shadow", "mode": "enforce""#,
        "mode: this key appears more than once in its object; keep one of them [repeated_key]",
    );
    check_document("{}", "api.cluster: this key is required; it has no default [missing_key]");
    check_document(r#"{"api": {}}"#, "api.cluster: this key is required; it has no default [missing_key]");
    check(
        r#""policy": {"rules": [{"name": "all", "then": "deny"}]}"#,
        "policy.rules[0].when: this key is required; it has no default [missing_key]",
    );
    check(
        r#""lists": {"allow": [{"owner": "me"}]}"#,
        "lists.allow[0].cidr: this key is required; it has no default [missing_key]",
    );
}

#[test]
fn values_of_another_type_are_named() {
    check(r#""mode": 1"#, "mode: must be one of the strings enforce, shadow, not the number 1 [wrong_type]");
    check(r#""cache": []"#, "cache: must be an object [wrong_type]");
    check(r#""policy": {"rules": {}}"#, "policy.rules: must be a list, in [ ], not an object [wrong_type]");
    check(r#""deny": {"message": null}"#, "deny.message: must be a string (text), not null [wrong_type]");
    check(
        r#""deny": {"status": "403"}"#,
        r#"deny.status: must be a whole number from 400 to 599, not the string "403" [wrong_type]"#,
    );
    check_api(r#""full": "yes""#, r#"api.full: must be true or false, not the string "yes" [wrong_type]"#);
    check_api(
        r#""timeout": 5"#,
        r#"api.timeout: must be a duration as a string with its unit, such as "750ms", not the number 5 [wrong_type]"#,
    );
    check_api(
        r#""max_body": 1e300"#,
        r#"api.max_body: must be a size as a string with its unit, such as "4MiB", not a number [wrong_type]"#,
    );
    check_rule(
        r#"{"method": [true]}"#,
        "policy.rules[0].when.method[0]: must be a string (method), not true [wrong_type]",
    );
    check_rule(
        r#"{"score_at_least": "80"}"#,
        "policy.rules[0].when.score_at_least: must be one of the levels 20, 40, 60, 80 or 100 (safe, low, moderate, \
         dangerous, critical), not the string \"80\" [wrong_type]",
    );
}

#[test]
fn values_that_there_are_not_are_named_with_what_was_meant() {
    check(r#""mode": "Shadow""#, r#"mode: "Shadow" is unknown here; did you mean "shadow"? [unknown_value]"#);
    check(r#""log": "verbose""#, r#"log: "verbose" is unknown here; possible are none, denials, all [unknown_value]"#);
    check_rule(
        r#"{"any": ["c2", "tor"]}"#,
        r#"policy.rules[0].when.any[1]: "tor" is unknown here; did you mean "anonymity.tor"? [unknown_value]"#,
    );
    check_rule(
        r#"{"score_at_least": 70}"#,
        "policy.rules[0].when.score_at_least: 70 is no level of Criminal IP's; the levels are 20, 40, 60, 80 or 100 (safe, \
         low, moderate, dangerous, critical) [unknown_value]",
    );
}

#[test]
fn values_out_of_range_are_named_with_the_range() {
    check_api(r#""timeout": "0s""#, r#"api.timeout: "0s" is out of range: 1ms to 1m [out_of_range]"#);
    check_api(r#""timeout": "2m""#, r#"api.timeout: "2m" is out of range: 1ms to 1m [out_of_range]"#);
    check_api(r#""max_body": "1GiB""#, r#"api.max_body: "1GiB" is out of range: 1KiB to 32MiB [out_of_range]"#);
    check_api(r#""max_body": "5GiB""#, r#"api.max_body: "5GiB" is out of range: 1KiB to 32MiB [out_of_range]"#);
    check_api(r#""concurrency": 0"#, "api.concurrency: 0 is not a whole number from 1 to 64 [out_of_range]");
    check_api(r#""concurrency": 257"#, "api.concurrency: 257 is not a whole number from 1 to 64 [out_of_range]");
    check_api(r#""concurrency": 1.5"#, "api.concurrency: this is not a whole number from 1 to 64 [out_of_range]");
    check(r#""cache": {"entries": -1}"#, "cache.entries: -1 is not a whole number from 1 to 10000000 [out_of_range]");
    check(r#""deny": {"message": ""}"#, "deny.message: has 0 characters; the text has 1 to 1024 [out_of_range]");
    check_rule(
        r#"{"ports": []}"#,
        "policy.rules[0].when.ports: the list is empty; leave the key out instead [out_of_range]",
    );
    let rules: Vec<String> = (0..1001).map(|n| format!(r#"{{"name": "{n}", "when": {{}}, "then": "tag"}}"#)).collect();
    check(
        &format!(r#""policy": {{"rules": [{}]}}"#, rules.join(",")),
        "policy.rules: the list has 1001 items; at most 1000 are possible [out_of_range]",
    );
}

#[test]
fn text_of_another_form_is_named_with_what_would_be_right() {
    check_api(
        r#""authority": "https://api.criminalip.io/""#,
        "api.authority: \"https://api.criminalip.io/\" is no host name with an optional port: write the host, and the port \
         if it is not the usual one, without scheme or path [malformed]",
    );
    for authority in ["", "a b", "a:b", "user@host", ".", "a..b", "[2001:db8::1", "::1", "host:99999", ":443"] {
        let document = format!(r#"{{"api": {{"cluster": "c", "authority": "{authority}"}}}}"#);
        let kind = if authority.is_empty() { OutOfRange } else { Malformed };
        assert_eq!(mistakes(&document), [("api.authority".to_owned(), kind)], "{authority}");
    }
    for authority in ["api", "api.internal:8443", "192.0.2.1:80", "[2001:db8::1]:443", "[2001:db8::1]"] {
        let document = format!(r#"{{"api": {{"cluster": "c", "authority": "{authority}"}}}}"#);
        assert_eq!(mistakes(&document), [], "{authority}");
    }
    check_api(
        r#""timeout": "5sec""#,
        "api.timeout: \"5sec\" is no duration: a duration is a whole number and one of ms, s, m, h, d without a space, such \
         as 250ms, 30s or 7d [malformed]",
    );
    for (header, right) in [
        ("X-CriminalIP", r#"write "x-criminalip""#),
        ("host", "the header has a meaning of its own; take one such as x-criminalip"),
        ("x-envoy-original-path", "the header has a meaning of its own; take one such as x-criminalip"),
        (":path", "it has letters, digits and - only, such as x-criminalip"),
        ("x criminalip", "it has letters, digits and - only, such as x-criminalip"),
    ] {
        check(
            &format!(r#""tag": {{"request_header": "{header}"}}"#),
            &format!("tag.request_header: \"{header}\" is no header name in lower case: {right} [malformed]"),
        );
    }
    for (when, key, text) in [
        (
            r#"{"country": ["K1"]}"#,
            "country[0]",
            r#""K1" is no country code: it is two letters, such as KR (ISO 3166-1)"#,
        ),
        (
            r#"{"method": ["get"]}"#,
            "method[0]",
            r#""get" is no method: methods are in upper case, such as GET or POST"#,
        ),
        (
            r#"{"path_prefix": ["login"]}"#,
            "path_prefix[0]",
            r#""login" is no start of a path: it starts with / and is percent-encoded, as requests are"#,
        ),
        (
            r#"{"host": ["www.example.com:443"]}"#,
            "host[0]",
            "\"www.example.com:443\" is no host: write it without port, such as www.example.com, *.example.com or \
             [2001:db8::1]",
        ),
        (
            r#"{"time": {"time_zone": "Asia/Soul", "within": "Mon 09:00-18:00"}}"#,
            "time.time_zone",
            "\"Asia/Soul\" is no time zone: did you mean \"Asia/Seoul\"?",
        ),
        (
            r#"{"time": {"time_zone": "Atlantis", "within": "Mon 09:00-18:00"}}"#,
            "time.time_zone",
            "\"Atlantis\" is no time zone: there is no such time zone in the IANA database; one is Asia/Seoul",
        ),
        (
            r#"{"time": {"time_zone": "UTC", "within": "Monday 09:00-18:00"}}"#,
            "time.within",
            "\"Monday 09:00-18:00\" is no time window: a day is one of Mon, Tue, Wed, Thu, Fri, Sat, Sun",
        ),
    ] {
        check_rule(when, &format!("policy.rules[0].when.{key}: {text} [malformed]"));
    }
    check(
        r#""lists": {"deny": [{"cidr": "198.51.100.7", "until": "tomorrow"}]}"#,
        "lists.deny[0].until: \"tomorrow\" is no date and time: write it as 2027-01-01T00:00:00Z or \
         2027-01-01T09:00:00+09:00 [malformed]",
    );
    check(
        r#""scope": {"skip": ["::ffff:10.0.0.0/104"]}"#,
        "scope.skip[0]: \"::ffff:10.0.0.0/104\" is no network or host name: peers are compared in their IPv4 form; write the IPv4 network \
         [malformed]",
    );
    check(
        r#""scope": {"skip": ["010.0.0.0/8"]}"#,
        "scope.skip[0]: \"010.0.0.0/8\" is no network or host name: write a network such as \
         203.0.113.0/24 or 2001:db8::/32, or an address [malformed]",
    );
    check(
        r#""scope": {"skip": ["10.0.0.0/33"]}"#,
        "scope.skip[0]: \"10.0.0.0/33\" is no network or host name: write a network such as \
         203.0.113.0/24 or 2001:db8::/32, or an address [malformed]",
    );
}

#[test]
fn a_network_with_bits_of_a_host_is_refused_with_the_right_network() {
    check(
        r#""lists": {"deny": [{"cidr": "10.0.0.5/8"}]}"#,
        r#"lists.deny[0].cidr: "10.0.0.5/8": bits are set beyond the prefix; the network is 10.0.0.0/8 [host_bits]"#,
    );
    check(
        r#""scope": {"treat_as_public": ["2001:db8::1/32"]}"#,
        "scope.treat_as_public[0]: \"2001:db8::1/32\": bits are set beyond the prefix; the network is 2001:db8::/32 \
         [host_bits]",
    );
}

#[test]
fn a_name_or_network_may_be_used_once() {
    check(
        r#""policy": {"rules": [{"name": "a", "when": {}, "then": "tag"}, {"name": "a", "when": {}, "then": "deny"}]}"#,
        r#"policy.rules[1]: "a" is already at policy.rules[0] [duplicate]"#,
    );
    check(
        r#""policy": {"rules": [{"name": "scanner", "when": {}, "then": "allow"}]}"#,
        "policy.rules[0].name: \"scanner\": the profile ingress has a rule of that name; choose another [duplicate]",
    );
    check(
        r#""lists": {"allow": [{"cidr": "192.0.2.1"}, {"cidr": "2001:db8::/32"}, {"cidr": "192.0.2.1/32"}]}"#,
        r#"lists.allow[2]: "192.0.2.1/32" is already at lists.allow[0] [duplicate]"#,
    );
}

#[test]
fn keys_that_exclude_each_other_are_named() {
    check_api(
        r#""key": "k", "key_env": "KEY""#,
        r#"api: "key_env" and "key" exclude each other; keep one of them [conflict]"#,
    );
    const HOOK: &str = r#""notify": {"cluster": "c", "authority": "a""#;
    check(
        &format!(r#"{HOOK}, "path": "/p", "path_env": "P"}}"#),
        r#"notify: "path" and "path_env" exclude each other; keep one of them [conflict]"#,
    );
    check(&format!("{HOOK}}}"), r#"notify: one of "path" and "path_env" is required [missing_key]"#);
    for when in [
        r#"{"all": ["c2", "anonymity.tor"], "none": ["anonymity.tor"]}"#,
        r#"{"any": ["anonymity.tor"], "none": ["anonymity.tor", "c2"]}"#,
    ] {
        check_rule(when, r#"policy.rules[0].when: the rule can never match: "none" excludes anonymity.tor [conflict]"#);
    }
    assert_eq!(
        mistakes(
            r#"{"api": {"cluster": "c"}, "policy": {"rules": [{"name": "r", "then": "deny",
        "when": {"any": ["anonymity.tor", "c2"], "none": ["anonymity.tor"]}}]}}"#
        ),
        []
    );
}

#[test]
fn what_is_about_requests_is_a_mistake_where_connections_are_judged() {
    let document = r#"{"role": "network", "api": {"cluster": "c"}, "deny": {"status": 404}, "route_metadata": "criminalip",
        "tag": {"request_header": "x-a", "response_header": null, "filter_state": "a"},
        "select": {"critical_ports": [22], "routes": ["a"], "all_of": [{"hosts": ["a.example"]}, {"routes": ["b"]}]},
        "policy": {"rules": [{"name": "a", "when": {"ports": [22], "host": ["a.example"]}, "then": "deny"},
            {"name": "b", "when": {"path_prefix": ["/"], "method": ["GET"]}, "then": "deny"}]}}"#;
    let about_requests = [
        "deny",
        "route_metadata",
        "tag.request_header",
        "tag.response_header",
        "select.routes",
        "select.all_of[1].routes",
        "policy.rules[1].when.path_prefix",
        "policy.rules[1].when.method",
    ];
    assert_eq!(mistakes(document), about_requests.map(|path| (path.to_owned(), Conflict)));
    assert_eq!(mistakes(&document.replace("network", "http")), []);
    check(
        r#""role": "network", "deny": {}"#,
        r#"deny: this is about requests, and with "role": "network" there are none; leave it out [conflict]"#,
    );
}

#[test]
fn every_mistake_of_a_document_is_reported_at_once() {
    let document = r#"{
        "mode": "off", "diary": {}, "log": "all", "log": "none",
        "api": {"clutser": "c", "timeout": "0s", "key": 5, "key_env": "A B"},
        "cache": {"ttl": {"error": "2h"}},
        "policy": {"profile": "strict", "rules": [
            {"name": "a", "when": {"any": ["c3"], "ports": [0, 70000]}, "then": "block"},
            {"name": "a", "when": {"time": {"time_zone": "+25:00", "within": "always"}}}]},
        "scope": {"skip": ["10.0.0.5/8"]},
        "lists": {"deny": [{"cidr": "1.2.3.4"}, {"cidr": "1.2.3.4/32", "until": "now"}]},
        "tag": {"request_header": null}
    }"#;
    let expected = [
        ("mode", UnknownValue),
        ("api.cluster", MissingKey),
        ("api.key_env", Malformed),
        ("api.key", WrongType),
        ("api", Conflict),
        ("api.timeout", OutOfRange),
        ("api.clutser", UnknownKey),
        ("cache.ttl.error", OutOfRange),
        ("policy.profile", UnknownValue),
        ("policy.rules[0].when.any[0]", UnknownValue),
        ("policy.rules[0].when.ports[0]", OutOfRange),
        ("policy.rules[0].when.ports[1]", OutOfRange),
        ("policy.rules[0].then", UnknownValue),
        ("policy.rules[1].when.time.time_zone", Malformed),
        ("policy.rules[1].when.time.within", Malformed),
        ("policy.rules[1].then", MissingKey),
        ("policy.rules[1]", Duplicate),
        ("scope.skip[0]", HostBits),
        ("lists.deny[1].until", Malformed),
        ("lists.deny[1]", Duplicate),
        ("tag.request_header", WrongType),
        ("diary", UnknownKey),
        ("log", RepeatedKey),
    ];
    assert_eq!(mistakes(document), expected.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn what_only_judges_needs_no_api_and_makes_the_same_mistakes_otherwise() {
    assert!(Judging::parse(b"{}").is_ok());
    for (document, path) in [(r#"{"api": {}}"#, "api.cluster"), (r#"{"modus": 1}"#, "modus"), ("[]", ""), ("{", "")] {
        let mistakes = Judging::parse(document.as_bytes()).unwrap_err();
        assert_eq!(mistakes[0].path, path, "{document}");
    }
}

#[test]
fn a_list_by_itself_is_read_as_in_a_document() {
    assert_eq!(parse_list(br#"[{"cidr": "203.0.113.0/24"}, {"cidr": "2001:db8::1"}]"#).unwrap().len(), 2);
    for (list, path) in [
        (r#"[{"cidr": "203.0.113.1/24"}]"#, "[0].cidr"),
        (r#"[{"cidr": "203.0.113.1"}, {"cidr": "203.0.113.1/32"}]"#, "[1]"),
        (r#"[{"until": "soon"}]"#, "[0].cidr"),
        ("{}", ""),
        ("[", ""),
    ] {
        assert_eq!(parse_list(list.as_bytes()).unwrap_err()[0].path, path, "{list}");
    }
}

#[test]
fn the_keys_that_a_document_writes_out_are_known() {
    let document = br#"{"mode": "shadow", "cache": {"ttl": {"clean": "1h"}}, "log": null}"#;
    let keys = ["mode", "cache.entries", "cache.ttl", "cache.ttl.clean", "log", "log.level"];
    assert_eq!(written(document, &keys), ["mode", "cache.ttl", "cache.ttl.clean", "log"]);
    assert!(written(b"\xff", &keys).is_empty());
}
