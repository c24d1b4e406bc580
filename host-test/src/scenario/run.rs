//! Running a scenario.

use super::{
    Answer, Mismatch, OneOrMany, Scenario, Step,
    check::{Before, Checker},
};
use crate::{
    fake,
    host::{HeaderMap, Module},
    sim::{self, Config, Connection, Outcome, Request, Rule, Sim, StreamId, upstream},
    trace::{Entry, lint},
};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, time::Duration};

/// What came of a scenario.
#[derive(Debug)]
pub struct Report {
    /// What was not as expected.
    pub mismatches: Vec<Mismatch>,
    /// What was observed.
    pub trace: Vec<Entry>,
    /// What became of the streams, in their order.
    pub outcomes: Vec<Outcome>,
    /// What it cost in all.
    pub cost: sim::Cost,
}

impl Report {
    /// Whether all was as expected.
    pub fn passed(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// How long in virtual time a step waits for the end of its stream.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs a scenario with a module.
///
/// # Errors
/// When the scenario makes no sense: an answer that there is not, an id that nothing has.
pub fn run(scenario: &Scenario, module: &Module) -> Result<Report> {
    run_watched(scenario, module, |_| {})
}

/// Runs a scenario with a module, in a simulation that was made ready: to be watched, or to record less. What is not recorded
/// cannot be expected.
///
/// # Errors
/// As [`run`].
pub fn run_watched(scenario: &Scenario, module: &Module, make_ready: impl FnOnce(&mut Sim)) -> Result<Report> {
    let config = config(scenario, module)?;
    let start = config.start;
    let mut found = Vec::new();
    let mut sim = match Sim::start(config) {
        Ok(sim) => sim,
        Err(error) => {
            let mut text = error.to_string();
            if scenario.plugin.root_id.is_empty() && text.contains("proxy_on_context_create") {
                text.push_str(
                    "\n  if the filter registers its roots by name, say which: `root_id` in a scenario, or --root-id",
                );
            }
            match &scenario.expect.start_fails {
                Some(expected) if text.contains(expected) => {}
                expected => found.push(Mismatch {
                    place: "start".into(),
                    what: "the proxy does not start".into(),
                    expected: expected.clone().map_or_else(|| "a start".into(), |text| format!("{text:?}")),
                    found: text,
                }),
            }
            return Ok(Report {
                mismatches: found,
                trace: Vec::new(),
                outcomes: Vec::new(),
                cost: sim::Cost::default(),
            });
        }
    };
    make_ready(&mut sim);
    if let Some(text) = &scenario.expect.start_fails {
        let mut checker = Checker { place: "start".into(), found: &mut found };
        checker.fail("the proxy starts", format!("an error with {text:?}"), "a start");
    }
    let mut runner = Runner { sim: &mut sim, start, named: BTreeMap::new(), found: &mut found, streams: Vec::new() };
    for (index, step) in scenario.step.iter().enumerate() {
        runner.step(index + 1, step).with_context(|| format!("step {}", index + 1))?;
    }
    let streams = std::mem::take(&mut runner.streams);
    sim.run_for(Duration::ZERO);
    let trace = sim.trace().entries().to_vec();
    for lint in lint::lints(&trace) {
        if !scenario.expect.lints.contains(&lint.kind) {
            let mut checker = Checker { place: "trace".into(), found: &mut found };
            checker.fail("a mistake", "none of this kind", lint);
        }
    }
    let outcomes = streams.into_iter().map(|stream| sim.outcome(stream).clone()).collect();
    Ok(Report { mismatches: found, trace, outcomes, cost: sim.cost() })
}

/// The proxy of a scenario.
///
/// # Errors
/// When a cluster's answer is none that there is.
pub fn config(scenario: &Scenario, module: &Module) -> Result<Config> {
    let plugin = &scenario.plugin;
    let mut config = Config::of(module.clone(), plugin.configuration.as_bytes())
        .workers(scenario.workers.max(1))
        .seed(scenario.seed)
        .plugin(|own| {
            own.name.clone_from(&plugin.name);
            own.root_id.clone_from(&plugin.root_id);
            own.policy = plugin.policy;
            own.kind = plugin.kind;
            own.headers_stop_iteration = plugin.headers_stop_iteration;
        })
        .vm(|own| {
            own.id.clone_from(&plugin.vm_id);
            own.configuration = plugin.vm_configuration.clone().into_bytes();
            own.environment = plugin.environment.clone().into_iter().collect();
            own.allowed = plugin.allowed.clone().map(|names| names.into_iter().collect());
        });
    config.log_level = plugin.log_level.unwrap_or(config.log_level);
    let start = config.start;
    for (name, answers) in &scenario.cluster {
        let rules = answers.iter().map(|answer| rule(answer, start)).collect::<Result<_>>();
        config.clusters.insert(name.clone(), rules.with_context(|| format!("cluster {name}"))?);
    }
    Ok(config)
}

/// What a cluster does, by a scenario's answer; `start` is the time of day in Unix nanoseconds.
pub(crate) fn rule(answer: &Answer, start: u64) -> Result<Rule> {
    let rule = if let Some(name) = &answer.criminalip {
        fake::simulated(fake::Answer::from_name(name)?, start).called(name)
    } else if let Some(failure) = answer.fails {
        Rule::always(failure.into())
    } else {
        let body = answer.body_size.map_or_else(|| answer.body.clone().into_bytes(), |size| vec![b' '; size]);
        Rule::always(upstream::Answer::Response {
            status: answer.status.unwrap_or(200),
            headers: answer.headers.iter().collect(),
            body,
            trailers: HeaderMap::default(),
        })
    };
    let rule = rule.on(&answer.path).after(answer.after.0).jitter(answer.jitter.0);
    Ok(Rule { times: answer.times, ..rule })
}

struct Runner<'a> {
    sim: &'a mut Sim,
    start: u64,
    named: BTreeMap<String, Vec<StreamId>>,
    found: &'a mut Vec<Mismatch>,
    streams: Vec<StreamId>,
}

impl Runner<'_> {
    fn step(&mut self, number: usize, step: &Step) -> Result<()> {
        let before = Before {
            entries: self.sim.trace().entries().len(),
            callouts: self.sim.callouts().1,
            cost: self.sim.cost(),
        };
        let place = format!("step {number} ({})", title(step));
        let mut streams = self.begin(step)?;
        if let Some(id) = &step.await_end {
            streams = self.named.get(id).with_context(|| format!("nothing has the id {id:?}"))?.clone();
        } else if let Some(id) = &step.id {
            self.named.insert(id.clone(), std::mem::take(&mut streams));
        }
        let stays_open = step.expect.end.as_deref() == Some("open");
        for stream in &streams {
            if !stays_open {
                self.sim.run_until_over(*stream, PATIENCE);
            }
        }
        if stays_open {
            self.sim.run_for(Duration::ZERO);
        }
        let mut refused = None;
        if let Some(configuration) = &step.configure {
            refused = self.sim.update(0, configuration.as_bytes()).err();
        }
        let mut checker = Checker { place, found: self.found };
        if step.configure.is_some() && refused.is_some() != step.expect.refused.unwrap_or(false) {
            let shown = refused.map_or_else(|| "taken".to_owned(), |error| error.to_string());
            checker.fail(
                "the configuration",
                if step.expect.refused == Some(true) { "a refusal" } else { "no refusal" },
                shown,
            );
        }
        for stream in &streams {
            let outcome = self.sim.outcome(*stream);
            if outcome.end.is_none() && !stays_open {
                checker.fail(
                    "the stream",
                    "an end",
                    "that it is still open: `expect.end = \"open\"` says so on purpose",
                );
            }
            checker.stream(&step.expect, outcome);
        }
        checker.proxy(&step.expect, self.sim, &before);
        Ok(())
    }

