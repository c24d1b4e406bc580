//! The arms: what is compared, each a whole Envoy configuration.
//!
//! All arms answer `/` and `/seen` themselves, without an upstream; the answer to `/seen` also shows the tag that an
//! upstream would have got, so that an arm is measured only after it was seen to work.

use crate::{
    envoy::config::{cluster, header_from_filter_state, socket_address, typed},
    fake::KEY,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The listener that is measured, the path that shows the tag, and the header that it shows the tag in.
pub(super) const LISTENER: &str = "measured";
pub(super) const SEEN_PATH: &str = "/seen";
pub(super) const SEEN_HEADER: &str = "x-seen";

/// The header in which all arms that tag put their tag.
const TAG: &str = "x-criminalip";
/// What the arms that know one verdict by heart write.
const BY_HEART: &str = "verdict=allow, score=20, source=cache";
/// How long the lists of `portcullis_100k` are, each, and how long that of `rbac_1000` is.
const LONG_LIST: usize = 100_000;
const SHORT_LIST: usize = 1_000;

/// A filter that is called, and calls, as often as `portcullis` is for a request: it reads the peer's address and sets a header,
/// and does nothing else. No filter with these calls costs less.
pub(super) const CALLS: &str = include_str!("calls.wat");

/// What the configurations need to know.
#[derive(Debug)]
pub(super) struct Setting {
    /// The module.
    pub(super) module: PathBuf,
    /// The module that does nothing.
    pub(super) noop: PathBuf,
    /// [`CALLS`], as a module.
    pub(super) calls: PathBuf,
    /// Where lookups go to.
    pub(super) api: SocketAddr,
    /// A free address for the service that `ext_authz` asks.
    pub(super) service: SocketAddr,
}

/// How an arm shows that it does its work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    /// There is none to do.
    None,
    /// The tag contains this.
    Tag(&'static str),
    /// This counter or gauge is not zero.
    Stat(&'static str),
}

/// One thing that is compared with others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm {
    pub(super) name: &'static str,
    pub(super) proof: Proof,
    /// The bootstrap of its Envoy.
    pub(super) bootstrap: fn(&Setting) -> Value,
}

/// The arm that the others are compared with.
pub(super) const NONE: &str = "none";

/// All arms.
pub(super) const ARMS: [Arm; 10] = [
    Arm { name: NONE, proof: Proof::None, bootstrap: none },
    Arm { name: "noop", proof: Proof::Stat("wasm.envoy.wasm.runtime.v8.active"), bootstrap: noop },
    Arm { name: "calls", proof: Proof::Tag(BY_HEART), bootstrap: calls },
    Arm { name: "portcullis", proof: Proof::Tag("source=cache"), bootstrap: portcullis },
    Arm { name: "portcullis_state", proof: Proof::Tag("source=cache"), bootstrap: portcullis_state },
    Arm { name: "portcullis_100k", proof: Proof::Tag("source=cache"), bootstrap: portcullis_100k },
    Arm { name: "connection", proof: Proof::Tag("verdict=allow, score=20"), bootstrap: connection },
    Arm { name: "lua", proof: Proof::Tag(BY_HEART), bootstrap: lua },
    Arm { name: "rbac_1000", proof: Proof::Stat("http.measured.rbac.allowed"), bootstrap: rbac_1000 },
    Arm { name: "ext_authz", proof: Proof::Tag(BY_HEART), bootstrap: ext_authz },
];

fn none(_: &Setting) -> Value {
    bootstrap(vec![manager(vec![])])
}

fn noop(setting: &Setting) -> Value {
    bootstrap(vec![manager(vec![wasm("http", &setting.noop, "noop", String::new())])])
}

fn calls(setting: &Setting) -> Value {
    bootstrap(vec![manager(vec![wasm("http", &setting.calls, "calls", String::new())])])
}

/// Warm: the only peer is the load generator, and its facts are in the cache before anything is measured. The tag is in a
/// header alone, as those of the other arms are.
fn portcullis(setting: &Setting) -> Value {
    with_module(setting, &json!({"tag": {"filter_state": null}}))
}

/// The same with the tag in the filter state as well, which is the default.
fn portcullis_state(setting: &Setting) -> Value {
    with_module(setting, &json!({}))
}

fn portcullis_100k(setting: &Setting) -> Value {
    let list = |offset| -> Vec<Value> {
        prefixes(LONG_LIST, offset)
            .into_iter()
            .map(|(net, length)| json!({"cidr": format!("{net}/{length}")}))
            .collect()
    };
    let lists = json!({"allow": list(0), "deny": list(1 << 20)});
    with_module(setting, &json!({"tag": {"filter_state": null}, "lists": lists}))
}

fn with_module(setting: &Setting, more: &Value) -> Value {
    let filter = wasm("http", &setting.module, "portcullis", plugin(more));
    with_lookups(setting, bootstrap(vec![manager(vec![filter])]))
}

/// Once per connection: the module as a network filter leaves its tag in the filter state, and Envoy itself makes the
/// header of it for each request.
fn connection(setting: &Setting) -> Value {
    let filter = wasm("network", &setting.module, "portcullis", plugin(&json!({"role": "network"})));
    let mut manager = manager(vec![]);
    manager["typed_config"]["early_header_mutation_extensions"] = json!([header_from_filter_state()]);
    with_lookups(setting, bootstrap(vec![filter, manager]))
}

/// The configuration of the module, with these keys and those that every arm needs.
fn plugin(more: &Value) -> String {
    let mut plugin = json!({
        "api": {"cluster": "criminalip", "key": KEY},
        "first_look": {"hold": "20s"},
        "scope": {"treat_as_public": ["127.0.0.0/8"]},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        plugin[key] = value.clone();
    }
    plugin.to_string()
}

fn with_lookups(setting: &Setting, mut bootstrap: Value) -> Value {
    bootstrap["static_resources"]["clusters"] = json!([cluster("criminalip", setting.api)]);
    bootstrap
}

/// The least that does the same as `portcullis`: take the address apart, look it up in a table of as many peers as a cache holds, set
/// the header.
fn lua(_: &Setting) -> Value {
    let script = format!(
        r#"
        local verdicts = {{["127.0.0.1"] = "{BY_HEART}"}}
        for i = 1, {LONG_LIST} do
          verdicts[string.format("198.%d.%d.%d", i / 65536, i / 256 % 256, i % 256)] = "{BY_HEART}"
        end
        function envoy_on_request(handle)
          local verdict = verdicts[handle:streamInfo():downstreamRemoteAddress():match("^(.+):%d+$")]
          if verdict then
            handle:headers():replace("{TAG}", verdict)
          else
            handle:headers():remove("{TAG}")
          end
        end
        "#
    );
    let lua = typed("extensions.filters.http.lua.v3.Lua", json!({"default_source_code": {"inline_string": script}}));
    bootstrap(vec![manager(vec![json!({"name": "lua", "typed_config": lua})])])
}

/// As operators write it: one policy with a principal for each prefix. Envoy compares the peer with one after the other.
fn rbac_1000(_: &Setting) -> Value {
    let principal = |(net, length): (Ipv4Addr, u8)| json!({"remote_ip": {"address_prefix": net, "prefix_len": length}});
    let principals: Vec<_> = prefixes(SHORT_LIST, 0).into_iter().map(principal).collect();
    let policies = json!({"list": {"permissions": [{"any": true}], "principals": principals}});
    let rbac =
        typed("extensions.filters.http.rbac.v3.RBAC", json!({"rules": {"action": "DENY", "policies": policies}}));
    bootstrap(vec![manager(vec![json!({"name": "rbac", "typed_config": rbac})])])
}

/// The service is a listener of the same Envoy that gives the same answer to everything: no service is faster, and what
/// it costs is counted, since somebody has to pay for it.
fn ext_authz(setting: &Setting) -> Value {
    let authz = typed(
        "extensions.filters.http.ext_authz.v3.ExtAuthz",
        json!({"http_service": {
            "server_uri": {"uri": "http://service.test", "cluster": "service", "timeout": "1s"},
            "authorization_response": {"allowed_upstream_headers": {"patterns": [{"exact": TAG}]}},
        }}),
    );
    let mut bootstrap = bootstrap(vec![manager(vec![json!({"name": "ext_authz", "typed_config": authz})])]);
    let mut service = answer("/");
    service["response_headers_to_add"] = json!([{"header": {"key": TAG, "value": BY_HEART}}]);
    let service = listener("service", setting.service, vec![serving("service", vec![service], vec![])]);
    if let Some(listeners) = bootstrap["static_resources"]["listeners"].as_array_mut() {
        listeners.push(service);
    }
    bootstrap["static_resources"]["clusters"] = json!([cluster("service", setting.service)]);
    bootstrap
}

/// A bootstrap whose measured listener has these network filters.
fn bootstrap(filters: Vec<Value>) -> Value {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    json!({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": socket_address(any)},
        "static_resources": {"listeners": [listener(LISTENER, any, filters)]},
    })
}

fn listener(name: &str, address: SocketAddr, filters: Vec<Value>) -> Value {
    json!({"name": name, "address": socket_address(address), "filter_chains": [{"filters": filters}]})
}

/// The connection manager of the measured listener, with these HTTP filters.
fn manager(filters: Vec<Value>) -> Value {
    let mut seen = answer(SEEN_PATH);
    seen["response_headers_to_add"] = json!([{"header": {"key": SEEN_HEADER, "value": format!("%REQ({TAG})%")}}]);
    serving(LISTENER, vec![seen, answer("/")], filters)
}

/// A connection manager with these routes and HTTP filters.
fn serving(name: &str, routes: Vec<Value>, mut filters: Vec<Value>) -> Value {
    let router = typed("extensions.filters.http.router.v3.Router", json!({}));
    filters.push(json!({"name": "router", "typed_config": router}));
    let manager = json!({
        "stat_prefix": name,
        "use_remote_address": true,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
    });
    let manager = typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    json!({"name": "http", "typed_config": manager})
}

/// A route that answers by itself.
fn answer(prefix: &str) -> Value {
    json!({
        "match": {"prefix": prefix},
        "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
    })
}

/// A filter of this kind, `http` or `network`.
fn wasm(kind: &str, module: &Path, name: &str, plugin: String) -> Value {
    let wasm = typed(
        &format!("extensions.filters.{kind}.wasm.v3.Wasm"),
        json!({"config": {
            "name": name,
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": plugin},
        }}),
    );
    json!({"name": name, "typed_config": wasm})
}

/// So many different prefixes all over the address space, a quarter of them of 24 bits and the others single addresses.
/// None holds the load generator's own address. Another `offset` makes others.
fn prefixes(count: usize, offset: u32) -> BTreeSet<(Ipv4Addr, u8)> {
    // The golden ratio: multiples of it never come close to each other.
    const STEP: u32 = 0x9e37_79b9;
    let own = u32::from(Ipv4Addr::LOCALHOST);
    (offset..)
        .map(|index| (index.wrapping_mul(STEP), if index % 4 == 0 { 24 } else { 32 }))
        .map(|(address, length)| (address & (u32::MAX << (32 - length)), length))
        .filter(|(network, length)| own & (u32::MAX << (32 - length)) != *network)
        .map(|(network, length)| (Ipv4Addr::from(network), length))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_as_many_different_prefixes_as_they_say_and_none_of_them_matches() {
        for (count, offset) in [(LONG_LIST, 0), (LONG_LIST, 1 << 20), (SHORT_LIST, 0)] {
            let prefixes = prefixes(count, offset);
            assert_eq!(prefixes.len(), count);
            for (network, length) in prefixes {
                let mask = u32::MAX << (32 - length);
                assert_eq!(u32::from(network) & !mask, 0, "{network}/{length}");
                assert_ne!(u32::from(Ipv4Addr::LOCALHOST) & mask, u32::from(network), "{network}/{length}");
            }
        }
    }

    #[test]
    fn each_arm_is_named_once_and_the_first_is_the_one_that_the_others_are_compared_with() {
        let names: BTreeSet<_> = ARMS.iter().map(|arm| arm.name).collect();
        assert_eq!(names.len(), ARMS.len());
        assert_eq!(ARMS[0].name, NONE);
    }
}
