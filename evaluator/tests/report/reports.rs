//! Whole reports of realistic shape, as files.

use crate::{NOW, codes, read, report, time};
use evaluator::{Country, EVIDENCE_MAX_AGE, Finding, Level, Score, Timestamp, examine, read_answer};

struct Expected {
    file: &'static str,
    now: &'static str,
    score: (u8, u8),
    owner: Option<(u32, &'static str)>,
    current: &'static [&'static str],
    published: &'static [&'static str],
}

#[test]
fn realistic_reports_are_read_both_ways() {
    for expected in [
        Expected { file: "clean", now: NOW, score: (20, 20), owner: None, current: &[], published: &[] },
        Expected {
            file: "reputation",
            now: NOW,
            score: (100, 60),
            owner: None,
            current: &["reputation", "anonymity.tor", "scanner", "ids"],
            published: &["reputation", "anonymity.tor"],
        },
        // Old categories and an old certificate of a resolver are history, not findings.
        Expected {
            file: "resolver",
            now: NOW,
            score: (20, 20),
            owner: Some((19281, "US")),
            current: &[],
            published: &[],
        },
        Expected {
            file: "every_block",
            now: "2022-12-08 00:00:00",
            score: (100, 60),
            owner: Some((8075, "US")),
            current: &[
                "reputation",
                "anonymity.anonymous_vpn",
                "c2",
                "ids",
                "honeypot",
                "vulnerable",
                "hosting",
                "cloud",
            ],
            published: &["reputation", "anonymity.anonymous_vpn"],
        },
        // Two years later the flags are as of then, while what has a date is out of date.
        Expected {
            file: "every_block",
            now: NOW,
            score: (100, 60),
            owner: Some((8075, "US")),
            current: &["reputation", "anonymity.anonymous_vpn", "ids", "vulnerable", "hosting"],
            published: &["reputation", "anonymity.anonymous_vpn"],
        },
        Expected {
            file: "cloud_dns",
            now: NOW,
            score: (20, 20),
            owner: Some((15169, "US")),
            current: &["cloud"],
            published: &[],
        },
        Expected {
            file: "old_names",
            now: "2022-08-01 00:00:00",
            score: (20, 40),
            owner: Some((4766, "KR")),
            current: &["anonymity.vpn"],
            published: &["anonymity.vpn"],
        },
        Expected {
            file: "scanner",
            now: NOW,
            score: (100, 100),
            owner: Some((24757, "ET")),
            current: &["reputation", "ssh.openssh", "scanner", "vulnerable"],
            published: &["reputation", "ssh.openssh"],
        },
        Expected {
            file: "tor_exit",
            now: NOW,
            score: (100, 60),
            owner: None,
            current: &["reputation", "anonymity.tor", "scanner"],
            published: &["reputation", "anonymity.tor"],
        },
        Expected {
            file: "ssh_host",
            now: NOW,
            score: (100, 100),
            owner: Some((64500, "DE")),
            current: &["reputation", "tls.self_signed", "anonymity.proxy", "ssh.openssh", "vulnerable"],
            published: &["reputation", "tls.self_signed", "anonymity.proxy", "ssh.openssh"],
        },
        Expected {
            file: "c2_server",
            now: NOW,
            score: (40, 100),
            owner: Some((64500, "US")),
            current: &["reputation", "exposure.directory_listing", "mining", "c2", "hosting"],
            published: &["reputation", "exposure.directory_listing", "mining"],
        },
        // OpenSSH gave way to another server, the certificate was replaced, and port 8080 was not seen for long.
        Expected {
            file: "history",
            now: NOW,
            score: (40, 40),
            owner: None,
            current: &[],
            published: &["tls.self_signed", "tls.expired", "exposure.directory_listing", "mining", "ssh.openssh"],
        },
    ] {
        let Expected { file, now, score, owner, current, published } = expected;
        let now = time(now);
        let reading = read_answer(200, &fixture(&format!("{file}.json")), now).expect(file);
        let facts = reading.assessment;
        let level = |level: Option<Level>| level.map_or(0, |level| level as u8);
        assert_eq!((level(facts.score.inbound), level(facts.score.outbound)), score, "{file}");
        assert_eq!(codes(facts.findings), current, "{file}, current");
        assert_eq!(codes(facts.published), published, "{file}, published");
        assert_eq!(facts.asn.map(u32::from), owner.map(|(asn, _)| asn), "{file}");
        assert_eq!(facts.country, owner.and_then(|(_, country)| Country::parse(country)), "{file}");
        assert_eq!((facts.learned, reading.anomalies), (now, 0), "{file}");
        assert!(reading.subject.is_some(), "{file}");
    }
}

