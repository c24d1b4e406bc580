//! A scenario's steps, in a real Envoy.

use super::{client, compare, configuration, servers::Servers};
use crate::{
    envoy::{Envoy, Start},
    eventually,
    scenario::{self, Report, Scenario, Step, title},
    sim::{End, Outcome, PluginKind},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle, time};

/// What was seen.
#[derive(Debug)]
pub(super) struct Observed {
    /// What became of the streams, in their order, each with the step that made it.
    pub(super) outcomes: Vec<(String, Outcome)>,
    /// Envoy's log.
    pub(super) log: Vec<String>,
    /// What steps expect of the whole proxy, and was otherwise.
    pub(super) unexpected: Vec<String>,
}

/// How long the last lines of the log may take, after the last event that can be waited for.
const LAST_LINES: Duration = Duration::from_secs(20);

/// Runs it.
///
/// # Errors
/// When Envoy does not start, or a server of the scenario cannot listen.
pub(super) async fn run(scenario: &Scenario, simulated: &Report, wasm: &Path, envoy: &Path) -> Result<Observed> {
    let network = scenario.plugin.kind == PluginKind::Network;
    let (folder, servers) = (TempDir::new()?, Servers::start(scenario, network)?);
    let listeners = folder.path().join("listeners.json");
    let wasm = std::path::absolute(wasm)?;
    let names: BTreeSet<_> =
        simulated.outcomes.iter().flat_map(|outcome| outcome.filter_state.keys().cloned()).collect();
    let states: Vec<_> = names.into_iter().collect();
    configuration::write_listener(&listeners, &scenario.plugin, &scenario.plugin.configuration, &wasm, &states)?;
    let envoy = Envoy::start(Start {
        envoy: envoy.to_owned(),
        bootstrap: configuration::bootstrap(&servers, &listeners).to_string(),
        json: true,
        concurrency: u16::try_from(scenario.workers)?,
        drain_seconds: 1,
        environment: Vec::new(),
        folder,
    })
    .await?;
    envoy.set_log_level("wasm", "trace").await?;
    let mut runner = Runner {
        scenario,
        address: address(&envoy).await?,
        envoy,
        servers,
        network,
        update: Update { listeners, wasm, states },
        streams: Vec::new(),
        named: BTreeMap::new(),
        unexpected: Vec::new(),
    };
    for (index, step) in scenario.step.iter().enumerate() {
        let place = format!("step {} ({})", index + 1, title(step));
        runner.step(&place, step).await.with_context(|| place)?;
    }
    runner.finish(simulated).await
}

async fn address(envoy: &Envoy) -> Result<SocketAddr> {
    let listeners = envoy.listeners().await?;
    listeners.get(configuration::NAME).copied().with_context(|| {
        format!("Envoy has no listener with the filter; its log ended with\n{}", envoy.log().join("\n"))
    })
}

struct Runner<'a> {
    scenario: &'a Scenario,
    envoy: Envoy,
    servers: Servers,
    network: bool,
    address: SocketAddr,
    update: Update,
    streams: Vec<Stream>,
    named: BTreeMap<String, Range<usize>>,
    unexpected: Vec<String>,
}

/// What the listener is made of, beside the configuration.
struct Update {
    listeners: PathBuf,
    wasm: PathBuf,
    states: Vec<String>,
}

struct Stream {
    place: String,
    outcome: Outcome,
    /// Its client, until the outcome is known.
    client: Option<JoinHandle<Result<Outcome>>>,
}

