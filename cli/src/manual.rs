//! Manual pages and completions, made from the command line itself.

use crate::exit::Exit;
use crate::term;
use anyhow::Context;
use clap::CommandFactory;

/// Prints the script for a shell.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Cli::command(), "portcullis", &mut script);
    term::print_bytes(&script)?;
    Ok(Exit::Done)
}

/// Prints the manual page of the command as a whole, or of one of its commands.
///
/// # Errors
/// There is no such command, or the page cannot be written.
pub(crate) fn page(about: Option<&str>) -> anyhow::Result<Exit> {
    let mut command = crate::Cli::command();
    command.build();
    let command = match about {
        None => command,
        Some(name) => {
            let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
            let found = command.find_subcommand(name);
            let found = found.with_context(|| format!("no command {name:?}; there are {}", names.join(", ")))?;
            found.clone().display_name(format!("portcullis-{name}"))
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    term::print_bytes(examples_as_they_are(&String::from_utf8(page)?).as_bytes())?;
    Ok(Exit::Done)
}

/// The page with the lines at its end under a heading that says what they are, and not run together.
fn examples_as_they_are(page: &str) -> String {
    let Some((before, rest)) = page.split_once(".SH EXTRA\n") else { return page.into() };
    let (lines, after) = rest.split_at(rest.find("\n.SH ").map_or(rest.len(), |end| end + 1));
    let lines = lines.trim_start_matches("Examples:\n");
    format!("{before}.SH EXAMPLES\n.nf\n{lines}.fi\n{after}")
}
