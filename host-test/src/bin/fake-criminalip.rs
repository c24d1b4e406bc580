//! A stand-in for Criminal IP to try things against, without a key and without credits.

#![allow(clippy::disallowed_macros, reason = "this program speaks to people")]

use anyhow::Result;
use clap::Parser;
use host_test::fake::{Fake, KEY, Options};
use std::net::SocketAddr;

/// Answers GET /v1/asset/ip/report?ip=... as Criminal IP does. Tell it at run time to be slow or to fail:
/// POST /_control/rules {"answer": "no_credit", "delay_ms": 100, "ip": "192.0.2.20", "times": 3}; DELETE it to end that;
/// GET /_control/calls lists the calls so far.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 for any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The key that calls must bring in x-api-key.
    #[arg(long, default_value = KEY)]
    key: String,
    /// Calls that may be in flight at once; 0 for any number.
    #[arg(long, default_value_t = 1)]
    concurrency: u32,
    /// Reports it gives before the credits are used up.
    #[arg(long)]
    credits: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Arguments { listen, key, concurrency, credits } = Arguments::parse();
    let concurrency = (concurrency > 0).then_some(concurrency);
    let fake = Fake::start(Options { listen, key, concurrency, credits })?;
    println!("listening on http://{}", fake.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
