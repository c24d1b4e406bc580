//! Clusters and what their upstreams do, as scripted; and the callouts that are under way.

use crate::host::{HeaderMap, Random, abi::Status, context::Message};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, rc::Rc, time::Duration};

/// What a cluster does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A response. For gRPC, its body is the one message of an answer that is whole, and its trailers may have another
    /// `grpc-status` than 0.
    Response {
        /// Its status.
        status: u32,
        /// More headers.
        headers: HeaderMap,
        /// Its body.
        body: Vec<u8>,
        /// Its trailers.
        trailers: HeaderMap,
    },
    /// A part of an answer to gRPC.
    Grpc {
        /// The initial metadata; only what comes first has any.
        headers: HeaderMap,
        /// The messages.
        messages: Vec<Vec<u8>>,
        /// The trailing metadata, with `grpc-status` if that is not 0; `None` when a stream goes on.
        trailers: Option<HeaderMap>,
    },
    /// The connection ends before an answer: Envoy answers 503 in the upstream's place.
    Reset,
    /// The connection ends in the middle of the answer: the module is told of no headers.
    Cut,
    /// There is no answer; the timeout ends it, if there is one.
    Never,
    /// Envoy refuses to send it: the module gets this status at once.
    Refuse(Status),
}

impl Answer {
    /// A response with a body.
    pub fn response(status: u32, body: impl Into<Vec<u8>>) -> Answer {
        Answer::Response { status, headers: HeaderMap::default(), body: body.into(), trailers: HeaderMap::default() }
    }
}

/// A request that a module sends to a cluster.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) worker: usize,
    pub(crate) vm: usize,
    pub(crate) context: u32,
    pub(crate) token: u32,
    /// Where it goes.
    pub cluster: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: HeaderMap,
    /// How long the module waits; `None` for ever.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A request that came over a real network: of no worker and no context.
    pub(crate) fn received(cluster: &str, headers: HeaderMap, body: Vec<u8>) -> Request {
        let (worker, vm, context, token) = Default::default();
        let (cluster, trailers) = (cluster.to_owned(), HeaderMap::default());
        Request { worker, vm, context, token, cluster, headers, body, trailers, timeout: None }
    }

    /// Its path, as text.
    pub fn path(&self) -> String {
        String::from_utf8_lossy(self.headers.first(":path").unwrap_or_default()).into_owned()
    }
}

/// A rule of a cluster's script: the first that fits a request, and is not used up, answers it.
#[derive(Clone)]
pub struct Rule {
    /// What the trace calls its answers; empty for nothing.
    pub name: String,
    /// What the request's path must hold; empty for any.
    pub path: String,
    /// How many requests it answers; `None` for all.
    pub times: Option<u64>,
    /// How long the answer takes.
    pub after: Duration,
    /// How much longer at most, chosen by the seed.
    pub jitter: Duration,
    /// The answer.
    pub answer: Responder,
}

/// What makes an answer of a request.
#[derive(Clone)]
pub enum Responder {
    /// Always the same.
    Always(Answer),
    /// It depends on the request.
    By(Rc<dyn Fn(&Request) -> Answer>),
}

impl Responder {
    /// The answer to this request.
    pub fn to(&self, request: &Request) -> Answer {
        match self {
            Responder::Always(answer) => answer.clone(),
            Responder::By(answer) => answer(request),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Rule({:?} after {:?})", self.path, self.after)
    }
}

impl Rule {
    /// Answers all requests so, at once.
    pub fn always(answer: Answer) -> Rule {
        Rule {
            name: String::new(),
            path: String::new(),
            times: None,
            after: Duration::ZERO,
            jitter: Duration::ZERO,
            answer: Responder::Always(answer),
        }
    }

    /// Answers all requests with what this makes of them.
    pub fn by(answer: impl Fn(&Request) -> Answer + 'static) -> Rule {
        Rule { answer: Responder::By(Rc::new(answer)), ..Rule::always(Answer::Never) }
    }

    /// The same, with answers that the trace calls so.
    pub fn called(self, name: &str) -> Rule {
        Rule { name: name.to_owned(), ..self }
    }

    /// The same, only for paths that hold this.
    pub fn on(self, path: &str) -> Rule {
        Rule { path: path.to_owned(), ..self }
    }

