#![cfg(test)]

use super::documented::{describe, documented, listed, table, visit, workspace_file, workspace_path};
use super::{DOCUMENT, Form};
use crate::{Config, MistakeKind};
use evaluator::Finding;
use serde_json::{Value, json};
use std::sync::LazyLock;

const DOCUMENTATION: &str = "docs/configuration.md";
const COMMITTED: &str = "envoy/portcullis.schema.json";

/// The shape of the whole document.
static SHAPE: LazyLock<Value> = LazyLock::new(|| DOCUMENT.shape());

fn schema() -> Value {
    let mut schema = SHAPE.clone();
    describe(&mut schema, "", &documented(&workspace_file(DOCUMENTATION)));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Portcullis");
    schema["description"] = json!("The configuration of the Portcullis filter for Envoy.");
    schema
}

#[test]
fn the_committed_schema_is_the_one_that_the_code_makes() {
    let made = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(workspace_path(COMMITTED), &made).unwrap();
    }
    assert!(workspace_file(COMMITTED) == made, "{COMMITTED} is old: UPDATE=1 cargo test -p gate schema");
}

#[test]
fn the_documentation_lists_every_key_with_its_value_and_default_and_no_other() {
    let (documented, listed) = (documented(&workspace_file(DOCUMENTATION)), listed(&SHAPE));
    let paths: Vec<&String> = documented.keys().collect();
    assert_eq!(paths, listed.keys().collect::<Vec<_>>());
    for (path, row) in &documented {
        assert_eq!((&row.value, &row.default), (&listed[path].value, &listed[path].default), "{path}");
        assert!(row.meaning.ends_with('.'), "{path}");
    }
}

#[test]
fn the_documentation_lists_every_finding_and_every_mistake() {
    let documentation = workspace_file(DOCUMENTATION);
    let column = |heading, column: usize| -> Vec<String> {
        table(&documentation, heading).iter().map(|row| row[column].trim_matches('`').to_owned()).collect()
    };
    assert_eq!(column("## Findings", 0), Finding::ALL.iter().map(|f| f.code()).collect::<Vec<_>>());
    assert_eq!(column("## Findings", 1), Finding::ALL.iter().map(|f| f.token()).collect::<Vec<_>>());
    assert_eq!(column("## Mistakes", 0), MistakeKind::ALL.iter().map(|kind| kind.code()).collect::<Vec<_>>());
}

/// A value that is right by the schema: the shortest object, a list of one, a name of the choice, the example.
fn sample(shape: &Value) -> Value {
    if let Some(value) = shape.get("default").or(shape["enum"].get(0)).or(shape["examples"].get(0)) {
        return value.clone();
    }
    match shape["type"].as_str() {
        Some("object") => {
            let required = shape["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
            required.map(|name| (name.to_owned(), sample(&shape["properties"][name]))).collect()
        }
        Some("array") => json!([sample(&shape["items"])]),
        Some("integer") => shape["minimum"].clone(),
        other => panic!("no sample for {other:?}: {shape}"),
    }
}

/// The shortest right document that has this value at this path of the schema.
fn document_with(path: &str, value: Value) -> Vec<u8> {
    let mut document = sample(&SHAPE);
    let (mut place, mut shape) = (&mut document, &*SHAPE);
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        shape = &shape["properties"][name];
        if place.get(name).is_none() {
            place[name] = if part == name && shape["type"] != "array" { sample(shape) } else { json!([]) };
        }
        place = &mut place[name];
        if part != name {
            shape = &shape["items"];
            *place = json!([sample(shape)]);
            place = &mut place[0];
        }
    }
    *place = value;
    if ["destination", "select.domains", "lists.allow_hosts", "lists.deny_hosts"]
        .iter()
        .any(|key| path.starts_with(key))
    {
        document["direction"] = json!("egress");
    }
    if path.starts_with("control") || (path == "role" && document["role"] == "control") {
        document["role"] = json!("control");
        let lacks = |control: &Value| control.is_object() && control["write_token_env"].is_null();
        if path != "control.write_token_env" && document.get("control").is_none_or(lacks) {
            document["control"]["write_token_env"] = json!("TOKEN");
        }
    }
    let has_path = |notify: &Value| notify.get("path").or(notify.get("path_env")).is_some();
    if document.get("notify").is_some_and(|notify| notify.is_object() && !has_path(notify)) {
        document["notify"]["path"] = json!("/portcullis");
    }
    if path == "api.budget.reserve_for_events" {
        document["api"]["budget"]["per_day"] = json!(1_000_000_000);
    }
    document.to_string().into_bytes()
}