    fn begin(&mut self, step: &Step) -> Result<Vec<StreamId>> {
        let sim = &mut *self.sim;
        let mut streams = Vec::new();
        for _ in 0..step.times.unwrap_or(1) {
            if let Some(line) = &step.request {
                let request = request(line, step)?;
                streams.push(sim.request(request));
            }
            if let Some(data) = &step.connect {
                streams.push(sim.connect(connection(data, step)));
            }
        }
        self.streams.extend(&streams);
        if let Some(time) = step.advance {
            sim.run_for(time.0);
        }
        for (cluster, answers) in step.answers.iter().flatten() {
            for answer in answers.iter().rev() {
                sim.tell(cluster, rule(answer, self.start)?);
            }
        }
        if let Some(fault) = &step.fault {
            sim.fault(fault.clone());
        }
        if step.forget_faults == Some(true) {
            sim.forget_faults();
        }
        if let Some(thread) = step.crash {
            sim.crash(thread, "the scenario says so");
        }
        if let Some(seconds) = step.clock {
            sim.set_clock(seconds);
        }
        Ok(streams)
    }
}

/// What a step is called.
pub(crate) fn title(step: &Step) -> String {
    match (&step.request, &step.connect, &step.await_end) {
        (Some(line), _, _) => {
            format!("{line}{}", step.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default())
        }
        (_, Some(_), _) => "connection".to_owned(),
        (_, _, Some(id)) => format!("await {id}"),
        _ if step.advance.is_some() => "advance".to_owned(),
        _ if step.configure.is_some() => "configure".to_owned(),
        _ => "change".to_owned(),
    }
}

