//! `host-test run`: one request.

use super::Filter;
use anyhow::{Context, Result};
use clap::Args;
use host_test::{
    host::{HeaderMap, Module},
    scenario::{self, OneOrMany, Scenario, Step},
    sim::Outcome,
    trace::{Event, envoy},
};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Sends one request, or several of the same, through a filter.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    filter: Filter,
    /// Method and path; not needed with --connect
    #[arg(long, default_value = "GET /")]
    request: String,
    /// A TCP connection instead, with what the client sends
    #[arg(long, value_name = "BYTES")]
    connect: Option<Vec<String>>,
    /// The peer, as the proxy finds it
    #[arg(long, default_value = "192.0.2.1:50000")]
    source: String,
    /// A header, as NAME: VALUE
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body
    #[arg(long)]
    body: Option<String>,
    /// A property of the stream, as PATH=VALUE with dots between the parts of the path
    #[arg(long = "property", value_name = "PATH=VALUE")]
    properties: Vec<String>,
    /// How often, one after the other
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Show every call between proxy and module, as in Envoy's trace log
    #[arg(long)]
    trace: bool,
    /// Write the trace as JSON lines to this file; `host-test replay` runs it again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(&self) -> Result<bool> {
        let module = Module::read(&self.filter.wasm)?;
        let scenario = self.scenario()?;
        let report = scenario::run(&scenario, &module)?;
        if let Some(path) = &self.record {
            let recorded = super::replay::record(&scenario, &report.trace)?;
            fs::write(path, recorded).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.trace {
            print!("{}", envoy::lines(&report.trace));
        } else {
            for entry in &report.trace {
                match &entry.event {
                    Event::Log { level, message } => println!("log {level:?}: {message}"),
                    Event::VmFailed { reason, .. } => println!("the VM failed: {reason}"),
                    Event::CalloutSent { cluster, headers, .. } => {
                        println!("callout to {cluster}: {}", shown(headers.first(":path").unwrap_or_default()));
                    }
                    Event::CalloutEnded { outcome, .. } => println!("callout ended: {outcome}"),
                    Event::CalloutRefused { cluster, status } => {
                        println!(
                            "callout to {cluster} refused with status {status}: `--cluster {cluster}=200` gives it an answer"
                        );
                    }
                    _ => {}
                }
            }
        }
        for outcome in &report.outcomes {
            print(outcome);
        }
        for mismatch in &report.mismatches {
            println!("{mismatch}");
        }
        Ok(report.passed())
    }

    fn scenario(&self) -> Result<Scenario> {
        let mut headers = BTreeMap::new();
        for header in &self.headers {
            let (name, value) = header.split_once(':').with_context(|| format!("{header:?}: write NAME: VALUE"))?;
            headers.insert(name.trim().to_owned(), OneOrMany::One(value.trim().to_owned()));
        }
        let mut properties = BTreeMap::new();
        for property in &self.properties {
            let (path, value) = property.split_once('=').with_context(|| format!("{property:?}: write PATH=VALUE"))?;
            properties.insert(path.to_owned(), value.to_owned());
        }
        let tcp = self.filter.network || self.connect.is_some();
        let step = Step {
            request: (!tcp).then(|| self.request.clone()),
            connect: tcp.then(|| self.connect.clone().unwrap_or_default()),
            from: Some(self.source.clone()),
            headers,
            properties,
            body: self.body.iter().cloned().collect(),
            leaves_after: tcp.then(|| scenario::Span(std::time::Duration::from_secs(60))),
            ..Step::default()
        };
        let mut scenario = self.filter.scenario()?;
        if tcp {
            scenario.plugin.kind = host_test::sim::PluginKind::Network;
        }
        scenario.step = vec![step; self.times];
        Ok(scenario)
    }
}

fn print(outcome: &Outcome) {
    match outcome.status {
        Some(status) => println!("{status} {}", outcome.details),
        None => println!("no response: {:?} {}", outcome.end, outcome.details),
    }
    headers("  ", &outcome.response_headers);
    if !outcome.response_body.is_empty() {
        println!("\n  {}", shown(&outcome.response_body).trim_end().replace('\n', "\n  "));
    }
    match &outcome.forwarded {
        Some(forwarded) => {
            println!("the upstream got:");
            headers("  ", forwarded);
        }
        None if outcome.connected => println!("the upstream got {} bytes", outcome.forwarded_body.len()),
        None => println!("the upstream got nothing"),
    }
    for (name, value) in &outcome.filter_state {
        println!("filter state wasm.{name}: {value}");
    }
}

fn headers(indent: &str, map: &HeaderMap) {
    for (name, value) in map.iter() {
        println!("{indent}{}: {}", shown(name), shown(value));
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
