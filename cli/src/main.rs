//! The portcullis command.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "a command runs outside the proxy: files, the clock, the terminal and seeds of entropy are its own"
)]

mod ask;
mod check;
mod document;
mod exit;
mod help;
mod judge;
mod lint;
mod term;

use clap::{Parser, Subcommand};
use gate::Config;
use std::process::ExitCode;
use std::sync::LazyLock;

/// Says what Portcullis thinks of an address, and why.
#[derive(Parser)]
#[command(name = "portcullis", version, after_help = help::MAIN)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge addresses by what Criminal IP knows about them
    #[command(after_help = help::with_exit_codes(help::CHECK))]
    Check(Box<check::Args>),
    /// Find the mistakes in a configuration, and what is unwise
    #[command(after_help = help::with_exit_codes(help::LINT))]
    Lint(lint::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Lint(args) => lint::run(&args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            anstream::eprintln!("portcullis: {error:#}");
            exit::of(&error).into()
        }
    }
}

/// A configuration in which everything has its default, for what the command line does not say.
fn defaults() -> &'static Config {
    static DEFAULTS: LazyLock<Config> = LazyLock::new(|| {
        let parsed = Config::parse(br#"{"api": {"cluster": "criminalip"}}"#);
        parsed.unwrap_or_else(|mistakes| panic!("the smallest configuration is right, but: {mistakes:?}"))
    });
    &DEFAULTS
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
