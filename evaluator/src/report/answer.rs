//! Answers that are no report: error bodies, which mostly arrive with HTTP status 200, and what proxies say in between.

use super::json::Scalar;
use super::meaning::contains;
use core::fmt;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident $code:literal $text:literal,)+) => {
        /// Why an answer is no report. Codes are stable: logs and metrics show them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AnswerError { $($(#[$doc])* $name,)+ }

        impl AnswerError {
            /// Every error.
            pub const ALL: &[AnswerError] = &[$(AnswerError::$name,)+];

            /// The stable code: `no_credit`.
            pub const fn code(self) -> &'static str {
                match self { $(AnswerError::$name => $code,)+ }
            }

            /// In words.
            pub const fn message(self) -> &'static str {
                match self { $(AnswerError::$name => $text,)+ }
            }
        }

        impl fmt::Display for AnswerError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.message())
            }
        }
    };
}

errors! {
    /// The key has no credits left, or its plan does not cover the call.
    NoCredit "no_credit" "the API key has no credits left for this call",
    /// Another call with the same key was in flight, and the plan allows one at a time.
    ConcurrencyRefused "concurrency_refused" "another call with the same API key was in flight",
    /// The key is not valid.
    BadKey "bad_key" "the API key is not valid",
    /// The API does not take the address for a public one.
    InvalidAddress "invalid_address" "the API refused the address",
    /// Too many calls in a while.
    RateLimited "rate_limited" "too many calls in a short time",
    /// The server, or a proxy before it, failed.
    ServerError "server_error" "the server failed",
    /// Not JSON, cut short, or JSON without what a report must have.
    Malformed "malformed" "the answer is not a whole report",
    /// Any other refusal.
    Unknown "unknown" "the answer is an error of an unknown kind",
}

impl core::error::Error for AnswerError {}

/// What kind of error a JSON answer is that does not count as a report.
///
/// The message is asked first, since the numbers that go with some messages are documented nowhere; then the `status`
/// in the body; then, where that says nothing, the status of HTTP.
pub(super) fn refused(http_status: u16, status: &Scalar<'_>, message: Option<&str>) -> AnswerError {
    let message = message.unwrap_or_default().as_bytes();
    if let Some(error) = by_message(message) {
        return error;
    }
    match status.integer().and_then(|status| u16::try_from(status).ok()) {
        // Says that it is fine, so it either lacks its score or HTTP disagrees.
        None | Some(200) => by_http(http_status, message),
        Some(status) => by_status(status, message),
    }
}

/// What kind of error an answer is that is no JSON object: a page of some proxy, or a body cut short.
pub(super) fn unreadable(http_status: u16, body: &[u8]) -> AnswerError {
    // Refusals are short, and whatever comes after the first lines of a page is decoration.
    let head = body.get(..4096).unwrap_or(body);
    by_http(http_status, head)
}

fn by_http(http_status: u16, message: &[u8]) -> AnswerError {
    match http_status {
        200..=299 => AnswerError::Malformed,
        status => by_status(status, message),
    }
}

fn by_message(message: &[u8]) -> Option<AnswerError> {
    let says = |words: &[&str]| words.iter().any(|word| contains(message, word));
    if says(&["rate limit", "too many requests"]) {
        Some(AnswerError::RateLimited)
    } else if says(&["limit exceeded"]) {
        Some(AnswerError::NoCredit)
    } else if says(&["at the same time"]) {
        Some(AnswerError::ConcurrencyRefused)
    } else if says(&["invalid api key", "check access failed"]) {
        Some(AnswerError::BadKey)
    } else if says(&["invalid ip"]) {
        Some(AnswerError::InvalidAddress)
    } else if says(&["database error"]) {
        Some(AnswerError::ServerError)
    } else {
        None
    }
}

fn by_status(status: u16, message: &[u8]) -> AnswerError {
    match status {
        401 | 403 if ["credit", "upgrade", " plan", "membership"].iter().any(|word| contains(message, word)) => {
            AnswerError::NoCredit
        }
        401 | 403 => AnswerError::BadKey,
        402 => AnswerError::NoCredit,
        429 => AnswerError::RateLimited,
        // The API documents 413 and 414 as "Database error".
        413 | 414 | 500..=599 => AnswerError::ServerError,
        _ => AnswerError::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::string::ToString;

    #[test]
    fn codes_and_texts_are_distinct() {
        let codes: BTreeSet<_> = AnswerError::ALL.iter().map(|error| error.code()).collect();
        let texts: BTreeSet<_> = AnswerError::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((codes.len(), texts.len()), (AnswerError::ALL.len(), AnswerError::ALL.len()));
    }
}
