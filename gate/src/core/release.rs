//! How the wait of streams ends.

use super::{Gate, decide};
use crate::cache::Fact;
use crate::waiter::Waiter;
use crate::{Decision, Effects, Histogram, Moment, Release, Role, StreamId, SubjectId};
use evaluator::{Action, Source};

impl Gate {
    /// Releases every stream that waits for this peer, as the fact says.
    pub(super) fn release_with(
        &mut self,
        peer: SubjectId,
        fact: &Fact,
        source: Source,
        now: Moment,
        effects: &mut Effects,
    ) {
        let time = now.timestamp();
        let decide =
            |waiter: &Waiter| decide(&waiter.site.config, fact, &waiter.connection.borrowed(time), source, time);
        self.arrive(peer, decide, now, effects);
    }

    /// Tells every stream that waits for this peer what was decided about it: those that wait for nothing else, or that it
    /// denies, are released.
    pub(super) fn arrive(
        &mut self,
        peer: SubjectId,
        decide: impl Fn(&Waiter) -> Decision<'static>,
        now: Moment,
        effects: &mut Effects,
    ) {
        for stream in self.waiters.of(peer) {
            let Some(mut waiter) = self.forget(stream) else { continue };
            let decision = waiter.with(Decision { by_host: peer.is_domain(), ..decide(&waiter) });
            waiter.pending.remove(peer);
            if waiter.pending.is_empty() || decision.verdict.action == Action::Deny {
                self.let_go(stream, waiter, decision, now, effects);
            } else {
                waiter.known = Some(decision);
                self.hold(stream, waiter);
            }
        }
    }

    /// Releases these streams, whatever they still wait for.
    pub(super) fn release(
        &mut self,
        streams: &[StreamId],
        decide: impl Fn(&Waiter) -> Decision<'static>,
        now: Moment,
        effects: &mut Effects,
    ) {
        for stream in streams {
            let Some(waiter) = self.forget(*stream) else { continue };
            let decision = waiter.with(decide(&waiter));
            self.let_go(*stream, waiter, decision, now, effects);
        }
    }

    fn let_go(
        &mut self,
        stream: StreamId,
        waiter: Waiter,
        decision: Decision<'static>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let decision = self.count(&waiter.site.config, decision);
        effects.took.push((Histogram::Held, waiter.since.until(now)));
        let Waiter { remote, site, connection, .. } = waiter;
        if site.config.role == Role::Network && decision.verdict.action != Action::Deny {
            self.watch_open(&site, stream, &remote, connection, now.timestamp());
        }
        effects.released.push(Release { stream, remote, site, decision, late: false });
    }

    /// Takes in a stream that is to wait.
    pub(super) fn hold(&mut self, stream: StreamId, waiter: Waiter) {
        for peer in waiter.pending.iter() {
            self.wanted.join(peer);
        }
        self.waiters.insert(stream, waiter);
    }

    /// Forgets a stream that waits no more.
    pub(super) fn forget(&mut self, stream: StreamId) -> Option<Waiter> {
        let waiter = self.waiters.remove(stream)?;
        for peer in waiter.pending.iter() {
            self.wanted.part(peer);
        }
        Some(waiter)
    }
}
