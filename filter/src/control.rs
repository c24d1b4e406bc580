//! Requests to the control listener: the HTTP context that answers by itself.

use crate::enforce::report;
use crate::host::{self, Action, Buffer, Headers};
use crate::root;
use crate::worker::{self, Worker};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use gate::{
    CONTROL_MAX_BODY, Call, Caller, Control as Access, Credential, Effects, Head, Moment, Reply, Site, StreamId,
};

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bearer tokens from the environment.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) read: Option<Vec<u8>>,
    pub(crate) write: Option<Vec<u8>>,
}

/// One request.
pub(crate) struct Control {
    stream: StreamId,
    site: Rc<Site>,
    tokens: Rc<Tokens>,
    /// What is to be done once the body has come.
    call: Option<Call>,
    body: Vec<u8>,
}

impl Control {
    pub(crate) fn new(stream: StreamId, site: Rc<Site>, tokens: Rc<Tokens>) -> Control {
        Control { stream, site, tokens, call: None, body: Vec::new() }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn on_request_headers(&mut self, end: bool) -> Action {
        let Some(access) = &self.site.config.control else { return Action::Pause };
        let head = head();
        if let Some(page) = head.page() {
            send(&page);
            return Action::Pause;
        }
        match head.admit(access, &self.caller(access)) {
            Err(reply) => send(&reply),
            Ok(call) if call.takes_body() && !end => {
                let awaited = worker::with(|worker| {
                    let until = worker.refresh().after(PATIENCE);
                    worker.bodies.insert(self.stream, until);
                });
                if awaited.is_some() {
                    self.call = Some(call);
                }
            }
            Ok(call) => self.answer(&call),
        }
        // Nothing goes on to an upstream. Bodies come all the same: the listener's configuration says so.
        Action::Pause
    }

    pub(crate) fn on_request_body(&mut self, size: usize, end: bool) -> Action {
        let awaited = worker::with(|worker| worker.bodies.get(&self.stream).is_some()).unwrap_or(false);
        let Some(call) = self.call.take_if(|_| awaited) else { return Action::Pause };
        // The host collects what comes while the request is paused.
        if size > CONTROL_MAX_BODY {
            self.forget();
            send(&Reply::too_large());
        } else if end {
            self.forget();
            self.body = match size {
                0 => Vec::new(),
                size => host::buffer(Buffer::RequestBody, size).unwrap_or_default(),
            };
            self.answer(&call);
        } else {
            self.call = Some(call);
        }
        Action::Pause
    }

    pub(crate) fn on_done(&self) {
        self.forget();
    }

    fn forget(&self) {
        worker::with(|worker| worker.bodies.remove(&self.stream));
    }

    fn caller(&self, access: &Access) -> Caller {
        let header = |name: &Option<Box<str>>| host::header(Headers::Request, name.as_deref()?);
        let asks_for_names = !access.read.certificates.is_empty() || !access.write.certificates.is_empty();
        Caller {
            authorization: host::header(Headers::Request, "authorization"),
            names: if asks_for_names { names() } else { Vec::new() },
            read: Credential {
                from_environment: self.tokens.read.clone(),
                from_header: header(&access.read.token_header),
            },
            write: Credential {
                from_environment: self.tokens.write.clone(),
                from_header: header(&access.write.token_header),
            },
        }
    }

    fn answer(&self, call: &Call) {
        let root = self.site.root;
        let reply = worker::with(|worker| {
            let (proxy, mut effects) = (worker.proxy(), Effects::default());
            let reply = worker.gate.serve(call, &self.body, proxy, &mut effects);
            effects.wake.push(root);
            root::carry_out(worker, &mut effects);
            reply
        });
        if let Some(reply) = reply {
            send(&reply);
        }
    }
}

/// Answers requests whose bodies do not come.
pub(crate) fn give_up(worker: &mut Worker, now: Moment) {
    let late: Vec<StreamId> =
        worker.bodies.iter().filter(|(_, until)| **until <= now).map(|(stream, _)| *stream).collect();
    for stream in late {
        worker.bodies.remove(&stream);
        if host::act_on(stream.0) == Ok(true) {
            send(&Reply::timed_out());
        }
    }
}

fn head() -> Head {
    let header = |name| host::header(Headers::Request, name);
    Head {
        method: header(":method").unwrap_or_default(),
        target: header(":path").unwrap_or_default(),
        authority: header(":authority").unwrap_or_default(),
        origin: header("origin"),
        fetch_site: header("sec-fetch-site"),
        content_type: header("content-type"),
        content_length: header("content-length"),
        idempotency_key: header("idempotency-key"),
    }
}

/// The names in the client's certificate, if the proxy has verified it.
fn names() -> Vec<Vec<u8>> {
    if host::property(b"connection\0mtls").as_deref() != Ok(&[1]) {
        return Vec::new();
    }
    let paths: [&[u8]; 2] = [b"connection\0uri_san_peer_certificate", b"connection\0dns_san_peer_certificate"];
    let names = paths.into_iter().filter_map(|path| host::property(path).ok());
    names.filter(|name| !name.is_empty()).collect()
}

fn send(reply: &Reply) {
    let headers: Vec<(&str, &str)> = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let replied = host::reply(reply.status, "portcullis_control", &headers, &reply.body, None);
    if replied.is_err() {
        report("answer", replied);
        report("reset", host::reset_request());
    }
}
