//! Connections: the network context.

use crate::enforce::{log, report, write_tag};
use crate::host::{self, Action};
use crate::remote;
use crate::worker::{self, Worker};
use alloc::rc::Rc;
use evaluator::Connection;
use gate::{Admitted, Consulted, Decision, Place, Release, Remote, Site, StreamId};

/// One connection.
pub(crate) struct Network {
    stream: StreamId,
    site: Rc<Site>,
    held: bool,
    /// Where the journal has it.
    noted: Option<Place>,
    /// What its client has sent: all while it was held is seen at once, and then piece by piece.
    bytes: u64,
}

impl Network {
    pub(crate) fn new(stream: StreamId, site: Rc<Site>) -> Network {
        Network { stream, site, held: false, noted: None, bytes: 0 }
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    pub(crate) fn on_new_connection(&mut self) -> Action {
        let action = worker::with(|worker| self.decide(worker));
        self.held = action == Some(Action::Pause);
        action.unwrap_or(Action::Continue)
    }

    /// The proxy reads on while a connection is held, unless the next filter is `tcp_proxy`, and would hand what it
    /// reads to the next filter.
    pub(crate) fn on_downstream_data(&mut self, size: usize) -> Action {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        self.bytes = if self.held { size } else { self.bytes.saturating_add(size) };
        self.held = self.held && worker::with(|worker| worker.paused.get(&self.stream).is_some()).unwrap_or(false);
        if self.held { Action::Pause } else { Action::Continue }
    }

    pub(crate) fn on_done(mut self) {
        worker::with(|worker| {
            worker.gate.leave(self.stream);
            if let Some(place) = self.noted.take() {
                worker.gate.ended(place, self.bytes, worker.now);
            }
            worker.paused.remove(&self.stream);
        });
    }

    fn decide(&mut self, worker: &mut Worker) -> Action {
        let config = &self.site.config;
        let remote::Found { remote, port, .. } = remote::of_connection(&self.site, &mut worker.gate);
        let proxy = worker.proxy();
        let now = proxy.now.timestamp();
        let needs = self.site.needs_to_ask;
        let server = if remote.host.is_none() && needs.host { remote::server_name() } else { None };
        let host = remote.host.as_deref().map(str::as_bytes).or(server.as_deref());
        let keeps = config.journal.entries > 0;
        let client = (needs.client || keeps).then(|| remote::client(&self.site, &remote)).flatten();
        let connection = Connection { port, host, client, ..Connection::new(config.direction, now) };
        let consulted = worker.gate.consult(&self.site, &remote, &connection, now);
        if keeps && !matches!(consulted, Consulted::Skip(_)) {
            let noted = worker.gate.note(&self.site, client, &remote, port, true, proxy.now);
            self.noted = noted.map(|(place, _)| place);
            if let Some((place, true)) = noted.filter(|_| remote.host.is_none()) {
                let server = host.map(<[u8]>::to_vec).or_else(remote::server_name);
                remote::note_name(worker, place, server);
            }
        }
        let decision = match consulted {
            Consulted::Skip(_) => return Action::Continue,
            Consulted::Decided(decision) => decision,
            Consulted::Stale(decision) => {
                worker.wake(self.site.root);
                worker.gate.refresh(&self.site, &remote, &connection, decision, proxy)
            }
            Consulted::Unknown => {
                let admitted = worker.gate.admit(&self.site, self.stream, &remote, &connection, proxy);
                worker.wake(self.site.root);
                match admitted {
                    Admitted::Held => {
                        worker.paused.insert(self.stream, ());
                        return Action::Pause;
                    }
                    Admitted::Decided(decision) => decision,
                    Admitted::Skip(_) => {
                        worker.gate.watch(&self.site, self.stream, &remote, &connection, None);
                        return Action::Continue;
                    }
                }
            }
        };
        let refused = enforce(worker, &self.site, &remote, &decision, false).unwrap_or_else(|status| {
            report("close a connection", Err(status));
            let decision = Decision { entry: None, ..decision };
            let (site, remote) = (Rc::clone(&self.site), remote.clone());
            worker.paused.insert(self.stream, ());
            worker.unfinished.push(Release { stream: self.stream, remote, site, decision, late: false });
            true
        });
        if !refused {
            worker.gate.watch(&self.site, self.stream, &remote, &connection, Some(&decision));
        }
        if refused { Action::Pause } else { Action::Continue }
    }
}

/// Ends the wait of the current context's connection, or the connection itself where it passed before.
pub(crate) fn finish(worker: &mut Worker, release: &Release) -> Result<(), host::Status> {
    let refused = enforce(worker, &release.site, &release.remote, &release.decision, release.late)?;
    if !refused && !release.late {
        host::resume_connection()?;
    }
    worker.paused.remove(&release.stream);
    Ok(())
}

/// Tells the proxy's other filters and the log of a decision about the current context's connection, and closes it where
/// that is the decision. Returns whether it was closed; an error where it was to be.
fn enforce(
    worker: &mut Worker,
    site: &Site,
    remote: &Remote,
    decision: &Decision,
    late: bool,
) -> Result<bool, host::Status> {
    let config = &site.config;
    write_tag(worker, config, decision);
    log(config, decision, || worker.gate.log_line(decision, config, remote, Some((remote::port(), late))));
    let refuses = decision.refuses(config.mode);
    if refuses {
        host::close_connection()?;
    }
    Ok(refuses)
}
