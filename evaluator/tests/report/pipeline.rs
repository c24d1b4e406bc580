//! The profile `pipeline` beside the published pipeline: the same conditions on every report that it reads rightly, and
//! one test for each difference that is meant. `docs/pipeline.md` lists these tests.

use crate::reports::fixture;
use crate::{NOW, codes, report, time};
use evaluator::{Action, AnswerError, Connection, Direction, Profile, read_answer};

/// The destination port and product of a connection that no rule of the pipeline looks at.
const PLAIN: (Option<u16>, Option<&str>) = (Some(443), None);

/// What the profile finds; the verdict must be to deny exactly where there is something.
fn found(body: &str, (port, product): (Option<u16>, Option<&str>)) -> Result<Vec<&'static str>, AnswerError> {
    let now = time(NOW);
    let assessment = read_answer(200, body.as_bytes(), now)?.assessment;
    let connection = Connection { port, product, ..Connection::new(Direction::Egress, now) };
    let verdict = Profile::Pipeline.policy().evaluate(&assessment, &connection);
    let expected = if verdict.findings.is_empty() { Action::Allow } else { Action::Deny };
    assert_eq!(verdict.action, expected, "{body}");
    Ok(codes(verdict.findings))
}

fn check(cases: &[(&str, &[&str])]) {
    for (members, expected) in cases {
        assert_eq!(found(&report(members), PLAIN).as_deref(), Ok(*expected), "{members}");
    }
}

