//! What holds for every body.

use crate::reports::{fixture, fixtures};
use crate::{NOW, report, time};
use evaluator::{AnswerError, Reading, examine, read_answer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn answer(body: &[u8]) -> Result<Reading, AnswerError> {
    read_answer(200, body, time(NOW))
}

/// Any value, with the words of a report among its keys and strings.
fn value() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "",
        "ip",
        "issues",
        "tags",
        "score",
        "inbound",
        "status",
        "port",
        "data",
        "count",
        "is_tor",
        "Critical",
        "type",
        "tor",
        "confirmed_time",
        "2024-03-20 00:00:00",
        "open_port_no",
        "ssl_info_raw",
        "TLS Certificate",
        "Issuer Dn: CN=a",
        "expired",
        "self signed",
        "mining",
        "c2_x",
        "True",
        "22",
        "\u{0}\"\\\n\t",
        "é",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..6).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(words.clone().prop_map(String::from), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The members of a report, each of any type.
fn members() -> impl Strategy<Value = Map<String, Value>> {
    let names = ["issues", "tags", "whois", "ids", "honeypot", "ip_category", "port", "vulnerability", "domain"];
    let block = prop_oneof![
        value(),
        prop::collection::vec(value(), 0..4).prop_map(|data| json!({"count": data.len(), "data": data})),
        prop::collection::vec((value(), value(), value()), 0..4).prop_map(|records| {
            let record = |(a, b, c)| json!({"type": a, "tags": b, "ssl_info_raw": c, "open_port_no": 22});
            json!({"data": records.into_iter().map(record).collect::<Vec<_>>()})
        }),
    ];
    let members = prop::collection::vec((prop::sample::select(names.to_vec()), block), 0..6);
    members.prop_map(|members| members.into_iter().map(|(name, block)| (name.into(), block)).collect())
}

/// The object as text, its members in this order, with and without white space.
fn written(members: &[(String, Value)], spaced: bool) -> String {
    let space = if spaced { " \n" } else { "" };
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{space}{}{space}:{space}{value}", Value::from(&**name))).collect();
    format!("{{{}{space}}}", members.join(","))
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(http_status: u16, body: Vec<u8>) {
        let short = read_answer(http_status, &body, time(NOW));
        prop_assert_eq!(examine(http_status, &body, time(NOW)).map(|full| full.reading), short);
    }

    #[test]
    fn any_json_has_an_answer(body in value()) {
        let body = body.to_string();
        let short = answer(body.as_bytes());
        prop_assert_eq!(examine(200, body.as_bytes(), time(NOW)).map(|full| full.reading), short);
    }

    #[test]
    fn a_report_is_read_whatever_its_other_members_are(members in members()) {
        let mut members: Vec<_> = members.into_iter().collect();
        members.push(("score".into(), json!({"inbound": "Low"})));
        members.push(("status".into(), json!(200)));
        let body = written(&members, false);
        prop_assert!(answer(body.as_bytes()).is_ok(), "{}", body);
    }

    #[test]
    fn only_a_body_of_status_200_is_a_report(members in members(), status in value()) {
        prop_assume!(status != json!(200) && status != json!("200"));
        let mut members: Vec<_> = members.into_iter().collect();
        members.push(("score".into(), json!("Critical")));
        prop_assert!(answer(written(&members, false).as_bytes()).is_err());
        members.push(("status".into(), status));
        prop_assert!(answer(written(&members, false).as_bytes()).is_err());
    }

    #[test]
    fn order_and_unknown_members_do_not_matter(
        members in members(),
        unknown in prop::collection::btree_map("x_[a-z]{0,3}", value(), 0..3),
        seed: prop::sample::Index,
        spaced: bool,
    ) {
        let mut members: Vec<_> = members.into_iter().collect();
        members.push(("score".into(), json!({"outbound": "Low"})));
        members.push(("status".into(), json!(200)));
        let expected = answer(written(&members, false).as_bytes());
        members.extend(unknown);
        let turn = seed.index(members.len());
        members.rotate_left(turn);
        prop_assert_eq!(answer(written(&members, spaced).as_bytes()), expected);
    }

    #[test]
    fn a_report_with_damaged_bytes_has_an_answer(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut body = fixture("every_block.json");
        for (place, byte) in damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let short = answer(&body);
        prop_assert_eq!(examine(200, &body, time(NOW)).map(|full| full.reading), short);
    }
}

#[test]
fn no_part_of_a_report_is_a_report() {
    for entry in std::fs::read_dir(fixtures()).expect("the folder of fixtures") {
        let path = entry.expect("an entry").path();
        let body = std::fs::read(&path).expect("a file");
        if answer(&body).is_err() {
            continue;
        }
        let length = body.trim_ascii_end().len();
        for end in (0..length).step_by(1 + length / 4000) {
            assert_eq!(answer(&body[..end]), Err(AnswerError::Malformed), "{path:?}, {end} bytes");
        }
    }
}

#[test]
fn a_report_of_a_hundred_thousand_ports_is_read() {
    let records: Vec<_> = (0..100_000)
        .map(|number| {
            let seen = format!("2024-03-{:02}", number % 20 + 1);
            format!(r#"{{"open_port_no":{number},"app_name":"nginx","confirmed_time":"{seen}","tags":["c2"]}}"#)
        })
        .collect();
    let body = report(&format!(r#""port":{{"data":[{}]}}"#, records.join(",")));
    let reading = answer(body.as_bytes()).expect("a report");
    assert_eq!(reading.anomalies, 100_000 - 65_536);
    assert_eq!(crate::codes(reading.assessment.findings), ["c2"]);
}
