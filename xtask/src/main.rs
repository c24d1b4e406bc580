//! The project's own tasks: `cargo xtask build`, `demo`, `test`, `bench`, `flood`, `fuzz`, `soak`, `planted` and `zones`.
//!
//! Everything that a fresh machine lacks is fetched here (the Wasm target, an Envoy), so that two commands lead from a
//! clone to a running gate, and so that continuous integration runs what a contributor runs.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "this program runs outside the proxy")]

mod bench;
mod chromium;
mod command;
mod consumers;
mod demo;
mod edge;
mod envoy;
mod flood;
mod fuzz;
mod module;
mod npm;
mod planted;
mod soak;
mod step;
mod test;
mod toolchain;
mod workspace;
mod zones;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, try out and test Portcullis.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the module for the proxy, check it and put it at target/portcullis.wasm.
    Build,
    /// Build the package for JavaScript runtimes and put it into target/edge/portcullis.
    Edge {
        /// Test it in Node, Deno, Bun and workerd as well.
        #[arg(long)]
        test: bool,
        /// Measure it in Node beside the same in plain JavaScript: docs/edge.md.
        #[arg(long)]
        bench: bool,
    },
    /// Start an Envoy with the module and send it traffic from peers of every kind.
    Demo {
        /// Keep Envoy running afterwards, until Ctrl-C.
        #[arg(long)]
        serve: bool,
    },
    /// Run every check that a change has to pass.
    Test {
        /// Leave out what needs an Envoy.
        #[arg(long)]
        fast: bool,
    },
    /// Measure what a request costs a real Envoy, with and without the module.
    Bench {
        /// How often each arm takes its turn.
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// How long a turn is, in seconds.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// The arms to measure besides `none`, as in docs/performance.md; all unless given.
        #[arg(long, value_delimiter = ',')]
        arms: Vec<String>,
        /// Also count the instructions of each arm, by Valgrind: exact, on any machine, in another five minutes.
        #[arg(long)]
        count: bool,
    },
    /// Flood an Envoy with requests of new peers: what that does to memory, credits and a known peer.
    Flood {
        /// How many new peers there are.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
        peers: u32,
    },
    /// Feed the parsers mutated input.
    Fuzz {
        /// How long each target runs, in seconds.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Let the filter live through random worlds in the simulated proxy.
    Soak {
        /// For how many minutes.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
        /// The first seed; another for each run finds more.
        #[arg(long, default_value_t = 1_000_000)]
        seed: u64,
    },
    /// Plant bugs into a copy of the source, one at a time, and see that the worlds find each.
    Planted {
        /// Only those whose name holds this.
        #[arg(long)]
        only: Option<String>,
    },
    /// Write the table of time zones anew, from the IANA database.
    Zones,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Build => module::build().map(drop),
        Task::Edge { test, bench } => edge::build_and(test, bench),
        Task::Demo { serve } => demo::run(serve),
        Task::Test { fast } => test::run(fast),
        Task::Bench { rounds, seconds, arms, count } => bench::run(rounds, seconds, &arms, count),
        Task::Flood { peers } => flood::run(peers),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::Soak { minutes, seed } => soak::run(minutes, seed),
        Task::Planted { only } => planted::run(only.as_deref()),
        Task::Zones => zones::write(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Arguments::command().debug_assert();
    }
}