fn every_key(mut see: impl FnMut(&str, &Value)) {
    let mut count = 0;
    visit(&SHAPE, "", &mut |path, shape, _| {
        count += 1;
        see(path, shape);
    });
    assert!(count > 60, "{count}");
}

#[track_caller]
fn accepted(path: &str, value: &Value) {
    let document = document_with(path, value.clone());
    if let Err(mistakes) = Config::parse(&document) {
        panic!("{path} with {value} is refused: {mistakes:?}\n{}", String::from_utf8_lossy(&document));
    }
}

#[track_caller]
fn refused(path: &str, value: &Value, kinds: &[MistakeKind]) {
    let document = document_with(path, value.clone());
    let mistakes = Config::parse(&document).expect_err(path);
    let right_place = |found: &str| found.replace("[0]", "[]").starts_with(path);
    assert!(mistakes.iter().any(|m| right_place(&m.path) && kinds.contains(&m.kind)), "{path} {value}: {mistakes:?}");
}

#[test]
fn each_key_takes_its_default_its_examples_and_every_value_of_its_choice() {
    every_key(|path, shape| {
        accepted(path, &sample(shape));
        let choice = shape["enum"].as_array().or(shape["items"]["enum"].as_array());
        for value in choice.into_iter().flatten() {
            accepted(path, &if shape["type"] == "array" { json!([value]) } else { value.clone() });
        }
    });
}

#[test]
fn each_key_refuses_what_its_schema_refuses() {
    use MistakeKind::{OutOfRange, UnknownKey, UnknownValue, WrongType};
    every_key(|path, shape| {
        let is_list = shape["type"] == "array";
        let wrap = |value: Value| if is_list { json!([value]) } else { value };
        let item = if is_list { &shape["items"] } else { shape };
        let has_type = |name: &str| item["type"] == name || item["type"][0] == name;
        if item.get("enum").is_some() {
            refused(path, &wrap(json!("no-such-value")), &[UnknownValue, WrongType]);
            refused(path, &wrap(json!(30)), &[UnknownValue, WrongType]);
        }
        if has_type("integer") {
            for end in ["minimum", "maximum"] {
                accepted(path, &wrap(item[end].clone()));
            }
            refused(path, &wrap(json!(item["minimum"].as_i64().unwrap() - 1)), &[OutOfRange]);
            refused(path, &wrap(json!(item["maximum"].as_i64().unwrap() + 1)), &[OutOfRange]);
            refused(path, &wrap(json!(item["minimum"].as_f64().unwrap() + 0.5)), &[OutOfRange]);
        }
        if has_type("string") && item.get("maxLength").is_some() {
            let longer = "1".repeat(item["maxLength"].as_u64().unwrap() as usize + 1);
            refused(path, &wrap(json!(longer)), &[OutOfRange]);
            refused(path, &wrap(json!("")), &[OutOfRange]);
        }
        if has_type("object") {
            let mut more = sample(item);
            more["no_such_key"] = json!(1);
            refused(path, &wrap(more), &[UnknownKey]);
        }
        if shape["minItems"] == 1 {
            refused(path, &json!([]), &[OutOfRange]);
        }
        let takes_null =
            shape["type"][1] == "null" || shape["enum"].as_array().is_some_and(|e| e.contains(&Value::Null));
        assert_eq!(Config::parse(&document_with(path, Value::Null)).is_ok(), takes_null, "{path}");
        refused(path, &json!([[]]), &[WrongType]);
    });
}

#[test]
fn durations_and_sizes_end_where_their_description_says() {
    let mut count = 0;
    every_key(|path, shape| {
        let description = shape["description"].as_str().unwrap();
        let range = description.strip_prefix("duration, ").or(description.strip_prefix("size, "));
        let Some((least, most)) = range.and_then(|range| range.split_once(" to ")) else { return };
        count += 1;
        accepted(path, &json!(least));
        accepted(path, &json!(most));
        let beyond = if description.starts_with("size") { format!("1{most}") } else { "49710d".into() };
        refused(path, &json!(beyond), &[MistakeKind::OutOfRange]);
        for least in [least.strip_suffix('s').map(|_| "0ms"), least.strip_suffix('B').map(|_| "0B")].iter().flatten() {
            if !["first_look.hold", "cache.stale"].contains(&path) {
                refused(path, &json!(least), &[MistakeKind::OutOfRange]);
            }
        }
        refused(path, &json!("5 s"), &[MistakeKind::Malformed]);
    });
    assert_eq!(count, 12);
}
