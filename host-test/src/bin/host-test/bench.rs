//! `host-test bench`: what a request costs.

use super::Filter;
use anyhow::{Result, ensure};
use clap::Args;
use host_test::{
    host::Module,
    scenario,
    sim::{Cost, Request, Sim},
    trace::Level,
};
use std::time::{Duration, Instant};

/// Sends the same request again and again, and measures one in a proxy that is warm.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    filter: Filter,
    /// Method and path
    #[arg(long, default_value = "GET /")]
    request: String,
    /// The peer, as the proxy finds it
    #[arg(long, default_value = "192.0.2.1:50000")]
    source: String,
    /// How many requests are measured
    #[arg(long, default_value_t = 20_000)]
    requests: u32,
    /// How many requests come before those that are measured
    #[arg(long, default_value_t = 100)]
    warm_up: u32,
    /// Fail when a request burns more
    #[arg(long)]
    max_fuel: Option<u64>,
    /// Fail when a request makes more host calls
    #[arg(long)]
    max_host_calls: Option<u64>,
}

/// How long in virtual time a request may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Bench {
    pub(super) fn run(&self) -> Result<bool> {
        let module = Module::read(&self.filter.wasm)?;
        let config = scenario::config(&self.filter.scenario()?, &module)?.trace(Level::Off);
        let start = Instant::now();
        let mut sim = Sim::start(config)?;
        println!(
            "start: {:.1} ms (compiled once in {:.2} s)",
            millis(start),
            module.inspection().compiled_in.as_secs_f64()
        );
        let (method, path) = self.request.split_once(' ').unwrap_or(("GET", &self.request));
        let request = Request::new(method, path).source(&self.source);
        for _ in 0..self.warm_up {
            one(&mut sim, &request)?;
        }
        let before = sim.cost();
        one(&mut sim, &request)?;
        let cost = sim.cost().since(&before);
        let before = sim.cost();
        let start = Instant::now();
        for _ in 0..self.requests {
            one(&mut sim, &request)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let grown = sim.cost().since(&before).memory;
        print(&cost);
        println!("memory: {grown} bytes more after {} requests", self.requests);
        println!("speed: {:.0} requests a second on one core", f64::from(self.requests) / seconds);
        let within = |what: &str, value: u64, most: Option<u64>| {
            let within = most.is_none_or(|most| value <= most);
            if !within {
                println!("too much {what}: {value}, and {} is allowed", most.unwrap_or(0));
            }
            within
        };
        let fuel = within("fuel", cost.fuel, self.max_fuel);
        let calls = within("host calls", cost.host_calls(), self.max_host_calls);
        Ok(fuel && calls)
    }
}

fn one(sim: &mut Sim, request: &Request) -> Result<()> {
    let stream = sim.request(request.clone());
    let over = sim.run_until_over(stream, PATIENCE);
    ensure!(over && sim.take_outcome(stream).is_some(), "a request did not end within {PATIENCE:?} of virtual time");
    Ok(())
}

fn print(cost: &Cost) {
    println!("fuel: {}", cost.fuel);
    println!("host calls: {}", cost.host_calls());
    for (name, count) in &cost.calls {
        println!("  {count} {name}");
    }
    println!("bytes: {} out of the module, {} into it", cost.bytes_out, cost.bytes_in);
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
