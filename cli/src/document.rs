//! A JSON or YAML document with the place of everything in it.

mod json;
mod yaml;

use std::fmt::{self, Write};

/// A place in a text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    pub(crate) const START: Place = Place { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Flag(bool),
    /// A number as it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A key with its value. A key may come twice.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) at: Place,
    pub(crate) value: Node,
}

/// Why a text is no document, and where.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) at: Place,
    pub(crate) message: String,
}

/// Nesting beyond this is nobody's configuration.
const DEEPEST: usize = 100;

impl Node {
    /// Reads JSON.
    pub(crate) fn from_json(text: &str) -> Result<Node, Unreadable> {
        json::read(text)
    }

    /// Reads YAML, of which JSON is a part: each of its documents that is not empty.
    pub(crate) fn from_yaml(text: &str) -> Result<Vec<Node>, Unreadable> {
        yaml::read(text)
    }

    /// What this key holds; where it comes twice, what it holds first.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.members().iter().find(|member| member.key == key).map(|member| &member.value)
    }

    /// What these keys hold, one in the other.
    pub(crate) fn at_path(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn text(&self) -> Option<&str> {
        let Kind::Text(text) = &self.kind else { return None };
        Some(text)
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        let Kind::Flag(flag) = self.kind else { return None };
        Some(flag)
    }

    pub(crate) fn items(&self) -> &[Node] {
        let Kind::List(items) = &self.kind else { return &[] };
        items
    }

    pub(crate) fn members(&self) -> &[Member] {
        let Kind::Map(members) = &self.kind else { return &[] };
        members
    }

    /// Every value inside, this one first.
    pub(crate) fn visit<'n>(&'n self, see: &mut impl FnMut(&'n Node)) {
        see(self);
        self.items().iter().for_each(|item| item.visit(see));
        self.members().iter().for_each(|member| member.value.visit(see));
    }

    /// The place that a path of a mistake names, such as `policy.rules[0].when`; as much of it as is there.
    pub(crate) fn locate(&self, path: &str) -> Place {
        let (mut node, mut place) = (self, self.at);
        for step in steps(path) {
            let next = match &step {
                // Of a key that comes twice the last one is the one too many.
                Step::Key(key) => node.members().iter().rfind(|member| member.key == *key).map(|m| (m.at, &m.value)),
                Step::Index(index) => node.items().get(*index).map(|item| (item.at, item)),
            };
            let Some((at, inside)) = next else { break };
            (place, node) = (at, inside);
        }
        place
    }

    /// The value as JSON, in the order in which it was written.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match &self.kind {
            Kind::Null => write!(out, "null"),
            Kind::Flag(flag) => write!(out, "{flag}"),
            Kind::Number(number) => write!(out, "{number}"),
            Kind::Text(text) => write!(out, "{}", quoted(text)),
            Kind::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    item.write(out);
                }
                write!(out, "]")
            }
            Kind::Map(members) => {
                out.push('{');
                for (index, member) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    let _ = write!(out, "{comma}{}:", quoted(&member.key));
                    member.value.write(out);
                }
                write!(out, "}}")
            }
        };
    }

    /// The same with every place moved.
    pub(crate) fn moved(mut self, to: &impl Fn(Place) -> Place) -> Node {
        self.at = to(self.at);
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|item| *item = item.clone().moved(to)),
            Kind::Map(members) => members.iter_mut().for_each(|member| {
                member.at = to(member.at);
                member.value = member.value.clone().moved(to);
            }),
            Kind::Null | Kind::Flag(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
        self
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a path as mistakes write it: `a.b[0]["c d"]`.
fn steps(path: &str) -> Vec<Step> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix("[\"") {
            let Some(end) = inside.find("\"]") else { break };
            steps.push(Step::Key(inside[..end].into()));
            rest = &inside[end + 2..];
        } else if let Some(inside) = rest.strip_prefix('[') {
            let Some((index, after)) = inside.split_once(']') else { break };
            let Ok(index) = index.parse() else { break };
            steps.push(Step::Index(index));
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            steps.push(Step::Key(rest[..end].into()));
            rest = &rest[end..];
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "{\n  \"a\": {\"b\": [1,\n    {\"c d\": null}]},\n  \"a\": true\n}\n";
    const YAML: &str = "# comment\na:\n  b:\n  - 1\n  - {\"c d\": null}\n---\nkind: two\n---\n";

    #[test]
    fn a_path_leads_to_its_place_as_far_as_it_goes() {
        let once = Node::from_json(&JSON.replace("\"a\": true", "\"z\": true")).unwrap();
        let yaml = Node::from_yaml(YAML).unwrap();
        for (path, in_json, in_yaml) in [
            ("", (1, 1), (2, 1)),
            ("a", (2, 3), (2, 1)),
            ("a.b", (2, 9), (3, 3)),
            ("a.b[0]", (2, 15), (4, 5)),
            ("a.b[1][\"c d\"]", (3, 6), (5, 6)),
            ("a.b[7]", (2, 9), (3, 3)),
            ("a.x.y", (2, 3), (2, 1)),
        ] {
            let place = |(line, column)| Place { line, column };
            assert_eq!(once.locate(path), place(in_json), "{path} in JSON");
            assert_eq!(yaml[0].locate(path), place(in_yaml), "{path} in YAML");
        }
        assert_eq!(Node::from_json(JSON).unwrap().locate("a"), Place { line: 4, column: 3 });
        assert_eq!(yaml[1].get("kind").and_then(Node::text), Some("two"));
        assert_eq!(yaml.len(), 2);
    }

    #[test]
    fn what_was_read_is_written_the_same() {
        let json = r#"{"a":{"b":[1,-2.5e3,"\u0000é\"",null,true]},"a":{}}"#;
        assert_eq!(Node::from_json(json).unwrap().to_json(), json);
        let yaml = Node::from_yaml("a: 1\nb: [yes, 'x', 1.5]\nc: ~\nd: |\n  one\n  two\n").unwrap();
        assert_eq!(yaml[0].to_json(), r#"{"a":1,"b":["yes","x",1.5],"c":null,"d":"one\ntwo\n"}"#);
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for text in ["{\"a\": 1,}", "{", "[1 2]", "{'a': 1}", "{\"a\": 0x1}", &"[".repeat(100_000), "\u{feff}\u{1}"] {
            assert!(Node::from_json(text).is_err(), "{}", text.chars().take(20).collect::<String>());
        }
        for text in ["a: [", "a: b: c", &"[".repeat(100_000), "a: 1\na: 2\n", "a: *b"] {
            assert!(Node::from_yaml(text).is_err(), "{}", text.chars().take(20).collect::<String>());
        }
        assert_eq!(Node::from_json("{\n \"a\": }").unwrap_err().at.line, 2);
        assert_eq!(Node::from_yaml("a: 1\nb: [1,\n").unwrap_err().at.line, 3);
    }
}
