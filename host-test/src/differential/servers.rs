//! The servers behind the Envoy of a scenario: its clusters and its upstream, which answer by the scenario's own rules.

use super::client::number;
use crate::{
    background::Background,
    changes::Watched,
    host::HeaderMap,
    message::Message,
    scenario::{self, Answer, Scenario},
    sim::{Origin, upstream},
};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeMap,
    future::pending,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};

/// All servers of a scenario, on one thread.
#[derive(Debug)]
pub(super) struct Servers {
    /// Where the upstream listens.
    pub(super) origin: SocketAddr,
    /// Where the clusters listen.
    pub(super) clusters: BTreeMap<String, SocketAddr>,
    /// What they do and have seen.
    pub(super) state: Arc<Watched<State>>,
    _background: Background,
}

/// What the servers do and have seen.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What each cluster answers, the first that fits first.
    pub(super) answers: BTreeMap<String, Vec<Answer>>,
    /// What the upstream answers, for each stream.
    pub(super) origins: Vec<Origin>,
    /// How many calls came to the clusters.
    pub(super) calls: usize,
    /// What came to the upstream, for each stream.
    pub(super) forwarded: BTreeMap<usize, Forwarded>,
    /// What came to the upstream over each TCP connection, in their order.
    pub(super) connections: Vec<Vec<u8>>,
}

/// A request as it came to the upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarded {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: HeaderMap,
}

/// What listens somewhere.
#[derive(Clone, Debug)]
enum Server {
    Origin,
    Plain,
    Cluster(String),
}

impl Servers {
    /// Starts them on any free local ports. The upstream speaks HTTP/1.1, or takes whatever comes if it is `plain`.
    ///
    /// # Errors
    /// When they cannot listen.
    pub(super) fn start(scenario: &Scenario, plain: bool) -> Result<Servers> {
        let bind = || {
            let listener = StdListener::bind(("127.0.0.1", 0))?;
            listener.set_nonblocking(true)?;
            anyhow::Ok((listener.local_addr()?, listener))
        };
        let state = Arc::new(Watched::new(State { answers: scenario.cluster.clone(), ..State::default() }));
        let (origin, listener) = bind()?;
        let mut servers = vec![(if plain { Server::Plain } else { Server::Origin }, listener)];
        let mut clusters = BTreeMap::new();
        let told = scenario.step.iter().filter_map(|step| step.answers.as_ref()).flat_map(BTreeMap::keys);
        for name in scenario.cluster.keys().chain(told) {
            if !clusters.contains_key(name) {
                let (address, listener) = bind()?;
                clusters.insert(name.clone(), address);
                servers.push((Server::Cluster(name.clone()), listener));
            }
        }
        let background = Background::start("scenario", {
            let state = state.clone();
            || async move {
                let mut all = JoinSet::new();
                for (server, listener) in servers {
                    all.spawn(serve(server, listener, state.clone()));
                }
                while all.join_next().await.is_some() {}
            }
        })?;
        Ok(Servers { origin, clusters, state, _background: background })
    }
}

