use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::{format, vec};

/// Whether the text is one value and nothing else.
fn is_json(text: &str) -> Result<(), JsonError> {
    let mut json = JsonReader::new(text);
    json.value()?;
    json.end()
}

/// Text that is JSON, or nearly.
fn nearly_json() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"\"",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\x\"",
        "\"\n\"",
        "\"",
        "\\",
        "0",
        "-",
        "1.5",
        "01",
        "1e5",
        "1E+",
        "2.",
        ".5",
        "true",
        "null",
        "fals",
        " ",
        "\n",
        "é",
        "\"k\":",
        "\"k\":1,",
        "[1,",
        "[[]],",
        "{}",
        "[]",
    ]);
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_is_json_is_what_another_reader_takes_for_it(text in nearly_json(), any: String) {
        for text in [text, any] {
            let other = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(is_json(&text).is_ok(), other, "{}", text);
        }
    }

    #[test]
    fn a_text_comes_back_as_it_was_written(text: String) {
        let written = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(unescaped(&written), text.as_str());
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let raw = format!("\"{escaped}\"");
        prop_assert_eq!(unescaped(&raw), text.as_str());
        let plain = without_needless_escapes(&format!("[\"{escaped}\"]"));
        prop_assert_eq!(serde_json::from_str::<vec::Vec<String>>(&plain).unwrap(), [text]);
    }

    #[test]
    fn any_text_can_be_unescaped(text: String) {
        let _ = unescaped(&text);
        let _ = without_needless_escapes(&text);
    }
}

#[test]
fn an_error_says_what_is_wanted_and_where() {
    for (text, error) in [
        ("", "expected a value at line 1 column 1"),
        ("{\n  \"mode\" \"shadow\"}", "expected `:` at line 2 column 10"),
        ("{} {}", "expected the end at line 1 column 4"),
        ("[1 2]", "expected `,` or `]` at line 1 column 4"),
        ("{\"a\": 1,}", "expected a key in quotes at line 1 column 9"),
        ("[1,]", "expected a value at line 1 column 4"),
        ("\"abc", "expected the end of a string at line 1 column 5"),
        ("-", "expected a digit at line 1 column 2"),
    ] {
        assert_eq!(is_json(text).unwrap_err().to_string(), error, "{text}");
    }
}

#[test]
fn members_are_handed_on_raw_and_in_order() {
    let mut members = vec::Vec::new();
    let mut json = JsonReader::new(r#" { "a" : [1, {"b": 2}] , "\u0063":"d\"" } "#);
    json.object(&mut |json, key| {
        members.push((key, json.value()?));
        Ok(())
    })
    .unwrap();
    assert_eq!(json.end(), Ok(()));
    assert_eq!(members, [("\"a\"", "[1, {\"b\": 2}]"), ("\"\\u0063\"", "\"d\\\"\"")]);
}

#[test]
fn half_of_a_surrogate_pair_is_replaced() {
    for (raw, text) in [
        (r#""\ud83d\ude00!""#, "\u{1f600}!"),
        (r#""\ud83d!""#, "\u{fffd}!"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
    ] {
        assert_eq!(unescaped(raw), text, "{raw}");
    }
}
