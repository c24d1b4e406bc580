//! What a request costs Envoy, with and without us. `cargo xtask bench` builds what this needs and runs it.

use anyhow::Result;
use clap::{Parser, builder::PossibleValuesParser, value_parser};
use host_test::bench::{self, Options};
use std::path::PathBuf;

/// Measures what a request costs a real Envoy: without a filter, with the module, and with others that do as much.
/// The environment's ENVOY and PORTCULLIS_WASM choose Envoy and the module.
#[derive(Parser)]
struct Arguments {
    /// How often each arm takes its turn.
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a turn is, in seconds.
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    seconds: u32,
    /// The arms to measure, besides `none`; all unless given.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(bench::arms()))]
    arms: Vec<String>,
    /// The module that does nothing.
    #[arg(long)]
    noop: PathBuf,
    /// Also count the instructions of each arm, by Valgrind.
    #[arg(long)]
    count: bool,
    /// Where to write the summary.
    #[arg(long)]
    summary: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { rounds, seconds, arms, noop, count, summary } = Arguments::parse();
    bench::run(Options { rounds, seconds, arms, noop, count, summary }).await
}
