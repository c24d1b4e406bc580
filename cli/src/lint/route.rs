//! What the metadata of an Envoy's routes changes for their requests.

use super::plugin::Home;
use super::{Plugin, Remark, Severity};
use crate::document::{Kind, Node};
use gate::{Config, Metadata};

/// A route that has something of its own.
pub(super) struct Route<'d> {
    /// Empty where it has none.
    pub(super) name: &'d str,
    metadata: &'d Node,
}

/// The routes with metadata for this configuration: those of the connection manager around the filter, or of the whole
/// file where that gets its routes from elsewhere.
pub(super) fn find<'d>(plugin: &Plugin<'d>, config: &Config) -> Vec<Route<'d>> {
    let (Home::Envoy { document, manager, .. }, Some(namespace)) = (plugin.home, &config.route_metadata) else {
        return Vec::new();
    };
    let mut routes = Vec::new();
    manager.and_then(|manager| manager.get("route_config")).unwrap_or(document).visit(&mut |node| {
        let metadata = node.get("match").and_then(|_| node.at_path(&["metadata", "filter_metadata", namespace]));
        let name = node.get("name").and_then(Node::text).unwrap_or_default();
        routes.extend(metadata.map(|metadata| Route { name, metadata }));
    });
    routes
}

impl Route<'_> {
    /// The configuration for the requests of this route.
    ///
    /// # Errors
    /// Every mistake in the metadata, none of which counts then.
    pub(super) fn configuration(&self, config: &Config) -> Result<Config, Vec<Remark>> {
        let remark = |mistake: gate::Mistake| Remark {
            at: self.metadata.locate(&mistake.path),
            severity: Severity::Error,
            code: mistake.kind.code(),
            path: format!("route {:?}: {}", self.name, mistake.path),
            message: mistake.message,
        };
        config.for_route(&metadata(self.metadata)).map_err(|mistakes| mistakes.into_iter().map(remark).collect())
    }
}

/// As the proxy hands it over: what is neither text nor a map is text that no key takes.
fn metadata(node: &Node) -> Metadata {
    match &node.kind {
        Kind::Map(members) => {
            let member = |member: &crate::document::Member| (member.key.clone().into_bytes(), metadata(&member.value));
            Metadata::Map(members.iter().map(member).collect())
        }
        Kind::Text(text) => Metadata::Text(text.clone().into_bytes()),
        _ => Metadata::Text(node.to_json().into_bytes()),
    }
}
