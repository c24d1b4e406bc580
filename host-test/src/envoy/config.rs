//! Envoy configurations for tests, as JSON.

use anyhow::Result;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path};

/// How a listener learns who the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// By the PROXY protocol.
    ProxyProtocol,
    /// By X-Forwarded-For, as far as these two settings of the connection manager trust it.
    Forwarded {
        /// `use_remote_address`
        use_remote_address: bool,
        /// `xff_num_trusted_hops`
        trusted_hops: u32,
    },
}

/// Where the filter is on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the HTTP filters.
    Http,
    /// Among the HTTP filters of a listener for operators: it gets the bodies of requests that it keeps to itself.
    Control,
    /// Before the connection manager, which makes the request header of the filter state.
    BeforeHttp,
    /// Before `tcp_proxy`, which leads to this server.
    BeforeTcp(SocketAddr),
}

/// A listener with the filter on it.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The filter's configuration, as text: not all tests want it to be JSON.
    pub plugin: String,
    /// How it learns who the peer is.
    pub peers: Peers,
    /// Where the filter is.
    pub place: Place,
    /// Routes that come before the one for everything: all of each but where it leads.
    pub routes: Vec<Value>,
    /// Whether Envoy answers by itself, without an upstream and without an access log: for loads. The answer shows the
    /// tag that an upstream would have got, in [`SEEN_HEADER`].
    pub answers: bool,
}

/// The header in which a listener that answers by itself shows the tag.
pub const SEEN_HEADER: &str = "x-seen";

/// How the callout cluster injects the key, where it does.
const INJECTED_KEY: &str = "%ENVIRONMENT(CRIMINALIP_API_KEY)%";

impl Listener {
    /// The listener's resource.
    pub fn resource(&self, module: &Path, environment: &[String]) -> Value {
        let (use_remote_address, trusted_hops, listener_filters) = match self.peers {
            Peers::ProxyProtocol => (
                true,
                0,
                json!([{
                    "name": "envoy.filters.listener.proxy_protocol",
                    "typed_config": typed("extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", json!({})),
                }]),
            ),
            Peers::Forwarded { use_remote_address, trusted_hops } => (use_remote_address, trusted_hops, json!([])),
        };
        let own = |kind| json!({"name": "portcullis", "typed_config": self.filter(kind, module, environment)});
        let filters = match self.place {
            Place::Http | Place::Control => vec![self.manager(use_remote_address, trusted_hops, Some(own("http")))],
            Place::BeforeHttp => vec![own("network"), self.manager(use_remote_address, trusted_hops, None)],
            Place::BeforeTcp(_) => vec![own("network"), self.tcp_proxy()],
        };
        json!({
            "name": self.name,
            "address": socket_address(([127, 0, 0, 1], 0).into()),
            "stat_prefix": self.name,
            "listener_filters": listener_filters,
            "filter_chains": [{"filters": filters}],
        })
    }

    /// The cluster that only this listener needs.
    pub fn cluster(&self) -> Option<Value> {
        match self.place {
            Place::BeforeTcp(server) => Some(cluster(&self.name, server)),
            Place::Http | Place::Control | Place::BeforeHttp => None,
        }
    }

    fn tcp_proxy(&self) -> Value {
        let proxy = json!({
            "stat_prefix": self.name,
            "cluster": self.name,
            "access_log": [{"name": "stdout", "typed_config": to_stdout(&self.name)}],
        });
        json!({
            "name": "tcp",
            "typed_config": typed("extensions.filters.network.tcp_proxy.v3.TcpProxy", proxy),
        })
    }

    /// The connection manager: with this HTTP filter, or else with a header made of the filter state.
    fn manager(&self, use_remote_address: bool, trusted_hops: u32, filter: Option<Value>) -> Value {
        let mut leads = json!({});
        let mut access_log = json!([]);
        if self.answers {
            leads["direct_response"] = json!({"status": 200, "body": {"inline_string": "ok"}});
            leads["response_headers_to_add"] =
                json!([{"header": {"key": SEEN_HEADER, "value": "%REQ(X-CRIMINALIP)%"}}]);
        } else {
            leads["route"] = json!({"cluster": "upstream"});
            access_log = json!([{"name": "stdout", "typed_config": to_stdout(&self.name)}]);
        }
        let mutations = if filter.is_some() { json!([]) } else { json!([header_from_filter_state()]) };
        let router =
            json!({"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router", json!({}))});
        let filters: Vec<_> = filter.into_iter().chain([router]).collect();
        let everything = json!({"match": {"prefix": "/"}});
        let routes: Vec<_> = self.routes.iter().chain([&everything]).map(|route| with(route, &leads)).collect();
        let manager = json!({
            "stat_prefix": self.name,
            "codec_type": "AUTO",
            "http_protocol_options": {"enable_trailers": true},
            "use_remote_address": use_remote_address,
            "xff_num_trusted_hops": trusted_hops,
            "request_timeout": "120s",
            "stream_idle_timeout": "120s",
            // A client that reads to the end waits for it.
            "delayed_close_timeout": "0.05s",
            "access_log": access_log,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "early_header_mutation_extensions": mutations,
            "http_filters": filters,
        });
        json!({
            "name": "http",
            "typed_config": typed(
                "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager),
        })
    }

