//! JSON with places.

use super::{Kind, Member, Node, Place, Unreadable};
use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    // What the filter reads is what this parser takes; it also bounds the depth for those that follow.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| Unreadable {
        at: Place { line: error.line().max(1), column: error.column().max(1) },
        message: format!("not JSON: {error}"),
    })?;
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    let value = parsed.ok().and_then(|parsed| parsed.value);
    let value = value.ok_or_else(|| Unreadable { at: Place::START, message: "not JSON".into() })?;
    Ok(node(value, &Lines::new(text)))
}

fn node(value: Value<'_>, lines: &Lines<'_>) -> Node {
    let at = lines.place(value.start());
    let kind = match value {
        Value::NullKeyword(_) => Kind::Null,
        Value::BooleanLit(flag) => Kind::Flag(flag.value),
        Value::NumberLit(number) => Kind::Number(number.value.into()),
        Value::StringLit(text) => Kind::Text(text.value.into_owned()),
        Value::Array(list) => Kind::List(list.elements.into_iter().map(|item| node(item, lines)).collect()),
        Value::Object(object) => {
            let member = |property: jsonc_parser::ast::ObjectProp<'_>| Member {
                at: lines.place(property.name.start()),
                key: match property.name {
                    ObjectPropName::String(name) => name.value.into_owned(),
                    ObjectPropName::Word(name) => name.value.into(),
                },
                value: node(property.value, lines),
            };
            Kind::Map(object.properties.into_iter().map(member).collect())
        }
    };
    Node { at, kind }
}

/// Where the lines of a text start.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Lines<'t> {
        let after = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        Lines { text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn place(&self, byte: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts[line - 1];
        let before = self.text.get(start..byte).unwrap_or_default();
        Place { line, column: before.chars().count() + 1 }
    }
}
