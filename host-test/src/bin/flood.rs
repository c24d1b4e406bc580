//! A flood of new peers against a real Envoy with the module: what it costs memory, credits, and a peer that is known.
//! `cargo xtask flood` builds what this needs and runs it.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "this program runs outside the proxy")]

use anyhow::{Context, Result, ensure};
use clap::{Parser, value_parser};
use host_test::{
    envoy::config::Peers,
    fake::{Rule, peer},
    flood::{self, Flood, Times},
    lab::{Lab, MAIN},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};
use tokio::time;

/// Floods a real Envoy with requests of new peers, while a known one asks at a steady pace. Fails when memory does not
/// stop growing, when more is looked up than the budget and the one lane allow, or when the known peer is not answered
/// from the cache or waits longer than when it is alone. The environment's ENVOY and PORTCULLIS_WASM choose Envoy and the
/// module.
#[derive(Parser)]
struct Arguments {
    /// How many new peers there are.
    #[arg(long, value_parser = value_parser!(u32).range(1000..=100_000_000))]
    peers: u32,
}

/// Connections of the flood.
const LINES: u32 = 64;
/// Streams that a worker may hold: few enough that most connections go on.
const MAX_HELD: u32 = 8;
/// How long Criminal IP takes: a small part of what it does, so that much is learned in the time.
const API_DELAY: Duration = Duration::from_millis(20);
/// How often the known peer asks.
const PACE: Duration = Duration::from_millis(5);
const QUIET: Duration = Duration::from_secs(10);
/// New peers a second: what a small machine can carry beside the client and the stand-in.
const PER_SECOND: u32 = 2_000;
/// What the known peer's 99th percentile in the flood may be, in times what it is alone.
const WAIT_LIMIT: f64 = 1.5;
/// What the memory may grow by in the last third of the flood, in percent.
const GROWTH_LIMIT: f64 = 2.0;

/// The memory of Envoy at a moment of the flood.
#[derive(Clone, Copy)]
struct Sample {
    seconds: f64,
    sent: u32,
    bytes: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { peers } = Arguments::parse();
    // Little enough to be spent on the way: the flood meets a queue that overflows first, then a budget that is spent.
    let budget = peers / 100;
    let day = today()?;
    let lab = Lab::with(json!({
        "api": {"budget": {"per_day": budget, "per_hour": budget}},
        "first_look": {"hold": "100ms", "max_held": MAX_HELD},
    }))
    .peers(Peers::Forwarded { use_remote_address: true, trusted_hops: 1 })
    .answering()
    .workers(2)
    .start()
    .await?;
    let to = lab.address(MAIN);
    lab.fake.tell(Rule::delay(API_DELAY));
    flood::make_known(to, peer::TOR).await?;

    println!("quiet: the known peer alone, for {QUIET:?}");
    let (quiet, ()) = beside_the_known_peer(to, async {
        time::sleep(QUIET).await;
        Ok(())
    })
    .await?;
    println!("flood: {peers} requests, each of another new peer, {PER_SECOND} per second");
    let flooding = Flood::new(to, 0..peers).per_second(PER_SECOND);
    let (flooded, (sources, samples)) = beside_the_known_peer(to, watched(&lab, &flooding)).await?;
    println!("  facts by source: {sources:?}");
    println!("busy: {} requests of the known peer, as fast as they are answered", peers / 10);
    let busy = as_fast_as_may_be(to, Flood::new(to, 0..peers / 10).only(peer::TOR)).await?;
    println!("rush: as many, each of another new peer");
    let rushed = as_fast_as_may_be(to, Flood::new(to, peers..peers + peers / 10)).await?;

    let waits = |times: &Times| times.percentile(99).as_secs_f64() / quiet.percentile(99).as_secs_f64();
    let latency = |name: &str, times: &Times| {
        let (p50, p99) = (times.percentile(50), times.percentile(99));
        let (ratio, count) = (waits(times), times.count());
        println!("  {name:<6} p50 {p50:>10.1?}  p99 {p99:>10.1?}  p99/quiet {ratio:>6.2}  ({count} answers)");
    };
    println!("the known peer, always answered from the cache:");
    latency("quiet", &quiet);
    latency("flood", &flooded);
    latency("busy", &busy);
    latency("rush", &rushed);

    let calls = lab.fake.calls();
    // One was for the known peer; a day that ended meanwhile had a budget of its own.
    let allowed = u64::from(budget) * (today()? - day + 1);
    let dropped = lab.metric("criminalip_dropped_total").await?;
    println!("lookups: {} of {allowed} allowed; {dropped} addresses left the queue without one", calls.len());
    let growth = growth(&samples).context("the flood was too short to see the memory")?;
    println!("memory: grew by {growth:.2} % in the last third");
    ensure!(calls.len() as u64 <= allowed, "more lookups than the budget allows");
    ensure!(calls.iter().all(|call| !call.overlapped), "more lookups at a time than there are lanes");
    ensure!(growth < GROWTH_LIMIT, "the memory still grows at the end");
    ensure!(
        waits(&flooded) <= WAIT_LIMIT,
        "the known peer waits more than {WAIT_LIMIT} times as long as when it is alone"
    );
    Ok(())
}

/// Sends a flood without a pace, and says how fast it was.
async fn as_fast_as_may_be(to: SocketAddr, flood: Flood) -> Result<Times> {
    let (known, ()) = beside_the_known_peer(to, async {
        let start = Instant::now();
        flood.send(LINES).await?;
        println!("  {:.0} requests per second", f64::from(flood.count()) / start.elapsed().as_secs_f64());
        Ok(())
    })
    .await?;
    Ok(known)
}

/// Runs something while the known peer asks.
async fn beside_the_known_peer<T>(to: SocketAddr, run: impl Future<Output = Result<T>>) -> Result<(Times, T)> {
    flood::beside(to, peer::TOR, PACE, run).await
}

/// Sends the flood, and looks at the memory twice a second.
async fn watched(lab: &Lab, flood: &Flood) -> Result<(BTreeMap<String, u32>, Vec<Sample>)> {
    let start = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    let mut shown = 0;
    let mut look = |samples: &mut Vec<Sample>| -> Result<()> {
        let sample =
            Sample { seconds: start.elapsed().as_secs_f64(), sent: flood.sent(), bytes: lab.envoy.resident_bytes()? };
        samples.push(sample);
        let tenth = u64::from(sample.sent) * 10 / u64::from(flood.count());
        if tenth >= shown {
            let calls = lab.fake.calls().len();
            let megabytes = sample.bytes as f64 / 1e6;
            println!("  {:>6.1} s  {:>8} sent  {megabytes:>6.1} MB  {calls:>6} lookups", sample.seconds, sample.sent);
            shown = tenth + 1;
        }
        Ok(())
    };
    let mut clock = time::interval(Duration::from_millis(500));
    let mut sending = std::pin::pin!(flood.send(LINES));
    loop {
        tokio::select! {
            sources = &mut sending => {
                look(&mut samples)?;
                return Ok((sources?, samples));
            }
            _ = clock.tick() => look(&mut samples)?,
        }
    }
}

/// What the memory grew by in the last third of the flood, in percent.
fn growth(samples: &[Sample]) -> Option<f64> {
    let last = samples.last()?;
    let first = samples.iter().find(|sample| u64::from(sample.sent) * 3 >= u64::from(last.sent) * 2)?;
    Some((last.bytes as f64 / first.bytes as f64 - 1.0) * 100.0)
}

/// The number of the day in UTC, since the start of 1970.
fn today() -> Result<u64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / 86_400)
}
