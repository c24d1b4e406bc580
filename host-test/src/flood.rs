//! A flood: one request each of more peers than anybody could look up, and a peer that is known all along.
//!
//! The requests come over a few HTTP/1.1 connections that stay open and name the peer in `X-Forwarded-For`, so that the
//! proxy rather than the client is at its limit.

use crate::envoy::config::SEEN_HEADER;
use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::Range,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    runtime,
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};

/// A connection to a listener that trusts one proxy before it, and answers by itself.
#[derive(Debug)]
pub struct Line(BufReader<TcpStream>);

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(to: SocketAddr) -> Result<Line> {
        let stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Line(BufReader::new(stream)))
    }

    /// Sends a request of this peer, and returns where the facts came from: `source` in the tag, `refused` when there is
    /// no tag to see since the request was.
    ///
    /// # Errors
    /// When the connection ends, or the answer is neither the listener's nor the filter's.
    pub async fn ask(&mut self, peer: IpAddr) -> Result<String> {
        let request = format!("GET / HTTP/1.1\r\nhost: proxy.test\r\nx-forwarded-for: {peer}\r\n\r\n");
        self.0.write_all(request.as_bytes()).await?;
        let (mut status, mut length, mut tag) = (None, 0, String::new());
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line).await? > 0, "the connection ended before an answer to {peer}");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(": ") {
                match name {
                    "content-length" => length = value.parse()?,
                    SEEN_HEADER => tag = value.into(),
                    _ => {}
                }
            } else {
                status = line.split(' ').nth(1).map(str::to_owned);
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        match (status.as_deref(), tag.split_once("source=")) {
            (Some("200"), Some((_, source))) => Ok(source.into()),
            (Some("403"), None) => Ok("refused".into()),
            _ => anyhow::bail!("{peer} got status {status:?} with the tag {tag:?}"),
        }
    }
}

/// Requests that are still to be sent, one each of many peers, or all of one peer.
#[derive(Debug)]
pub struct Flood {
    to: SocketAddr,
    peers: Range<u32>,
    only: Option<IpAddr>,
    per_second: Option<u32>,
    next: AtomicU32,
}

impl Flood {
    /// One request each of the peers with these numbers, see [`peer`].
    pub fn new(to: SocketAddr, peers: Range<u32>) -> Flood {
        let next = AtomicU32::new(peers.start);
        Flood { to, peers, only: None, per_second: None, next }
    }

    /// The same number of requests, but all of this peer.
    pub fn only(self, peer: IpAddr) -> Flood {
        Flood { only: Some(peer), ..self }
    }

    /// The same, but at most so many requests a second instead of as fast as they are answered.
    pub fn per_second(self, requests: u32) -> Flood {
        Flood { per_second: Some(requests), ..self }
    }

    /// How many requests there are in all.
    pub fn count(&self) -> u32 {
        self.peers.end - self.peers.start
    }

    /// How many requests were sent so far.
    pub fn sent(&self) -> u32 {
        self.next.load(Relaxed).min(self.peers.end) - self.peers.start
    }

    /// Sends them over so many connections, on each one after the other. Returns how many answers there were by the source
    /// of their facts, as [`Line::ask`] names it.
    ///
    /// # Errors
    /// When one is not answered.
    pub async fn send(&self, lines: u32) -> Result<BTreeMap<String, u32>> {
        let pace = self.per_second.map(|per_second| Duration::from_secs(lines.into()) / per_second);
        let mut sources = BTreeMap::new();
        // Each a little after the one before: all at once they would be waves, between which nothing comes.
        let first = |line| pace.map(|pace| Instant::now() + pace * line / lines);
        for line in try_join_all((0..lines).map(|line| self.run(first(line).zip(pace)))).await? {
            for (source, count) in line {
                *sources.entry(source).or_default() += count;
            }
        }
        Ok(sources)
    }

    /// Over one connection, the first at that moment and then at that pace.
    async fn run(&self, pace: Option<(Instant, Duration)>) -> Result<BTreeMap<String, u32>> {
        let mut line = Line::connect(self.to).await?;
        let mut clock = pace.map(|(first, pace)| time::interval_at(first, pace));
        let mut sources = BTreeMap::new();
        loop {
            if let Some(clock) = &mut clock {
                clock.tick().await;
            }
            let number = self.next.fetch_add(1, Relaxed);
            if number >= self.peers.end {
                return Ok(sources);
            }
            *sources.entry(line.ask(self.only.unwrap_or(peer(number))).await?).or_default() += 1;
        }
    }
}

/// The peer of this number: addresses of documentation (RFC 3849), neighbours far apart.
pub fn peer(number: u32) -> IpAddr {
    const STEP: u32 = 0x9e37_79b9;
    let [high, low] = [number.wrapping_mul(STEP) >> 16, number.wrapping_mul(STEP) & 0xffff];
    let group = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, group(high), group(low)).into()
}

/// How long answers took.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Of these, in any order.
    pub fn of(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times(times)
    }

    /// The time that so many of a hundred answers did not exceed; zero when there was none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(index).copied().unwrap_or_default()
    }

    /// How many answers there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Has a peer whom every worker knows ask at a steady pace, over a few connections in turn, until told to stop.
///
/// # Errors
/// When an answer does not come from the cache.
pub async fn ask_steadily(
    to: SocketAddr,
    peer: IpAddr,
    pace: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<Times> {
    let mut lines = try_join_all((0..4).map(|_| Line::connect(to))).await?;
    let mut times = Vec::new();
    let mut clock = time::interval(pace);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        tokio::select! {
            _ = clock.tick() => {}
            _ = stop.changed() => break,
        }
        lines.rotate_left(1);
        let start = Instant::now();
        let source = lines[0].ask(peer).await?;
        times.push(start.elapsed());
        ensure!(source == "cache", "the facts about {peer} came from {source:?} after {} answers", times.len());
    }
    Ok(Times::of(times))
}

/// Runs something while a peer asks whom every worker knows, as [`ask_steadily`] does; its client has a thread of its own.
///
/// # Errors
/// When the one or the other fails.
pub async fn beside<T>(
    to: SocketAddr,
    peer: IpAddr,
    pace: Duration,
    run: impl Future<Output = Result<T>>,
) -> Result<(Times, T)> {
    let (stop, stopped) = watch::channel(false);
    let known = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(ask_steadily(to, peer, pace, stopped))
    });
    let result = run.await;
    // When it has failed already, nobody listens any more.
    let _ = stop.send(true);
    let times = known.join().map_err(|_| anyhow::anyhow!("the known peer's client failed"))??;
    Ok((times, result?))
}

/// Has all workers learn a peer.
///
/// # Errors
/// When an answer is not from the cache after [`crate::PATIENCE`].
pub async fn make_known(to: SocketAddr, peer: IpAddr) -> Result<()> {
    // More connections than workers, many times over, so that each worker has some.
    for _ in 0..64 {
        let mut line = Line::connect(to).await?;
        crate::eventually(async || {
            let source = line.ask(peer).await?;
            ensure!(source == "cache", "the facts about {peer} come from {source:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_is_another_peer() {
        assert_eq!((0..100_000).map(peer).collect::<BTreeSet<_>>().len(), 100_000);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times = Times((1..=200).map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Duration::from_millis(100));
        assert_eq!(times.percentile(99), Duration::from_millis(198));
        assert_eq!(Times::default().percentile(99), Duration::ZERO);
    }
}
