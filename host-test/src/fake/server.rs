//! The stand-in's server: connections in, answers out.

use super::{Answer, Call, Options, Rule, clock::Clock, domain, fixtures, rules::Rules};
use crate::changes::Watched;
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    future::pending,
    io,
    net::{IpAddr, TcpListener as StdListener},
    sync::Arc,
    time::Instant,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{mpsc, oneshot},
    task::{self, JoinSet},
    time,
};

/// Everything that calls and tests change.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) rules: Rules,
    pub(super) calls: Vec<Call>,
    pub(super) in_flight: u32,
    /// How often held calls were let go.
    pub(super) releases: u64,
    started: Instant,
}

impl State {
    pub(super) fn new(options: Options) -> State {
        let started = Instant::now();
        State { options, rules: Rules::default(), calls: Vec::new(), in_flight: 0, releases: 0, started }
    }

    pub(super) fn summary(&self) -> String {
        let calls: Vec<_> =
            self.calls.iter().map(|call| format!("{} {}", call.target, call.outcome.unwrap_or("under way"))).collect();
        format!("{} in flight, calls: [{}]", self.in_flight, calls.join(", "))
    }
}

/// A command to the accepting loop; it reports when it is done.
#[derive(Debug)]
pub(super) enum Door {
    Open(oneshot::Sender<Result<()>>),
    Close(oneshot::Sender<Result<()>>),
}

/// Accepts connections, or refuses them, until dropped.
pub(super) async fn serve(listener: StdListener, state: Arc<Watched<State>>, mut doors: mpsc::UnboundedReceiver<Door>) {
    let mut connections = JoinSet::new();
    let mut entrance = match TcpListener::from_std(listener) {
        Ok(listener) => Entrance::Open(listener),
        Err(error) => return eprintln!("the stand-in cannot listen: {error}"),
    };
    loop {
        tokio::select! {
            Some(door) = doors.recv() => {
                let (moved, done) = match door {
                    Door::Open(done) => (entrance.open(), done),
                    Door::Close(done) => {
                        connections.shutdown().await;
                        (entrance.close(), done)
                    }
                };
                let result = moved.map(|moved| entrance = moved);
                let failed = result.is_err();
                // Whoever gave the command may have given up waiting.
                let _ = done.send(result);
                if failed {
                    return;
                }
            }
            stream = entrance.next() => {
                let Ok(stream) = stream else { continue };
                let state = state.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, state.clone()));
                    // A connection that ends badly is what some answers are for.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The port: listened on, or kept without listening so that connecting is refused and nobody else gets it.
#[derive(Debug)]
enum Entrance {
    Open(TcpListener),
    Closed(TcpSocket),
}

impl Entrance {
    async fn next(&self) -> io::Result<tokio::net::TcpStream> {
        match self {
            Entrance::Open(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            Entrance::Closed(_) => pending().await,
        }
    }
}

impl Entrance {
    /// Takes `self` by a swap, since both directions consume the socket.
    fn open(&mut self) -> Result<Entrance> {
        match std::mem::replace(self, placeholder()?) {
            Entrance::Closed(socket) => Ok(Entrance::Open(socket.listen(1024)?)),
            open => Ok(open),
        }
    }

    fn close(&mut self) -> Result<Entrance> {
        match std::mem::replace(self, placeholder()?) {
            Entrance::Open(listener) => {
                let address = listener.local_addr()?;
                drop(listener);
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.set_reuseaddr(true)?;
                socket.bind(address).with_context(|| format!("{address} was taken meanwhile"))?;
                Ok(Entrance::Closed(socket))
            }
            closed => Ok(closed),
        }
    }
}

fn placeholder() -> Result<Entrance> {
    Ok(Entrance::Closed(TcpSocket::new_v4()?))
}

type Body = BoxBody<Bytes, io::Error>;

async fn answer(request: Request<Incoming>, state: Arc<Watched<State>>) -> Result<Response<Body>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/asset/ip/report" | "/v1/ip/data") => report(&request, state).await,
        (&Method::GET, "/v1/domain/quick/malicious/view") => domain(&request, state).await,
        (_, path) if path.starts_with("/_control/") => control(request, &state).await,
        _ => Ok(whole(StatusCode::NOT_FOUND, "{\"status\":404,\"message\":\"Not Found\"}\n")),
    }
}

/// A call about an address.
async fn report(request: &Request<Incoming>, state: Arc<Watched<State>>) -> Result<Response<Body>> {
    let given = parameter(request, "ip");
    let ip = given.as_deref().and_then(|ip| ip.parse().ok());
    let full = parameter(request, "full").as_deref() == Some("true");
    let body = || Some(fixtures::report(ip?, Clock::now())?.body(full));
    look_up(request, state, About { ip, domain: None }, given.is_some(), body).await
}

/// A call about a domain.
async fn domain(request: &Request<Incoming>, state: Arc<Watched<State>>) -> Result<Response<Body>> {
    let domain = parameter(request, "domain");
    let body = || domain::answer(domain.as_deref()?, Clock::now());
    look_up(request, state, About { ip: None, domain: domain.clone() }, domain.is_some(), body).await
}

fn parameter(request: &Request<Incoming>, name: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.replace("%3A", ":").replace("%3a", ":"))
}

