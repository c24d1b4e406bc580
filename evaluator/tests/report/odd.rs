//! Values of types that the API does not document: skipped and counted, each alone.

use crate::{codes, read, report};
use evaluator::Level;

/// Members of a report, how many anomalies they are, and what is found all the same.
const ODD: &[(&str, u32, &[&str])] = &[
    // What is missing is unknown, as is a flag that is null; keys that nobody knows are nobody's business.
    ("", 0, &[]),
    (r#""port":{"count":0,"data":[]}"#, 0, &[]),
    (r#""issues":{"is_tor":null}"#, 0, &[]),
    (r#""unheard_of":{"a":[1,{"b":null}]}"#, 0, &[]),
    // Blocks of another shape.
    (r#""port":null,"issues":null"#, 2, &[]),
    (r#""port":[]"#, 1, &[]),
    (r#""port":[{"app_name":"OpenSSH","open_port_no":22}]"#, 1, &[]),
    (r#""port":true,"whois":1,"ids":-1,"honeypot":1.5,"ip_category":"x""#, 5, &[]),
    (r#""port":{"count":-1,"data":null}"#, 1, &[]),
    (r#""port":{"data":{"0":{}}}"#, 1, &[]),
    (r#""port":{"data":"none"},"ids":{"data":7},"whois":{"data":false}"#, 3, &[]),
    (
        r#""ip_category":{"data":[null,1,"tor",["tor"],{"type":"tor","confirmed_time":"2024-03-20"}]}"#,
        4,
        &["anonymity.tor"],
    ),
    (r#""issues":[]"#, 1, &[]),
    // Flags.
    (
        r#""issues":{"is_tor":"True","is_proxy":"false","is_vpn":1,"is_cloud":"0"}"#,
        0,
        &["anonymity.vpn", "anonymity.tor"],
    ),
    (r#""issues":{"is_tor":"maybe","is_proxy":2,"is_vpn":[],"is_scanner":true}"#, 3, &["scanner"]),
    (r#""tags":{"is_darkweb":true},"issues":{"is_mobile":true}"#, 0, &["darkweb", "mobile"]),
    // Dates and names of categories.
    (r#""ip_category":{"data":[{"type":"tor"},{"type":"vpn","confirmed_time":"yesterday"}]}"#, 2, &[]),
    (r#""ip_category":{"data":[{"type":7,"confirmed_time":"2024-03-20"},{"confirmed_time":"2024-03-20"}]}"#, 2, &[]),
    (
        r#""ip_category":{"data":[{"type":" \u0054or\t","confirmed_time":" 2024-03-20T01:02:03+09:00 "}]}"#,
        0,
        &["anonymity.tor"],
    ),
    // Ports.
    (
        r#""port":{"data":[{"open_port_no":"22","app_name":"OpenSSH","confirmed_time":"2024-03-20"}]}"#,
        0,
        &["ssh.openssh"],
    ),
    (
        r#""port":{"data":[{"open_port_no":70000,"app_name":"OpenSSH","confirmed_time":"2024-03-20"}]}"#,
        1,
        &["ssh.openssh"],
    ),
    (r#""port":{"data":[{"open_port_no":22,"app_name":["OpenSSH"],"confirmed_time":"2024-03-20"}]}"#, 0, &[]),
    (r#""port":{"data":[{"open_port_no":22,"app_name":"OpenSSH","confirmed_time":1710892800}]}"#, 1, &[]),
    (r#""port":{"data":[{"open_port_no":80,"tags":"c2_sliver","confirmed_time":"2024-03-20"}]}"#, 0, &["c2"]),
    (
        r#""port":{"data":[{"open_port_no":80,"tags":[1,null,[],{"x":1},{"tag":"","name":"Malicious"}],"confirmed_time":"2024-03-20"}]}"#,
        0,
        &["malware"],
    ),
    (
        r#""port":{"data":[{"open_port_no":80,"tags":{"tag":"c2"},"is_vulnerability":"True","confirmed_time":"2024-03-20"}]}"#,
        0,
        &["vulnerable"],
    ),
    (
        r#""port":{"data":[{"open_port_no":80,"banner":"\ud83d","app_name":"\udc00 OpenSSH","confirmed_time":"2024-03-20"}]}"#,
        0,
        &["ssh.openssh"],
    ),
    // Other blocks.
    (r#""vulnerability":{"count":"3","data":[]}"#, 0, &["vulnerable"]),
    (r#""vulnerability":{"count":-1,"data":[{}]}"#, 0, &["vulnerable"]),
    (r#""vulnerability":{"count":0,"data":[]}"#, 0, &[]),
    (r#""vulnerability":{"count":null,"data":null}"#, 1, &[]),
    (r#""ids":{"data":[{"classification":"misc","message":"ET SCAN","confirmed_time":"2024-03-20"}]}"#, 0, &["ids"]),
    (r#""ids":{"data":[{"classification":"BotCC","confirmed_time":"2024-03-20"}]}"#, 0, &["c2", "ids"]),
    (r#""ids":{"data":[{"classification":"botcc"}]}"#, 1, &[]),
    (r#""honeypot":{"data":[{"confirmed_time":null,"log_date":"2024-03-20"}]}"#, 0, &["honeypot"]),
];

#[test]
fn odd_values_are_skipped_and_counted() {
    for (members, anomalies, current) in ODD {
        let reading = read(&report(members));
        assert_eq!(codes(reading.assessment.findings), *current, "{members}");
        assert_eq!(reading.anomalies, *anomalies, "{members}");
    }
}

#[test]
fn levels_are_read_in_any_case_and_as_integers() {
    use Level::{Critical, Dangerous, Low, Moderate, Safe};
    for (value, level) in [
        (r#""Safe""#, Some(Safe)),
        (r#""low""#, Some(Low)),
        (r#"" MODERATE\n""#, Some(Moderate)),
        (r#""\u0044angerous""#, Some(Dangerous)),
        ("5", Some(Critical)),
        (r#""4""#, Some(Dangerous)),
        ("1", Some(Safe)),
        ("0", None),
        ("6", None),
        ("-1", None),
        ("3.0", None),
        ("99999999999999999999", None),
        (r#""High""#, None),
        (r#""""#, None),
        ("true", None),
        (r#"["Critical"]"#, None),
        (r#"{"Critical":5}"#, None),
    ] {
        let reading = read(&report(&format!(r#""score":{{"inbound":{value},"outbound":"Safe"}}"#)));
        assert_eq!(reading.assessment.score.inbound, level, "{value}");
        assert_eq!(reading.anomalies, u32::from(level.is_none()), "{value}");
    }
}

#[test]
fn the_owner_is_the_first_that_can_be_read() {
    for (records, asn, country) in [
        (r#"{"as_no":64500,"org_country_code":"kr"}"#, Some(64500), Some("KR")),
        (r#"{"as_no":"64500","org_country_code":" US "}"#, Some(64500), Some("US")),
        (r#"{"as_no":null,"org_country_code":""},{"as_no":64501,"org_country_code":"de"}"#, Some(64501), Some("DE")),
        (r#"{"as_no":0,"org_country_code":"Korea"}"#, None, None),
        (r#"{"as_no":-5,"org_country_code":82}"#, None, None),
        (r#"{"as_no":4294967296}"#, None, None),
        ("", None, None),
    ] {
        let facts = read(&report(&format!(r#""whois":{{"count":1,"data":[{records}]}}"#))).assessment;
        let letters = facts.country.map(|country| country.letters().iter().collect::<String>());
        assert_eq!((facts.asn.map(u32::from), letters.as_deref()), (asn, country), "{records}");
    }
}
