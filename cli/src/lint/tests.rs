use super::*;

const ENVOY: &str = include_str!("../../tests/examples/envoy.yaml");
const ISTIO: &str = include_str!("../../tests/examples/wasmplugin.yaml");

/// Line, code and path of everything that is said.
fn said(text: &str) -> Vec<(usize, &'static str, String)> {
    look(text).0.into_iter().map(|remark| (remark.at.line, remark.code, remark.path)).collect()
}

#[track_caller]
fn check(text: &str, expected: &[(usize, &'static str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(line, code, path)| (*line, *code, (*path).to_owned())).collect();
    assert_eq!(said(text), expected, "{text}");
}

#[test]
fn what_operators_copy_needs_no_advice() {
    for text in [
        include_str!("../../../envoy/ingress.yaml"),
        include_str!("../../../envoy/control.yaml"),
        include_str!("../../tests/examples/portcullis.json"),
    ] {
        check(text, &[]);
    }
}

#[test]
fn bodies_reach_a_control_listener_and_no_gate() {
    const KEY: &str = "allow_on_headers_stop_iteration";
    let told = |text: &str| said(text).into_iter().map(|(_, code, path)| (code, path)).collect::<Vec<_>>();
    let control =
        include_str!("../../../envoy/control.yaml").replace(&format!("{KEY}: true"), &format!("{KEY}: false"));
    assert_eq!(told(&control), [("no_bodies", KEY.to_owned())]);
    let gate = include_str!("../../../envoy/ingress.yaml");
    let gate = gate.replacen("failure_policy:", &format!("{KEY}: true\n                failure_policy:"), 1);
    assert_eq!(told(&gate), [("held_requests_pass", KEY.to_owned())]);
}

#[test]
fn every_mistake_of_a_bare_document_has_its_line() {
    check(
        include_str!("../../tests/examples/wrong.json"),
        &[
            (2, "unknown_value", "mode"),
            (3, "malformed", "api.timeout"),
            (6, "unknown_value", "policy.rules[0].when.any[0]"),
            (9, "host_bits", "lists.allow[0].cidr"),
            (10, "unknown_key", "on_eror"),
        ],
    );
    check("{\n\n \"api\": {}}", &[(3, "missing_key", "api.cluster")]);
    check("{\n \"api\": {\"cluster\": \"a\"},\n \"api\": {}}", &[(3, "repeated_key", "api")]);
    check("{\n \"api\": {\"cluster\": \"a\"},\n}", &[(3, "not_json", "")]);
    check("[1]", &[(1, "not_an_object", "")]);
}

#[test]
fn what_surrounds_the_filter_in_envoy_is_looked_at_too() {
    check(
        ENVOY,
        &[
            (9, "untrusted_forwarded_for", "use_remote_address"),
            (11, "hold_above_timeout", "request_timeout"),
            (17, "no_failure_policy", "failure_policy"),
            (24, "key_in_configuration", "api.key"),
            (26, "allow_without_owner", "lists.allow[0]"),
            (42, "unverified_cluster", "cluster criminalip"),
        ],
    );
    let policy = |policy: &str| {
        ENVOY.replace(
            "                vm_config:\n",
            &format!("                failure_policy: {policy}\n                vm_config:\n"),
        )
    };
    assert!(said(&policy("FAIL_CLOSED")).contains(&(17, "fail_closed", "failure_policy".into())));
    assert!(
        !said(&policy("FAIL_RELOAD")).iter().any(|(_, code, _)| code.starts_with("fail") || code.starts_with("no_"))
    );
    let trusted = ENVOY.replace("stat_prefix: ingress", "use_remote_address: true");
    assert!(!said(&trusted).iter().any(|(_, code, _)| *code == "untrusted_forwarded_for"));
    let verified = ENVOY.replace(
        "        sni: api.criminalip.io",
        "        common_tls_context: {validation_context: {trusted_ca: {filename: ca.pem}}}",
    );
    assert!(said(&verified).contains(&(42, "unverified_name", "cluster criminalip".into())));
    let plain = ENVOY.split("    transport_socket:").next().unwrap();
    assert!(said(plain).contains(&(32, "unverified_cluster", "cluster criminalip".into())));
    let other = ENVOY.replace("{\"cluster\": \"criminalip\",", "{\"cluster\": \"elsewhere\",");
    assert!(said(&other).contains(&(24, "no_such_cluster", "api.cluster".into())));
    let long = ENVOY.replace("request_timeout: 0.5s", "stream_idle_timeout: 0.75s");
    assert!(said(&long).contains(&(11, "hold_above_timeout", "stream_idle_timeout".into())));
}

#[test]
fn a_webhook_is_looked_at_with_its_secrets_and_its_cluster() {
    let told = |notify: &str| {
        let text = include_str!("../../../envoy/control.yaml").replace(
            r#"{"cluster": "slack", "authority": "hooks.slack.com", "path_env": "PORTCULLIS_WEBHOOK_PATH", "format": "slack"}"#,
            notify,
        );
        said(&text).into_iter().map(|(_, code, path)| (code, path)).collect::<Vec<_>>()
    };
    let (cluster, own) = (r#""cluster": "slack", "authority": "hooks.slack.com""#, r#""path": "/p""#);
    for (notify, code, path) in [
        (format!(r#"{{{cluster}, {own}, "format": "slack"}}"#), "path_in_configuration", "notify.path"),
        (format!("{{{cluster}, {own}}}"), "unsigned_notifications", "notify"),
        (
            format!(r#"{{"cluster": "elsewhere", "authority": "a", {own}, "secret_env": "S"}}"#),
            "no_such_cluster",
            "notify.cluster",
        ),
    ] {
        assert_eq!(told(&notify), [(code, path.to_owned())], "{notify}");
    }
    let plain = include_str!("../../../envoy/control.yaml").split("    # Slack's certificate").next().unwrap();
    let codes: Vec<_> = said(plain).into_iter().map(|(_, code, path)| (code, path)).collect();
    assert_eq!(codes, [("unverified_cluster", "cluster slack".to_owned())]);
}

#[test]
fn mistakes_inside_of_a_string_have_the_line_of_the_file() {
    let wrong = ENVOY.replace("\"lists\": {", "\"lsts\": {");
    assert!(said(&wrong).contains(&(25, "unknown_key", "lsts".into())), "{:?}", said(&wrong));
    let torn = ENVOY.replace("\"lists\": {", "\"lists\" {");
    assert!(said(&torn).contains(&(25, "not_json", String::new())), "{:?}", said(&torn));
    // On one line, and as JSON; only the line can be told.
    let start = ENVOY.find("|\n                    {").unwrap();
    let end = ENVOY.find("          - name: router").unwrap();
    let one = format!("{}'{{\"api\": {{\"clustr\": 1}}}}'\n{}", &ENVOY[..start], &ENVOY[end..]);
    assert!(said(&one).contains(&(22, "unknown_key", "api.clustr".into())), "{:?}", said(&one));
    let json = documents(&one).unwrap().remove(0).to_json();
    assert!(said(&json).contains(&(1, "unknown_key", "api.clustr".into())), "{:?}", said(&json));
    let protobuf = ENVOY.replace("protobuf.StringValue", "protobuf.Struct");
    assert!(said(&protobuf).contains(&(21, "not_a_string_value", String::new())), "{:?}", said(&protobuf));
}

#[test]
fn istio_resources_are_read_alone_and_in_lists() {
    let advice = &[(5, "fail_closed", "failStrategy"), (13, "expired_entry", "lists.allow[0]")];
    let right = ISTIO.replace("90s", "9s");
    check(&right, advice);
    check(ISTIO, &[(10, "out_of_range", "api.timeout")]);
    check(
        &right.replace("  url:", "  failStrategy: FAIL_CLOSE\n  url:"),
        &[(6, "fail_closed", "failStrategy"), (14, "expired_entry", "lists.allow[0]")],
    );
    check(
        &format!("apiVersion: v1\nkind: Service\n---\n{right}"),
        &[(8, "fail_closed", "failStrategy"), (16, "expired_entry", "lists.allow[0]")],
    );
    let (head, spec) = right.split_once("spec:\n").unwrap();
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let extension = format!("{}spec:\n  wasm:\n{}", head.replace("WasmPlugin", "TrafficExtension"), indented(spec));
    check(&extension, &[(6, "fail_closed", "failStrategy"), (14, "expired_entry", "lists.allow[0]")]);
    let list = format!("kind: List\nitems:\n-\n{}", indented(&right));
    check(&list, &[(8, "fail_closed", "failStrategy"), (16, "expired_entry", "lists.allow[0]")]);
    check("kind: ConfigMap\n", &[(1, "nothing_found", "")]);
    check(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  failStrategy: FAIL_RELOAD\n",
        &[(4, "not_json", "")],
    );
}

#[test]
fn of_several_modules_only_ours_is_looked_at() {
    let other = "          - name: other\n            typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, config: {vm_config: {code: {local: {filename: other.wasm}}}}}\n";
    let both = ENVOY.replace("          - name: router\n", &format!("{other}          - name: router\n"));
    let expected: Vec<_> = said(ENVOY)
        .into_iter()
        .map(|(line, code, path)| (if line > 29 { line + 2 } else { line }, code, path))
        .collect();
    assert_eq!(said(&both), expected);
}

#[test]
fn the_document_lists_every_warning() {
    let (document, source) = (include_str!("../../../docs/cli.md"), include_str!("advice.rs"));
    let codes = source
        .split("self.warn(")
        .skip(1)
        .filter_map(|rest| rest.split('"').skip(1).step_by(2).find(|text| text.contains('_') && !text.contains('.')));
    let codes: std::collections::BTreeSet<_> = codes.collect();
    assert!(codes.len() > 5, "{codes:?}");
    for code in codes {
        assert!(document.contains(&format!("| `{code}` |")), "docs/cli.md lacks {code}");
    }
}

#[test]
fn what_the_metadata_of_routes_says_is_held_against_the_configuration() {
    let route = |own: &str| {
        ENVOY
            .replace("\"api\": {", "\"route_metadata\": \"criminalip\", \"api\": {")
            .replace(
                "          request_timeout: 0.5s\n",
                &format!(
                    "          route_config:\n            virtual_hosts:\n            - routes:\n              - name: admin\n                match: {{prefix: /}}\n                metadata: {{filter_metadata: {{other: {{on_error: maybe}}, criminalip: {own}}}}}\n"
                ),
            )
    };
    let of_routes =
        |text: &str| -> Vec<_> { said(text).into_iter().filter(|said| said.2.starts_with("route ")).collect() };
    assert_eq!(of_routes(&route("{profile: pipeline, first_look: {hold: 2s}}")), []);
    let wrong = [(16, "unknown_value", "route \"admin\": on_error".to_owned())];
    assert_eq!(of_routes(&route("{on_error: maybe}")), wrong);
    assert_eq!(of_routes(&route("{on_error: 1}")), wrong);
    let text = route("{profile: pipeline}");
    let found = configurations(&text, "envoy.yaml").unwrap();
    let (name, own) = &found[0].routes[0];
    assert_eq!((&**name, own.as_ref().unwrap().profile), ("admin", Some(evaluator::Profile::Pipeline)));
}