/// One call, from its journal entry to its answer. Dropped half-way when the caller leaves.
async fn look_up(
    request: &Request<Incoming>,
    state: Arc<Watched<State>>,
    about: About,
    given: bool,
    body: impl Fn() -> Option<Vec<u8>>,
) -> Result<Response<Body>> {
    let (call, rule, mut answer) = Entry::open(&state, request, about);
    time::sleep(rule.delay).await;
    if rule.held {
        state.reach(|state| (state.releases > call.releases).then_some(())).await;
    }
    if answer == Answer::Report && !given {
        answer = Answer::Raw(200, b"{\"status\":412,\"message\":\"Missing Parameter\"}\n".into());
    }
    let Some(report) = body() else {
        if answer == Answer::Report {
            answer = Answer::InvalidAddress;
        }
        return call.close(&answer, b"");
    };
    if answer == Answer::Report && !state.change(State::spend) {
        answer = Answer::NoCredit;
    }
    if answer == Answer::Silence {
        pending::<()>().await;
    }
    call.close(&answer, &report)
}

/// What a call is about, if it is about anything.
struct About {
    ip: Option<IpAddr>,
    domain: Option<String>,
}

impl State {
    /// Takes one credit; false if there is none.
    fn spend(&mut self) -> bool {
        match &mut self.options.credits {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

/// A call's entry in the journal; it says `abandoned` unless it is closed.
struct Entry {
    state: Arc<Watched<State>>,
    index: usize,
    releases: u64,
    outcome: &'static str,
}

impl Entry {
    /// Records the call, and says what is to be done with it.
    fn open(state: &Arc<Watched<State>>, request: &Request<Incoming>, about: About) -> (Entry, Rule, Answer) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        state.change(|inner| {
            let rule = inner.rules.take(about.ip, about.domain.as_deref());
            let key_fits = headers.iter().any(|(name, value)| name == "x-api-key" && *value == inner.options.key);
            let crowded = inner.options.concurrency.is_some_and(|limit| inner.in_flight >= limit);
            let answer = match rule.answer.clone() {
                Answer::Report if !key_fits => Answer::BadKey,
                Answer::Report if crowded => Answer::ConcurrencyRefused,
                answer => answer,
            };
            inner.calls.push(Call {
                at: inner.started.elapsed(),
                ip: about.ip,
                domain: about.domain,
                target: request.uri().to_string(),
                headers,
                overlapped: inner.in_flight > 0,
                outcome: None,
            });
            inner.in_flight += 1;
            let index = inner.calls.len() - 1;
            let entry = Entry { state: state.clone(), index, releases: inner.releases, outcome: "abandoned" };
            (entry, rule, answer)
        })
    }

    fn close(mut self, answer: &Answer, report: &[u8]) -> Result<Response<Body>> {
        self.outcome = answer.name();
        respond(answer, report)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.state.change(|state| {
            state.in_flight -= 1;
            if let Some(call) = state.calls.get_mut(self.index) {
                call.outcome = Some(self.outcome);
            }
        });
    }
}

fn respond(answer: &Answer, report: &[u8]) -> Result<Response<Body>> {
    if let Some((status, body)) = answer.message(report) {
        let mut response = whole(StatusCode::from_u16(status)?, body);
        match answer {
            Answer::RateLimited(Some(seconds)) => {
                response.headers_mut().insert(RETRY_AFTER, (*seconds).into());
            }
            Answer::BadGateway => {
                response.headers_mut().insert(CONTENT_TYPE, "text/html".parse()?);
            }
            _ => {}
        }
        return Ok(response);
    }
    match answer {
        Answer::Cut => {
            let start = stream::iter([Ok(Frame::data(report[..report.len() / 2].to_vec().into()))]);
            // The pause lets what was written so far leave before the connection is closed.
            let end = stream::once(async {
                task::yield_now().await;
                Err(io::Error::other("cut, as told"))
            });
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(start.chain(end))));
            response.headers_mut().insert(CONTENT_LENGTH, report.len().into());
            Ok(response)
        }
        Answer::Close => Err(anyhow!("closed, as told")),
        _ => unreachable!("silence is never answered, and everything else has a message"),
    }
}

