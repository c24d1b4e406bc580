//! What came of a callout, as far as that can be told from its answer's headers.

use crate::host::{self, Headers};
use alloc::vec::Vec;
use core::time::Duration;

/// Sends a callout of the current root. `None` when the proxy does not: the cluster is unknown, has no host, or its circuit
/// breaker is open. The time-out is never zero, which the proxy takes for "for ever".
// Once in the module, not once for each of those who call it.
#[inline(never)]
pub(crate) fn send(
    cluster: &str,
    mut headers: Vec<(&str, &str)>,
    body: Option<&[u8]>,
    timeout: Duration,
) -> Option<u32> {
    headers.push(("user-agent", concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
    host::send(cluster, &headers, body.unwrap_or_default(), timeout).ok()
}

/// What the proxy says in the place of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Broken {
    /// The connection broke after the headers.
    Reset,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Connection,
}

/// The status of the answer to a callout with so many headers, 0 for one that is none. The proxy makes answers of its own
/// when it got none: without headers when the connection broke after them, and 503 and 504 without the header that tells
/// how long an upstream took.
pub(crate) fn status(headers: usize) -> Result<u16, Broken> {
    if headers == 0 {
        return Err(Broken::Reset);
    }
    let status = host::header(Headers::CalloutResponse, ":status").unwrap_or_default();
    let status = core::str::from_utf8(&status).ok().and_then(|status| status.parse::<u16>().ok()).unwrap_or(0);
    let from_upstream = || host::header(Headers::CalloutResponse, "x-envoy-upstream-service-time").is_some();
    match status {
        504 if !from_upstream() => Err(Broken::TimedOut),
        503 if !from_upstream() => Err(Broken::Connection),
        status => Ok(status),
    }
}

/// How long the answer to a callout asks callers to wait (RFC 9110 section 10.2.3), at most a day. The form that names a
/// date is not read: the gate has its own pause where nothing is said.
pub(crate) fn retry_after() -> Option<Duration> {
    const DAY: u64 = 86_400;
    let value = host::header(Headers::CalloutResponse, "retry-after")?;
    let seconds: u64 = core::str::from_utf8(&value).ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(DAY)))
}