    fn filter(&self, kind: &str, module: &Path, environment: &[String]) -> Value {
        typed(
            &format!("extensions.filters.{kind}.wasm.v3.Wasm"),
            json!({"config": {
                "name": self.name,
                "failure_policy": "FAIL_RELOAD",
                "allow_on_headers_stop_iteration": self.place == Place::Control,
                "reload_config": {"backoff": {"base_interval": "0.1s"}},
                "vm_config": {
                    "vm_id": "portcullis",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                    "environment_variables": {"host_env_keys": environment},
                },
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": self.plugin},
            }}),
        )
    }
}

/// Makes the tag of what a network filter left in the filter state, and never of what a client sent.
pub(crate) fn header_from_filter_state() -> Value {
    json!({
        "name": "tag",
        "typed_config": typed("extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation", json!({
            "mutations": [
                {"remove": "x-criminalip"},
                {"append": {
                    "header": {"key": "x-criminalip", "value": "%FILTER_STATE(wasm.criminalip:PLAIN)%"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }},
            ],
        })),
    })
}

/// An object with the keys of another put in.
fn with(object: &Value, more: &Value) -> Value {
    let mut object = object.clone();
    for (key, value) in more.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

fn to_stdout(listener: &str) -> Value {
    typed(
        "extensions.access_loggers.stream.v3.StdoutAccessLog",
        json!({"log_format": {"json_format": {
            "listener": listener,
            "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
            "path": "%REQ(:PATH)%",
            "code": "%RESPONSE_CODE%",
            "details": "%RESPONSE_CODE_DETAILS%",
            "flags": "%RESPONSE_FLAGS%",
            "closed": "%DOWNSTREAM_LOCAL_CLOSE_REASON%",
            "tag": "%FILTER_STATE(wasm.criminalip:PLAIN)%",
        }}}),
    )
}

/// The key under which a cluster keeps its options for HTTP.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What the clusters and the rest of the bootstrap need to know.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Where requests are routed to.
    pub upstream: SocketAddr,
    /// Where lookups go to.
    pub api: SocketAddr,
    /// Whether the callout cluster adds the key, from the environment's `CRIMINALIP_API_KEY`.
    pub inject_key: bool,
}

/// A bootstrap with these listeners.
pub fn bootstrap(surroundings: Surroundings, listeners: Vec<Value>) -> Value {
    let mut bootstrap = common(surroundings);
    bootstrap["static_resources"]["listeners"] = Value::Array(listeners);
    bootstrap
}

/// A bootstrap that takes its listeners from a file, and follows it.
pub fn following_bootstrap(surroundings: Surroundings, listeners: &Path) -> Value {
    let mut bootstrap = common(surroundings);
    bootstrap["dynamic_resources"] = follows(listeners);
    bootstrap
}

/// The same with clusters of one's own and nothing else.
pub(crate) fn bare_bootstrap(listeners: &Path, clusters: &[Value]) -> Value {
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": socket_address(([127, 0, 0, 1], 0).into())},
        "dynamic_resources": follows(listeners),
        "static_resources": {"clusters": clusters},
    })
}

fn follows(listeners: &Path) -> Value {
    json!({"lds_config": {"resource_api_version": "V3", "path_config_source": {"path": listeners}}})
}

/// Writes the file that such a bootstrap follows: beside its place first, since Envoy watches for the move.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn replace_listeners(file: &Path, listeners: Vec<Value>) -> Result<()> {
    let resources: Vec<_> =
        listeners.into_iter().map(|listener| typed("config.listener.v3.Listener", listener)).collect();
    let beside = file.with_extension("new.json");
    fs::write(&beside, json!({"resources": resources}).to_string())?;
    Ok(fs::rename(beside, file)?)
}

fn common(surroundings: Surroundings) -> Value {
    let labels = ["action", "reason", "source", "outcome"];
    let tags: Vec<_> =
        labels.iter().map(|label| json!({"tag_name": label, "regex": format!("(;{label}=([^;]+))")})).collect();
    let upstream = with_trailers(cluster("upstream", surroundings.upstream));
    let mut api = cluster("criminalip", surroundings.api);
    if surroundings.inject_key {
        api["typed_extension_protocol_options"] = json!({
            HTTP_OPTIONS: key_injection(),
        });
    }
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": socket_address(([127, 0, 0, 1], 0).into())},
        "stats_config": {"stats_tags": tags},
        "static_resources": {"clusters": [upstream, api]},
    })
}

fn key_injection() -> Value {
    typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        json!({
            "explicit_http_config": {"http_protocol_options": {}},
            "http_filters": [
                {"name": "key", "typed_config": typed("extensions.filters.http.header_mutation.v3.HeaderMutation", json!({
                    "mutations": {"request_mutations": [{"append": {
                        "header": {"key": "x-api-key", "value": INJECTED_KEY},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }}]},
                }))},
                {"name": "codec", "typed_config": typed("extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({}))},
            ],
        }),
    )
}

pub(crate) fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        // A server that is busy may be slow to take a connection; one that is not there refuses it at once.
        "connect_timeout": "60s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket_address(address)}},
        ]}]},
    })
}

/// The same cluster, to which trailers are passed on.
pub(crate) fn with_trailers(mut cluster: Value) -> Value {
    let options = json!({"explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}});
    cluster["typed_extension_protocol_options"] =
        json!({HTTP_OPTIONS: typed("extensions.upstreams.http.v3.HttpProtocolOptions", options)});
    cluster
}

pub(crate) fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

pub(crate) fn typed(name: &str, mut message: Value) -> Value {
    message["@type"] = format!("type.googleapis.com/envoy.{name}").into();
    message
}