/// `/_control/rules` (POST a rule, DELETE all), `/_control/release` (POST), `/_control/settings` (PUT `credits` and
/// `concurrency`, a number or null), `/_control/calls` (GET).
async fn control(request: Request<Incoming>, state: &Watched<State>) -> Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let done = match (parts.method, parts.uri.path()) {
        (Method::POST, "/_control/rules") => serde_json::from_slice(&body)
            .map_err(Into::into)
            .and_then(|json: Value| Rule::from_json(&json))
            .map(|rule| state.change(|state| state.rules.add(rule))),
        (Method::DELETE, "/_control/rules") => {
            state.change(|state| state.rules.clear());
            Ok(())
        }
        (Method::POST, "/_control/release") => {
            state.change(|state| state.releases += 1);
            Ok(())
        }
        (Method::PUT, "/_control/settings") => settings(&body, state),
        (Method::GET, "/_control/calls") => {
            let calls: Vec<_> = state.read(|state| state.calls.iter().map(call_json).collect());
            return Ok(whole(StatusCode::OK, format!("{}\n", Value::Array(calls))));
        }
        (method, path) => Err(anyhow!("no {method} {path} here")),
    };
    Ok(match done {
        Ok(()) => whole(StatusCode::NO_CONTENT, ""),
        Err(error) => whole(StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    })
}

fn settings(body: &[u8], state: &Watched<State>) -> Result<()> {
    let json: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    for (key, value) in json {
        let number = if value.is_null() {
            None
        } else {
            Some(value.as_u64().with_context(|| format!("{key}: neither null nor a whole number: {value}"))?)
        };
        match key.as_str() {
            "credits" => state.change(|state| state.options.credits = number),
            "concurrency" => {
                let number = number.map(u32::try_from).transpose()?;
                state.change(|state| state.options.concurrency = number);
            }
            _ => return Err(anyhow!("there is no setting {key:?}; there are credits and concurrency")),
        }
    }
    Ok(())
}

fn call_json(call: &Call) -> Value {
    let headers: serde_json::Map<_, _> =
        call.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "at_ms": u64::try_from(call.at.as_millis()).unwrap_or(u64::MAX), "ip": call.ip.map(|ip| ip.to_string()),
        "domain": call.domain, "target": call.target, "headers": headers, "overlapped": call.overlapped, "outcome": call.outcome,
    })
}

fn whole(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