#[test]
fn an_examination_says_what_each_finding_rests_on() {
    let examination = examine(200, &fixture("history.json"), time(NOW)).expect("a report");
    assert_eq!(examination.current, []);
    let published: Vec<_> = examination
        .published
        .iter()
        .map(|found| (found.finding, found.detail.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        published,
        [
            (Finding::TlsSelfSigned, "port 443/tcp: issued by its own subject"),
            (Finding::TlsExpired, "port 443/tcp: past its end"),
            (Finding::DirectoryListing, "port 8080/tcp: directory listing"),
            (Finding::Mining, "port 8080/tcp: mining"),
            (Finding::Openssh, "port 22/tcp: OpenSSH 7.4"),
        ]
    );
}

#[test]
fn details_hold_nothing_that_a_terminal_obeys() {
    let name = format!("OpenSSH \\u001b[2J\\n{}", "x".repeat(500));
    let body = report(&format!(r#""port":{{"data":[{{"open_port_no":22,"app_name":"{name}"}}]}}"#));
    let published = examine(200, body.as_bytes(), time(NOW)).expect("a report").published;
    let detail = published.first().and_then(|found| found.detail.as_deref()).unwrap_or_default();
    assert!(detail.starts_with("port 22: OpenSSH \u{fffd}[2J\u{fffd}xxx"), "{detail}");
    assert_eq!((detail.chars().count(), detail.chars().last()), (161, Some('…')));
}

#[test]
fn an_examination_finds_what_the_short_reading_finds() {
    for entry in std::fs::read_dir(fixtures()).expect("the folder of fixtures") {
        let path = entry.expect("an entry").path();
        let body = std::fs::read(&path).expect("a file");
        for now in ["2022-08-01", NOW, "2030-01-01"].map(time) {
            let examination = examine(200, &body, now);
            assert_eq!(read_answer(200, &body, now), examination.clone().map(|full| full.reading), "{path:?}");
            let Ok(full) = examination else { continue };
            for (details, findings) in
                [(full.current, full.reading.assessment.findings), (full.published, full.reading.assessment.published)]
            {
                assert!(details.is_sorted(), "{path:?}");
                let mut found: Vec<_> = details.iter().map(|detail| detail.finding).collect();
                found.dedup();
                assert!(found.into_iter().eq(findings.iter()), "{path:?}");
            }
        }
    }
}

#[test]
fn evidence_counts_to_the_last_second_of_its_age() {
    let body = report(r#""ip_category":{"count":1,"data":[{"type":"tor","confirmed_time":"2024-01-01 00:00:00"}]}"#);
    let seen = time("2024-01-01");
    for (age, counts) in [(0, true), (EVIDENCE_MAX_AGE, true), (EVIDENCE_MAX_AGE + 1, false)] {
        let now = Timestamp::from_unix(i64::from(seen.unix()) + i64::from(age));
        let facts = read_answer(200, body.as_bytes(), now).expect("a report").assessment;
        assert_eq!(facts.findings.contains(Finding::Tor), counts, "{age}");
        assert!(facts.published.contains(Finding::Tor), "{age}");
    }
    // Clocks differ and the API names no time zone: what is dated after now is new.
    let facts = read_answer(200, body.as_bytes(), time("2023-12-31")).expect("a report").assessment;
    assert!(facts.findings.contains(Finding::Tor));
}

#[test]
fn of_each_port_only_the_newest_record_counts() {
    let old = r#"{"open_port_no":22,"socket":"tcp","app_name":"OpenSSH","confirmed_time":"2024-03-01 00:00:00"}"#;
    let new = r#"{"open_port_no":22,"socket":"tcp","app_name":"dropbear","confirmed_time":"2024-03-02 00:00:00"}"#;
    let same = new.replace("dropbear", "nginx");
    let udp = old.replace("tcp", "udp");
    let other = old.replace("22", "2222");
    let unnumbered = old.replace("22,", "null,");
    let undated = new.replace("2024-03-02 00:00:00", "");
    for (records, found) in [
        (vec![old], true),
        (vec![old, new], false),
        (vec![new, old], false),
        (vec![old, &undated], true),
        (vec![old, new, &udp], true),
        (vec![new, &other], true),
        (vec![new, &unnumbered, &unnumbered], true),
        (vec![new, &same.replace("nginx", "OpenSSH")], true),
        (vec![&new.replace("dropbear", "OpenSSH"), &same], true),
    ] {
        let body = report(&format!(r#""port":{{"count":9,"data":[{}]}}"#, records.join(",")));
        let facts = read(&body).assessment;
        assert_eq!(facts.findings.contains(Finding::Openssh), found, "{body}");
    }
}

#[test]
fn a_certificate_is_judged_by_the_newest_record_and_by_now() {
    let record = |seen: &str, end: &str, dn: &str| {
        format!(
            r#"{{"open_port_no":443,"socket":"tcp","confirmed_time":"{seen}","ssl_info_raw":"\n\nTLS Certificate\nIssuer Dn: CN=a\nValidity: \n\tStart: 2020-01-01T00:00:00Z\n\tEnd: {end}T00:00:00Z\nSubject Dn: CN={dn}\n"}}"#
        )
    };
    for (records, current, published) in [
        (vec![record("2024-03-20", "2025-01-01", "b")], &[][..], &[][..]),
        (vec![record("2024-03-20", "2024-03-24", "b")], &["tls.expired"], &["tls.expired"]),
        (vec![record("2024-03-20", "2024-03-24", "b"), record("2024-03-22", "2025-01-01", "b")], &[], &[]),
        // It was past its end when it was seen, though another took its place.
        (vec![record("2024-03-20", "2024-03-10", "b"), record("2024-03-22", "2025-01-01", "b")], &[], &["tls.expired"]),
        // Nobody has looked since, and it is past its end now.
        (vec![record("2023-03-20", "2023-04-10", "b")], &[], &["tls.expired"]),
        (vec![record("2024-03-20", "2025-01-01", "a")], &["tls.self_signed"], &["tls.self_signed"]),
        (
            vec![record("2024-03-20", "2025-01-01", "a"), record("2024-03-22", "2025-01-01", "b")],
            &[],
            &["tls.self_signed"],
        ),
    ] {
        let body = report(&format!(r#""port":{{"count":9,"data":[{}]}}"#, records.join(",")));
        let facts = read(&body).assessment;
        assert_eq!((codes(facts.findings), codes(facts.published)), (current.to_vec(), published.to_vec()), "{body}");
    }
}

#[test]
fn a_score_for_both_directions_fills_in_where_one_is_missing() {
    use Level::{Critical, Low, Moderate, Safe};
    for (score, inbound, outbound) in [
        (r#"{"inbound":"Low"}"#, Some(Low), None),
        (r#"{"inbound":"Low","overall":"Moderate"}"#, Some(Low), Some(Moderate)),
        (r#"{"overall":"Low","total":"Critical"}"#, Some(Critical), Some(Critical)),
        (r#""Moderate""#, Some(Moderate), Some(Moderate)),
        ("1", Some(Safe), Some(Safe)),
    ] {
        let facts = read(&report(&format!(r#""score":{score}"#))).assessment;
        assert_eq!(facts.score, Score { inbound, outbound }, "{score}");
    }
}

#[test]
fn a_mapped_subject_is_unwrapped() {
    for (subject, expected) in [
        ("203.0.113.5", Some("203.0.113.5")),
        (" 203.0.113.5 ", Some("203.0.113.5")),
        ("::ffff:203.0.113.5", Some("203.0.113.5")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("somewhere", None),
    ] {
        let reading = read(&report("").replace("192.0.2.1", subject));
        assert_eq!(reading.subject, expected.map(|ip| ip.parse().expect("an address")), "{subject}");
        assert_eq!(reading.anomalies, u32::from(expected.is_none()), "{subject}");
    }
}

pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn fixtures() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
