//! The configurations of the filter in a file, whatever they are wrapped in.

use super::{Remark, Severity};
use crate::document::{Kind, Node, Place, Unreadable};

/// A configuration of the filter, where it was found, and what surrounds it.
pub(crate) struct Plugin<'d> {
    /// The document as the filter gets it.
    pub(crate) json: String,
    /// The same with places in the file; `None` where it is not JSON.
    pub(crate) tree: Option<Node>,
    /// Where the document begins in the file.
    pub(crate) at: Place,
    /// What is said about how it is wrapped.
    pub(crate) remarks: Vec<Remark>,
    pub(super) home: Home<'d>,
}

/// What a configuration is wrapped in.
#[derive(Clone, Copy)]
pub(super) enum Home<'d> {
    /// Nothing.
    Bare,
    /// An Envoy: the whole document, the connection manager around the filter, and the filter's own `config`.
    Envoy { document: &'d Node, manager: Option<&'d Node>, plugin: &'d Node },
    /// An Istio resource: its `spec`, for TrafficExtension the part under `wasm`.
    Istio { spec: &'d Node },
}

/// Finds every configuration in these documents. `text` is the file that they were read from.
pub(super) fn find<'d>(documents: &'d [Node], text: &str) -> Vec<Plugin<'d>> {
    documents.iter().flat_map(|document| in_document(document, text)).collect()
}

fn in_document<'d>(document: &'d Node, text: &str) -> Vec<Plugin<'d>> {
    let kind = document.get("kind").and_then(Node::text);
    // As kubectl prints several resources.
    if kind == Some("List")
        && let Some(items) = document.get("items")
    {
        return items.items().iter().flat_map(|item| in_document(item, text)).collect();
    }
    let extension = document
        .get("apiVersion")
        .and_then(Node::text)
        .is_some_and(|version| version.starts_with("extensions.istio.io/"));
    match (kind, document.get("spec")) {
        (Some("WasmPlugin"), Some(spec)) if extension => return istio(spec),
        (Some("TrafficExtension"), Some(spec)) if extension => return spec.get("wasm").map_or(Vec::new(), istio),
        _ => {}
    }
    let mut wasm = Vec::new();
    filters(document, None, &mut wasm);
    // Among several modules only those are ours that say so.
    if wasm.len() > 1 {
        wasm.retain(|(_, plugin)| is_ours(plugin));
    }
    if wasm.is_empty() && is_bare(document) {
        return vec![Plugin {
            json: document.to_json(),
            tree: Some(document.clone()),
            at: document.at,
            remarks: Vec::new(),
            home: Home::Bare,
        }];
    }
    wasm.into_iter().filter_map(|(manager, plugin)| envoy(document, manager, plugin, text)).collect()
}

/// Whether a document may be a bare configuration: anything but what is plainly something else.
fn is_bare(document: &Node) -> bool {
    ["kind", "apiVersion", "static_resources", "dynamic_resources", "resources"]
        .iter()
        .all(|key| document.get(key).is_none())
}

fn istio(spec: &Node) -> Vec<Plugin<'_>> {
    let home = Home::Istio { spec };
    vec![match spec.get("pluginConfig") {
        Some(tree) => Plugin { json: tree.to_json(), tree: Some(tree.clone()), at: tree.at, remarks: Vec::new(), home },
        None => Plugin { json: String::new(), tree: None, at: spec.at, remarks: Vec::new(), home },
    }]
}

/// The `config` of every Wasm filter, with the connection manager around it.
fn filters<'d>(node: &'d Node, manager: Option<&'d Node>, found: &mut Vec<(Option<&'d Node>, &'d Node)>) {
    let kind = node.get("@type").and_then(Node::text).unwrap_or_default();
    let manager = if kind.ends_with(".HttpConnectionManager") { Some(node) } else { manager };
    if kind.ends_with("filters.http.wasm.v3.Wasm") || kind.ends_with("filters.network.wasm.v3.Wasm") {
        found.extend(node.get("config").map(|config| (manager, config)));
        return;
    }
    node.items().iter().for_each(|item| filters(item, manager, found));
    node.members().iter().for_each(|member| filters(&member.value, manager, found));
}

fn is_ours(plugin: &Node) -> bool {
    let mut ours = false;
    plugin.visit(&mut |node| {
        let Some(text) = node.text() else { return };
        ours |= text.contains("portcullis") || text.contains("\"api\"");
    });
    ours
}

fn envoy<'d>(document: &'d Node, manager: Option<&'d Node>, plugin: &'d Node, text: &str) -> Option<Plugin<'d>> {
    let home = Home::Envoy { document, manager, plugin };
    let Some(configuration) = plugin.get("configuration") else {
        return Some(Plugin { json: String::new(), tree: None, at: plugin.at, remarks: Vec::new(), home });
    };
    let value = configuration.get("value")?;
    let mut remarks = Vec::new();
    let kind = configuration.get("@type").and_then(Node::text).unwrap_or_default();
    if !kind.ends_with("google.protobuf.StringValue") {
        remarks.push(Remark {
            at: configuration.at,
            severity: Severity::Error,
            code: "not_a_string_value",
            path: String::new(),
            message:
                "the filter reads JSON: anything but a type.googleapis.com/google.protobuf.StringValue reaches it \
                      as protobuf and is refused"
                    .into(),
        });
    }
    let Kind::Text(json) = &value.kind else {
        return Some(Plugin { json: value.to_json(), tree: Some(value.clone()), at: value.at, remarks, home });
    };
    let place = places_in(text, value.at);
    let tree = match Node::from_json(json) {
        Ok(tree) => Some(tree.moved(&place)),
        Err(Unreadable { at, .. }) => {
            return Some(Plugin { json: json.clone(), tree: None, at: place(at), remarks, home });
        }
    };
    Some(Plugin { json: json.clone(), tree, at: place(Place::START), remarks, home })
}

/// Where the places inside of a string are in the file that it stands in, which starts at `at`.
fn places_in(text: &str, at: Place) -> impl Fn(Place) -> Place + use<> {
    let line = |number: usize| number.checked_sub(1).and_then(|index| text.lines().nth(index)).unwrap_or_default();
    // A block keeps its lines; the parser gives the place of the first one.
    let header = line(at.line - 1).split(" #").next().unwrap_or_default().trim_end();
    let is_block = header.trim_end_matches(|c: char| c.is_ascii_digit() || "+-".contains(c)).ends_with(['|', '>']);
    let indent = line(at.line).chars().take_while(|c| *c == ' ').count();
    move |inside: Place| {
        if is_block {
            Place { line: at.line + inside.line - 1, column: indent + inside.column }
        } else if inside.line == 1 {
            Place { line: at.line, column: at.column + inside.column }
        } else {
            at
        }
    }
}
