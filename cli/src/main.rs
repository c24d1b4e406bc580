//! The portcullis command.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "a command runs outside the proxy: files, the clock, the terminal and seeds of entropy are its own"
)]

mod ask;
mod backtrack;
mod check;
mod document;
mod exit;
mod explain;
mod export;
mod help;
mod judge;
mod lint;
mod logs;
mod manual;
mod replay;
mod term;

use clap::{Parser, Subcommand};
use exit::Exit;
use gate::Config;
use std::process::ExitCode;
use std::sync::LazyLock;

/// The JSON Schema of the configuration, as it is published.
const SCHEMA: &str = include_str!("../../envoy/portcullis.schema.json");

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
    /// Look back from an alert: whom a log shows talking just before, what they are, and how to block them
    #[command(after_help = help::with_exit_codes(help::BACKTRACK))]
    Backtrack(Box<backtrack::Args>),
    /// Send an access log through a configuration: what would have been denied, and what it would have cost
    #[command(after_help = help::with_exit_codes(help::REPLAY))]
    Replay(Box<replay::Args>),
    /// Find the mistakes in a configuration, and what is unwise
    #[command(after_help = help::with_exit_codes(help::LINT))]
    Lint(lint::Args),
    /// Say in plain words what a configuration does
    #[command(after_help = help::with_exit_codes(help::EXPLAIN))]
    Explain(explain::Args),
    /// Print the JSON Schema of the configuration
    #[command(after_help = help::SCHEMA)]
    Schema,
    /// Print a script that lets a shell complete the command line
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff
    #[command(after_help = help::MAN)]
    Man {
        /// The page about one command instead
        #[arg(value_name = "COMMAND")]
        about: Option<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Backtrack(args) => backtrack::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema => term::print(SCHEMA).map(|()| Exit::Done).map_err(Into::into),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { about } => manual::page(about.as_deref()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            crate::term::say!("portcullis: {error:#}");
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
