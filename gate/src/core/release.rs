//! How the wait of streams ends.

use super::{Gate, decide};
use crate::cache::Fact;
use crate::waiter::Waiter;
use crate::{Decision, Effects, Histogram, Moment, Release, StreamId, SubjectId};
use evaluator::Source;

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
        self.release(&self.waiters.of(peer), decide, now, effects);
    }

    /// Releases these streams.
    pub(super) fn release(
        &mut self,
        streams: &[StreamId],
        decide: impl Fn(&Waiter) -> Decision<'static>,
        now: Moment,
        effects: &mut Effects,
    ) {
        for stream in streams {
            let Some(waiter) = self.forget(*stream) else { continue };
            let decision = self.count(&waiter.site.config, decide(&waiter));
            effects.took.push((Histogram::Held, waiter.since.until(now)));
            effects.released.push(Release { stream: *stream, peer: waiter.peer, site: waiter.site, decision });
        }
    }

    /// Takes in a stream that is to wait.
    pub(super) fn hold(&mut self, stream: StreamId, waiter: Waiter) {
        if let Some(wanted) = self.wanted.get_mut(waiter.peer.into()) {
            wanted.waiters = wanted.waiters.saturating_add(1);
        }
        self.waiters.insert(stream, waiter);
    }

    /// Forgets a stream that waits no more.
    pub(super) fn forget(&mut self, stream: StreamId) -> Option<Waiter> {
        let waiter = self.waiters.remove(stream)?;
        if let Some(wanted) = self.wanted.get_mut(waiter.peer.into()) {
            wanted.waiters = wanted.waiters.saturating_sub(1);
        }
        Some(waiter)
    }
}
