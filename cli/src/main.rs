//! The portcullis command.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a command runs outside the proxy: files, the clock and the terminal are its own"
)]

mod check;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Says what Portcullis thinks of an address, and why.
#[derive(Parser)]
#[command(name = "portcullis", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge one address by a saved report of Criminal IP
    ///
    /// The exit status is 0 when a verdict was reached, whatever it is, and 2 otherwise.
    Check(check::Args),
}

fn main() -> ExitCode {
    let Command::Check(args) = Cli::parse().command;
    match check::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {error:#}");
            ExitCode::from(2)
        }
    }
}
