//! What is legal but unwise.

use super::plugin::{Home, Plugin};
use super::{Remark, Severity};
use crate::document::{Node, Place};
use evaluator::Timestamp;
use gate::{Config, Key, NotifyFormat, Role, WebhookPath};
use std::time::Duration;

/// Envoy's own limit on a stream on which nothing moves.
const IDLE: Duration = Duration::from_secs(300);

/// Warnings about a configuration that has no mistakes, and about what it is wrapped in.
pub(super) fn advise(plugin: &Plugin<'_>, config: &Config, now: Timestamp) -> Vec<Remark> {
    let mut advice = Advice { plugin, remarks: Vec::new() };
    advice.of_lists(now);
    advice.of_key(config);
    advice.of_notify(config);
    match plugin.home {
        Home::Bare => {}
        Home::Istio { spec } => advice.of_istio(spec),
        Home::Envoy { document, manager, plugin } => {
            advice.of_failure_policy(plugin);
            advice.of_bodies(plugin, config);
            if let Some(manager) = manager {
                advice.of_manager(manager, config);
            }
            let risks = ["the API key and the reports", "Criminal IP"];
            advice.of_cluster(document, "api.cluster", &config.api.cluster, risks);
            if let Some(notify) = &config.notify {
                let risks = ["what is told, and to whom,", "the webhook"];
                advice.of_cluster(document, "notify.cluster", &notify.cluster, risks);
            }
        }
    }
    advice.remarks
}

struct Advice<'a> {
    plugin: &'a Plugin<'a>,
    remarks: Vec<Remark>,
}

