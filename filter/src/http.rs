//! Requests: the HTTP context.

use crate::enforce::{enforce, pass_untagged, report};
use crate::host::{self, Action, Headers};
use crate::upstream::Unresolved;
use crate::worker::{self, Worker};
use crate::{remote, route};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use evaluator::{Connection, Direction, Source, Timestamp};
use gate::{Admitted, Config, Consulted, Destination, Place, Remote, Site, StreamId};

/// One request.
pub(crate) struct Http {
    stream: StreamId,
    site: Rc<Site>,
    /// A destination whose address is to be judged once it is known.
    unresolved: Option<Box<Unresolved>>,
    /// Something of it is kept elsewhere.
    is_kept: bool,
    /// Where the journal has it.
    noted: Option<Place>,
    /// What its client has sent: its body, so far.
    bytes: u64,
}

impl Http {
    pub(crate) fn new(stream: StreamId, site: Rc<Site>) -> Http {
        Http { stream, site, unresolved: None, is_kept: false, noted: None, bytes: 0 }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn on_request_headers(&mut self) -> Action {
        let action = worker::with(|worker| self.decide(worker));
        action.unwrap_or_else(|| pass_untagged(Headers::Request, &self.site.config))
    }

    pub(crate) fn on_request_body(&mut self, size: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
    }

    pub(crate) fn on_request_trailers(&mut self) -> Action {
        // Some frameworks make headers of trailers.
        pass_untagged(Headers::RequestTrailers, &self.site.config)
    }

    pub(crate) fn on_response_headers(&mut self) -> Action {
        if let Some(name) = &self.site.config.tag.response_header {
            let tag = worker::with(|worker| worker.response_tags.remove(&self.stream)).flatten();
            let _ = match tag {
                Some(tag) => host::set_header(Headers::Response, name, &tag),
                None => host::remove_header(Headers::Response, name),
            };
        }
        let Some(unresolved) = self.unresolved.take() else { return Action::Continue };
        self.is_kept = true;
        unresolved.hold(&self.site, self.stream)
    }

    pub(crate) fn on_done(self) {
        if !self.is_kept && self.noted.is_none() {
            return;
        }
        worker::with(|worker| {
            if let Some(place) = self.noted {
                worker.gate.ended(place, self.bytes, worker.now);
            }
            if !self.is_kept {
                return;
            }
            worker.gate.leave(self.stream);
            worker.response_tags.remove(&self.stream);
            worker.answers.remove(&self.stream);
            worker.resolved.retain(|resolved| !resolved.is_of(self.stream));
        });
    }

    fn decide(&mut self, worker: &mut Worker) -> Action {
        if let Some(own) = route::site(worker, &self.site) {
            self.site = own;
        }
        let config = &self.site.config;
        let remote::Found { remote, port, authority } = remote::of_request(&self.site, &mut worker.gate);
        let remote = &remote;
        let mut facts = RequestFacts::read(&self.site, port, authority);
        let connection = facts.connection(config.direction, worker.now.timestamp());
        let consulted = worker.gate.consult(&self.site, remote, &connection, worker.now.timestamp());
        if config.journal.entries > 0 && !matches!(consulted, Consulted::Skip(_)) {
            self.noted = facts.note(worker, &self.site, remote, true);
        }
        let decision = match consulted {
            Consulted::Skip(_) => {
                self.unresolved = unresolved(config, remote, facts);
                return pass_untagged(Headers::Request, config);
            }
            Consulted::Decided(decision) => decision,
            Consulted::Stale(decision) => {
                let proxy = worker.proxy();
                facts.complete(&self.site, remote);
                let connection = facts.connection(config.direction, worker.now.timestamp());
                worker.wake(self.site.root);
                worker.gate.refresh(&self.site, remote, &connection, decision, proxy)
            }
            Consulted::Unknown => {
                let proxy = worker.proxy();
                facts.complete(&self.site, remote);
                let connection = facts.connection(config.direction, worker.now.timestamp());
                let admitted = worker.gate.admit(&self.site, self.stream, remote, &connection, proxy);
                worker.wake(self.site.root);
                match admitted {
                    Admitted::Held => {
                        self.is_kept = true;
                        self.unresolved = unresolved(config, remote, facts);
                        return Action::Pause;
                    }
                    Admitted::Decided(decision) => decision,
                    Admitted::Skip(_) => {
                        self.unresolved = unresolved(config, remote, facts);
                        return pass_untagged(Headers::Request, config);
                    }
                }
            }
        };
        self.is_kept |= config.tag.response_header.is_some();
        let refused = enforce(worker, config, self.stream, remote, &decision).unwrap_or_else(|status| {
            report("reset a request", Err(status));
            true
        });
        if !refused && decision.source != Source::List {
            self.unresolved = unresolved(config, remote, facts);
        }
        if refused { Action::Pause } else { Action::Continue }
    }
}

/// The request, if its destination is known by name alone.
fn unresolved(config: &Config, remote: &Remote, facts: RequestFacts) -> Option<Box<Unresolved>> {
    let is_named = config.direction == Direction::Egress && config.destination == Destination::Name;
    (is_named && remote.address.is_none()).then(|| Box::new(Unresolved::new(remote.host.clone(), facts)))
}

/// What rules and selection ask about the request, read only where one does.
pub(crate) struct RequestFacts {
    port: Option<u16>,
    path: Option<Vec<u8>>,
    method: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    route: Option<Vec<u8>>,
    client: Option<IpAddr>,
}

impl RequestFacts {
    fn read(site: &Site, port: Option<u16>, authority: Option<Vec<u8>>) -> RequestFacts {
        let needs = site.needs;
        let header = |needed: bool, name| needed.then(|| host::header(Headers::Request, name)).flatten();
        RequestFacts {
            port,
            path: header(needs.path, ":path"),
            method: header(needs.method, ":method"),
            host: authority.or_else(|| header(needs.host, ":authority")),
            route: None,
            client: None,
        }
    }

    /// Writes the request into the journal. Returns where.
    pub(crate) fn note(
        &mut self,
        worker: &mut Worker,
        site: &Rc<Site>,
        remote: &Remote,
        stays_open: bool,
    ) -> Option<Place> {
        self.client = self.client.or_else(|| remote::client(site, remote));
        let (place, is_new) = worker.gate.note(site, self.client, remote, self.port, stays_open, worker.now)?;
        // Once for all that follow each other closely.
        if is_new && remote.host.is_none() {
            let host = self.host.clone().or_else(|| host::header(Headers::Request, ":authority"));
            remote::note_name(worker, place, host);
        }
        Some(place)
    }

    /// Reads what is needed only where asking Criminal IP comes into question, which it rarely does.
    pub(crate) fn complete(&mut self, site: &Site, remote: &Remote) {
        let needs = site.needs_to_ask;
        if needs.host && self.host.is_none() {
            self.host = host::header(Headers::Request, ":authority");
        }
        if needs.route {
            self.route = host::property(b"xds\0route_name").ok().filter(|name| !name.is_empty());
        }
        if needs.client && self.client.is_none() {
            self.client = remote::client(site, remote);
        }
    }

    pub(crate) fn connection(&self, direction: Direction, now: Timestamp) -> Connection<'_> {
        Connection {
            port: self.port,
            path: self.path.as_deref(),
            method: self.method.as_deref(),
            host: self.host.as_deref(),
            route: self.route.as_deref(),
            client: self.client,
            ..Connection::new(direction, now)
        }
    }
}
