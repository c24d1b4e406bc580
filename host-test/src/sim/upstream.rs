//! Clusters and what their upstreams do, as scripted; and the callouts that are under way.

use crate::host::{HeaderMap, Random, abi::Status, context::Message};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, rc::Rc, time::Duration};

/// What a cluster does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A response.
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
    Reset,
}

#[derive(Clone, Debug)]
pub(crate) struct Callout {
    pub(crate) request: Request,
    /// When it ends, and how; `None` for never.
    pub(crate) end: Option<(u64, Outcome)>,
    pub(crate) grpc: bool,
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

    /// The cluster whose name is in these bytes.
    pub(crate) fn cluster_named_in(&self, bytes: &[u8]) -> Option<String> {
        let holds = |name: &&String| bytes.windows(name.len().max(1)).any(|window| window == name.as_bytes());
        self.clusters.keys().filter(holds).max_by_key(|name| name.len()).cloned()
    }

    pub(crate) fn dispatch(&mut self, request: Request, now: u64, random: &mut Random) -> Dispatched {
        let Some(rules) = self.clusters.get_mut(&request.cluster) else {
            return Dispatched::Refused(Status::BadArgument);
        };
        if [":path", ":method", ":authority"].iter().any(|name| request.headers.first(name).is_none()) {
            return Dispatched::Refused(Status::BadArgument);
        }
        let path = request.path();
        let fits = |rule: &&mut Rule| path.contains(&rule.path) && rule.times != Some(0);
        // A cluster without a rule for it has no host, for which Envoy refuses at once.
        let Some(rule) = rules.iter_mut().find(fits) else { return Dispatched::Refused(Status::InternalFailure) };
        rule.times = rule.times.map(|times| times - 1);
        let answer = match &rule.answer {
            Responder::Always(answer) => answer.clone(),
            Responder::By(answer) => answer(&request),
        };
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
            (Some(timeout), _) => Some((timeout, Outcome::Response(by_envoy(504, "upstream request timeout")))),
            (None, Answer::Never) => None,
            (None, answer) => Some((at, outcome(answer, at - now))),
        };
        let id = self.count;
        self.count += 1;
        self.open.insert(id, Callout { request, end, grpc: false, answer: name });
        self.most_open = self.most_open.max(self.open.len());
        Dispatched::Sent(id)
    }

    pub(crate) fn get(&self, id: usize) -> Option<&Callout> {
        self.open.get(&id)
    }

    pub(crate) fn mark_grpc(&mut self, id: usize) {
        if let Some(callout) = self.open.get_mut(&id) {
            callout.grpc = true;
        }
    }

    pub(crate) fn take(&mut self, id: usize) -> Option<Callout> {
        self.open.remove(&id)
    }

    /// How many callouts are under way, and were sent in all.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.open.len(), self.count)
    }

    /// Ends the callouts of contexts that are gone; nobody is told. Gives their numbers.
    pub(crate) fn cancel(&mut self, worker: usize, vm: usize, context: Option<u32>) -> Vec<usize> {
        let goes = |request: &Request| {
            request.worker == worker && request.vm == vm && context.is_none_or(|context| context == request.context)
        };
        let ids: Vec<usize> = self.open.iter().filter(|(_, open)| goes(&open.request)).map(|(id, _)| *id).collect();
        for id in &ids {
            self.open.remove(id);
        }
        ids
    }

    pub(crate) fn is_open(&self, worker: usize, vm: usize, token: u32) -> bool {
        self.of_token(worker, vm, token).is_some()
    }

    pub(crate) fn cancel_token(&mut self, worker: usize, vm: usize, token: u32) -> bool {
        self.of_token(worker, vm, token).and_then(|id| self.open.remove(&id)).is_some()
    }

    /// gRPC only: HTTP callouts have numbers of their own.
    fn of_token(&self, worker: usize, vm: usize, token: u32) -> Option<usize> {
        let is = |open: &Callout| {
            let request = &open.request;
            open.grpc && request.worker == worker && request.vm == vm && request.token == token
        };
        self.open.iter().find(|(_, open)| is(open)).map(|(id, _)| *id)
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
        Answer::Reset => {
            let why = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
            Outcome::Response(by_envoy(503, why))
        }
        Answer::Cut | Answer::Never | Answer::Refuse(_) => Outcome::Reset,
    }
}

/// An answer that the proxy makes itself: without the upstream's service time.
fn by_envoy(status: u32, body: &str) -> Message {
    let mut headers = HeaderMap::default();
    headers.add(":status", status.to_string());
    headers.add("content-length", body.len().to_string());
    headers.add("content-type", "text/plain");
    Message { headers, body: body.into(), trailers: HeaderMap::default() }
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
