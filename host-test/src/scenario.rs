//! Scenarios: a simulated proxy, what happens to it, and what is expected, as a file.
//!
//! The format is TOML; `host-test/scenario.schema.json` describes it for editors and is compared with this by a test.

mod check;
mod random;
mod run;

pub use check::Mismatch;
pub use random::random;
pub use run::{Report, config, run, run_watched};
pub(crate) use run::{connection, request, rule, title};

use crate::{
    host::{Fault, abi::LogLevel},
    sim::{Failure, FailurePolicy, PluginKind},
    trace::lint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, fs, path::Path, time::Duration};

/// A scenario: the proxy, the steps, and what must hold at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub name: String,
    /// The module's file, relative to the scenario's. The command line can name another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// What every choice follows from: randomness, jitter, which worker is next.
    pub seed: u64,
    /// How many workers the proxy has.
    pub workers: usize,
    /// The filter.
    pub plugin: Plugin,
    /// The clusters that it may call, by name, with what they answer. The first answer that fits a call is given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cluster: BTreeMap<String, Vec<Answer>>,
    /// What happens, in order.
    pub step: Vec<Step>,
    /// What must hold at the end.
    pub expect: AtTheEnd,
}

/// A filter and its VM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// The name of its root.
    pub root_id: String,
    /// The id by which VMs share data and queues.
    pub vm_id: String,
    /// What `on_configure` reads.
    pub configuration: String,
    /// The same from a file, relative to the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_file: Option<String>,
    /// What `on_vm_start` reads.
    pub vm_configuration: String,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// What happens when its VM fails: `fail_closed`, `fail_open` or `fail_reload`.
    #[schemars(with = "String")]
    pub policy: FailurePolicy,
    /// What it filters: `http`, `network`, or nothing (`service`).
    #[schemars(with = "String")]
    pub kind: PluginKind,
    /// Whether a pause in the headers callback leaves the body callbacks running.
    pub headers_stop_iteration: bool,
    /// The only imports and exports that are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// The least level of log lines: `trace`, `debug`, `info`, `warn`, `error`, `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub log_level: Option<LogLevel>,
}

/// What a cluster answers to a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// What the path of the call must hold; empty for any.
    pub path: String,
    /// How many calls it answers; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How long it takes, such as `50ms`.
    pub after: Span,
    /// How much longer at most, chosen by the seed.
    pub jitter: Span,
    /// The status; 200 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// Headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// The same from a file, relative to the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_file: Option<String>,
    /// So many bytes of body, in the place of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_size: Option<usize>,
    /// It fails instead: `reset`, `cut`, `never`, `refuse_bad_argument`, `refuse_internal_failure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub fails: Option<Failure>,
    /// As Criminal IP answers, by the names of its stand-in: `report`, `no_credit`, `rate_limited:30`, `garbage`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criminalip: Option<String>,
}

/// One thing that happens: exactly one of `request`, `connect`, `await`, `advance`, `answers`, `fault`, `forget_faults`,
/// `configure`, `crash`, `clock`, `nothing`; and what is expected then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// A request: method and path, such as `GET /index.html`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// A TCP connection, with what the client sends, one piece after the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Vec<String>>,
    /// The end of an earlier request or connection, by its id.
    #[serde(skip_serializing_if = "Option::is_none", rename = "await")]
    pub await_end: Option<String>,
    /// Virtual time that goes by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advance: Option<Span>,
    /// New answers of clusters, before those that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<BTreeMap<String, Vec<Answer>>>,
    /// Something that goes wrong from now on: `{call = "proxy_http_call", nth = 2, times = 1, effect = {status = 10}}`. The
    /// effect is a status, `trap`, `null` (of the call `allocate`) or `out_of_memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub fault: Option<Fault>,
    /// The end of all faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_faults: Option<bool>,
    /// A new configuration of the filter. Expect `refused` when it must not be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configure: Option<String>,
    /// A thread whose VM fails; 1 is the first worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<usize>,
    /// The clock is set forward by so many seconds, or back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<i64>,
    /// Nothing happens: a step that only expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing: Option<bool>,

    /// The peer of a request or connection, as the proxy finds it: address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The address of the listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What the client said in TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Headers of a request; a value may be a list.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, OneOrMany>,
    /// The pieces of a request's body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub body: Vec<String>,
    /// How long after one piece the next one comes.
    #[serde(skip_serializing_if = "Span::is_zero")]
    pub pace: Span,
    /// The trailers of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trailers: Option<BTreeMap<String, String>>,
    /// The worker that gets it, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<usize>,
    /// After how long the client leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves_after: Option<Span>,
    /// Properties of the stream, by their path with dots between the parts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// What the upstream answers to it; `200` and `ok` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Whether the filter that follows a network filter reads at once, as the HTTP connection manager does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads_at_once: Option<bool>,
    /// A name for it, to be awaited by. Without one, the step waits for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How many of it, all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<usize>,

    /// What must hold after it.
    pub expect: Expect,
}

/// What an upstream answers to a request that passed the filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Origin {
    /// The status; 200 if absent.
    pub status: Option<u32>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The pieces of the body; `ok` if absent.
    pub body: Option<Vec<String>>,
    /// The trailers.
    pub trailers: Option<BTreeMap<String, String>>,
    /// How long it takes.
    pub after: Span,
}

