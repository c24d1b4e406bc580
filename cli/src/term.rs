//! What goes to the terminal: styles, and writing that ends quietly when the reader of a pipe has left.

use crate::exit::{Exit, Failure};
use anstyle::{AnsiColor, Style};
use evaluator::Action;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt;
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

/// Says a line on standard error, in the words of `format!`.
macro_rules! say {
    ($($what:tt)*) => { $crate::term::say_line(format_args!($($what)*)) };
}
pub(crate) use say;

/// What [`say!`] does. Where nobody listens the command goes on all the same, and ends with the exit code that is right.
pub(crate) fn say_line(what: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{what}");
}

/// A bar on standard error, where that is a terminal, for a total of so many things, or a count where that is not known.
pub(crate) fn progress(total: Option<u64>, what: &str) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:30} {pos} of {len} WHAT, {rate}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} WHAT, {rate}, {elapsed}"),
    };
    // A template that cannot be read would be a mistake here; the usual one does as well.
    let style =
        ProgressStyle::with_template(&template.replace("WHAT", what)).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:.1}/s", state.per_sec());
    };
    bar.set_style(style.progress_chars("#> ").with_key("rate", rate));
    bar
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
