//! The configuration of the Envoy in which a scenario happens.

use super::servers::Servers;
use crate::{
    envoy::config::{bare_bootstrap, cluster, replace_listeners, socket_address, typed, with_trailers},
    scenario::Plugin,
    sim::{FailurePolicy, PluginKind},
};
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The listener, and what its statistics are called.
pub(super) const NAME: &str = "scenario";

/// The cluster of the upstream.
const ORIGIN: &str = "origin";

/// The bootstrap, with the listener in a file.
pub(super) fn bootstrap(servers: &Servers, listeners: &Path) -> Value {
    let mut clusters = vec![with_trailers(cluster(ORIGIN, servers.origin))];
    clusters.extend(servers.clusters.iter().map(|(name, address)| with_trailers(cluster(name, *address))));
    bare_bootstrap(listeners, &clusters)
}

/// Writes the listener with the filter. The access log shows filter state of these names.
pub(super) fn write_listener(
    file: &Path,
    plugin: &Plugin,
    configuration: &str,
    wasm: &Path,
    states: &[String],
) -> Result<()> {
    let access_log = access_log(states);
    let filters = match plugin.kind {
        PluginKind::Network => vec![filter("network", plugin, configuration, wasm), tcp(&access_log)],
        PluginKind::Http | PluginKind::Service => {
            vec![manager(filter("http", plugin, configuration, wasm), &access_log)]
        }
    };
    let listener = json!({
        "name": NAME,
        "address": socket_address(([127, 0, 0, 1], 0).into()),
        "stat_prefix": NAME,
        "listener_filters": [{
            "name": "envoy.filters.listener.proxy_protocol",
            "typed_config": typed("extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", json!({})),
        }],
        "filter_chains": [{"filters": filters}],
    });
    replace_listeners(file, vec![listener])
}

fn filter(kind: &str, plugin: &Plugin, configuration: &str, wasm: &Path) -> Value {
    let text = |text: &str| json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    let policy = match plugin.policy {
        FailurePolicy::FailClosed => "FAIL_CLOSED",
        FailurePolicy::FailOpen => "FAIL_OPEN",
        FailurePolicy::FailReload => "FAIL_RELOAD",
    };
    let wasm = json!({"config": {
        "name": plugin.name,
        "root_id": plugin.root_id,
        "failure_policy": policy,
        "allow_on_headers_stop_iteration": plugin.headers_stop_iteration,
        "vm_config": {
            "vm_id": plugin.vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": wasm}},
            "configuration": text(&plugin.vm_configuration),
            "environment_variables": {"key_values": plugin.environment},
        },
        "configuration": text(configuration),
    }});
    json!({"name": "filter", "typed_config": typed(&format!("extensions.filters.{kind}.wasm.v3.Wasm"), wasm)})
}

fn manager(filter: Value, access_log: &Value) -> Value {
    let router = typed("extensions.filters.http.router.v3.Router", json!({}));
    let manager = json!({
        "stat_prefix": NAME,
        "codec_type": "HTTP1",
        "delayed_close_timeout": "0.05s",
        "http_protocol_options": {"enable_trailers": true},
        "access_log": access_log,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": ORIGIN, "timeout": "0s"}},
        ]}]},
        "http_filters": [filter, {"name": "router", "typed_config": router}],
    });
    let name = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({"name": "http", "typed_config": typed(name, manager)})
}

fn tcp(access_log: &Value) -> Value {
    let proxy = json!({"stat_prefix": NAME, "cluster": ORIGIN, "access_log": access_log});
    json!({"name": "tcp", "typed_config": typed("extensions.filters.network.tcp_proxy.v3.TcpProxy", proxy)})
}

fn access_log(states: &[String]) -> Value {
    let states: Map<String, Value> =
        states.iter().map(|name| (name.clone(), format!("%FILTER_STATE(wasm.{name}:PLAIN)%").into())).collect();
    let format = json!({"id": "%REQ(X-REQUEST-ID)%", "details": "%RESPONSE_CODE_DETAILS%", "states": states});
    let log =
        typed("extensions.access_loggers.stream.v3.StdoutAccessLog", json!({"log_format": {"json_format": format}}));
    json!([{"name": "stdout", "typed_config": log}])
}