impl Advice<'_> {
    fn warn(&mut self, at: Place, code: &'static str, path: &str, message: String) {
        self.remarks.push(Remark { at, severity: Severity::Warning, code, path: path.into(), message });
    }

    /// A place in the configuration itself.
    fn place(&self, path: &str) -> Place {
        self.plugin.tree.as_ref().map_or(self.plugin.at, |tree| tree.locate(path))
    }

    fn of_lists(&mut self, now: Timestamp) {
        for list in ["allow", "deny"] {
            let entries = self.plugin.tree.as_ref().and_then(|tree| tree.at_path(&["lists", list]));
            let entries: Vec<Node> = entries.map(|node| node.items().to_vec()).unwrap_or_default();
            for (index, entry) in entries.iter().enumerate() {
                let path = format!("lists.{list}[{index}]");
                let network = entry.get("cidr").and_then(Node::text).unwrap_or_default();
                if list == "allow" && entry.get("owner").is_none() {
                    let message = format!("{network} passes whatever is known about it, and nobody answers for that");
                    self.warn(
                        entry.at,
                        "allow_without_owner",
                        &path,
                        format!("{message}; add \"owner\" and \"until\""),
                    );
                }
                let until = entry.get("until").and_then(Node::text);
                if until.and_then(Timestamp::parse).is_some_and(|until| until <= now) {
                    let message = format!("{network} has expired and counts for nothing; remove it");
                    self.warn(entry.at, "expired_entry", &path, message);
                }
            }
        }
    }

    fn of_key(&mut self, config: &Config) {
        if let Key::Given(_) = config.api.key {
            let message = "whoever can read the proxy's configuration knows the key; let the proxy add x-api-key, or use \
                           \"key_env\"";
            self.warn(self.place("api.key"), "key_in_configuration", "api.key", message.into());
        }
    }

    fn of_notify(&mut self, config: &Config) {
        let Some(notify) = &config.notify else { return };
        let is_slack = notify.format == NotifyFormat::Slack;
        if is_slack && matches!(notify.path, WebhookPath::Given(_)) {
            let message = "whoever can read the proxy's configuration can post to the channel; use \"path_env\"";
            self.warn(self.place("notify.path"), "path_in_configuration", "notify.path", message.into());
        }
        if !is_slack && notify.secret_env.is_none() {
            let message =
                "messages are not signed, so whoever reaches the receiver can make them up; add \"secret_env\"";
            self.warn(self.place("notify"), "unsigned_notifications", "notify", message.into());
        }
    }

    fn of_istio(&mut self, spec: &Node) {
        let strategy = spec.get("failStrategy");
        match strategy.and_then(Node::text) {
            None => {
                let message = "the default of failStrategy is FAIL_CLOSE: a VM that died stays dead and refuses everything \
                               from then on; write FAIL_RELOAD";
                self.warn(spec.at, "fail_closed", "failStrategy", message.into());
            }
            Some("FAIL_CLOSE") => {
                let message = "a VM that died stays dead and refuses everything from then on; write FAIL_RELOAD";
                self.warn(strategy.map_or(spec.at, |node| node.at), "fail_closed", "failStrategy", message.into());
            }
            Some(_) => {}
        }
    }

    fn of_failure_policy(&mut self, plugin: &Node) {
        let policy = plugin.get("failure_policy");
        match policy.and_then(Node::text) {
            None if plugin.get("fail_open").is_none() => {
                let message = "there is none, and Envoy's default is FAIL_CLOSED: a VM that died stays dead and refuses \
                               everything from then on; write FAIL_RELOAD";
                self.warn(plugin.at, "no_failure_policy", "failure_policy", message.into());
            }
            Some("FAIL_CLOSED" | "UNSPECIFIED") => {
                let message = "a VM that died stays dead and refuses everything from then on; write FAIL_RELOAD";
                self.warn(policy.map_or(plugin.at, |node| node.at), "fail_closed", "failure_policy", message.into());
            }
            _ => {}
        }
    }

    /// Whether the filter gets bodies of requests that it keeps to itself.
    fn of_bodies(&mut self, plugin: &Node, config: &Config) {
        const KEY: &str = "allow_on_headers_stop_iteration";
        let node = plugin.get(KEY);
        let at = node.map_or(plugin.at, |node| node.at);
        match (config.role, node.and_then(Node::flag) == Some(true)) {
            (Role::Control, false) => {
                let message = "is not true, so Envoy keeps the bodies of requests from the filter, and what operators send \
                               ends with status 408; write true";
                self.warn(at, "no_bodies", KEY, message.into());
            }
            (Role::Http, true) => {
                let message = "is true, so Envoy hands the body of a request that is held on to whatever comes next, and \
                               the request passes before its verdict; leave it out";
                self.warn(at, "held_requests_pass", KEY, message.into());
            }
            _ => {}
        }
    }

    fn of_manager(&mut self, manager: &Node, config: &Config) {
        let trusts = manager.get("use_remote_address").and_then(Node::flag) != Some(true)
            && manager.get("original_ip_detection_extensions").is_none();
        if trusts && config.direction == evaluator::Direction::Ingress {
            let at = manager.get("use_remote_address").map_or(manager.at, |node| node.at);
            let message = "is not true, so Envoy believes the last entry of X-Forwarded-For from anybody, and every client \
                           can pass as another; write true, and count the proxies in front in xff_num_trusted_hops";
            self.warn(at, "untrusted_forwarded_for", "use_remote_address", message.into());
        }
        let hold = config.first_look.hold;
        for (key, default) in [("request_timeout", None), ("stream_idle_timeout", Some(IDLE))] {
            let node = manager.get(key);
            // Zero switches it off.
            let limit = node.and_then(Node::text).map_or(default, seconds).filter(|limit| !limit.is_zero());
            if let Some(limit) = limit.filter(|limit| *limit <= hold) {
                let at = node.map_or(manager.at, |node| node.at);
                let message = format!(
                    "ends requests after {limit:?}, and first_look.hold makes them wait for up to {hold:?}: they fail before \
                     they are decided; keep it above the hold"
                );
                self.warn(at, "hold_above_timeout", key, message);
            }
        }
    }

    /// What can be said of the cluster that this key names. The risks: what can be read on the way, and as whom others could
    /// answer.
    fn of_cluster(&mut self, document: &Node, key: &str, name: &str, [what, whom]: [&str; 2]) {
        let mut found = None;
        document.visit(&mut |node| {
            if found.is_none() && node.get("name").and_then(Node::text) == Some(name) && is_cluster(node) {
                found = Some(node);
            }
        });
        let Some(cluster) = found else {
            // Others may come from a management server.
            if document.get("static_resources").is_some() && document.get("dynamic_resources").is_none() {
                let message = format!("there is no cluster {name:?} in this file: every call to it would fail");
                self.warn(self.place(key), "no_such_cluster", key, message);
            }
            return;
        };
        let path = format!("cluster {name}");
        let at = cluster.at;
        let Some(tls) = cluster.at_path(&["transport_socket", "typed_config"]) else {
            let message = format!("no TLS: {what} can be read and changed on the way; add a transport_socket");
            return self.warn(at, "unverified_cluster", &path, message);
        };
        let common = tls.get("common_tls_context");
        let validation = ["validation_context", "combined_validation_context", "validation_context_sds_secret_config"];
        if !validation.iter().any(|key| common.is_some_and(|common| common.get(key).is_some())) {
            let message = format!(
                "any certificate is accepted, so whoever answers could speak for {whom}; add a validation_context with \
                 trusted_ca"
            );
            self.warn(tls.at, "unverified_cluster", &path, message);
        } else if !names_are_verified(cluster, common) {
            let message = "a certificate for any name is accepted; add auto_sni and auto_san_validation, or \
                           match_typed_subject_alt_names";
            self.warn(tls.at, "unverified_name", &path, message.into());
        }
    }
}

/// Whether a node is a cluster: listeners and others have names too.
fn is_cluster(node: &Node) -> bool {
    ["load_assignment", "cluster_type", "eds_cluster_config", "connect_timeout", "lb_policy"]
        .iter()
        .any(|key| node.get(key).is_some())
}

fn names_are_verified(cluster: &Node, common: Option<&Node>) -> bool {
    let mut verified = false;
    let mut see = |node: &Node| {
        verified |= node.get("auto_san_validation").and_then(Node::flag) == Some(true)
            || node.get("match_typed_subject_alt_names").is_some()
            || node.get("match_subject_alt_names").is_some();
    };
    cluster.get("typed_extension_protocol_options").into_iter().for_each(|node| node.visit(&mut see));
    common.into_iter().for_each(|node| node.visit(&mut see));
    verified
}

/// A duration as protobuf writes it: `15s`, `0.5s`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
