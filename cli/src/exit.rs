//! How the command ends: one exit code for each thing that can go wrong.

use gate::LookupError;
use std::fmt;
use std::process::ExitCode;

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// A configuration has mistakes.
    Mistakes,
    /// The command line or a file that it names cannot be used.
    Usage,
    /// There is no API key, or its file cannot be read.
    NoKey,
    /// The credit limit was reached before everything was assessed.
    CreditLimit,
    /// The output could not be written.
    Output,
    /// More log lines could not be read than the limit allows.
    UnknownLines,
    /// Criminal IP was not asked, because the address is not public.
    NotPublic,
    /// A call to Criminal IP brought no facts.
    Lookup(LookupError),
}

impl Exit {
    /// Every way to end, in the order of the codes.
    pub(crate) fn all() -> impl Iterator<Item = Exit> {
        use Exit::{CreditLimit, Done, Lookup, Mistakes, NoKey, NotPublic, Output, UnknownLines, Usage};
        let own = [Done, Mistakes, Usage, NoKey, CreditLimit, Output, UnknownLines, NotPublic];
        own.into_iter().chain(LookupError::all().map(Lookup))
    }

    /// The exit code. Codes are stable.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Mistakes => 1,
            Exit::Usage => 2,
            Exit::NoKey => 3,
            Exit::CreditLimit => 4,
            Exit::Output => 5,
            Exit::UnknownLines => 6,
            Exit::NotPublic => 7,
            // Those of lookups follow each other in the order in which they are listed.
            Exit::Lookup(error) => {
                let place = LookupError::all().position(|other| other == error).unwrap_or_default();
                u8::try_from(place).unwrap_or_default() + 10
            }
        }
    }

    /// What the code means, for the table that people read.
    pub(crate) fn meaning(self) -> String {
        match self {
            Exit::Done => "done; for `check`: a verdict was reached, whatever it is".into(),
            Exit::Mistakes => "the configuration has mistakes".into(),
            Exit::Usage => "the command line, or a file that it names, cannot be used".into(),
            Exit::NoKey => "there is no API key, or its file cannot be read".into(),
            Exit::CreditLimit => "the credit limit was reached before everything was assessed".into(),
            Exit::Output => "the output could not be written".into(),
            Exit::UnknownLines => "more log lines could not be read than the limit allows".into(),
            Exit::NotPublic => "the address is not public, so Criminal IP was not asked".into(),
            Exit::Lookup(error) => format!("`{error}`: {}", describe(error)),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a lookup brought no facts, in words.
pub(crate) fn describe(error: LookupError) -> String {
    match error {
        LookupError::Answer(error) => error.to_string(),
        LookupError::OtherAddress => "the report is about another address".into(),
        LookupError::TimedOut => "no answer in time".into(),
        LookupError::Connection => "no connection: refused, unreachable, or the certificate did not verify".into(),
        LookupError::Reset => "the connection broke before the end of the answer".into(),
        LookupError::TooLarge => "the answer is larger than 32 MiB".into(),
        LookupError::NotSent => "the call could not be sent".into(),
    }
}

/// An error with the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error: its own, or that of a wrong command line.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::Usage, |failure| failure.exit)
}

/// The table of the exit codes, for `--help`.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::all() {
        text += &format!("  {:>2}  {}\n", exit.code(), exit.meaning().replace('`', ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_way_to_end_has_a_code_and_a_meaning_of_its_own() {
        let codes: Vec<u8> = Exit::all().map(Exit::code).collect();
        assert!(codes.is_sorted_by(|one, next| one < next), "{codes:?}");
        assert_eq!(Exit::all().map(Exit::meaning).collect::<BTreeSet<_>>().len(), codes.len());
        // What scripts rely on.
        let of = |code: &str| Exit::all().find(|exit| matches!(exit, Exit::Lookup(error) if error.code() == code));
        for (code, number) in [("no_credit", 10), ("bad_key", 12), ("other_address", 18), ("not_sent", 23)] {
            assert_eq!(of(code).map(Exit::code), Some(number), "{code}");
        }
    }

    #[test]
    fn the_document_lists_every_exit_code() {
        let document = include_str!("../../docs/cli.md");
        for exit in Exit::all() {
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(document.contains(&row), "docs/cli.md lacks {row}");
        }
    }
}
