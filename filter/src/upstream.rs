//! The address behind a name: known once the proxy has connected, so that the answer waits for its verdict instead of the
//! request. A tunnel is not open until then either.

use crate::enforce::{log, refuse, write_tag};
use crate::host::{self, Action};
use crate::http::RequestFacts;
use crate::remote;
use crate::worker::{self, Worker};
use alloc::rc::Rc;
use core::net::IpAddr;
use evaluator::Action as Verdict;
use gate::{Admitted, Config, Consulted, Decision, Release, Remote, RootId, Site, StreamId};

/// A request that may pass as far as the name that it asked for goes.
pub(crate) struct Unresolved {
    host: Option<Rc<str>>,
    facts: RequestFacts,
}

/// A request whose answer waits until its root has judged the address.
pub(crate) struct Resolved {
    stream: StreamId,
    site: Rc<Site>,
    address: IpAddr,
    named: Unresolved,
}

impl Unresolved {
    pub(crate) fn new(host: Option<Rc<str>>, facts: RequestFacts) -> Unresolved {
        Unresolved { host, facts }
    }

    /// Sees to it that the address which the proxy chose is judged, if it chose one, when the response begins. The root
    /// judges it in the next turn of the event loop: were a tunnel refused in this callback, Envoy 1.40 would go on with
    /// the connection that it has just given up, and crash.
    pub(crate) fn hold(self, site: &Rc<Site>, stream: StreamId) -> Action {
        let Some(address) = remote::upstream() else { return Action::Continue };
        let resolved = Resolved { stream, site: Rc::clone(site), address, named: self };
        let held = worker::with(|worker| {
            worker.resolved.push_back(resolved);
            worker.wake(site.root);
        });
        if held.is_some() { Action::Pause } else { Action::Continue }
    }
}

impl Resolved {
    pub(crate) fn root(&self) -> RootId {
        self.site.root
    }

    pub(crate) fn is_of(&self, stream: StreamId) -> bool {
        self.stream == stream
    }

    /// Judges the address. A stream that is gone needs nothing any more.
    ///
    /// # Errors
    /// When the host does not let the answer go on or end; it still waits then.
    pub(crate) fn decide(&mut self, worker: &mut Worker) -> Result<(), host::Status> {
        let Resolved { stream, site, address, named } = self;
        let (stream, address) = (*stream, *address);
        if !host::act_on(stream.0)? {
            return Ok(());
        }
        let config = &site.config;
        // The name was judged already.
        let remote = Remote { address: Some(address), host: None };
        let proxy = worker.proxy();
        let connection = named.facts.connection(config.direction, proxy.now.timestamp());
        let consulted = worker.gate.consult(site, &remote, &connection, proxy.now.timestamp());
        if config.journal.entries > 0 && !matches!(consulted, Consulted::Skip(_)) {
            named.facts.note(worker, site, &remote, false);
        }
        let decision = match consulted {
            Consulted::Skip(_) => return host::resume_response(),
            Consulted::Decided(decision) => decision,
            Consulted::Stale(decision) => {
                named.facts.complete(site, &remote);
                let connection = named.facts.connection(config.direction, proxy.now.timestamp());
                worker.gate.refresh(site, &remote, &connection, decision, proxy)
            }
            Consulted::Unknown => {
                named.facts.complete(site, &remote);
                let connection = named.facts.connection(config.direction, proxy.now.timestamp());
                match worker.gate.admit(site, stream, &remote, &connection, proxy) {
                    Admitted::Held => {
                        worker.answers.insert(stream, named.host.clone());
                        return Ok(());
                    }
                    Admitted::Decided(decision) => decision,
                    Admitted::Skip(_) => return host::resume_response(),
                }
            }
        };
        enforce(worker, config, &Remote { host: named.host.clone(), ..remote }, &decision)
    }
}

/// Ends the wait of the current context's answer, for a request that asked for this name.
pub(crate) fn finish(worker: &mut Worker, release: &Release, host: Option<Rc<str>>) -> Result<(), host::Status> {
    let remote = Remote { host, ..release.remote.clone() };
    enforce(worker, &release.site.config, &remote, &release.decision)
}

/// Logs, and lets the answer go on, or gives the client a refusal in its place where that is the decision.
fn enforce(worker: &mut Worker, config: &Config, remote: &Remote, decision: &Decision) -> Result<(), host::Status> {
    // What was found about the name is not to be hidden by an address with nothing against it.
    if decision.verdict.action != Verdict::Allow {
        write_tag(worker, config, decision);
    }
    log(config, decision, || worker.gate.log_line(decision, config, remote, None));
    if decision.refuses(config.mode) { refuse(config, remote, decision) } else { host::resume_response() }
}
