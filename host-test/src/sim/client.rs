//! What clients send, and what they and the upstream get.

use crate::host::HeaderMap;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// A request or connection of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) usize);

impl StreamId {
    /// Its number in the trace.
    pub fn number(self) -> usize {
        self.0
    }
}

/// A request that a client sends.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its headers, pseudo-headers among them.
    pub headers: HeaderMap,
    /// The pieces of its body.
    pub body: Vec<Vec<u8>>,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
    /// The peer as Envoy's trust settings find it.
    pub source: String,
    /// The listener's address.
    pub destination: String,
    /// What the client said in TLS, where a listener filter reads it.
    pub server_name: Option<String>,
    /// The worker that gets it, counted from 1.
    pub worker: usize,
    /// How long after one piece the next one comes.
    pub pace: Duration,
    /// After how long the client leaves; `None` for never.
    pub leaves_after: Option<Duration>,
    /// What the upstream answers.
    pub origin: Origin,
    /// More properties, by their path with dots between the parts.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// The number of its connection: requests of the same number come over the same. `None` for one of its own.
    pub connection: Option<u64>,
}

/// What the upstream answers to a request that passed all filters.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The status.
    pub status: u32,
    /// More headers.
    pub headers: HeaderMap,
    /// The pieces of the body.
    pub body: Vec<Vec<u8>>,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
    /// How long it takes; `None` for ever.
    pub after: Option<Duration>,
}

impl Default for Origin {
    /// `200` and `ok`, at once.
    fn default() -> Origin {
        Origin {
            status: 200,
            headers: HeaderMap::default(),
            body: vec![b"ok".to_vec()],
            trailers: None,
            after: Some(Duration::ZERO),
        }
    }
}

impl Request {
    /// A request with this method and path, from an address of the documentation range.
    pub fn new(method: &str, path: &str) -> Request {
        // In the order in which Envoy has them, with those that it adds.
        let headers = [
            (":authority", "example.com"),
            (":path", path),
            (":method", method),
            (":scheme", "http"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "00000000-0000-4000-8000-000000000000"),
        ];
        Request {
            headers: headers.into_iter().collect(),
            body: Vec::new(),
            trailers: None,
            source: "192.0.2.1:50000".into(),
            destination: "10.0.0.1:8080".into(),
            server_name: None,
            worker: 1,
            pace: Duration::ZERO,
            leaves_after: None,
            origin: Origin::default(),
            properties: BTreeMap::new(),
            connection: None,
        }
    }

    /// `GET`.
    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    /// The same from this peer, with its port.
    pub fn source(self, source: &str) -> Request {
        Request { source: source.to_owned(), ..self }
    }

    /// The same with one more header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Request {
        self.headers.add(name, value);
        self
    }

    /// The same with one more piece of body.
    pub fn body(mut self, piece: impl Into<Vec<u8>>) -> Request {
        self.body.push(piece.into());
        self
    }

    /// The same with trailers.
    pub fn trailers(self, trailers: HeaderMap) -> Request {
        Request { trailers: Some(trailers), ..self }
    }

    /// The same to this worker, counted from 1.
    pub fn worker(self, worker: usize) -> Request {
        Request { worker, ..self }
    }

    /// The same from a client that leaves after so long.
    pub fn leaves_after(self, time: Duration) -> Request {
        Request { leaves_after: Some(time), ..self }
    }

    /// The same with this answer of the upstream.
    pub fn origin(self, origin: Origin) -> Request {
        Request { origin, ..self }
    }
}

/// A TCP connection that a client makes.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The peer.
    pub source: String,
    /// The listener's address.
    pub destination: String,
    /// What the client said in TLS, where a listener filter reads it.
    pub server_name: Option<String>,
    /// The worker that gets it, counted from 1.
    pub worker: usize,
    /// What the client sends, and how long after the step before it.
    pub data: Vec<(Duration, Vec<u8>)>,
    /// What the upstream sends once it is connected.
    pub answers: Vec<(Duration, Vec<u8>)>,
    /// Whether the upstream closes with its last answer.
    pub upstream_closes: bool,
    /// After how long the client closes; `None` for never.
    pub leaves_after: Option<Duration>,
    /// Whether the filter that follows reads as soon as data comes, as the HTTP connection manager does, rather than once
    /// its upstream is connected, as the TCP proxy does.
    pub reads_at_once: bool,
    /// More properties, by their path with dots between the parts.
    pub properties: BTreeMap<String, Vec<u8>>,
}

impl Connection {
    /// A connection from this peer, before a TCP proxy.
    pub fn from(source: &str) -> Connection {
        Connection {
            source: source.to_owned(),
            destination: "10.0.0.1:8080".into(),
            server_name: None,
            worker: 1,
            data: Vec::new(),
            answers: Vec::new(),
            upstream_closes: false,
            leaves_after: None,
            reads_at_once: false,
            properties: BTreeMap::new(),
        }
    }

    /// The same with more data, at once.
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Connection {
        self.data.push((Duration::ZERO, data.into()));
        self
    }

    /// The same to this worker, counted from 1.
    pub fn worker(self, worker: usize) -> Connection {
        Connection { worker, ..self }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The client got a whole response.
    Answered,
    /// The stream was reset, or the connection closed, by the proxy.
    Reset,
    /// The client left.
    ClientLeft,
}

/// What has become of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// How it ended; `None` while it has not.
    pub end: Option<End>,
    /// The status that the client got.
    pub status: Option<u32>,
    /// What `%RESPONSE_CODE_DETAILS%` shows.
    pub details: String,
    /// The headers that the client got.
    pub response_headers: HeaderMap,
    /// The body, or bytes, that the client got.
    pub response_body: Vec<u8>,
    /// The trailers that the client got.
    pub response_trailers: Option<HeaderMap>,
    /// The headers that reached the upstream; `None` when the request did not.
    pub forwarded: Option<HeaderMap>,
    /// The body, or bytes, that reached the upstream.
    pub forwarded_body: Vec<u8>,
    /// The trailers that reached the upstream.
    pub forwarded_trailers: Option<HeaderMap>,
    /// Whether a TCP connection reached the upstream.
    pub connected: bool,
    /// Filter state that modules set, of stream and connection.
    pub filter_state: BTreeMap<String, String>,
    /// Virtual time from the first byte to the end.
    pub took: Duration,
}