async fn serve(server: Server, listener: StdListener, state: Arc<Watched<State>>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("{server:?} cannot listen: {error}"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (server, state) = (server.clone(), state.clone());
                connections.spawn(async move {
                    // Connections that end badly are what some answers are for.
                    let _ = match &server {
                        Server::Plain => swallow(stream, &state).await,
                        server => answer(stream, server, &state).await,
                    };
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps what comes over a connection.
async fn swallow(mut stream: TcpStream, state: &Watched<State>) -> Result<()> {
    let index = state.change(|state| {
        state.connections.push(Vec::new());
        state.connections.len() - 1
    });
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        state.change(|state| state.connections[index].extend(&buffer[..count]));
    }
}

/// Answers the requests of a connection, one after the other.
async fn answer(mut stream: TcpStream, server: &Server, state: &Watched<State>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let message = Message::read(&bytes);
        if let Some(length) = message.length {
            bytes.drain(..length);
            match server {
                Server::Cluster(name) => of_cluster(&mut stream, name, message, state).await?,
                Server::Origin | Server::Plain => of_origin(&mut stream, message, state).await?,
            }
        } else if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// The headers of a request as Envoy had them.
fn headers(message: &Message) -> Result<HeaderMap> {
    let mut words = message.first.split(' ');
    let (method, path) = (words.next().context("no method")?, words.next().context("no path")?);
    let mut headers: HeaderMap = [(":method", method), (":path", path)].into_iter().collect();
    for (name, value) in &message.headers {
        headers.add(if name == "host" { ":authority" } else { name }, value);
    }
    Ok(headers)
}

fn map(pairs: &[(String, String)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

async fn of_cluster(stream: &mut TcpStream, name: &str, message: Message, state: &Watched<State>) -> Result<()> {
    let headers = headers(&message)?;
    let request = upstream::Request::received(name, headers, message.body);
    let path = request.path();
    let answer = state.change(|state| {
        state.calls += 1;
        let answers = state.answers.get_mut(name)?;
        let answer = answers.iter_mut().find(|answer| path.contains(&answer.path) && answer.times != Some(0))?;
        answer.times = answer.times.map(|times| times - 1);
        Some(answer.clone())
    });
    let Some(answer) = answer else { bail!("no rule of {name} is for {path}") };
    // What a rule makes of the request is not kept over a pause: it is for one thread.
    let (delay, answer) = decide(&answer, &request)?;
    time::sleep(delay).await;
    match answer {
        upstream::Answer::Response { status, headers, body, trailers } => {
            respond(stream, status, &headers, &[body], Some(&trailers).filter(|trailers| !trailers.is_empty())).await
        }
        upstream::Answer::Cut => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{").await?;
            bail!("cut, as told")
        }
        upstream::Answer::Never => pending().await,
        upstream::Answer::Grpc { .. } => bail!("no scenario has a way to say this"),
        upstream::Answer::Reset | upstream::Answer::Refuse(_) => bail!("closed, as told"),
    }
}

fn decide(answer: &Answer, request: &upstream::Request) -> Result<(Duration, upstream::Answer)> {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let rule = scenario::rule(answer, now)?;
    Ok((rule.after, rule.answer.to(request)))
}

async fn of_origin(stream: &mut TcpStream, message: Message, state: &Watched<State>) -> Result<()> {
    let headers = headers(&message)?;
    let id = headers.first("x-request-id").and_then(number).context("a request of nobody")?;
    let origin = state.change(|state| {
        let forwarded = Forwarded { headers, body: message.body, trailers: map(&message.trailers) };
        state.forwarded.insert(id, forwarded);
        state.origins.get(id).cloned()
    });
    let Origin { status, headers, body, trailers, after } = origin.context("a request that nobody made")?;
    match after {
        Some(after) => time::sleep(after).await,
        None => pending().await,
    }
    respond(stream, status, &headers, &body, trailers.as_ref()).await
}

async fn respond(
    stream: &mut TcpStream,
    status: u32,
    headers: &HeaderMap,
    body: &[Vec<u8>],
    trailers: Option<&HeaderMap>,
) -> Result<()> {
    let size: usize = body.iter().map(Vec::len).sum();
    let mut bytes = format!("HTTP/1.1 {status} As told\r\n").into_bytes();
    bytes.extend(match trailers {
        Some(_) => b"transfer-encoding: chunked\r\n".to_vec(),
        None => format!("content-length: {size}\r\n").into_bytes(),
    });
    bytes.extend(lines(headers));
    bytes.extend(b"\r\n");
    for piece in body {
        bytes.extend(if trailers.is_some() { chunk(piece) } else { piece.clone() });
    }
    if let Some(trailers) = trailers {
        bytes.extend(b"0\r\n");
        bytes.extend(lines(trailers));
        bytes.extend(b"\r\n");
    }
    Ok(stream.write_all(&bytes).await?)
}

/// Headers or trailers as HTTP/1.1 has them, without pseudo-headers.
pub(super) fn lines(headers: &HeaderMap) -> Vec<u8> {
    let ordinary = headers.iter().filter(|(name, _)| !name.starts_with(b":"));
    ordinary.flat_map(|(name, value)| [name, b": ", value, b"\r\n"].concat()).collect()
}

/// A piece of a body of unknown length; an empty one is none.
pub(super) fn chunk(piece: &[u8]) -> Vec<u8> {
    if piece.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}
