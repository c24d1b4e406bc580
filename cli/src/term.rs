//! What goes to the terminal: styles, and writing that ends quietly when the reader of a pipe has left.

use crate::exit::{Exit, Failure};
use anstyle::{AnsiColor, Style};
use evaluator::Action;
use std::io::{self, ErrorKind, Write};

/// What asks for attention.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What deserves a look.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default().bold();
/// What is fine.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is known by name only.
pub(crate) const DIM: Style = Style::new().dimmed();

/// The style of what a verdict does.
pub(crate) const fn style(action: Action) -> Style {
    match action {
        Action::Allow => GOOD,
        Action::Tag => ODD,
        Action::Deny => BAD,
    }
}

/// The text in this style; standard output leaves the style out where nobody wants to see it.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Text from outside on one line, with nothing in it that a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes to standard output.
///
/// # Errors
/// [`Exit::Output`]; but where the reader of a pipe has left the command ends here, quietly, as the reader wants no more.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(Exit::Output, format!("standard output: {error}"))),
    }
}
