//! Worlds of the built module: 2,000 of them keep every promise, and each is the same every time. `WORLDS=100000` and
//! `FIRST=5000` live through others.
#![allow(clippy::disallowed_methods, reason = "a test takes its length from the environment")]

use host_test::{
    envoy,
    host::Module,
    trace::{Entry, Event, Level},
    worlds::{Lived, World},
};
use std::{sync::LazyLock, thread};

static MODULE: LazyLock<Module> = LazyLock::new(|| Module::read(&envoy::module().unwrap()).unwrap());

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What a world with mistakes is told by: the least that shows them, and how to see it again.
fn told(seed: u64, world: &World) -> String {
    let small = world.shrunk(&MODULE).unwrap();
    let lived = small.live(&MODULE, Level::Events).unwrap();
    let mistakes: Vec<_> = lived.mistakes.iter().take(3).map(ToString::to_string).collect();
    let steps: Vec<_> = small.places().iter().map(usize::to_string).collect();
    format!(
        "seed {seed}: {}\n  again: host-test worlds --wasm target/portcullis.wasm --seed {seed} --steps {} --trace\n",
        mistakes.join("; "),
        steps.join(",")
    )
}

#[test]
fn two_thousand_worlds_keep_every_promise() {
    let (first, worlds) = (number("FIRST", 0), number("WORLDS", 2_000));
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let live = |part: u64| {
        let mut failed = String::new();
        let mut streams = 0;
        for seed in (first..first + worlds).filter(|seed| seed % threads == part) {
            let world = World::of(seed);
            let lived = world.live(&MODULE, Level::Events).unwrap();
            streams += lived.outcomes.len();
            if !lived.mistakes.is_empty() && failed.len() < 5_000 {
                failed.push_str(&told(seed, &world));
            }
        }
        (failed, streams)
    };
    let parts = thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|part| scope.spawn(move || live(part))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect::<Vec<_>>()
    });
    let failed: String = parts.iter().map(|(failed, _)| failed.as_str()).collect();
    assert!(failed.is_empty(), "{failed}");
    let streams: usize = parts.iter().map(|(_, streams)| streams).sum();
    assert!(streams as u64 > 10 * worlds, "only {streams} streams in {worlds} worlds");
}

/// The module fails while it hands a report to the second of seven streams: the first is refused, by facts.
#[test]
fn whoever_is_refused_as_a_worker_fails_was_refused_by_facts() {
    let world = World::of(77_047_071).only(&[2, 3, 16].into());
    let Lived { trace, mistakes, .. } = world.live(&MODULE, Level::Events).unwrap();
    let failed = trace.iter().find(|entry| matches!(entry.event, Event::VmFailed { .. })).unwrap();
    let refused = |entry: &&Entry| entry.at == failed.at && matches!(entry.event, Event::Replied { .. });
    assert_eq!(trace.iter().filter(refused).count(), 1);
    assert!(mistakes.is_empty(), "{mistakes:?}");
}

#[test]
fn a_world_is_the_same_every_time_to_the_byte() {
    for seed in 0..16 {
        let world = World::of(seed);
        let live = || world.live(&MODULE, Level::Calls).unwrap();
        let (Lived { trace, outcomes, .. }, again) = (live(), live());
        assert!(trace == again.trace && outcomes == again.outcomes, "seed {seed}");
        assert!(!trace.is_empty());
    }
}