    /// The same, so much later.
    pub fn after(self, after: Duration) -> Rule {
        Rule { after, ..self }
    }

    /// The same, later by up to so much, as the seed has it.
    pub fn jitter(self, jitter: Duration) -> Rule {
        Rule { jitter, ..self }
    }

    /// The same, only so many times.
    pub fn times(self, times: u64) -> Rule {
        Rule { times: Some(times), ..self }
    }
}

/// What becomes of a callout.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Response(Message),
    /// For gRPC.
    Part(Part),
    /// Envoy answers in the upstream's place.
    Local(Local),
    /// The end comes when the answer has begun.
    Reset,
}

/// A part of an answer to gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) headers: HeaderMap,
    pub(crate) messages: Vec<Vec<u8>>,
    /// `None` when a stream goes on.
    pub(crate) trailers: Option<HeaderMap>,
}

/// An answer that the proxy makes itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) status: u32,
    pub(crate) body: &'static str,
    pub(crate) details: &'static str,
}

const TOO_LATE: Local = Local { status: 504, body: "upstream request timeout", details: "response_timeout" };

const NO_ANSWER: Local = Local {
    status: 503,
    body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
    details: "upstream_reset_before_response_started{connection_termination}",
};

pub(crate) const NO_HOST: Local = Local { status: 503, body: "no healthy upstream", details: "no_healthy_upstream" };

#[derive(Clone, Debug)]
pub(crate) struct Callout {
    pub(crate) request: Request,
    /// When it ends, and how; `None` for never.
    pub(crate) end: Option<(u64, Outcome)>,
    /// What the script calls the answer.
    pub(crate) answer: String,
}

pub(crate) enum Dispatched {
    Sent(usize),
    Refused(Status),
}

/// The most that Envoy takes of an answer.
const MOST_BODY: usize = 32 * 1024 * 1024;

/// All clusters, and the callouts to them.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    clusters: BTreeMap<String, Vec<Rule>>,
    open: BTreeMap<usize, Callout>,
    count: usize,
    /// The most that were open at once.
    pub(crate) most_open: usize,
}

impl Upstreams {
    pub(crate) fn add_cluster(&mut self, name: &str) {
        self.clusters.entry(name.to_owned()).or_default();
    }

    /// Puts a rule before those that there are.
    pub(crate) fn tell(&mut self, cluster: &str, rule: Rule) {
        self.clusters.entry(cluster.to_owned()).or_default().insert(0, rule);
    }

    pub(crate) fn forget(&mut self, cluster: &str) {
        if let Some(rules) = self.clusters.get_mut(cluster) {
            rules.clear();
        }
    }

    /// The rule for a request, or the status with which Envoy refuses to send it.
    fn rule(&mut self, request: &Request) -> Result<&mut Rule, Status> {
        let rules = self.clusters.get_mut(&request.cluster).ok_or(Status::BadArgument)?;
        if [":path", ":method", ":authority"].iter().any(|name| request.headers.first(name).is_none()) {
            return Err(Status::BadArgument);
        }
        let path = request.path();
        // A cluster without a rule for it has no host, for which Envoy refuses at once.
        let fits = |rule: &&mut Rule| path.contains(&rule.path) && rule.times != Some(0);
        let rule = rules.iter_mut().find(fits).ok_or(Status::InternalFailure)?;
        match rule.answer {
            Responder::Always(Answer::Refuse(status)) => Err(status),
            _ => Ok(rule),
        }
    }

    /// Whether a stream of gRPC can be opened.
    pub(crate) fn takes(&mut self, request: &Request) -> Result<(), Status> {
        self.rule(request).map(|_| ())
    }

    /// A message of a stream that has no rule: its upstream ends it.
    pub(crate) fn ends(&mut self, request: Request, now: u64) -> usize {
        let headers = [("content-type", "application/grpc")].into_iter().collect();
        let end = Part { headers, messages: Vec::new(), trailers: Some(HeaderMap::default()) };
        self.open(Callout { request, end: Some((now, Outcome::Part(end))), answer: String::new() })
    }

    fn open(&mut self, callout: Callout) -> usize {
        let id = self.count;
        self.count += 1;
        self.open.insert(id, callout);
        self.most_open = self.most_open.max(self.open.len());
        id
    }

