use super::*;
use crate::host::Module;

fn complaint(text: &str) -> String {
    format!("{:#}", Scenario::parse(text).unwrap_err())
}

#[test]
fn a_step_says_one_thing_that_happens() {
    assert!(complaint("[[step]]\nfrom = \"192.0.2.1:1\"").contains("step 1: it says nothing that happens"));
    let both = complaint("[[step]]\nadvance = \"1s\"\nrequest = \"GET /\"");
    assert!(both.contains("not request and advance"), "{both}");
}

#[test]
fn a_key_that_there_is_not_is_named_with_its_line() {
    let text = complaint("name = \"x\"\n[[step]]\nrequest = \"GET /\"\nexpects = {}");
    assert!(text.contains("expects") && text.contains("line 4"), "{text}");
}

#[test]
fn lengths_of_time_have_a_unit() {
    for (text, micros) in
        [("250ms", 250_000), ("1.5s", 1_500_000), ("10us", 10), ("2m", 120_000_000), ("1d", 86_400_000_000)]
    {
        assert_eq!(Span::try_from(text.to_owned()).unwrap().0, Duration::from_micros(micros), "{text}");
    }
    assert!(Span::try_from("250".to_owned()).unwrap_err().contains("250ms"));
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_format() {
    let schema = schemars::schema_for!(Scenario);
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == text, "UPDATE=1 cargo test -p host-test schema writes it anew");
}

/// A filter of a few instructions: it answers 403 when the path has three bytes, and else lets pass.
const FILTER: &str = r#"(module
    (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "request\00path")
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $property (i32.const 16) (i32.const 12) (i32.const 0) (i32.const 4)))
        (if (i32.ne (i32.load (i32.const 4)) (i32.const 3)) (then (return (i32.const 0))))
        (call $reply (i32.const 403) (i32.const 16) (i32.const 7) (i32.const 16) (i32.const 7)
            (i32.const 0) (i32.const 0) (i32.const -1))))"#;

#[test]
fn what_is_as_expected_passes_and_what_is_not_is_named() {
    let module = Module::load(FILTER.as_bytes()).unwrap();
    let text = |status| {
        format!(
            r#"
            [[step]]
            request = "GET /a"
            expect = {{ status = 200, forwarded = true, forwarded_headers = {{ ":path" = "/a", x-tag = false }} }}
            [[step]]
            request = "GET /ab"
            from = "203.0.113.7:5555"
            expect = {{ status = {status}, forwarded = false, body = "request", details = "request" }}
            "#
        )
    };
    let check = |status| run(&Scenario::parse(&text(status)).unwrap(), &module).unwrap();
    let report = check(403);
    assert!(report.passed(), "{:#?}", report.mismatches);
    let mismatches = check(401).mismatches;
    let shown: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["step 2 (GET /ab from 203.0.113.7:5555): status: expected 401, found 403 (request)"]);
}