/// A report with one port record of these members.
fn port(members: &str) -> String {
    report(&format!(r#""port":{{"count":1,"data":[{{{members}}}]}}"#))
}

fn check_port(cases: &[(&str, &[&str])]) {
    for (members, expected) in cases {
        assert_eq!(found(&port(members), PLAIN).as_deref(), Ok(*expected), "{members}");
    }
}

#[test]
fn scores_agree() {
    check(&[
        (r#""score":{"inbound":"Moderate","outbound":"Low"}"#, &[]),
        (r#""score":{"inbound":"Dangerous","outbound":"Low"}"#, &["reputation"]),
        (r#""score":{"inbound":"Low","outbound":"critical"}"#, &["reputation"]),
        (r#""score":{"inbound":"Low","outbound":"\u001c CRITICAL\u3000"}"#, &["reputation"]),
        (r#""score":{"inbound":"Low","outbound":"\u200bCritical"}"#, &[]),
        (r#""score":{"inbound":"Low","outbound":"Critical!"}"#, &[]),
        (r#""score":{"inbound":"Low","outbound":["Critical"]}"#, &[]),
        (r#""score":{"inbound":"Low","outbound":"Low","overall":"Critical"}"#, &["reputation"]),
        (r#""score":{"inbound":"Low","total":"Dangerous"}"#, &["reputation"]),
        (r#""score":{"inbound":"Low","worst":"Critical"}"#, &[]),
        (r#""score":"critical""#, &["reputation"]),
        (r#""score":"Moderate""#, &[]),
    ]);
}

#[test]
fn anonymity_agrees() {
    check(&[
        (r#""issues":{"is_vpn":true}"#, &["anonymity.vpn"]),
        (r#""issues":{"is_anonymous_vpn":true,"is_tor":true}"#, &["anonymity.anonymous_vpn", "anonymity.tor"]),
        (r#""issues":{"is_proxy":true,"is_tor":false}"#, &["anonymity.proxy"]),
        (r#""issues":{"is_hosting":true,"is_cloud":true,"is_darkweb":true,"is_scanner":true,"is_snort":true}"#, &[]),
        (r#""issues":["is_tor"]"#, &[]),
        (
            r#""ip_category":{"data":[{"type":" Tor "},{"type":"PROXY","confirmed_time":"2001-01-01"}]}"#,
            &["anonymity.tor", "anonymity.proxy"],
        ),
        (r#""ip_category":{"data":[{"type":"anonymous vpn"}]}"#, &["anonymity.anonymous_vpn"]),
        (r#""ip_category":{"data":[{"type":"anonymous_vpn"}]}"#, &["anonymity.anonymous_vpn"]),
        (r#""ip_category":{"data":[{"type":"tor exit"},{"type":"anonymous proxy"},{"type":"attack (High)"}]}"#, &[]),
        (r#""ip_category":{"data":[{"type":["tor"]},"tor",null,{"kind":"tor"}]}"#, &[]),
        (r#""ip_category":[{"type":"tor"}]"#, &[]),
        (r#""vpn":{"count":1,"data":[{"vpn_name":"x"}]}"#, &[]),
    ]);
}

#[test]
fn tags_agree() {
    check_port(&[
        (r#""tags":["Directory Listing"]"#, &["exposure.directory_listing"]),
        (r#""tags":["nginx"," directory-listing\n"],"confirmed_time":"2001-01-01""#, &["exposure.directory_listing"]),
        (r#""tags":["MINING","C2","Malicious"]"#, &["mining"]),
        (r#""tags":"mining""#, &["mining"]),
        (r#""tags":["directory_listing","data mining","min ing"]"#, &[]),
        (r#""tags":[{"tag":"mining"},{"title":"directory listing"}]"#, &["exposure.directory_listing", "mining"]),
        // The first name that is not empty is the tag, whatever it is.
        (r#""tags":[{"tag":"","name":null,"label":"mining"}]"#, &["mining"]),
        (r#""tags":[{"tag":0,"name":[],"label":{ },"title":"mining"}]"#, &["mining"]),
        (r#""tags":[{"title":"mining","name":"nginx"}]"#, &[]),
        (r#""tags":[{"tag":" ","name":"mining"}]"#, &[]),
        (r#""tags":[{"tag":true,"name":"mining"}]"#, &[]),
        (r#""tags":[{"tag":[[]],"name":"mining"}]"#, &[]),
        (r#""tags":[["mining"],1,null]"#, &[]),
        (r#""tags":{"tag":"mining"}"#, &[]),
        (r#""tags":null"#, &[]),
    ]);
    check(&[
        (r#""port":{"data":{"tags":["mining"]}}"#, &[]),
        (r#""port":[{"tags":["mining"]}]"#, &[]),
        (r#""port":{"data":[null,["mining"],{"tags":["mining"]}]}"#, &["mining"]),
        (r#""tags":["mining"]"#, &[]),
    ]);
}

#[test]
fn certificate_keywords_agree() {
    check_port(&[
        (r#""ssl_info_raw":"a Self-Signed certificate""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"SELF SIGNED""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"Self Signed: True""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"has\u0065xpired""#, &["tls.expired"]),
        (r#""ssl_info_raw":"\nexpired","confirmed_time":"2001-01-01""#, &["tls.expired"]),
        (r#""ssl_info_raw":"CN=unexpired.example""#, &["tls.expired"]),
        (r#""ssl_info_raw":"self_signed self\nsigned selfsigned expire""#, &[]),
        (r#""ssl_info_raw":"self\u002dsigned \ud800""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":{"self signed":false}"#, &["tls.self_signed"]),
        (r#""ssl_info_raw":{"state":["valid",{"or":"EXPIR\u0045D"}]}"#, &["tls.expired"]),
        (r#""ssl_info_raw":["self","signed"]"#, &[]),
        (r#""ssl_info_raw":[]"#, &[]),
        (r#""ssl_info_raw":null,"banner":"expired, self-signed""#, &[]),
        (r#""ssl_info_raw":7"#, &[]),
    ]);
}

#[test]
fn openssh_agrees() {
    check_port(&[
        (r#""open_port_no":22,"app_name":"OpenSSH""#, &["ssh.openssh"]),
        (r#""open_port_no":2022,"app_name":"the openssh server 7.4","confirmed_time":"2001-01-01""#, &["ssh.openssh"]),
        (r#""open_port_no":-1,"app_name":"OPENSSH""#, &["ssh.openssh"]),
        (r#""open_port_no":123456789012345678901234567890,"app_name":"OpenSSH""#, &["ssh.openssh"]),
        // To Python a boolean is an integer, and a number with a fraction is none.
        (r#""open_port_no":false,"app_name":"OpenSSH""#, &["ssh.openssh"]),
        (r#""open_port_no":22.0,"app_name":"OpenSSH""#, &[]),
        (r#""open_port_no":"22","app_name":"OpenSSH""#, &[]),
        (r#""open_port_no":null,"app_name":"OpenSSH""#, &[]),
        (r#""app_name":"OpenSSH""#, &[]),
        (r#""open_port_no":22,"app_name":"Open SSH""#, &[]),
        (r#""open_port_no":22,"app_name":["OpenSSH"]"#, &[]),
        (r#""open_port_no":22,"banner":"SSH-2.0-OpenSSH_9.6""#, &[]),
    ]);
}

#[test]
fn connections_agree() {
    let clean = report("");
    let server = port(r#""open_port_no":22,"app_name":"OpenSSH""#);
    for (body, port, product, expected) in [
        (&clean, None, None, &[][..]),
        (&clean, Some(22), None, &["ssh.port"]),
        (&clean, Some(22), Some("OpenSSH"), &["ssh.port"]),
        (&clean, Some(2222), Some("openssh 9.6"), &["ssh.openssh"]),
        (&clean, Some(2222), Some("dropbear"), &[]),
        (&clean, Some(2222), Some(""), &[]),
        (&clean, None, Some("OpenSSH"), &[]),
        (&clean, Some(55), None, &["dns.port55"]),
        (&clean, Some(53), None, &[]),
        (&clean, Some(55), Some("OPENSSH"), &["ssh.openssh", "dns.port55"]),
        (&server, Some(443), None, &["ssh.openssh"]),
        (&server, Some(22), None, &["ssh.port", "ssh.openssh"]),
    ] {
        assert_eq!(found(body, (port, product)).as_deref(), Ok(expected), "{port:?} {product:?} {body}");
    }
}

#[test]
fn an_error_body_is_no_verdict() {
    for code in ["bad_key", "invalid_address", "server_error", "no_credit", "concurrency_refused"] {
        let body = String::from_utf8(fixture(&format!("error_{code}.json"))).expect("UTF-8");
        assert_eq!(found(&body, PLAIN).map_err(AnswerError::code), Err(code), "{body}");
    }
}

#[test]
fn a_body_without_status_200_is_no_verdict() {
    let body = report("");
    assert_eq!(found(&body.replace(r#":200}"#, r#":"200"}"#), PLAIN), Ok(vec![]));
    for status in ["null", "0", "201", "200.0", "true", "[200]", r#""OK""#] {
        assert!(found(&body.replace(":200}", &format!(":{status}}}")), PLAIN).is_err(), "{status}");
    }
    assert_eq!(found(&body.replace(r#","status":200"#, ""), PLAIN), Err(AnswerError::Malformed));
}

#[test]
fn a_report_without_a_readable_level_is_no_verdict() {
    for score in ["null", "{}", r#"{"inbound":null}"#, r#"{"inbound":"High"}"#, r#""""#, "[]", "true"] {
        let body = report(&format!(r#""issues":{{"is_tor":true}},"score":{score}"#));
        assert_eq!(found(&body, PLAIN), Err(AnswerError::Malformed), "{body}");
    }
}

#[test]
fn a_block_that_comes_twice_is_no_verdict() {
    for members in [
        r#""port":{"data":[{"tags":["mining"]}]},"port":{"data":[]}"#,
        r#""port":{"data":[{"tags":["mining"]}],"data":[]}"#,
        r#""issues":{"is_tor":true},"issues":{}"#,
        r#""status":401"#,
    ] {
        assert_eq!(found(&report(members), PLAIN), Err(AnswerError::Malformed), "{members}");
    }
}

#[test]
fn json_is_read_strictly() {
    let body = |value: &str| report(&format!(r#""user_search_count":{value}"#));
    assert_eq!(found(&body("1"), PLAIN), Ok(vec![]));
    for value in ["NaN", "Infinity", "-Infinity"] {
        assert_eq!(found(&body(value), PLAIN), Err(AnswerError::Malformed), "{value}");
    }
    // Half a surrogate pair is skipped as any other text.
    assert_eq!(found(&body(r#""\ud800""#), PLAIN), Ok(vec![]));
    assert_eq!(found(&report(r#""port":"\ud800""#), PLAIN), Ok(vec![]));
}

#[test]
fn deep_nesting_that_nobody_reads_is_stepped_over() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        found(&report(&format!(r#""new":{deep},"issues":{{"is_tor":true}}"#)), PLAIN),
        Ok(vec!["anonymity.tor"])
    );
}

#[test]
fn levels_may_be_integers() {
    check(&[
        (r#""score":{"inbound":1,"outbound":3}"#, &[]),
        (r#""score":{"inbound":1,"outbound":4}"#, &["reputation"]),
        (r#""score":{"inbound":"5","outbound":"1"}"#, &["reputation"]),
    ]);
}

#[test]
fn flags_may_have_their_old_name() {
    check(&[(r#""tags":{"is_tor":true,"is_vpn":false}"#, &["anonymity.tor"])]);
}

#[test]
fn flags_may_be_strings_or_integers() {
    check(&[
        (
            r#""issues":{"is_tor":"True","is_vpn":1,"is_proxy":"1"}"#,
            &["anonymity.vpn", "anonymity.tor", "anonymity.proxy"],
        ),
        (r#""issues":{"is_tor":"False","is_vpn":0,"is_proxy":"no","is_anonymous_vpn":2}"#, &[]),
    ]);
}

#[test]
fn self_signed_false_is_no_hit() {
    check_port(&[
        (r#""ssl_info_raw":"TLS Certificate\n\tValid: True\n\tSelf Signed: False\n""#, &[]),
        (r#""ssl_info_raw":"self signed:false""#, &[]),
        (r#""ssl_info_raw":"Self Signed: False\nO=Self Signed Inc""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"Self-Signed: False""#, &["tls.self_signed"]),
    ]);
}

#[test]
fn a_certificate_that_its_own_subject_issued_is_self_signed() {
    check_port(&[
        (r#""ssl_info_raw":"Issuer Dn: CN=a\nSubject Dn: CN=a\n""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"Issuer Dn: CN=\u00e9\nSubject Dn: CN=é\n""#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"Issuer Dn: CN=a\\nb\nSubject Dn: CN=a\\nc\n""#, &[]),
        (r#""ssl_info_raw":"Issuer Dn: CN=a\nSubject Dn: CN=b\n""#, &[]),
        (r#""ssl_info_raw":{"text":"\nIssuer Dn: CN=a\nSubject Dn: CN=a\n"}"#, &["tls.self_signed"]),
        (r#""ssl_info_raw":["\n\u0049ssuer Dn: CN=a\nSubject Dn: CN=a\n"]"#, &["tls.self_signed"]),
        (r#""ssl_info_raw":"Issuer Dn: \nSubject Dn: \n""#, &[]),
    ]);
}

#[test]
fn a_certificate_past_its_end_is_expired() {
    check_port(&[
        (r#""ssl_info_raw":"Validity: \n\tEnd: 2024-03-24T00:00:00Z\n""#, &["tls.expired"]),
        (r#""ssl_info_raw":"Validity: \n\tEnd: 2025-03-24T00:00:00Z\n""#, &[]),
        (r#""ssl_info_raw":"Validity: \n\tEnd: soon\n""#, &[]),
    ]);
}

#[test]
fn a_certificate_may_stand_in_the_banner() {
    check_port(&[
        (r#""banner":"HTTP/1.1\n\nTLS Certificate\nIssuer Dn: CN=a\nSubject Dn: CN=a\n""#, &["tls.self_signed"]),
        (
            r#""ssl_info_raw":null,"banner":"TLS Certificate\nValidity: \n\tEnd: 2020-01-01T00:00:00Z""#,
            &["tls.expired"],
        ),
        (r#""banner":"Issuer Dn: CN=a\nSubject Dn: CN=a\n""#, &[]),
        (r#""banner":"Issuer Dn: CN=b\nTLS Certificate\nIssuer Dn: CN=a\nSubject Dn: CN=a""#, &["tls.self_signed"]),
        (r#""banner":"\u003ehi\nSelf Signed: True\nTLS Certificate\nIssuer Dn: CN=b\nSubject Dn: CN=a""#, &[]),
        (r#""ssl_info_raw":"","banner":"TLS Certificate\nIssuer Dn: CN=a\nSubject Dn: CN=a\n""#, &[]),
    ]);
}

#[test]
fn the_document_names_each_of_these_tests() {
    let document = include_str!("../../../docs/pipeline.md");
    let source = include_str!("pipeline.rs");
    let tests: std::collections::BTreeSet<&str> = source
        .split("#[test]\nfn ")
        .skip(1)
        .filter_map(|test| test.split_once("()"))
        .map(|(name, _)| name)
        .filter(|name| *name != "the_document_names_each_of_these_tests")
        .collect();
    let named: std::collections::BTreeSet<&str> = document
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() >= 1 && tests_like(word))
        .collect();
    assert_eq!(named, tests);
}

/// Whether a word of the document has the form of a test's name: it stands in the last column of a table.
fn tests_like(word: &str) -> bool {
    include_str!("../../../docs/pipeline.md").contains(&format!("| `{word}` |\n"))
}