impl Runner<'_> {
    async fn step(&mut self, place: &str, step: &Step) -> Result<()> {
        let calls = self.servers.state.read(|state| state.calls);
        let new = self.begin(place, step).await?;
        let mut awaited = new.clone();
        if let Some(id) = &step.await_end {
            awaited = self.named.get(id).with_context(|| format!("nothing has the id {id:?}"))?.clone();
        } else if let Some(id) = &step.id {
            self.named.insert(id.clone(), new);
            awaited = 0..0;
        }
        if step.expect.end.as_deref() != Some("open") {
            for stream in &mut self.streams[awaited] {
                if let Some(client) = stream.client.take() {
                    stream.outcome = client.await??;
                }
            }
        }
        if let Some(time) = step.advance {
            time::sleep(time.0).await;
        }
        for (cluster, answers) in step.answers.iter().flatten() {
            self.servers.state.change(|state| {
                state.answers.entry(cluster.clone()).or_default().splice(0..0, answers.iter().cloned());
            });
        }
        if let Some(configuration) = &step.configure {
            let refused = self.configure(configuration).await?;
            if refused != step.expect.refused.unwrap_or(false) {
                let taken = |refused| if refused { "refused" } else { "taken" };
                let line = format!("{place}: configuration: simulation {}, Envoy {}", taken(!refused), taken(refused));
                self.unexpected.push(line);
            }
        }
        for text in &step.expect.log {
            if time::timeout(LAST_LINES, self.envoy.wait_for_log(text)).await.is_err() {
                self.unexpected.push(format!("{place}: log: simulation a line with {text:?}, Envoy none"));
            }
        }
        let calls = self.servers.state.read(|state| state.calls) - calls;
        if let Some(expected) = step.expect.callouts.filter(|expected| *expected != calls) {
            self.unexpected.push(format!("{place}: callouts: simulation {expected}, Envoy {calls}"));
        }
        Ok(())
    }

    /// Starts the clients of a step, and gives their numbers. Those that it does not wait for have reached Envoy then.
    async fn begin(&mut self, place: &str, step: &Step) -> Result<Range<usize>> {
        let first = self.streams.len();
        let mut waiting = Vec::new();
        for number in first..first + step.times.unwrap_or(1) {
            let (arrives, arrived) = oneshot::channel();
            waiting.push(arrives);
            let client = if let Some(line) = &step.request {
                let request = scenario::request(line, step)?;
                self.servers.state.change(|state| state.origins.push(request.origin.clone()));
                tokio::spawn(client::request(self.address, number, request, arrived))
            } else if let Some(data) = &step.connect {
                tokio::spawn(client::connection(self.address, scenario::connection(data, step), arrived))
            } else {
                break;
            };
            let (place, client) = (place.to_owned(), Some(client));
            self.streams.push(Stream { place, outcome: Outcome::default(), client });
        }
        let count = self.streams.len();
        let goes_on = step.id.is_some() || step.expect.end.as_deref() == Some("open");
        if count > first && (goes_on || step.leaves_after.is_some()) {
            let (kind, what) =
                if self.network { ("tcp", "downstream_cx_total") } else { ("http", "downstream_rq_total") };
            let stat = format!("{kind}.{}.{what}", configuration::NAME);
            self.envoy.wait_for_stat(&stat, u64::try_from(count)?).await?;
        }
        for arrives in waiting {
            // One that was answered already does not wait for it.
            let _ = arrives.send(());
        }
        Ok(first..count)
    }

    /// Gives Envoy another configuration of the filter; whether it is refused.
    async fn configure(&mut self, configuration: &str) -> Result<bool> {
        const COUNTERS: [&str; 2] = ["listener_manager.lds.update_rejected", "listener_manager.lds.update_success"];
        let rejected = self.envoy.stat(COUNTERS[0]).await?;
        let before = rejected + self.envoy.stat(COUNTERS[1]).await?;
        let Update { listeners, wasm, states } = &self.update;
        configuration::write_listener(listeners, &self.scenario.plugin, configuration, wasm, states)?;
        let refused = eventually(async || {
            let stats = self.envoy.stats().await?;
            let stat = |name: &str| stats.get(name).copied().unwrap_or(0);
            ensure!(stat(COUNTERS[0]) + stat(COUNTERS[1]) > before, "Envoy has not read the new listener");
            ensure!(stat("listener_manager.total_listeners_warming") == 0, "the new listener is not ready");
            Ok(stat(COUNTERS[0]) > rejected)
        })
        .await?;
        // Another listener may be elsewhere.
        self.address = address(&self.envoy).await?;
        Ok(refused)
    }

    async fn finish(mut self, simulated: &Report) -> Result<Observed> {
        for stream in &mut self.streams {
            if let Some(client) = stream.client.take_if(|client| client.is_finished()) {
                stream.outcome = client.await??;
            }
        }
        let ended = self.streams.iter().filter(|stream| stream.outcome.end.is_some()).count();
        self.wait_for_last_calls(simulated).await;
        let access: Vec<Value> = if ended == 0 {
            Vec::new()
        } else {
            // Each line is written when its stream is over.
            let written = eventually(async || {
                let lines = self.envoy.access();
                ensure!(lines.len() >= ended, "only {} lines of the access log", lines.len());
                Ok(lines)
            });
            let lines = time::timeout(LAST_LINES, written).await.unwrap_or_else(|_| Ok(self.envoy.access()))?;
            lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?
        };
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let own = |line: &&Value| line["id"].as_str().and_then(|id| client::number(id.as_bytes())) == Some(number);
            let line = if self.network { access.get(number) } else { access.iter().find(own) };
            if let Some(line) = line {
                stream.outcome.details = line["details"].as_str().unwrap_or_default().to_owned();
                let states = line["states"].as_object().into_iter().flatten();
                let text = |value: &Value| value.as_str().map(str::to_owned);
                stream.outcome.filter_state =
                    states.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
            }
            self.servers.state.read(|state| {
                if let Some(forwarded) = state.forwarded.get(&number) {
                    stream.outcome.forwarded = Some(forwarded.headers.clone());
                    stream.outcome.forwarded_body.clone_from(&forwarded.body);
                    stream.outcome.forwarded_trailers =
                        Some(forwarded.trailers.clone()).filter(|trailers| !trailers.is_empty());
                }
            });
        }
        if self.network {
            self.connections();
        }
        let outcomes = self.streams.into_iter().map(|stream| (stream.place, stream.outcome)).collect();
        Ok(Observed { outcomes, log: self.envoy.log(), unexpected: self.unexpected })
    }

    /// Which connection of the upstream belongs to which client does not show: they are taken in their order, after those
    /// that never got there are left out.
    fn connections(&mut self) {
        let seen = self.servers.state.read(|state| state.connections.clone());
        let passed = self.streams.iter_mut().filter(|stream| stream.outcome.end != Some(End::Reset));
        for (stream, bytes) in passed.zip(seen) {
            stream.outcome.connected = true;
            stream.outcome.forwarded_body = bytes;
        }
    }

    /// The last calls of a stream come after everything else that there is to wait for. What is missing, or other, when
    /// that has had its time is a difference.
    async fn wait_for_last_calls(&self, simulated: &Report) {
        let all_made = async || {
            let different = compare::calls_that_differ(self.scenario, simulated, &self.envoy.log());
            ensure!(different.is_empty(), "{different:?}");
            Ok(())
        };
        let _ = time::timeout(LAST_LINES, eventually(all_made)).await;
    }
}
