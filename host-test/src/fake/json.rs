//! JSON whose objects keep the order of their keys: the order is part of how the API answers.

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// An object with these keys, in this order.
macro_rules! object {
    ($($key:literal: $value:expr),* $(,)?) => {
        $crate::fake::json::Json::Object(vec![$(($key, $crate::fake::json::Json::from($value))),*])
    };
}
pub(crate) use object;

impl Json {
    /// Appends the value, minified.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Json::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Json::Float(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Json::Text(text) => write_text(out, text),
            Json::List(items) => write_all(out, b"[]", items, |out, item| item.write(out)),
            Json::Object(members) => write_all(out, b"{}", members, |out, (key, value)| {
                write_text(out, key);
                out.push(b':');
                value.write(out);
            }),
        }
    }
}

fn write_all<T>(out: &mut Vec<u8>, brackets: &[u8; 2], items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(brackets[0]);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

macro_rules! from {
    ($($type:ty => $convert:expr;)+) => {
        $(impl From<$type> for Json {
            fn from(value: $type) -> Json {
                $convert(value)
            }
        })+
    };
}
from! {
    bool => Json::Bool;
    i64 => Json::Integer;
    u16 => |value| Json::Integer(i64::from(value));
    usize => |value| Json::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    f64 => Json::Float;
    String => Json::Text;
    &str => |value| Json::Text(str::to_owned(value));
    Vec<Json> => Json::List;
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_strings_are_escaped() {
        let value =
            object! {"z": 1_i64, "a": "q\"\n", "list": vec![Json::Null, true.into(), 1.5.into()], "none": None::<i64>};
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"z":1,"a":"q\"\n","list":[null,true,1.5],"none":null}"#);
    }
}
