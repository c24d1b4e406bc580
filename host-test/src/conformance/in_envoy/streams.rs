//! Streams through the Envoy with the guest, and what comes of each.

use super::servers::Servers;
use crate::{
    conformance::{CLIENT_BODY, CLIENT_HEADERS, CLIENT_TRAILERS, shown},
    message::{Message, message},
};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What streams go through.
pub(super) struct Way {
    /// Envoy's listener with the guest.
    pub(super) with_guest: SocketAddr,
    /// Its listener without.
    pub(super) without: SocketAddr,
    pub(super) servers: Servers,
}

/// How many requests, one after the other, stand for everything that is under way: one more than the guest and the
/// upstreams together make of a stream.
const LATER: usize = 3;

impl Way {
    /// Lets everything happen that is under way. Envoy's only worker, and the only thread of the upstreams, each do one
    /// thing after the other: what leads past both of them and back does so before requests that were sent later.
    ///
    /// # Errors
    /// When Envoy is no more.
    pub(super) async fn settle(&self) -> Result<()> {
        for _ in 0..LATER {
            let mut stream = TcpStream::connect(self.without).await?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
        }
        Ok(())
    }

    /// What comes of a request: what the client got, and what the upstream got.
    ///
    /// # Errors
    /// When Envoy is no more.
    pub(super) async fn request(&self) -> Result<String> {
        let web = &self.servers.web;
        let before = web.seen.read(Vec::len);
        let mut stream = self.connect().await?;
        let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close";
        // A proxy that closes at once is no failure.
        let _ = stream.write_all(&message(head, &CLIENT_HEADERS, CLIENT_BODY, &CLIENT_TRAILERS)).await;
        let (answer, hangs) = self.rest(&mut stream).await?;
        let client = Message::read(&answer);
        let status = client.first.split(' ').nth(1);
        let end = match () {
            () if hangs => "hangs",
            () if client.garbled => "garbled",
            () if client.length.is_some() => "",
            () => "reset",
        };
        let client = shown(status, &client.headers, &client.body, &client.trailers, end);
        // Those of the probes and of callouts are others.
        let is_own = |bytes: &&Vec<u8>| !bytes.starts_with(b"GET ");
        let mut seen: Vec<_> =
            web.seen.read(|seen| seen[before..].iter().filter(is_own).map(|bytes| upstream(bytes)).collect());
        // Of several connections, none is the first. What is no request comes last.
        seen.sort_unstable_by(|left, right| right.cmp(left));
        let upstream = if seen.is_empty() { "nothing".to_owned() } else { seen.join(" and ") };
        Ok(format!("client: {client}; upstream: {upstream}"))
    }

    /// The same for a connection, whose upstream closes once the client has got something: else it would depend on the
    /// moment whether Envoy reads the end together with what comes before it.
    ///
    /// # Errors
    /// When Envoy is no more.
    pub(super) async fn connection(&self) -> Result<String> {
        let plain = &self.servers.plain;
        let before = plain.seen.read(Vec::len);
        let mut stream = self.connect().await?;
        // A proxy that closes at once is no failure.
        let _ = stream.write_all(CLIENT_BODY.as_bytes()).await;
        let mut answer = Vec::new();
        tokio::select! {
            biased;
            _ = stream.read_buf(&mut answer) => {}
            settled = self.settle() => settled?,
        }
        plain.released.change(|released| *released = before + 1);
        let (rest, hangs) = self.rest(&mut stream).await?;
        answer.extend(rest);
        let seen = plain.seen.read(|seen| seen.get(before).cloned());
        let upstream = seen.map_or_else(|| "nothing".to_owned(), |seen| format!("\"{}\"", seen.escape_ascii()));
        let hangs = if hangs { " hangs" } else { "" };
        Ok(format!("client: \"{}\"{hangs}; upstream: {upstream}", answer.escape_ascii()))
    }

    async fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect(self.with_guest).await.context("no connection to Envoy")
    }

    /// Reads to the end, and waits until Envoy and the upstreams have done the rest of it, too. Whether there is no end
    /// though they have nothing left to do is told as well.
    async fn rest(&self, stream: &mut TcpStream) -> Result<(Vec<u8>, bool)> {
        let mut answer = Vec::new();
        let hangs = tokio::select! {
            biased;
            // A reset is an end as well.
            _ = stream.read_to_end(&mut answer) => false,
            settled = self.settle() => {
                settled?;
                true
            }
        };
        if !hangs {
            self.settle().await?;
        }
        Ok((answer, hangs))
    }
}

/// What the upstream got, in one of the messages of a request.
fn upstream(bytes: &[u8]) -> String {
    let message = Message::read(bytes);
    if message.first.ends_with(" HTTP/1.1") {
        shown(Some("request"), &message.headers, &message.body, &message.trailers, "")
    } else {
        format!("\"{}\"", bytes.escape_ascii())
    }
}