/// What must hold after a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The status that the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// How the stream ends: `answered`, `reset`, `client_left`, or `open` while it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// What `%RESPONSE_CODE_DETAILS%` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// Headers of the response: what the value holds; `""` for any; `false` for none of this name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Holds>,
    /// Trailers of the response, as above.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub trailers: BTreeMap<String, Holds>,
    /// What the response's body, or what a TCP client gets, holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether it reaches the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<bool>,
    /// Headers that reach the upstream, as above.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forwarded_headers: BTreeMap<String, Holds>,
    /// Trailers that reach the upstream, as above.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forwarded_trailers: BTreeMap<String, Holds>,
    /// What the body that reaches the upstream holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_body: Option<String>,
    /// Filter state, by its name without the prefix `wasm.`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filter_state: BTreeMap<String, Holds>,
    /// The least and the most time from the first byte to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_at_least: Option<Span>,
    /// The most time from the first byte to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takes_at_most: Option<Span>,
    /// Texts that lines of the log hold, since the step began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Callouts that were sent since the step began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callouts: Option<usize>,
    /// Metrics by name: the value of a counter or gauge, the number of a histogram's values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, u64>,
    /// Whether a configuration is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<bool>,
    /// Whether the VMs of all workers are alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alive: Option<bool>,
    /// The most fuel that the step burns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_at_most: Option<u64>,
    /// The most host calls that the step makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls_at_most: Option<u64>,
}

/// What must hold at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AtTheEnd {
    /// Mistakes that the trace may show; all others fail the scenario.
    #[schemars(with = "Vec<String>")]
    pub lints: Vec<lint::Kind>,
    /// The start fails, with a message that holds this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_fails: Option<String>,
}

/// One value or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several, in order.
    Many(Vec<String>),
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Holds {
    /// It is there, and holds this.
    Text(String),
    /// Whether it is there.
    There(bool),
}

/// A length of time in a file: `250ms`, `1.5s`, `10m`, `2h`, `7d`, also in microseconds, `10us`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Span(pub Duration);

impl Span {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Span, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let nanoseconds = match unit {
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "d" => 86_400e9,
            _ => {
                return Err(format!(
                    "{text:?} is no length of time: write a number and us, ms, s, m, h or d, such as 250ms"
                ));
            }
        };
        let number: f64 = number.parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
        Ok(Span(Duration::from_nanos((number * nanoseconds) as u64)))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        match span.0.as_micros() {
            micros if micros % 1_000_000 == 0 => format!("{}s", micros / 1_000_000),
            micros if micros % 1_000 == 0 => format!("{}ms", micros / 1_000),
            micros => format!("{micros}us"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from(*self))
    }
}

impl Scenario {
    /// Reads a scenario's file. What it says of other files is read too, so that it stands for itself afterwards.
    ///
    /// # Errors
    /// When a file cannot be read or is no scenario; the message says where.
    pub fn read(path: &Path) -> anyhow::Result<Scenario> {
        use anyhow::Context;
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let scenario = Scenario::parse(&text).with_context(|| format!("{} is no scenario", path.display()))?;
        scenario.with_files(folder).with_context(|| format!("in {}", path.display()))
    }

    /// Reads a scenario's text.
    ///
    /// # Errors
    /// When it is no scenario; the message says where.
    pub fn parse(text: &str) -> anyhow::Result<Scenario> {
        let mut scenario: Scenario = toml::from_str(text)?;
        scenario.workers = scenario.workers.max(1);
        for (index, step) in scenario.step.iter().enumerate() {
            step.check().map_err(|why| anyhow::anyhow!("step {}: {why}", index + 1))?;
        }
        Ok(scenario)
    }

    fn with_files(mut self, folder: &Path) -> anyhow::Result<Scenario> {
        use anyhow::Context;
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        if let Some(name) = self.plugin.configuration_file.take() {
            self.plugin.configuration = read(&name)?;
        }
        let of_steps = self.step.iter_mut().filter_map(|step| step.answers.as_mut()).flat_map(BTreeMap::values_mut);
        for answer in self.cluster.values_mut().chain(of_steps).flatten() {
            if let Some(name) = answer.body_file.take() {
                answer.body = read(&name)?;
            }
        }
        if let Some(module) = &mut self.module {
            *module = folder.join(&module).display().to_string();
        }
        Ok(self)
    }
}

impl Step {
    fn check(&self) -> Result<(), String> {
        let given = [
            ("request", self.request.is_some()),
            ("connect", self.connect.is_some()),
            ("await", self.await_end.is_some()),
            ("advance", self.advance.is_some()),
            ("answers", self.answers.is_some()),
            ("fault", self.fault.is_some()),
            ("forget_faults", self.forget_faults.is_some()),
            ("configure", self.configure.is_some()),
            ("crash", self.crash.is_some()),
            ("clock", self.clock.is_some()),
            ("nothing", self.nothing.is_some()),
        ];
        let names: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match names.as_slice() {
            [_] => Ok(()),
            [] => {
                let all: Vec<_> = given.iter().map(|(name, _)| *name).collect();
                Err(format!("it says nothing that happens: give one of {}", all.join(", ")))
            }
            several => {
                Err(format!("one thing happens in a step, not {}: make several steps of it", several.join(" and ")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
