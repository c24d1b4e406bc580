//! The guest in the simulated proxy.

use super::{
    callouts, early,
    matrix::{Answers, collect},
    oldest,
    plan::{Kind, Plan},
    shown,
};
use crate::{
    host::{HeaderMap, Module},
    sim::{Answer, Config, Connection, End, Origin, Outcome, PluginKind, Request, Rule, Sim, StreamId},
    trace::{Event, Level},
};
use anyhow::Result;
use std::time::Duration;

/// All answers of the simulation.
///
/// # Errors
/// When the guest does not start.
pub fn answers(guest: &Module) -> Result<Answers> {
    let mut answers = early::in_sim();
    for plan in Plan::all() {
        answers.extend(match plan.kind {
            Kind::Requests => requests(guest, &plan)?,
            Kind::Connections => connections(guest, &plan)?,
            Kind::Oldest => requests(&Module::load(oldest::module(&plan).as_bytes())?, &plan)?,
        });
    }
    Ok(answers)
}

fn start(guest: &Module, plan: &Plan, kind: PluginKind) -> Result<Sim> {
    let mut config = Config::of(guest.clone(), super::CONFIGURATION).trace(Level::Events).plugin(|plugin| {
        plugin.name = super::NAME.to_owned();
        plugin.kind = kind;
    });
    config = config.vm(|vm| vm.configuration = plan.program().into_bytes());
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<HeaderMap>();
    let answer = Answer::Response {
        status: 200,
        headers: pairs(&super::UPSTREAM_HEADERS),
        body: super::UPSTREAM_BODY.into(),
        trailers: pairs(&super::UPSTREAM_TRAILERS),
    };
    config.clusters.insert("api".to_owned(), vec![Rule::always(answer)]);
    config.clusters.insert("silent".to_owned(), vec![Rule::always(Answer::Never)]);
    config.clusters.insert("grpc".to_owned(), vec![Rule::always(callouts::in_sim::pong())]);
    Ok(Sim::start(config)?)
}

fn requests(guest: &Module, plan: &Plan) -> Result<Answers> {
    let mut sim = start(guest, plan, PluginKind::Http)?;
    // Time for ticks, queues and the root's callout.
    sim.run_for(Duration::from_millis(200));
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().copied().collect::<HeaderMap>();
    let streams = (0..plan.streams.len()).map(|_| {
        let mut request = Request::new("POST", "/").body(super::CLIENT_BODY).trailers(pairs(&super::CLIENT_TRAILERS));
        for (name, value) in super::CLIENT_HEADERS {
            request = request.header(name, value);
        }
        let stream = sim.request(request.origin(Origin {
            headers: pairs(&super::UPSTREAM_HEADERS),
            body: vec![super::UPSTREAM_BODY.into()],
            trailers: Some(pairs(&super::UPSTREAM_TRAILERS)),
            ..Origin::default()
        }));
        sim.run_until_over(stream, Duration::from_secs(1));
        stream
    });
    let streams: Vec<StreamId> = streams.collect();
    let outcomes: Vec<_> = streams.iter().map(|stream| request_outcome(sim.outcome(*stream))).collect();
    let mut log = logged(&sim);
    let before = log.len();
    sim.update(0, "another configuration")?;
    sim.run_for(Duration::from_secs(1));
    log.extend(logged(&sim).into_iter().skip(before).filter(|line| super::is_of_last_callbacks(line)));
    Ok(collect(plan, &super::readable(plan, log), &outcomes))
}

fn connections(guest: &Module, plan: &Plan) -> Result<Answers> {
    let mut sim = start(guest, plan, PluginKind::Network)?;
    let mut outcomes = Vec::new();
    for _ in &plan.streams {
        let mut connection = Connection::from("192.0.2.1:50000").data(super::CLIENT_BODY);
        // The end comes by itself.
        connection.answers =
            vec![(Duration::from_millis(1), super::UPSTREAM_BODY.into()), (Duration::from_millis(1), Vec::new())];
        connection.upstream_closes = true;
        let stream = sim.connect(connection);
        sim.run_until_over(stream, Duration::from_secs(1));
        outcomes.push(connection_outcome(sim.outcome(stream)));
    }
    Ok(collect(plan, &logged(&sim), &outcomes))
}

fn logged(sim: &Sim) -> Vec<String> {
    let trace = sim.trace();
    let lines = trace.entries().iter().filter_map(|entry| match &entry.event {
        Event::Log { message, .. } => Some(message.clone()),
        _ => None,
    });
    lines.collect()
}

fn text(map: Option<&HeaderMap>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    map.into_iter().flat_map(HeaderMap::iter).map(|(name, value)| (text(name), text(value))).collect()
}

fn request_outcome(outcome: &Outcome) -> String {
    let headers = text(Some(&outcome.response_headers));
    let trailers = text(outcome.response_trailers.as_ref());
    let status = outcome.status.map(|status| status.to_string());
    let client = shown(
        status.as_deref(),
        &headers,
        &outcome.response_body,
        &trailers,
        match outcome.end {
            Some(End::Answered) => "",
            Some(_) => "reset",
            None => "hangs",
        },
    );
    let upstream = match &outcome.forwarded {
        Some(headers) => {
            let trailers = text(outcome.forwarded_trailers.as_ref());
            shown(Some("request"), &text(Some(headers)), &outcome.forwarded_body, &trailers, "")
        }
        None => "nothing".to_owned(),
    };
    format!("client: {client}; upstream: {upstream}")
}

fn connection_outcome(outcome: &Outcome) -> String {
    let escaped = |bytes: &[u8]| bytes.escape_ascii().to_string();
    format!(
        "client: \"{}\"; upstream: {}",
        escaped(&outcome.response_body),
        if outcome.forwarded_body.is_empty() {
            "nothing".to_owned()
        } else {
            format!("\"{}\"", escaped(&outcome.forwarded_body))
        }
    )
}
