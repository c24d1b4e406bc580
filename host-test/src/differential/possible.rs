//! Which scenarios a real Envoy can be made to live through.

use crate::{
    scenario::{Answer, Scenario, Step, connection, request, title},
    sim::{Failure, PluginKind},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// The longest time that a scenario may let pass for it to pass in reality as well.
const LONGEST: Duration = Duration::from_secs(5);

/// Headers of which Envoy makes something itself.
const OWN_HEADERS: [&str; 5] = ["x-request-id", "x-forwarded-for", "connection", "content-length", "transfer-encoding"];

/// Why a scenario can only be simulated; `None` if it need not be.
pub(super) fn why_not(scenario: &Scenario) -> Option<String> {
    let plugin = &scenario.plugin;
    if plugin.kind == PluginKind::Service {
        return Some("a service has no streams".into());
    }
    if plugin.allowed.is_some() || plugin.log_level.is_some() {
        return Some("what the module may call, or log, is restricted".into());
    }
    if scenario.expect.start_fails.is_some() {
        return Some("the proxy does not start".into());
    }
    if let Some(why) = of_answers(&scenario.cluster) {
        return Some(why);
    }
    scenario.step.iter().enumerate().find_map(|(index, step)| {
        let why = of_step(scenario, step)?;
        Some(format!("step {} ({}): {why}", index + 1, title(step)))
    })
}

fn of_step(scenario: &Scenario, step: &Step) -> Option<String> {
    let long = |time: Option<Duration>| time.filter(|time| *time > LONGEST);
    let times = [
        step.advance.map(|time| time.0),
        step.leaves_after.map(|time| time.0),
        Some(step.pace.0),
        step.origin.as_ref().map(|origin| origin.after.0),
    ];
    if let Some(time) = times.into_iter().find_map(long) {
        return Some(format!("{time:?} would have to go by, more than {LONGEST:?}"));
    }
    if let Some(why) = step.answers.as_ref().and_then(of_answers) {
        return Some(why);
    }
    let why = match () {
        () if step.fault.is_some() || step.forget_faults.is_some() => "no host call of Envoy fails to order",
        () if step.crash.is_some() => "no VM of Envoy fails to order",
        () if step.clock.is_some() => "Envoy's clock is the machine's",
        () if step.worker.is_some_and(|_| scenario.workers > 1) => "the kernel chooses the worker",
        () if !step.properties.is_empty() => "Envoy has no properties but its own",
        () if step.server_name.is_some() => "there is no TLS here to name a server in",
        () if step.reads_at_once == Some(true) => {
            "what follows the filter is the TCP proxy, which does not read at once"
        }
        () if step.headers.keys().any(|name| OWN_HEADERS.contains(&name.as_str())) => {
            "Envoy makes something of its own of a header"
        }
        () if step.request.as_ref().is_some_and(|line| line.starts_with("HEAD ") || line.starts_with("CONNECT ")) => {
            "its answer has no end to be seen by"
        }
        () => return of_addresses(step),
    };
    Some(why.into())
}

/// Peer and destination come by the PROXY protocol.
fn of_addresses(step: &Step) -> Option<String> {
    let (from, to) = match (&step.request, &step.connect) {
        (Some(line), _) => request(line, step).ok().map(|request| (request.source, request.destination))?,
        (_, Some(data)) => {
            let connection = connection(data, step);
            (connection.source, connection.destination)
        }
        _ => return None,
    };
    let parsed: (Result<SocketAddr, _>, Result<SocketAddr, _>) = (from.parse(), to.parse());
    match parsed {
        (Ok(from), Ok(to)) if from.is_ipv4() == to.is_ipv4() => None,
        (Ok(_), Ok(_)) => Some("peer and destination are of different families: `to` gives the other one".into()),
        _ => Some(format!("{from} and {to} are not both an address and a port")),
    }
}

fn of_answers(clusters: &BTreeMap<String, Vec<Answer>>) -> Option<String> {
    clusters.iter().find_map(|(name, answers)| {
        let why = answers.iter().find_map(of_answer)?;
        Some(format!("cluster {name}: {why}"))
    })
}

fn of_answer(answer: &Answer) -> Option<&'static str> {
    match answer.fails {
        Some(Failure::RefuseBadArgument | Failure::RefuseInternalFailure) => Some("Envoy refuses no callout to order"),
        _ if answer.after.0 + answer.jitter.0 > LONGEST => Some("an answer takes longer than reality has time for"),
        _ => None,
    }
}
