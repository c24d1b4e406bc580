//! A random scenario from a seed, for a filter of which nothing is known but its configuration and clusters.

use super::{Answer, Scenario, Span, Step};
use crate::{
    host::{Effect, Fault, Random},
    sim::Failure,
};
use std::{collections::BTreeMap, time::Duration};

/// The scenario of this seed: the proxy of `base` with traffic from many peers, clusters in changing moods, clients that
/// leave, time that goes by; and with `faults`, host calls that fail.
pub fn random(base: &Scenario, seed: u64, faults: bool) -> Scenario {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut steps = Vec::new();
    let mut ids = Vec::new();
    for index in 0..10 + random.below(40) {
        let step = match random.below(20) {
            0 | 1 => Step { advance: Some(span(&mut random, 5_000)), ..Step::default() },
            2 | 3 if !base.cluster.is_empty() => Step { answers: Some(moods(base, &mut random)), ..Step::default() },
            4 if faults => Step { fault: Some(fault(&mut random)), ..Step::default() },
            _ => {
                let id = format!("stream {index}");
                ids.push(id.clone());
                traffic(base, &mut random, id)
            }
        };
        steps.push(step);
    }
    // Whatever happened, every stream ends once the world is well again.
    steps.push(Step { forget_faults: Some(true), ..Step::default() });
    steps.push(Step { advance: Some(Span(Duration::from_secs(60))), ..Step::default() });
    steps.extend(ids.into_iter().map(|id| Step { await_end: Some(id), ..Step::default() }));
    Scenario { name: format!("seed {seed}"), seed, step: steps, ..base.clone() }
}

fn traffic(base: &Scenario, random: &mut Random, id: String) -> Step {
    let peer = format!("192.0.2.{}:{}", random.below(40), 1024 + random.below(60_000));
    let worker = usize::try_from(random.below(base.workers.max(1) as u64)).unwrap_or(0) + 1;
    let tcp = base.plugin.kind == crate::sim::PluginKind::Network;
    let methods = ["GET", "GET", "GET", "POST", "HEAD", "OPTIONS"];
    let body = (0..random.below(3)).map(|_| "x".repeat(random.below(3_000) as usize)).collect();
    let leaves = random.once_in(8).then(|| span(random, 300));
    Step {
        request: (!tcp).then(|| format!("{} /{}", random.pick(&methods), random.below(10))),
        connect: tcp.then(|| vec!["hello".to_owned(); random.below(3) as usize]),
        from: Some(peer),
        worker: Some(worker),
        body,
        pace: span(random, 20),
        leaves_after: leaves.or_else(|| tcp.then(|| Span(Duration::from_secs(30)))),
        times: random.once_in(5).then(|| 1 + random.below(20) as usize),
        id: Some(id),
        ..Step::default()
    }
}

fn moods(base: &Scenario, random: &mut Random) -> BTreeMap<String, Vec<Answer>> {
    let names: Vec<&String> = base.cluster.keys().collect();
    let name = (*random.pick(&names)).clone();
    let well = base.cluster[&name].first().cloned().unwrap_or_default();
    let failures =
        [Failure::Reset, Failure::Cut, Failure::Never, Failure::RefuseBadArgument, Failure::RefuseInternalFailure];
    let mut answer = match random.below(5) {
        0 => Answer { fails: Some(*random.pick(&failures)), ..Answer::default() },
        1 => Answer { status: Some(*random.pick(&[200, 401, 429, 500, 503])), body: "{".into(), ..Answer::default() },
        2 => Answer { body_size: Some(random.below(200_000) as usize), ..Answer::default() },
        _ => well,
    };
    answer.after = span(random, 2_000);
    answer.jitter = span(random, 100);
    answer.times = random.once_in(2).then(|| 1 + random.below(5));
    BTreeMap::from([(name, vec![answer])])
}

fn fault(random: &mut Random) -> Fault {
    let calls = crate::host::table::TABLE;
    let proxy: Vec<_> = calls.iter().filter(|function| function.name.starts_with("proxy_")).collect();
    Fault {
        call: random.pick(&proxy).name.to_owned(),
        nth: 1 + random.below(20),
        times: 1 + random.below(3),
        worker: None,
        effect: Effect::Status(*random.pick(&[1, 2, 6, 7, 8, 10, 12])),
    }
}

fn span(random: &mut Random, milliseconds: u64) -> Span {
    Span(Duration::from_millis(random.below(milliseconds)))
}
