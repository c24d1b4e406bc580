//! What is learned about a peer whose connections passed already.

use super::{Gate, decide};
use crate::cache::Fact;
use crate::connections::Open;
use crate::waiter::OwnedConnection;
use crate::{Counter, Decision, Effects, Moment, Proxy, Release, Remote, Site, StreamId, SubjectId};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Action, Connection, Source, Timestamp};

/// How often, and for how many peers with open connections, a worker looks what others have learned.
const VISIT_AGAIN: Duration = Duration::from_secs(1);
const VISITED_AT_ONCE: usize = 64;

impl Gate {
    /// Takes note of a connection that passes, as [`Gate::consult`] or [`Gate::admit`] decided, or because it was not
    /// selected, which is no decision: should anything be
    /// learned about its peer that denies it, a late [`Release`] will name it, at most once and never after it
    /// [`leaves`](Gate::leave). What a list or a feed let pass stays as it is. Connections that were held are noted without this.
    pub fn watch(
        &mut self,
        site: &Rc<Site>,
        stream: StreamId,
        remote: &Remote,
        connection: &Connection<'_>,
        decision: Option<&Decision<'_>>,
    ) {
        let settled = decision.is_some_and(|decision| {
            matches!(decision.source, Source::List | Source::Feed) || decision.verdict.action == Action::Deny
        });
        if !settled {
            self.watch_open(site, stream, remote, OwnedConnection::from(connection), connection.now);
        }
    }

    /// Watches a connection that neither a list let pass nor anything denied: in shadow mode that is said already.
    pub(super) fn watch_open(
        &mut self,
        site: &Rc<Site>,
        stream: StreamId,
        remote: &Remote,
        connection: OwnedConnection,
        now: Timestamp,
    ) {
        let judged = self.judged(&site.config, remote, now);
        let open = Open { remote: remote.clone(), judged, site: Rc::clone(site), connection };
        if !self.connections.insert(stream, open) {
            self.counters.add(Counter::Unwatched);
        }
    }

    /// Takes over what other workers have learned about peers with open connections, a few of them a second: a worker that
    /// waits for no answer is told of none.
    pub(super) fn visit_peers(&mut self, proxy: Proxy<'_>) {
        if self.visit_at.is_ahead_of(proxy.now, VISIT_AGAIN) {
            return;
        }
        self.visit_at = proxy.now.after(VISIT_AGAIN);
        for peer in self.connections.visit(VISITED_AT_ONCE) {
            self.catch_up(peer, proxy);
        }
    }

    /// Denies the connections of peers about whom something was learned that denies them. A lookup that failed is no
    /// fact: it denies nothing that passed.
    pub(super) fn deny_late(&mut self, now: Moment, effects: &mut Effects) {
        let time = now.timestamp();
        for (peer, source) in self.connections.take_news() {
            let Some(fact) = self.cache.get(peer).map(|remembered| remembered.fact) else { continue };
            if let Fact::Failed { .. } = fact {
                continue;
            }
            for stream in self.connections.of(peer).collect::<Vec<_>>() {
                let Some(open) = self.connections.get(stream) else { continue };
                let config = &open.site.config;
                let decision = decide(config, &fact, &open.connection.borrowed(time), source, time);
                let listed = self.listed_or_overridden(config, &open.remote, time);
                let is_allowed = listed.is_some_and(|listed| listed.verdict.action == Action::Allow);
                if decision.verdict.action == Action::Deny && !is_allowed {
                    self.close(stream, Decision { by_host: peer.is_domain(), ..decision }, effects);
                }
            }
        }
    }

    /// Denies a connection that passed.
    pub(super) fn close(&mut self, stream: StreamId, decision: Decision<'static>, effects: &mut Effects) {
        let Some(Open { remote, site, .. }) = self.connections.remove(stream) else { return };
        let decision = self.count(&site.config, decision);
        self.counters.add(Counter::Late(site.config.mode));
        if decision.refuses(site.config.mode) {
            self.closed_for_event(remote.address.map(SubjectId::from));
        }
        effects.released.push(Release { stream, remote, site, decision, late: true });
    }
}
