//! An upstream that answers with what it received, and remembers it.

use crate::{background::Background, changes::Watched};
use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
};
use tokio::{net::TcpListener, task::JoinSet};

/// A request as the upstream got it. Bytes of headers are given as the characters of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The trailers.
    pub trailers: Vec<(String, String)>,
    /// How many bytes the body had.
    pub body_bytes: usize,
    /// The checksum of the body, see [`checksum`].
    pub body_checksum: u64,
}

impl Seen {
    /// All values of this header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Reads a request back from the upstream's answer; `None` for other bodies.
    pub fn from_answer(body: &[u8]) -> Option<Seen> {
        let json: Value = serde_json::from_slice(body).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let pairs = |list: &Value| -> Option<Vec<_>> {
            list.as_array()?.iter().map(|pair| Some((text(&pair[0])?, text(&pair[1])?))).collect()
        };
        Some(Seen {
            method: text(&json["method"])?,
            path: text(&json["path"])?,
            headers: pairs(&json["headers"])?,
            trailers: pairs(&json["trailers"])?,
            body_bytes: usize::try_from(json["body_bytes"].as_u64()?).ok()?,
            body_checksum: json["body_checksum"].as_u64()?,
        })
    }

    fn answer(&self) -> String {
        format!(
            "{}\n",
            json!({
                "method": self.method, "path": self.path, "headers": self.headers, "trailers": self.trailers,
                "body_bytes": self.body_bytes, "body_checksum": self.body_checksum,
            })
        )
    }
}

/// A checksum that tells bodies apart (FNV-1a, <https://www.rfc-editor.org/rfc/rfc9923>).
pub fn checksum(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A running upstream; it stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Watched<Vec<Seen>>>,
    _background: Background,
}

impl Upstream {
    /// Starts on any free local port.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Upstream> {
        let listener = StdListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Watched::new(Vec::new()));
        let background = Background::start("upstream", {
            let seen = seen.clone();
            move || serve(listener, seen)
        })?;
        Ok(Upstream { address, seen, _background: background })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, in the order in which they ended.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.read(Clone::clone)
    }

    /// Waits until so many requests came; gives them all.
    ///
    /// # Errors
    /// When fewer came within [`crate::PATIENCE`].
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Seen>> {
        let reached = |seen: &Vec<Seen>| (seen.len() >= count).then(|| seen.clone());
        self.seen.reach_soon(&format!("{count} requests"), reached, |seen| format!("{} came", seen.len())).await
    }
}

async fn serve(listener: StdListener, seen: Arc<Watched<Vec<Seen>>>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("the upstream cannot listen: {error}"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let seen = seen.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| echo(request, seen.clone()));
                    // A client that leaves early is none of the upstream's business.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn echo(request: Request<Incoming>, seen: Arc<Watched<Vec<Seen>>>) -> Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    let request = Seen {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: pairs(&parts.headers),
        trailers: pairs(&trailers),
        body_bytes: body.len(),
        body_checksum: checksum(&body),
    };
    let answer = request.answer();
    seen.change(|seen| seen.push(request));
    Ok(Response::new(answer.into()))
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}
