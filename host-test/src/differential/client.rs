//! Clients of the Envoy of a scenario, and what they get.

use super::servers::{chunk, lines};
use crate::{
    PATIENCE,
    host::HeaderMap,
    message::Message,
    sim::{Connection, End, Outcome, Request},
};
use anyhow::{Context, Result};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::{sleep, timeout},
};

/// How the ids of requests begin; the number of the stream follows, in twelve digits.
const ID: &str = "00000000-0000-4000-8000-";

/// The number of the stream in the id of a request.
pub(super) fn number(id: &[u8]) -> Option<usize> {
    std::str::from_utf8(id).ok()?.strip_prefix(ID)?.parse().ok()
}

/// That Envoy has the stream: from then on a client counts the time after which it leaves.
pub(super) type Arrived = oneshot::Receiver<()>;

/// Headers that Envoy makes, or that the connection has.
const NOT_SENT: [&[u8]; 2] = [b"x-forwarded-proto", b"x-request-id"];

/// Sends a request and reads the answer: what the client knows of the outcome.
///
/// # Errors
/// When Envoy cannot be reached.
pub(super) async fn request(to: SocketAddr, number: usize, request: Request, arrived: Arrived) -> Result<Outcome> {
    let stream = connect(to, &request.source, &request.destination).await?;
    let (mut read, mut write) = stream.into_split();
    let first = |name: &str| String::from_utf8_lossy(request.headers.first(name).unwrap_or_default()).into_owned();
    let chunked = !request.body.is_empty() || request.trailers.is_some();
    let sent = request.headers.iter().filter(|(name, _)| !NOT_SENT.contains(name)).collect::<HeaderMap>();
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\nx-request-id: {ID}{number:012}\r\n",
        first(":method"),
        first(":path"),
        first(":authority")
    )
    .into_bytes();
    head.extend(lines(&sent));
    head.extend(if chunked { &b"transfer-encoding: chunked\r\n\r\n"[..] } else { b"\r\n" });
    let send = async {
        write.write_all(&head).await?;
        for piece in &request.body {
            sleep(request.pace).await;
            write.write_all(&chunk(piece)).await?;
        }
        if chunked {
            sleep(request.pace).await;
            let trailers = lines(request.trailers.as_ref().unwrap_or(&HeaderMap::default()));
            write.write_all(&[b"0\r\n", &trailers[..], b"\r\n"].concat()).await?;
        }
        // Closing this side is for later: it would be the client's leave.
        std::future::pending::<Result<()>>().await
    };
    let mut bytes = Vec::new();
    let receive = async {
        loop {
            if Message::read(&bytes).length.is_some() {
                return End::Answered;
            }
            match read.read_buf(&mut bytes).await {
                Ok(1..) => {}
                // A reset is an end as well.
                Ok(0) | Err(_) => return End::Reset,
            }
        }
    };
    let both = async {
        tokio::pin!(receive);
        tokio::select! {
            end = &mut receive => end,
            // What cannot be sent any more has its reason in what comes back.
            _ = send => receive.await,
        }
    };
    let end = lived(both, request.leaves_after, arrived).await;
    let message = Message::read(&bytes);
    let map = |pairs: &[(String, String)]| pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let trailers = Some(map(&message.trailers)).filter(|trailers: &HeaderMap| !trailers.is_empty());
    Ok(Outcome {
        end,
        status: message.first.split(' ').nth(1).and_then(|status| status.parse().ok()),
        response_headers: map(&message.headers),
        response_body: message.body,
        response_trailers: trailers,
        ..Outcome::default()
    })
}

/// Makes a TCP connection, sends, and reads to its end.
///
/// # Errors
/// When Envoy cannot be reached.
pub(super) async fn connection(to: SocketAddr, connection: Connection, arrived: Arrived) -> Result<Outcome> {
    let mut stream = connect(to, &connection.source, &connection.destination).await?;
    let mut bytes = Vec::new();
    let both = async {
        for (pace, piece) in &connection.data {
            sleep(*pace).await;
            // What cannot be sent any more has its reason in what comes back.
            let _ = stream.write_all(piece).await;
        }
        while matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {}
        End::Reset
    };
    let end = lived(both, connection.leaves_after, arrived).await;
    Ok(Outcome { end, response_body: bytes, ..Outcome::default() })
}

/// The end of a stream, which its client may not wait for; none if it takes longer than anything does.
async fn lived(stream: impl Future<Output = End>, leaves_after: Option<Duration>, arrived: Arrived) -> Option<End> {
    let Some(time) = leaves_after else { return timeout(PATIENCE, stream).await.ok() };
    tokio::select! {
        end = stream => Some(end),
        () = async {
            // Nobody says so any more when the run has failed; then the end does not matter.
            let _ = arrived.await;
            sleep(time).await;
        } => Some(End::ClientLeft),
    }
}

/// A connection that names its peer and destination by the PROXY protocol.
async fn connect(to: SocketAddr, source: &str, destination: &str) -> Result<TcpStream> {
    let (source, destination): (SocketAddr, SocketAddr) = (source.parse()?, destination.parse()?);
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = ((source.ip(), source.port()), (destination.ip(), destination.port()));
    stream.write_all(format!("PROXY {family} {} {} {} {}\r\n", from.0, to.0, from.1, to.1).as_bytes()).await?;
    Ok(stream)
}
