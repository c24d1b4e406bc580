//! Lookups: one call to Criminal IP each, and the ways in which they fail.

use core::fmt;
use evaluator::AnswerError;

/// Names one lookup within a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub(crate) u32);

/// Why a lookup brought no facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookupError {
    /// Criminal IP answered, but not with a report.
    Answer(AnswerError),
    /// The report is about another address than the one asked for.
    OtherAddress,
    /// No answer within `api.timeout`.
    TimedOut,
    /// No connection: refused, unreachable, or its certificate did not verify.
    Connection,
    /// The connection broke in the middle of the answer.
    Reset,
    /// The answer is larger than `api.max_body`.
    TooLarge,
    /// The proxy did not send it: the cluster is unknown, has no host, or its circuit breaker is open.
    NotSent,
}

impl LookupError {
    /// Every way to fail.
    pub fn all() -> impl Iterator<Item = LookupError> {
        use LookupError::{Answer, Connection, NotSent, OtherAddress, Reset, TimedOut, TooLarge};
        let others = [OtherAddress, TimedOut, Connection, Reset, TooLarge, NotSent];
        AnswerError::ALL.iter().copied().map(Answer).chain(others)
    }

    /// The stable code, as metrics and logs write it.
    pub fn code(self) -> &'static str {
        match self {
            LookupError::Answer(error) => error.code(),
            LookupError::OtherAddress => "other_address",
            LookupError::TimedOut => "timeout",
            LookupError::Connection => "connection",
            LookupError::Reset => "reset",
            LookupError::TooLarge => "too_large",
            LookupError::NotSent => "not_sent",
        }
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
