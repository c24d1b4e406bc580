//! The JSON Schema of the configuration, made from what the reading functions ask for.
//!
//! What a key means stands in the tables of `docs/configuration.md` alone; the schema's descriptions are taken from there.

mod documented;
mod tests;

use super::document::DOCUMENT;
use super::form::Form;
use super::json::Json;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::{Map, Value, json};

/// The keys of an object, as they are asked for.
#[derive(Default)]
pub(super) struct ObjectShape {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    exclusive: Option<[&'static str; 2]>,
    either: Option<[&'static str; 2]>,
}

impl ObjectShape {
    pub(super) fn required(&mut self, name: &'static str, shape: Value) {
        self.required.push(name);
        self.optional(name, shape);
    }

    pub(super) fn optional(&mut self, name: &'static str, shape: Value) {
        let before = self.properties.insert(name.into(), shape);
        assert!(before.is_none(), "{name} is asked for twice");
    }

    /// An object that is read with its defaults where it is not there: it must be there if it has a key without one.
    pub(super) fn section(&mut self, name: &'static str, shape: Value) {
        if shape.get("required").is_some() {
            self.required.push(name);
        }
        self.optional(name, shape);
    }

    pub(super) fn defaulted(&mut self, name: &'static str, mut shape: Value, default: &Json) {
        shape["default"] = match default {
            Json::Missing => panic!("a default is there"),
            Json::Null => Value::Null,
            Json::Flag(flag) => json!(flag),
            Json::Number(number) => json!(*number as u64),
            Json::Text(text) => json!(text),
            Json::Array(items) if items.is_empty() => json!([]),
            Json::Array(_) | Json::Object(_) => panic!("no default has anything in it"),
        };
        self.optional(name, shape);
    }

    pub(super) fn exclude(&mut self, one: &'static str, other: &'static str) {
        self.exclusive = Some([one, other]);
    }

    pub(super) fn either(&mut self, one: &'static str, other: &'static str) {
        self.either = Some([one, other]);
    }

    pub(super) fn into_value(self) -> Value {
        let mut shape = json!({
            "type": "object", "properties": self.properties, "additionalProperties": false, "description": "object",
        });
        if !self.required.is_empty() {
            shape["required"] = json!(self.required);
        }
        if let Some(exclusive) = self.exclusive {
            shape["not"] = json!({"required": exclusive});
        }
        if let Some(either) = self.either {
            shape["oneOf"] = either.map(|name| json!({"required": [name]})).as_slice().into();
        }
        shape
    }
}

/// The shape of what has this shape or is null.
pub(super) fn or_null(mut shape: Value) -> Value {
    match &mut shape["enum"] {
        Value::Array(values) => values.push(Value::Null),
        _ => {
            shape.as_object_mut().unwrap().remove("enum");
            shape["type"] = json!([shape["type"], "null"]);
        }
    }
    shape["description"] = format!("{}, `null`", shape["description"].as_str().unwrap()).into();
    shape
}
