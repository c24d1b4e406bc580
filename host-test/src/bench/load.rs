//! The load generator, wrk, and what it reports.

use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;

/// Connections that are kept open and asked one request after the other.
const CONNECTIONS: u32 = 16;

/// What a run of wrk came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Served {
    /// Requests answered.
    pub(super) requests: u64,
    /// Requests answered per second.
    pub(super) per_second: f64,
}

/// The words of the command that asks for `/` there for so many seconds, on one processor.
pub(super) fn words(address: SocketAddr, seconds: u32, processor: usize) -> Vec<String> {
    let line = format!(
        "taskset --cpu-list {processor} wrk --threads 1 --connections {CONNECTIONS} --duration {seconds}s http://{address}/"
    );
    line.split(' ').map(str::to_owned).collect()
}

/// Reads what wrk wrote.
///
/// # Errors
/// When it is no report of wrk, or tells of requests that failed: whatever was measured then, it was not the arm.
pub(super) fn read(output: &str) -> Result<Served> {
    let lines = || output.lines().map(str::trim);
    for failure in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(line) = lines().find(|line| line.starts_with(failure)) {
            bail!("not all requests were answered well: {line}");
        }
    }
    let requests = lines().find_map(|line| line.split_once(" requests in ")).map(|(count, _)| count);
    let per_second = lines().find_map(|line| line.strip_prefix("Requests/sec:")).map(str::trim);
    let context = || format!("not a report of wrk: {output:?}");
    let requests = requests.with_context(context)?.parse().with_context(context)?;
    let per_second = per_second.with_context(context)?.parse().with_context(context)?;
    ensure!(requests > 0, "no request was answered");
    Ok(Served { requests, per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
Running 2s test @ http://127.0.0.1:19100/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   385.72us  231.54us   9.65ms   97.07%
    Req/Sec    42.47k     5.12k   48.31k    76.19%
  88735 requests in 2.10s, 11.68MB read
Requests/sec:  42250.68
Transfer/sec:      5.56MB
";

    #[test]
    fn a_report_of_wrk_is_read() {
        assert_eq!(read(GOOD).unwrap(), Served { requests: 88_735, per_second: 42_250.68 });
    }

    #[test]
    fn failed_requests_are_an_error_and_named() {
        for failure in ["  Socket errors: connect 0, read 3, write 0, timeout 0", "  Non-2xx or 3xx responses: 88735"] {
            let output = GOOD.replace("Requests/sec", &format!("{failure}\nRequests/sec"));
            let error = read(&output).unwrap_err().to_string();
            assert_eq!(error, format!("not all requests were answered well: {}", failure.trim()));
        }
        let none = GOOD.replace("88735", "0");
        assert_eq!(read(&none).unwrap_err().to_string(), "no request was answered");
    }

    #[test]
    fn something_else_is_an_error_and_shown() {
        for output in ["", "unable to connect to 127.0.0.1:9 Connection refused\n"] {
            assert_eq!(read(output).unwrap_err().to_string(), format!("not a report of wrk: {output:?}"));
        }
    }
}
