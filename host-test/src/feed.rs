//! A server of feeds, and receiver of webhooks, which can be told what to answer.

use crate::{background::Background, changes::Watched};
use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
};
use tokio::{net::TcpListener, task::JoinSet};

/// What a path answers.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// The name of this version: who sends it back is told that nothing has changed.
    pub etag: Option<String>,
}

impl Page {
    /// A page with status 200 and no name.
    pub fn of(body: impl Into<Bytes>) -> Page {
        Page { status: 200, body: body.into(), etag: None }
    }
}

/// A request for a feed, or with a message.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The status that it was answered with.
    pub status: u16,
}

impl Fetched {
    /// The first value of this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A running server of feeds; it stops when dropped.
#[derive(Debug)]
pub struct FeedServer {
    address: SocketAddr,
    state: Arc<Watched<State>>,
    _background: Background,
}

#[derive(Debug, Default)]
struct State {
    pages: BTreeMap<String, Page>,
    fetched: Vec<Fetched>,
}

impl FeedServer {
    /// Starts on any free local port. Every path is missing as yet.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<FeedServer> {
        let listener = StdListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Watched::new(State::default()));
        let background = Background::start("feeds", {
            let state = state.clone();
            move || serve(listener, state)
        })?;
        Ok(FeedServer { address, state, _background: background })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has this path answer so from now on.
    pub fn put(&self, path: &str, page: Page) {
        self.state.change(|state| state.pages.insert(path.into(), page));
    }

    /// The requests so far for this path.
    pub fn fetched(&self, path: &str) -> Vec<Fetched> {
        self.state.read(|state| state.fetched.iter().filter(|fetched| fetched.path == path).cloned().collect())
    }

    /// Waits until there were so many requests for this path; gives them all.
    ///
    /// # Errors
    /// When there were fewer after [`crate::PATIENCE`].
    pub async fn wait_for(&self, path: &str, count: usize) -> Result<Vec<Fetched>> {
        let reached = |state: &State| {
            let fetched: Vec<_> = state.fetched.iter().filter(|fetched| fetched.path == path).cloned().collect();
            (fetched.len() >= count).then_some(fetched)
        };
        let awaited = format!("{count} requests for {path}");
        self.state.reach_soon(&awaited, reached, |state| format!("{:?}", state.fetched)).await
    }
}

async fn serve(listener: StdListener, state: Arc<Watched<State>>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("the server of feeds cannot listen: {error}"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = state.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let state = state.clone();
                        async move { answer(request, &state).await }
                    });
                    // A client that leaves early is none of the server's business.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(request: Request<Incoming>, state: &Watched<State>) -> Result<Response<Full<Bytes>>> {
    let (request, body) = request.into_parts();
    let received = body.collect().await?.to_bytes();
    let (method, path) = (request.method.to_string(), request.uri.path().to_owned());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    let page = state.read(|state| state.pages.get(&path).cloned());
    let page = page.unwrap_or(Page { status: 404, body: Bytes::from_static(b"not here\n"), etag: None });
    let known = headers.iter().any(|(name, value)| name == "if-none-match" && Some(value) == page.etag.as_ref());
    let (status, body) = if known { (304, Bytes::new()) } else { (page.status, page.body) };
    let mut response = Response::builder().status(StatusCode::from_u16(status)?);
    if let Some(etag) = page.etag {
        response = response.header("etag", etag);
    }
    state.change(|state| state.fetched.push(Fetched { method, path, headers, body: received, status }));
    Ok(response.body(Full::new(body))?)
}