    pub(crate) fn dispatch(&mut self, request: Request, now: u64, random: &mut Random) -> Dispatched {
        let rule = match self.rule(&request) {
            Ok(rule) => rule,
            Err(status) => return Dispatched::Refused(status),
        };
        rule.times = rule.times.map(|times| times - 1);
        let answer = rule.answer.to(&request);
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let jitter = if rule.jitter.is_zero() { 0 } else { random.below(nanos(rule.jitter).saturating_add(1)) };
        let at = now.saturating_add(nanos(rule.after)).saturating_add(jitter);
        if let Answer::Refuse(status) = answer {
            return Dispatched::Refused(status);
        }
        let name = rule.name.clone();
        let timeout = request.timeout.map(|timeout| now.saturating_add(nanos(timeout)));
        let late = timeout.filter(|timeout| *timeout <= at || answer == Answer::Never);
        let end = match (late, answer) {
            (Some(timeout), Answer::Cut) => Some((timeout, Outcome::Reset)),
            (Some(timeout), _) => Some((timeout, Outcome::Local(TOO_LATE))),
            (None, Answer::Never) => None,
            (None, answer) => Some((at, outcome(answer, at - now))),
        };
        Dispatched::Sent(self.open(Callout { request, end, answer: name }))
    }

    pub(crate) fn get(&self, id: usize) -> Option<&Callout> {
        self.open.get(&id)
    }

    pub(crate) fn take(&mut self, id: usize) -> Option<Callout> {
        self.open.remove(&id)
    }

    /// How many callouts are under way, and were sent in all.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.open.len(), self.count)
    }

    /// Ends the callouts of a context that is gone, or of a VM; nobody is told. Gives their numbers.
    pub(crate) fn cancel(&mut self, worker: usize, vm: usize, context: Option<u32>) -> Vec<usize> {
        self.cancel_those(worker, vm, |request| context.is_none_or(|context| context == request.context))
    }

    /// The same for the callouts of this number.
    pub(crate) fn cancel_token(&mut self, worker: usize, vm: usize, token: u32) -> Vec<usize> {
        self.cancel_those(worker, vm, |request| request.token == token)
    }

    fn cancel_those(&mut self, worker: usize, vm: usize, goes: impl Fn(&Request) -> bool) -> Vec<usize> {
        let goes = |request: &Request| request.worker == worker && request.vm == vm && goes(request);
        self.open.extract_if(.., |_, open| goes(&open.request)).map(|(id, _)| id).collect()
    }
}

fn outcome(answer: Answer, took: u64) -> Outcome {
    match answer {
        Answer::Response { body, .. } if body.len() > MOST_BODY => Outcome::Reset,
        Answer::Response { status, mut headers, body, trailers } => {
            headers.replace(":status", status.to_string());
            headers.replace("x-envoy-upstream-service-time", (took / 1_000_000).to_string());
            Outcome::Response(Message { headers, body, trailers })
        }
        Answer::Grpc { headers, messages, trailers } => Outcome::Part(Part { headers, messages, trailers }),
        Answer::Reset => Outcome::Local(NO_ANSWER),
        Answer::Cut | Answer::Never | Answer::Refuse(_) => Outcome::Reset,
    }
}

impl Local {
    /// The answer as it is to HTTP: without the upstream's service time.
    pub(crate) fn message(self) -> Message {
        let mut headers = HeaderMap::default();
        headers.add(":status", self.status.to_string());
        headers.add("content-length", self.body.len().to_string());
        headers.add("content-type", "text/plain");
        Message { headers, body: self.body.into(), trailers: HeaderMap::default() }
    }
}

/// How a script names an answer that is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// [`Answer::Reset`]
    Reset,
    /// [`Answer::Cut`]
    Cut,
    /// [`Answer::Never`]
    Never,
    /// [`Answer::Refuse`] with `BadArgument`: as if there were no such cluster.
    RefuseBadArgument,
    /// [`Answer::Refuse`] with `InternalFailure`: as if the cluster had no host.
    RefuseInternalFailure,
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        match failure {
            Failure::Reset => Answer::Reset,
            Failure::Cut => Answer::Cut,
            Failure::Never => Answer::Never,
            Failure::RefuseBadArgument => Answer::Refuse(Status::BadArgument),
            Failure::RefuseInternalFailure => Answer::Refuse(Status::InternalFailure),
        }
    }
}
