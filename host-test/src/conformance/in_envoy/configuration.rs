//! The configuration of the Envoy in which the guest is.

use super::servers::Servers;
use crate::{
    conformance::NAME,
    envoy::config::{bare_bootstrap, cluster, replace_listeners, socket_address, typed, with_trailers},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The listener without the guest.
pub(super) const WITHOUT: &str = "without";

/// Where the guest is, and what it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest<'a> {
    pub(super) module: &'a Path,
    /// Whether it is a filter of connections, rather than of requests.
    pub(super) network: bool,
    /// The VM's configuration.
    pub(super) program: &'a str,
}

/// The bootstrap, with the listeners in a file.
pub(super) fn bootstrap(servers: &Servers, listeners: &Path) -> Value {
    let clusters =
        [("web", &servers.web), ("api", &servers.web), ("plain", &servers.plain), ("silent", &servers.silent)];
    let mut clusters: Vec<_> =
        clusters.iter().map(|(name, server)| with_trailers(cluster(name, server.address))).collect();
    clusters.push(grpc_cluster(servers.grpc.address));
    bare_bootstrap(listeners, &clusters)
}

/// A bootstrap with a listener for each of these modules, and clusters for their callouts: with a server for HTTP, with one
/// that never answers, with one for gRPC, and without any.
pub(in crate::conformance) fn callout_bootstrap(servers: &Servers, modules: &[(String, PathBuf)]) -> Value {
    let bare = json!({"name": "bare", "type": "STATIC", "load_assignment": {"cluster_name": "bare"}});
    let web = |name| cluster(name, servers.web.address);
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": socket_address(([127, 0, 0, 1], 0).into())},
        "static_resources": {
            "clusters": [web("web"), web("http"), cluster("mute", servers.silent.address), grpc_cluster(servers.grpc.address), bare],
            "listeners": listeners_of(modules),
        },
    })
}

/// Writes the listeners: the one with the guest, configured so, and the one without.
pub(super) fn write_listeners(file: &Path, guest: Guest<'_>, configuration: &str) -> Result<()> {
    let with = if guest.network {
        tcp(filter("network", guest, configuration))
    } else {
        manager(vec![filter("http", guest, configuration)])
    };
    replace_listeners(file, vec![listener(NAME, with), listener(WITHOUT, manager(Vec::new()))])
}

/// Writes a listener for each of these modules.
pub(super) fn write_modules(file: &Path, modules: &[(String, PathBuf)]) -> Result<()> {
    replace_listeners(file, listeners_of(modules))
}

fn listeners_of(modules: &[(String, PathBuf)]) -> Vec<Value> {
    let listener = |(name, module): &(String, PathBuf)| {
        // Those with the same module and configuration would share a VM.
        let guest = Guest { module, network: false, program: name };
        listener(name, manager(vec![filter("http", guest, "")]))
    };
    modules.iter().map(listener).collect()
}

/// The cluster of gRPC, at this address.
fn grpc_cluster(address: SocketAddr) -> Value {
    let mut cluster = cluster("grpc", address);
    let options = json!({"explicit_http_config": {"http2_protocol_options": {}}});
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
            typed("extensions.upstreams.http.v3.HttpProtocolOptions", options),
    });
    cluster
}

fn listener(name: &str, filters: Vec<Value>) -> Value {
    json!({
        "name": name,
        "address": socket_address(([127, 0, 0, 1], 0).into()),
        "filter_chains": [{"filters": filters}],
    })
}

fn filter(kind: &str, guest: Guest<'_>, configuration: &str) -> Value {
    let text = |text: &str| json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    let wasm = json!({"config": {
        "name": NAME,
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": guest.module}},
            "configuration": text(guest.program),
        },
        "configuration": text(configuration),
    }});
    json!({"name": NAME, "typed_config": typed(&format!("extensions.filters.{kind}.wasm.v3.Wasm"), wasm)})
}

fn manager(mut filters: Vec<Value>) -> Vec<Value> {
    let router = typed("extensions.filters.http.router.v3.Router", json!({}));
    filters.push(json!({"name": "router", "typed_config": router}));
    let manager = json!({
        "stat_prefix": "requests",
        // After an answer to half a request it would wait for the client to close.
        "delayed_close_timeout": "0s",
        "http_protocol_options": {"enable_trailers": true},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "web"}},
        ]}]},
        "http_filters": filters,
    });
    let name = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    vec![json!({"name": "http", "typed_config": typed(name, manager)})]
}

fn tcp(filter: Value) -> Vec<Value> {
    let proxy = json!({"stat_prefix": "connections", "cluster": "plain"});
    let proxy = typed("extensions.filters.network.tcp_proxy.v3.TcpProxy", proxy);
    vec![filter, json!({"name": "tcp", "typed_config": proxy})]
}
