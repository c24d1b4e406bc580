//! Envoy's own RBAC filter.

use super::{Blocked, Export};
use evaluator::Direction;
use serde_json::{Value, json};

/// An HTTP filter to put before the router, as JSON, which Envoy's YAML takes as well. On ingress it looks at the address of
/// the client, on egress at the original destination of the connection.
pub(super) fn rbac(export: &Export) -> String {
    let range = |blocked: &Blocked| {
        let bits = if blocked.ip.is_ipv6() { 128 } else { 32 };
        json!({"address_prefix": blocked.ip.to_string(), "prefix_len": bits})
    };
    let of = |key: &str| export.blocked.iter().map(|blocked| json!({key: range(blocked)})).collect::<Vec<Value>>();
    let policy = match export.direction {
        Direction::Ingress => json!({"permissions": [{"any": true}], "principals": of("remote_ip")}),
        Direction::Egress => json!({"permissions": of("destination_ip"), "principals": [{"any": true}]}),
    };
    // A policy without addresses would be refused; a filter without policies refuses nobody.
    let policies = if export.blocked.is_empty() { json!({}) } else { json!({"portcullis": policy}) };
    let filter = json!({
        "name": "portcullis-blocked",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "DENY", "policies": policies},
        },
    });
    format!("{filter:#}\n")
}
