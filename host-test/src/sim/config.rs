//! What a simulated proxy is like.

use super::upstream::Rule;
use crate::{
    host::{Limits, Module, abi::LogLevel},
    trace::Level,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A proxy: its VMs, plugins, threads and clusters.
#[derive(Clone, Debug)]
pub struct Config {
    /// The VMs of each thread.
    pub vms: Vec<VmConfig>,
    /// The plugins, in the order of the filter chain.
    pub plugins: Vec<PluginConfig>,
    /// How many workers there are. The main thread comes on top of them.
    pub workers: usize,
    /// Whether the main thread has VMs as well, and plugins are first tried out in a VM of their own: as in Envoy.
    pub whole: bool,
    /// What all choices follow from.
    pub seed: u64,
    /// The time of day at the start, in Unix nanoseconds.
    pub start: u64,
    /// Clusters with their scripts, the first rule that fits first. A cluster without rules has no host.
    pub clusters: BTreeMap<String, Vec<Rule>>,
    /// How much is recorded.
    pub trace: Level,
    /// The least level of log lines that are kept, which modules are told.
    pub log_level: LogLevel,
    /// How many bytes of a body a filter can hold back by `StopIterationAndBuffer`.
    pub buffer_limit: usize,
    /// After how long without an end a request is answered 408; `None` for never.
    pub request_timeout: Option<Duration>,
}

/// A VM: what makes two plugins share one is that they name the same of these.
#[derive(Clone, Debug)]
pub struct VmConfig {
    /// The module.
    pub module: Module,
    /// The id by which VMs share data and queues.
    pub id: String,
    /// What `on_vm_start` can read.
    pub configuration: Vec<u8>,
    /// The environment that WASI shows.
    pub environment: Vec<(String, String)>,
    /// The only imports and exports that are allowed; `None` for all.
    pub allowed: Option<BTreeSet<String>>,
    /// What it may use.
    pub limits: Limits,
}

/// A plugin: a root context in its VM, and a filter.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// Its name.
    pub name: String,
    /// The name of its root.
    pub root_id: String,
    /// Which of the VMs it runs in.
    pub vm: usize,
    /// What `on_configure` can read.
    pub configuration: Vec<u8>,
    /// What happens when its VM fails.
    pub policy: FailurePolicy,
    /// What streams it sees.
    pub kind: PluginKind,
    /// Whether a pause in the headers callback leaves the body callbacks running (`allow_on_headers_stop_iteration`).
    pub headers_stop_iteration: bool,
}

/// What happens to streams when the VM has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    /// 503, for ever.
    #[default]
    FailClosed,
    /// The filter is left out, for ever.
    FailOpen,
    /// A new VM, at most one a second; 503 meanwhile.
    FailReload,
}

/// What a plugin sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// Requests.
    #[default]
    Http,
    /// TCP connections, before `tcp_proxy`.
    Network,
    /// Nothing: a service, whose root only runs in the main thread.
    Service,
}

impl VmConfig {
    /// A VM of this module, with nothing else.
    pub fn of(module: Module) -> VmConfig {
        VmConfig {
            module,
            id: String::new(),
            configuration: Vec::new(),
            environment: Vec::new(),
            allowed: None,
            limits: Limits::default(),
        }
    }
}

impl PluginConfig {
    /// An HTTP filter in the first VM with this configuration.
    pub fn of(configuration: impl Into<Vec<u8>>) -> PluginConfig {
        PluginConfig {
            name: String::new(),
            root_id: String::new(),
            vm: 0,
            configuration: configuration.into(),
            policy: FailurePolicy::default(),
            kind: PluginKind::default(),
            headers_stop_iteration: false,
        }
    }
}

/// 2026-01-01T00:00:00Z: a time of day like any other.
const NEW_YEAR: u64 = 1_767_225_600_000_000_000;

impl Config {
    /// A proxy with one worker and one HTTP filter of this module.
    pub fn of(module: Module, configuration: impl Into<Vec<u8>>) -> Config {
        Config {
            vms: vec![VmConfig::of(module)],
            plugins: vec![PluginConfig::of(configuration)],
            workers: 1,
            whole: true,
            seed: 0,
            start: NEW_YEAR,
            clusters: BTreeMap::new(),
            trace: Level::default(),
            log_level: LogLevel::Info,
            buffer_limit: 1024 * 1024,
            request_timeout: None,
        }
    }

    /// The same with so many workers.
    pub fn workers(self, workers: usize) -> Config {
        Config { workers, ..self }
    }

    /// The same with this seed.
    pub fn seed(self, seed: u64) -> Config {
        Config { seed, ..self }
    }

    /// The same with one more cluster, which has no rules yet.
    pub fn cluster(mut self, name: &str) -> Config {
        self.clusters.entry(name.to_owned()).or_default();
        self
    }

    /// The same, recording so much.
    pub fn trace(self, trace: Level) -> Config {
        Config { trace, ..self }
    }

    /// The same, with this done to the first plugin.
    pub fn plugin(mut self, change: impl FnOnce(&mut PluginConfig)) -> Config {
        if let Some(plugin) = self.plugins.first_mut() {
            change(plugin);
        }
        self
    }

    /// The same, with this done to the first VM.
    pub fn vm(mut self, change: impl FnOnce(&mut VmConfig)) -> Config {
        if let Some(vm) = self.vms.first_mut() {
            change(vm);
        }
        self
    }

    /// The same without the main thread's VMs and without trying configurations out: only what serves streams, which
    /// starts in a fraction of the time.
    pub fn only_workers(self) -> Config {
        Config { whole: false, ..self }
    }
}
