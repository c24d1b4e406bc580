//! YAML with places.

use super::{DEEPEST, Kind, Member, Node, Place, Unreadable};
use saphyr::{LoadableYamlNode, MarkedYaml, Marker, Scalar, YamlData};

pub(super) fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    // The parser recurses, and a configuration has no such depth.
    if let Some(at) = too_deep(text) {
        return Err(Unreadable { at, message: "nested too deeply".into() });
    }
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| Unreadable { at: place(error.marker()), message: format!("not YAML: {}", error.info()) })?;
    let nodes = documents.into_iter().map(|document| node(document, 0));
    let nodes: Vec<Node> = nodes.collect::<Result<_, _>>()?;
    Ok(nodes.into_iter().filter(|node| !matches!(node.kind, Kind::Null)).collect())
}

/// Where brackets are open that no text closes again within reason; block nesting is bounded by its indentation.
fn too_deep(text: &str) -> Option<Place> {
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start_matches([' ', '-']).len();
        let open = line.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
        let close = line.bytes().filter(|byte| matches!(byte, b']' | b'}')).count();
        if indent > 20 * DEEPEST || open.saturating_sub(close) > DEEPEST {
            return Some(Place { line: number + 1, column: 1 });
        }
    }
    None
}

fn node(yaml: MarkedYaml<'_>, depth: usize) -> Result<Node, Unreadable> {
    let at = place(&yaml.span.start);
    let fail = |message: &str| Err(Unreadable { at, message: message.into() });
    if depth > DEEPEST {
        return fail("nested too deeply");
    }
    let kind = match yaml.data {
        YamlData::Value(Scalar::Null) => Kind::Null,
        YamlData::Value(Scalar::Boolean(flag)) => Kind::Flag(flag),
        YamlData::Value(Scalar::Integer(number)) => Kind::Number(number.to_string()),
        YamlData::Value(Scalar::FloatingPoint(number)) if number.is_finite() => Kind::Number(number.to_string()),
        YamlData::Value(Scalar::FloatingPoint(number)) => Kind::Text(number.to_string()),
        YamlData::Value(Scalar::String(text)) => Kind::Text(text.into_owned()),
        YamlData::Representation(text, ..) => Kind::Text(text.into_owned()),
        YamlData::Tagged(_, inside) => return node(*inside, depth + 1),
        YamlData::Sequence(items) => {
            Kind::List(items.into_iter().map(|item| node(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(members) => {
            let member = |(key, value): (MarkedYaml<'_>, MarkedYaml<'_>)| {
                let at = place(&key.span.start);
                let key = match node(key, depth + 1)?.kind {
                    Kind::Text(text) | Kind::Number(text) => text,
                    Kind::Flag(flag) => flag.to_string(),
                    Kind::Null | Kind::List(_) | Kind::Map(_) => {
                        return Err(Unreadable { at, message: "a key must be text".into() });
                    }
                };
                Ok(Member { key, at, value: node(value, depth + 1)? })
            };
            Kind::Map(members.into_iter().map(member).collect::<Result<_, _>>()?)
        }
        YamlData::Alias(_) | YamlData::BadValue => return fail("not YAML: an alias or a value that leads nowhere"),
    };
    Ok(Node { at, kind })
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}
