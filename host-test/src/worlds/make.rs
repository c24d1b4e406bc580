//! From a seed to a world.

use super::{Judged, PEERS, Promises, Trouble, UPSTREAM, World, peer};
use crate::{
    host::{Effect, Fault, Random, table::TABLE},
    scenario::{Answer, Expect, OneOrMany, Plugin, Scenario, Span, Step},
    sim::{Failure, FailurePolicy, PluginKind},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// What a client sends to pass for harmless.
pub(super) const FORGED: &str = "verdict=allow, source=forged";

const CLUSTER: &str = "criminalip";

/// After so long every client that still waits leaves: what hangs in a VM that failed ends so, as in a proxy.
const PATIENCE: Duration = Duration::from_secs(100);

/// Facts that last longer do not end in a world: each second of one costs a tick of every worker.
const LONG: Duration = Duration::from_secs(100);

/// The configuration of a world's filter, and what changes when it is updated.
struct Filter {
    tcp: bool,
    judged: Judged,
    enforces: bool,
    lanes: usize,
    budget: Option<usize>,
    held: usize,
    lifetime: Duration,
    stale: Duration,
    entries: u32,
    timeout: Duration,
    hold: Duration,
    denies_unknown: bool,
    denies_on_error: bool,
}

pub(super) fn world(seed: u64) -> World {
    let mut random = Random::new(seed ^ 0x77_6f72_6c64);
    let trouble = match seed % 8 {
        0..=3 => Trouble::default(),
        4 => Trouble { crashes: true, ..Trouble::default() },
        5 => Trouble { clock: true, ..Trouble::default() },
        6 => Trouble { faults: true, ..Trouble::default() },
        _ => Trouble { crashes: true, clock: true, faults: true },
    };
    let mut filter = Filter::random(&mut random);
    filter.judged = match seed / 8 % 4 {
        0 | 1 => Judged::Source,
        2 if !filter.tcp => Judged::Behind,
        _ => Judged::Destination,
    };
    let workers = 1 + random.below(4) as usize;
    let plugin = Plugin {
        configuration: filter.document().to_string(),
        kind: if filter.tcp { PluginKind::Network } else { PluginKind::Http },
        policy: if trouble.none() { FailurePolicy::FailClosed } else { FailurePolicy::FailReload },
        ..Plugin::default()
    };
    let well = Answer { after: span(&mut random, 200), ..well() };
    let mut promises = Promises {
        trouble,
        tcp: filter.tcp,
        judged: filter.judged,
        enforces: filter.enforces,
        denies_unknown: false,
        hold: Duration::ZERO,
        held: filter.held,
        lanes: filter.lanes,
        budget: filter.budget,
        lifetime: filter.lifetime,
        stale: filter.stale,
        // The table's buckets, and what there is one of.
        keys: 16_384 / 4 + 8,
        workers,
    };
    let mut steps = Vec::new();
    for place in 0..8 + random.below(50) as usize {
        promises.note(&filter);
        let step = step(&mut random, &mut filter, trouble, workers, place);
        steps.push((place, step));
    }
    promises.note(&filter);
    let get_well = [
        Step { forget_faults: Some(true), answers: Some(moods(vec![well.clone()])), ..Step::default() },
        Step { advance: Some(Span(Duration::from_secs(70))), ..Step::default() },
    ];
    let base = Scenario {
        name: format!("world {seed}"),
        seed,
        workers,
        plugin,
        cluster: moods(vec![well]),
        step: get_well.into(),
        ..Scenario::default()
    };
    World { base, steps, promises }
}

impl Promises {
    fn note(&mut self, filter: &Filter) {
        self.hold = self.hold.max(filter.hold);
        self.denies_unknown |= filter.denies_unknown || filter.denies_on_error;
    }
}

fn step(random: &mut Random, filter: &mut Filter, trouble: Trouble, workers: usize, place: usize) -> Step {
    match random.below(32) {
        0..=4 => Step { advance: Some(time(random, filter)), ..Step::default() },
        5..=8 => Step { answers: Some(moods(mood(random))), ..Step::default() },
        9 => update(random, filter),
        10 | 11 if trouble.crashes => {
            Step { crash: Some(1 + random.below(workers as u64) as usize), ..Step::default() }
        }
        12 | 13 if trouble.clock => Step { clock: Some(jump(random)), ..Step::default() },
        14..=16 if trouble.faults => Step { fault: Some(fault(random, trouble, filter.tcp)), ..Step::default() },
        17 if trouble.faults => Step { forget_faults: Some(true), ..Step::default() },
        _ => traffic(random, filter, workers, place),
    }
}

fn traffic(random: &mut Random, filter: &Filter, workers: usize, place: usize) -> Step {
    let (address, _) = random.pick(PEERS);
    let port = 1024 + random.below(60_000);
    let peer = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let forged = (!filter.tcp && random.once_in(4))
        .then(|| ("x-criminalip".to_owned(), OneOrMany::Many(vec![FORGED.to_owned(); 1 + random.below(2) as usize])));
    let soon = random.once_in(6);
    let open = if filter.tcp { 30_000 } else { 3_000 };
    let leaves = if soon { span(random, open) } else { Span(PATIENCE) };
    let body = if filter.tcp { 0 } else { random.below(3) };
    Step {
        request: (!filter.tcp)
            .then(|| format!("{} /{}", random.pick(&["GET", "GET", "POST", "HEAD"]), random.below(9))),
        connect: filter.tcp.then(|| vec!["hello".to_owned(); random.below(3) as usize]),
        reads_at_once: (filter.tcp && random.once_in(2)).then_some(true),
        from: (filter.judged == Judged::Source).then(|| peer.clone()),
        to: (filter.judged == Judged::Destination).then(|| peer.clone()),
        properties: (filter.judged == Judged::Behind).then(|| (UPSTREAM.to_owned(), peer)).into_iter().collect(),
        worker: Some(1 + random.below(workers as u64) as usize),
        headers: forged.into_iter().collect(),
        body: (0..body).map(|_| "x".repeat(random.below(2_000) as usize)).collect(),
        pace: span(random, 20),
        leaves_after: Some(leaves),
        times: random.once_in(5).then(|| 1 + random.below(12) as usize),
        id: Some(format!("stream {place}")),
        ..Step::default()
    }
}

/// Mostly moments, at times as long as facts last.
fn time(random: &mut Random, filter: &Filter) -> Span {
    match random.below(8) {
        0 if filter.lifetime < LONG => {
            Span(filter.lifetime + Duration::from_secs(random.below(filter.stale.min(LONG / 5).as_secs() + 5)))
        }
        1 => span(random, 20_000),
        2..=4 => span(random, 100),
        _ => span(random, 5_000),
    }
}

fn mood(random: &mut Random) -> Vec<Answer> {
    const NAMES: [&str; 13] = [
        "no_credit",
        "concurrency_refused",
        "bad_key",
        "invalid_address",
        "server_error",
        "rate_limited:3",
        "bad_gateway",
        "empty",
        "garbage",
        "truncated",
        "cut",
        "close",
        "silence",
    ];
    const FAILURES: [Failure; 2] = [Failure::RefuseBadArgument, Failure::RefuseInternalFailure];
    let answer = match random.below(8) {
        0..=2 => well(),
        3 => Answer { fails: Some(*random.pick(&FAILURES)), ..Answer::default() },
        _ => Answer { criminalip: Some((*random.pick(&NAMES)).to_owned()), ..Answer::default() },
    };
    let slow = if random.once_in(4) { 8_000 } else { 400 };
    let answer = Answer { after: span(random, slow), jitter: span(random, 100), ..answer };
    vec![Answer { times: random.once_in(2).then(|| 1 + random.below(4)), ..answer }]
}

fn well() -> Answer {
    Answer { criminalip: Some("report".into()), ..Answer::default() }
}

fn moods(answers: Vec<Answer>) -> BTreeMap<String, Vec<Answer>> {
    BTreeMap::from([(CLUSTER.to_owned(), answers)])
}

fn update(random: &mut Random, filter: &mut Filter) -> Step {
    if random.once_in(4) {
        let configure = Some(r#"{"api": {"cluster": "criminalip"}, "mood": "bad"}"#.to_owned());
        return Step { configure, expect: Expect { refused: Some(true), ..Expect::default() }, ..Step::default() };
    }
    filter.change(random);
    Step { configure: Some(filter.document().to_string()), ..Step::default() }
}

/// Seconds forward or back.
fn jump(random: &mut Random) -> i64 {
    let far = *random.pick(&[2, 30, 3_600, 200_000]);
    let seconds = 1 + random.below(far) as i64;
    if random.once_in(2) { seconds } else { -seconds }
}

fn fault(random: &mut Random, trouble: Trouble, tcp: bool) -> Fault {
    // A reset is the last way to end a request: a host that refuses it leaves none.
    let may_fail = |name: &str| name.starts_with("proxy_") && (tcp || name != "proxy_close_stream");
    let calls: Vec<_> = TABLE.iter().filter(|function| may_fail(function.name)).collect();
    let (call, effect) = match random.below(12) {
        0 => ("allocate", Effect::Null),
        1 if trouble.crashes => (random.pick(&calls).name, Effect::Trap),
        _ => (random.pick(&calls).name, Effect::Status(*random.pick(&[1, 2, 6, 7, 8, 10, 12]))),
    };
    // By this, a host says that the stream is gone.
    let effect = match (call, effect) {
        ("proxy_set_effective_context", Effect::Status(2)) => Effect::Status(10),
        (_, effect) => effect,
    };
    Fault { call: call.to_owned(), nth: 1 + random.below(20), times: 1 + random.below(3), worker: None, effect }
}

fn span(random: &mut Random, milliseconds: u64) -> Span {
    Span(Duration::from_millis(random.below(milliseconds)))
}

impl Filter {
    fn random(random: &mut Random) -> Filter {
        let seconds = |random: &mut Random, among: &[u64]| Duration::from_secs(*random.pick(among));
        let mut filter = Filter {
            tcp: random.once_in(4),
            judged: Judged::Source,
            enforces: !random.once_in(8),
            lanes: *random.pick(&[1, 1, 2, 5]),
            budget: random.once_in(3).then(|| 1 + random.below(12) as usize),
            held: if random.once_in(4) { 2 } else { 256 },
            lifetime: seconds(random, &[5, 20, 43_200]),
            stale: seconds(random, &[0, 10, 86_400]),
            entries: if random.once_in(4) { 3 } else { 1000 },
            timeout: seconds(random, &[1, 5, 20]),
            hold: Duration::ZERO,
            denies_unknown: false,
            denies_on_error: false,
        };
        filter.change(random);
        filter
    }

    /// What an update changes.
    fn change(&mut self, random: &mut Random) {
        self.hold = Duration::from_millis(*random.pick(&[0, 200, 1_000, 5_000, 20_000]));
        self.denies_unknown = random.once_in(3);
        self.denies_on_error = random.once_in(3);
    }

    fn document(&self) -> Value {
        let seconds = |time: Duration| format!("{}s", time.as_secs());
        let fallback = |denies: bool| if denies { "deny" } else { "allow" };
        let lifetime = seconds(self.lifetime);
        let mut document = json!({
            "mode": if self.enforces { "enforce" } else { "shadow" },
            "role": if self.tcp { "network" } else { "http" },
            "log": "all",
            "api": {"cluster": CLUSTER, "key": "stand-in-key", "timeout": seconds(self.timeout), "concurrency": self.lanes},
            "first_look": {
                "hold": format!("{}ms", self.hold.as_millis()),
                "then": fallback(self.denies_unknown),
                "max_held": self.held,
            },
            "on_error": fallback(self.denies_on_error),
            "cache": {
                "entries": self.entries,
                "ttl": {"clean": lifetime, "suspicious": lifetime, "malicious": lifetime, "error": "5s"},
                "stale": seconds(self.stale),
            },
            "policy": {"block": {"ttl": lifetime, "factor": 1, "max": lifetime}},
            "scope": {"treat_as_public": ["192.0.2.0/24", "198.51.100.0/24"]},
            "lists": {"allow": [{"cidr": peer::ALLOWED}], "deny": [{"cidr": peer::LISTED}]},
        });
        if self.judged != Judged::Source {
            document["direction"] = json!("egress");
            document["policy"]["profile"] = json!("ingress");
            document["select"] = json!({"domains": false});
        }
        if self.judged == Judged::Behind {
            document["destination"] = json!("name");
        }
        if let Some(budget) = self.budget {
            document["api"]["budget"] = json!({"per_day": budget, "per_hour": budget});
        }
        document
    }
}