/// The request of a step.
pub(crate) fn request(line: &str, step: &Step) -> Result<Request> {
    let (method, path) =
        line.split_once(' ').with_context(|| format!("{line:?}: write method and path, such as `GET /`"))?;
    let mut request = Request::new(method, path);
    for (name, values) in &step.headers {
        request.headers.remove(name);
        match values {
            OneOrMany::One(value) => request.headers.add(name, value),
            OneOrMany::Many(values) => values.iter().for_each(|value| request.headers.add(name, value)),
        }
    }
    request.body = step.body.iter().map(|piece| piece.clone().into_bytes()).collect();
    request.trailers = step.trailers.as_ref().map(|trailers| trailers.iter().collect());
    request.pace = step.pace.0;
    request.leaves_after = step.leaves_after.map(|time| time.0);
    request.server_name.clone_from(&step.server_name);
    request.worker = step.worker.unwrap_or(1);
    request.properties = properties(step);
    if let Some(from) = &step.from {
        request.source.clone_from(from);
    }
    if let Some(to) = &step.to {
        request.destination.clone_from(to);
    }
    if let Some(origin) = &step.origin {
        request.origin = sim::Origin {
            status: origin.status.unwrap_or(200),
            headers: origin.headers.iter().collect(),
            body: origin
                .body
                .clone()
                .map_or_else(|| vec![b"ok".to_vec()], |body| body.into_iter().map(String::into_bytes).collect()),
            trailers: origin.trailers.as_ref().map(|trailers| trailers.iter().collect()),
            after: Some(origin.after.0),
        };
    }
    Ok(request)
}

/// The connection of a step.
pub(crate) fn connection(data: &[String], step: &Step) -> Connection {
    let mut connection = Connection::from(step.from.as_deref().unwrap_or("192.0.2.1:50000"));
    connection.data = data.iter().map(|piece| (step.pace.0, piece.clone().into_bytes())).collect();
    connection.worker = step.worker.unwrap_or(1);
    connection.leaves_after = step.leaves_after.map(|time| time.0);
    connection.server_name.clone_from(&step.server_name);
    connection.reads_at_once = step.reads_at_once.unwrap_or(false);
    connection.properties = properties(step);
    if let Some(to) = &step.to {
        connection.destination.clone_from(to);
    }
    connection
}

fn properties(step: &Step) -> BTreeMap<String, Vec<u8>> {
    step.properties.iter().map(|(path, value)| (path.clone(), value.clone().into_bytes())).collect()
}
