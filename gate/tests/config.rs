//! The configuration, from outside: no document is too odd, no mistake tells the key, and the documentation is right.

use gate::{Config, Key};
use proptest::prelude::*;

const SECRET: &str = "s3cr3t-0123456789";

#[test]
fn the_key_is_in_no_mistake_and_in_no_dump() {
    let config = Config::parse(format!(r#"{{"api": {{"cluster": "c", "key": "{SECRET}"}}}}"#).as_bytes()).unwrap();
    assert!(!format!("{config:?}").contains(SECRET));
    let Key::Given(secret) = &config.api.key else { panic!("{:?}", config.api.key) };
    assert_eq!((secret.expose(), format!("{secret:?}")), (SECRET, "***".to_owned()));

    for api in [
        format!(r#"{{"key": "{SECRET} "}}"#),
        format!(r#"{{"key": "{SECRET}\n", "key_env": "{SECRET}"}}"#),
        format!(r#"{{"key": "{}"}}"#, SECRET.repeat(100)),
        format!(r#"{{"key": ["{SECRET}"]}}"#),
        format!(r#"{{"key": {{"value": "{SECRET}"}}}}"#),
        format!(r#"{{"kei": "{SECRET}"}}"#),
        format!(r#"{{"key": "{SECRET}", "key": "{SECRET}"}}"#),
        format!(r#"{{"cluster": "c", "key_env": "{SECRET}"}}"#),
        format!(r#"{{"cluster": "c", "key": "{SECRET}"#),
        format!(r#"{{"cluster": "c", "key": '{SECRET}'}}"#),
        format!(r#"{{"cluster": "c", "key": {SECRET}}}"#),
        format!(r#""{SECRET}""#),
        format!(r#"["{SECRET}"]"#),
    ] {
        let document = format!(r#"{{"api": {api}}}"#);
        let mistakes = Config::parse(document.as_bytes()).unwrap_err();
        assert!(!format!("{mistakes:?}").contains("s3cr3t"), "{mistakes:?}");
        assert!(mistakes.iter().all(|mistake| !mistake.to_string().contains("s3cr3t")), "{mistakes:?}");
    }
    let number = Config::parse(br#"{"api": {"cluster": "c", "key": 123456789}}"#).unwrap_err();
    assert_eq!(number[0].to_string(), "api.key: must be a string (API key) [wrong_type]");
    assert_eq!(number.len(), 1);
}

#[test]
fn the_path_of_a_webhook_is_in_no_mistake_and_in_no_dump() {
    let document = |path: &str| {
        format!(
            r#"{{"api": {{"cluster": "c"}}, "notify": {{"cluster": "c", "authority": "hooks.slack.com", "path": "{path}"}}}}"#
        )
    };
    for path in ["T0/s3cr3t", "/T0/s3cr3t#", &"/s3cr3t".repeat(200)] {
        let mistakes = Config::parse(document(path).as_bytes()).unwrap_err();
        assert!(!format!("{mistakes:?}").contains("s3cr3t"), "{mistakes:?}");
    }
    let config = Config::parse(document("/T0/s3cr3t").as_bytes()).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"), "{config:?}");
}

const PAGE: &str = include_str!("../../docs/configuration.md");

/// Every block of this kind in a page of the documentation.
fn blocks(page: &'static str, kind: &str) -> Vec<&'static str> {
    let fence = format!("\n```{kind}\n");
    page.split(&*fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

#[test]
fn the_examples_in_the_documentation_are_right() {
    let selection = blocks(include_str!("../../docs/selection.md"), "json");
    let notifications = blocks(include_str!("../../docs/notifications.md"), "json");
    let events = blocks(include_str!("../../docs/events.md"), "json");
    let examples = [blocks(PAGE, "json"), selection, notifications[..1].to_vec(), events].concat();
    assert!(examples.len() >= 10);
    for example in examples {
        if let Err(mistakes) = Config::parse(example.as_bytes()) {
            panic!("{mistakes:?}\n{example}");
        }
    }
}

#[test]
fn the_documentation_shows_the_mistakes_of_its_wrong_example() {
    let (wrong, shown) = (blocks(PAGE, "json wrong"), blocks(PAGE, "text"));
    let lines: Vec<String> =
        Config::parse(wrong[0].as_bytes()).unwrap_err().iter().map(|mistake| mistake.to_string()).collect();
    assert_eq!(shown[0].lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_hundred_thousand_entries_are_read() {
    let entries: Vec<String> =
        (0..100_000).map(|n| format!(r#"{{"cidr": "10.{}.{}.{}"}}"#, n >> 16, (n >> 8) & 255, n & 255)).collect();
    let document = format!(r#"{{"api": {{"cluster": "c"}}, "lists": {{"deny": [{}]}}}}"#, entries.join(","));
    assert_eq!(Config::parse(document.as_bytes()).unwrap().lists.deny.len(), 100_000);
}

fn json() -> impl Strategy<Value = String> {
    // Keys that there are, so that values of every kind reach every form.
    let key = prop::sample::select(
        "mode direction api first_look on_error cache policy scope lists tag deny log cluster authority full key_env key timeout \
         max_body concurrency hold then max_held entries ttl clean error profile rules name when any all none ports host time \
         time_zone within skip allow cidr until request_header response_header filter_state status message other"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let text = prop_oneof![
        "\\PC{0,12}",
        prop::sample::select(vec![
            "ingress",
            "allow",
            "c2",
            "5s",
            "0s",
            "4MiB",
            "10.0.0.0/8",
            "::1",
            "KR",
            "UTC",
            "x-a",
            "GET",
            "99999999999999999999d"
        ])
        .prop_map(String::from),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other numbers", |n| n.is_finite())
            .prop_map(|number| format!("{number:e}")),
        text.prop_map(|text| serde_json::Value::String(text).to_string()),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// What must hold whatever the document: it is a configuration, or has mistakes, each of one short line.
fn is_read_or_refused(document: &[u8]) -> Result<(), TestCaseError> {
    if let Err(mistakes) = Config::parse(document) {
        prop_assert!(!mistakes.is_empty());
        for mistake in mistakes {
            let line = mistake.to_string();
            prop_assert!(!line.chars().any(char::is_control) && line.chars().count() < 1500, "{line:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(document in json()) {
        is_read_or_refused(document.as_bytes())?;
    }

    #[test]
    fn any_json_in_a_right_document_is_read_or_refused(
        section in prop::sample::select(vec!["first_look", "cache", "policy", "scope", "lists", "tag", "deny", "log", "mode"]),
        value in json(),
    ) {
        is_read_or_refused(format!(r#"{{"api": {{"cluster": "c"}}, "{section}": {value}}}"#).as_bytes())?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(document in prop::collection::vec(any::<u8>(), 0..200)) {
        is_read_or_refused(&document)?;
    }
}
