//! STIX 2.1, <https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html>.

use super::{Export, time};
use crate::judge::link;
use serde_json::{Value, json};
use uuid::Uuid;

/// A bundle: who says so, and an indicator for each address. The same address always has the same identifier, so that a
/// platform updates what it has.
pub(super) fn bundle(export: &Export) -> String {
    let now = moment(export.now);
    let author = format!("identity--{}", id("portcullis"));
    let mut objects = vec![json!({
        "type": "identity", "spec_version": "2.1", "id": author, "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z", "name": "Portcullis", "identity_class": "system",
    })];
    for blocked in &export.blocked {
        let kind = if blocked.ip.is_ipv6() { "ipv6-addr" } else { "ipv4-addr" };
        let types: Vec<&str> = indicator_types(&blocked.findings);
        objects.push(json!({
            "type": "indicator",
            "spec_version": "2.1",
            "id": format!("indicator--{}", id(&blocked.ip.to_string())),
            "created_by_ref": author,
            "created": now,
            "modified": now,
            "name": format!("{}: {}", blocked.ip, blocked.rule),
            "description": format!(
                "{}; {} connections from {} to {}",
                blocked.reason(), blocked.connections, time(blocked.first), time(blocked.last)
            ),
            "indicator_types": types,
            "pattern": format!("[{kind}:value = '{}']", blocked.ip),
            "pattern_type": "stix",
            "valid_from": now,
            "valid_until": moment(export.until()),
            "labels": blocked.findings,
            "external_references": [{"source_name": "Criminal IP", "url": link(blocked.ip)}],
        }));
    }
    for object in &mut objects {
        // Lists must not be empty.
        if let Value::Object(members) = object {
            members.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        }
    }
    let name = format!("{now} {:?}", export.blocked.iter().map(|blocked| blocked.ip).collect::<Vec<_>>());
    format!("{:#}\n", json!({"type": "bundle", "id": format!("bundle--{}", id(&name)), "objects": objects}))
}

/// A time to the millisecond, as STIX wants it.
fn moment(seconds: i64) -> String {
    time(seconds).replace('Z', ".000Z")
}

/// The open vocabulary of indicator types.
fn indicator_types(findings: &[&str]) -> Vec<&'static str> {
    let mut types = Vec::new();
    if findings.iter().any(|code| matches!(*code, "c2" | "malware" | "phishing" | "attack" | "mining")) {
        types.push("malicious-activity");
    }
    if findings.iter().any(|code| code.starts_with("anonymity.")) {
        types.push("anonymization");
    }
    if types.is_empty() {
        types.push("anomalous-activity");
    }
    types
}

/// An identifier of the form of version 4, as STIX wants it for these objects, that follows from a name.
fn id(name: &str) -> Uuid {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("https://www.criminalip.io/#{name}").as_bytes());
    uuid::Builder::from_random_bytes(*hash.as_bytes()).into_uuid()
}
