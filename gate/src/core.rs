//! The gate of one worker: consults what is known, admits streams that must wait, hands out lookups, and releases every
//! stream exactly once.

use crate::cache::{Cache, Fact};
use crate::connections::Connections;
use crate::events::{Answer, Effects, Lookup, Proxy, RootId, StreamId};
use crate::feed::Feeds;
use crate::journal::Journal;
use crate::ledger::{self, Ask, End, Grant, Outcome};
use crate::metrics::{Counters, Gauges};
use crate::notify::Notices;
use crate::table::{Table, shared_seed};
use crate::waiter::{Waiter, Waiters};
use crate::wanted::{ASK_AGAIN, WantedList};
use crate::{
    Budget, Config, Counter, Decision, Histogram, LookupError, LookupId, Moment, Priority, Reason, Role, Site, Store,
    SubjectId, WorkerId, crew,
};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{AnswerError, Connection, Source, Timestamp};

use control::Station;
pub(crate) use control::audit;
use routes::Routes;
pub use self_test::SELF_TEST;

/// The decision core of one worker.
pub struct Gate {
    worker: WorkerId,
    /// The proxy's secret.
    seed: u64,
    cache: Cache,
    table: Table,
    wanted: WantedList,
    waiters: Waiters,
    connections: Connections,
    routes: Routes,
    feeds: Feeds,
    /// Up to which of the copies that [`Feeds`] took over those who came before were looked at, and from which open
    /// connection on that is still to be done.
    reviewed: u32,
    review_from: Option<StreamId>,
    /// When to ask next what other workers have learned about peers with open connections.
    visit_at: Moment,
    notices: Notices,
    journal: Journal,
    station: Station,
    /// The live configurations, newest last.
    sites: Vec<Rc<Site>>,
    /// Whether the sizes are those of a configuration that judges streams.
    sized: bool,
    next_id: u32,
    /// State of the generator that spreads retries.
    jitter: u64,
    /// When to ask for a lane again. News of a lane come earlier, unless they are lost.
    ask_again: Moment,
    /// Whether other workers may know this one as waiting.
    listed: bool,
    counters: Counters,
    gauges: Gauges,
    /// The budget that the gauges speak of: that of the configuration that was loaded last.
    budget: Budget,
    /// How many lookups that one lets be in flight.
    lanes: u8,
}

/// How much later than its own time-out an answer may come before the lookup counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

impl Gate {
    /// An empty gate, for a worker of the proxy that keeps this store. `random` must be: it names the worker and keeps
    /// outsiders from choosing addresses that collide.
    pub fn new(random: u64, store: &dyn Store) -> Gate {
        let seed = shared_seed(store, random.rotate_left(32));
        Gate {
            worker: WorkerId(random),
            seed,
            cache: Cache::new(1, seed),
            table: Table::new(1, seed),
            wanted: WantedList::default(),
            waiters: Waiters::default(),
            connections: Connections::default(),
            routes: Routes::default(),
            feeds: Feeds::new(WorkerId(random)),
            reviewed: 0,
            review_from: None,
            visit_at: Moment::default(),
            notices: Notices::default(),
            journal: Journal::new(seed),
            station: Station::default(),
            sites: Vec::new(),
            sized: false,
            next_id: 0,
            jitter: random | 1,
            ask_again: Moment::default(),
            listed: false,
            counters: Counters::default(),
            gauges: Gauges::default(),
            budget: Budget::default(),
            lanes: 1,
        }
    }

    /// Takes note of a configuration that was loaded: how many peers this worker and the proxy are to remember. Where
    /// Criminal IP is not being asked because of its answers, it is asked again: the key may be another.
    pub fn configure(&mut self, config: &Config, store: &dyn Store) {
        // A control listener asks by the gates' sizes and budget, where there is a gate.
        if config.role != Role::Control || !self.sized {
            let evicted = self.cache.resize(config.cache.entries);
            self.counters.add_many(Counter::Evicted, evicted);
            self.table.resize(config.cache.shared_slots);
            self.budget = config.api.budget;
            self.lanes = config.api.concurrency;
            self.sized = config.role != Role::Control;
        }
        if config.journal.entries > 0 {
            self.journal.resize(config.journal.entries, config.journal.window);
        }
        ledger::forgive(store);
        self.gauges.look();
    }

    /// Forgets a stream that ended by itself. Its lookup goes on.
    pub fn leave(&mut self, stream: StreamId) {
        self.connections.remove(stream);
        self.forget(stream);
    }

    /// The next lookup that this root is to send now, if there is a lane for it. `queue` is the root's own.
    pub fn next_lookup(&mut self, root: RootId, queue: u32, proxy: Proxy<'_>, effects: &mut Effects) -> Option<Lookup> {
        let now = proxy.now;
        while let Some(peer) = self.due(Some(root), now) {
            let wanted = self.wanted.get(peer)?;
            let (site, subject) = (Rc::clone(&wanted.site), wanted.subject.clone());
            let (priority, since) = (wanted.priority, wanted.since);
            if self.answer_self_test(&site.config, peer, proxy, effects) {
                continue;
            }
            let api = &site.config.api;
            let lost_at = now.after(api.timeout).after(LOST_AFTER);
            let ask = Ask {
                worker: self.worker,
                queue,
                peer,
                priority,
                since,
                lanes: api.concurrency,
                budget: api.budget,
                until: lost_at,
            };
            self.listed = true;
            match ledger::take(proxy.store, &ask, now) {
                Grant::Granted => {
                    self.gauges.look();
                    // Another worker may have brought the answer since this one last looked.
                    if self.resolve_from_others(peer, proxy, effects) {
                        self.settle(peer, Outcome::Unused, None, proxy, effects);
                        continue;
                    }
                    let id = LookupId(self.next_id);
                    self.next_id = self.next_id.wrapping_add(1);
                    self.wanted.send(peer, id, now, lost_at);
                    return Some(Lookup { id, subject, site });
                }
                Grant::InFlight => self.wanted.put_off(peer, now.after(ASK_AGAIN)),
                Grant::Wait => {
                    self.ask_again = now.after(ASK_AGAIN);
                    break;
                }
                Grant::Halted(halt, _) => {
                    self.wanted.remove(peer);
                    // Or every request of a peer whose facts are stale would ask again.
                    self.cache.refresh_failed(peer, now.timestamp());
                    let decide =
                        |waiter: &Waiter| Decision::without_facts(waiter.site.config.on_error, Reason::Halted(halt));
                    self.arrive(peer, decide, now, effects);
                }
            }
        }
        self.withdraw_if_idle(proxy);
        None
    }

    /// A root that has a lookup to send now.
    pub fn next_root(&self, now: Moment) -> Option<RootId> {
        let peer = self.due(None, now)?;
        self.wanted.get(peer).map(|wanted| wanted.site.root)
    }

    /// Takes the answer to a lookup, remembers it for all workers, and releases every stream that waits for it.
    pub fn answer(&mut self, id: LookupId, answer: &Answer, proxy: Proxy<'_>, effects: &mut Effects) {
        let Some((peer, sent)) = self.wanted.in_flight(id) else { return };
        let now = proxy.now.timestamp();
        let error = answer.facts.err();
        let outcome = error.map_or(Outcome::Assessed, Outcome::Failed);
        if ledger::costs(outcome) {
            self.spent_for_event(peer);
        }
        if error != Some(LookupError::NotSent) {
            effects.took.push((Histogram::Lookup, sent.until(proxy.now)));
        }
        self.counters.add(Counter::Lookup(error));
        if error == Some(LookupError::Answer(AnswerError::ConcurrencyRefused)) && self.wanted.try_again(peer, proxy.now)
        {
            self.settle(peer, outcome, None, proxy, effects);
            return;
        }
        let Some(wanted) = self.wanted.remove(peer) else { return };
        let before = self.table.get(proxy.store, peer).or(self.cache.get(peer).map(|remembered| remembered.fact));
        let fact = match answer.facts {
            Ok(assessment) => Fact::after(before, assessment),
            Err(error) => Fact::Failed { at: now, error },
        };
        if error.is_some() && event::keeps(wanted.priority, before) {
            self.cache.refresh_failed(peer, now);
        } else {
            self.table.put(proxy.store, peer, &fact);
            self.remember(peer, fact, Source::Api);
        }
        self.notify(&wanted.site.config, &wanted.subject, before, &fact, proxy, effects);
        self.settle(peer, outcome, answer.retry_after, proxy, effects);
        if wanted.priority == Priority::Event && error.is_none() {
            let others =
                crew::members(proxy.store, proxy.now).into_iter().filter(|member| member.worker != self.worker);
            effects.tell.extend(others.map(|member| (member.queue, peer)));
        }
        self.release_with(peer, &fact, Source::Api, proxy.now, effects);
        self.withdraw_if_idle(proxy);
    }

    /// Takes the news of another worker that its lookup of this peer ended.
    pub fn hear(&mut self, peer: SubjectId, proxy: Proxy<'_>, effects: &mut Effects) {
        self.ask_again = proxy.now;
        match self.wanted.get(peer).map(|wanted| wanted.is_queued()) {
            Some(true) if !self.resolve_from_others(peer, proxy, effects) => self.wanted.put_off(peer, proxy.now),
            Some(_) => {}
            None => self.catch_up(peer, proxy),
        }
        self.withdraw_if_idle(proxy);
    }

    /// Releases every stream that waited long enough, gives up lookups whose answer the proxy lost, and denies the
    /// connections of peers about whom something was learned that denies them.
    pub fn sweep(&mut self, proxy: Proxy<'_>, effects: &mut Effects) {
        for id in self.wanted.lost(proxy.now) {
            let lost = Answer { facts: Err(LookupError::TimedOut), retry_after: None };
            self.answer(id, &lost, proxy, effects);
        }
        self.release(
            &self.waiters.overdue(proxy.now),
            |waiter| Decision::without_facts(waiter.site.config.first_look.then, Reason::HoldExpired),
            proxy.now,
            effects,
        );
        self.visit_peers(proxy);
        self.deny_late(proxy.now, effects);
        self.go_on(proxy, effects);
    }

    /// Prepares for the end of a root: what it has not sent yet goes to the root of a stream that waits for it, or of a
    /// connection that passed, or is forgotten. Returns whether answers to what it has sent are still to come: until then it must live.
    pub fn retire(&mut self, root: RootId) -> bool {
        let events = self.inherit_events(root);
        let (connections, waiters) = (&self.connections, &self.waiters);
        self.wanted.retire(root, |peer| {
            let event = events.iter().filter(|(other, _)| *other == peer).map(|(_, site)| site);
            let waiting =
                waiters.of(peer).into_iter().filter_map(|stream| waiters.get(stream)).map(|waiter| &waiter.site);
            let open = connections.of(peer).filter_map(|stream| connections.get(stream)).map(|open| &open.site);
            event.chain(waiting).chain(open).find(|site| site.root != root).cloned()
        });
        self.routes.retire(root);
        if let Some(place) = self.sites.iter().position(|site| site.root == root) {
            let gone = self.sites.remove(place);
            self.journal.retire(root, self.heir(root, &gone).as_ref());
        }
        self.wanted.has_in_flight(root)
    }

    /// The next moment at which [`Gate::sweep`] or [`Gate::next_lookup`] has something to do; `None` when idle.
    pub fn next_event(&self) -> Option<Moment> {
        if self.connections.has_news() || self.review_from.is_some() {
            return Some(Moment::default());
        }
        let lookups = self.wanted.next_event().map(|next| next.max(self.ask_again));
        let others = self.feeds.next_event().into_iter().chain(self.notices.next_event());
        self.waiters.next_deadline().into_iter().chain(lookups).chain(others).min()
    }

    /// Ends the wait for a peer about which another worker has learned something since.
    fn resolve_from_others(&mut self, peer: SubjectId, proxy: Proxy<'_>, effects: &mut Effects) -> bool {
        let Some(since) = self.wanted.get(peer).map(|wanted| wanted.since.timestamp()) else { return false };
        let Some(fact) = self.table.get(proxy.store, peer).filter(|fact| fact.learned() >= since) else {
            return false;
        };
        self.wanted.remove(peer);
        self.remember(peer, fact, Source::Shared);
        self.release_with(peer, &fact, Source::Shared, proxy.now, effects);
        true
    }

    /// Takes over what another worker has learned since about a peer that this one knows, or has connections of.
    pub(super) fn catch_up(&mut self, peer: SubjectId, proxy: Proxy<'_>) {
        let known = self.cache.get(peer).map(|known| known.fact);
        if known.is_none() && self.connections.of(peer).next().is_none() {
            return;
        }
        let shared = self.table.get(proxy.store, peer);
        if let Some(fact) = shared.filter(|fact| known.is_none_or(|known| fact.replaces(&known))) {
            self.remember(peer, fact, Source::Shared);
        }
    }

    fn remember(&mut self, peer: SubjectId, fact: Fact, source: Source) {
        self.connections.note(peer, source);
        let evicted = self.cache.insert(peer, fact);
        self.counters.add_many(Counter::Evicted, evicted);
    }

    fn due(&self, root: Option<RootId>, now: Moment) -> Option<SubjectId> {
        if self.ask_again.is_ahead_of(now, ASK_AGAIN) { None } else { self.wanted.due(root, now) }
    }

    fn settle(
        &mut self,
        peer: SubjectId,
        outcome: Outcome,
        retry_after: Option<Duration>,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) {
        let end = End { outcome, retry_after, jitter: self.next_jitter() };
        self.ask_again = proxy.now;
        self.gauges.look();
        let queues = ledger::settle(proxy.store, self.worker, peer, &end, proxy.now);
        effects.tell.extend(queues.into_iter().map(|queue| (queue, peer)));
    }

    fn withdraw_if_idle(&mut self, proxy: Proxy<'_>) {
        if self.listed && self.wanted.queued() == 0 {
            ledger::withdraw(proxy.store, self.worker);
            self.listed = false;
        }
    }

    fn next_jitter(&mut self) -> u64 {
        // Xorshift: spreads retries, protects nothing.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter
    }
}

fn decide(
    config: &Config,
    fact: &Fact,
    connection: &Connection<'_>,
    source: Source,
    now: Timestamp,
) -> Decision<'static> {
    match fact {
        Fact::Known { assessment, .. } => Decision {
            verdict: config.policy.evaluate(assessment, connection),
            source,
            reason: None,
            age: Some(now.seconds_since(assessment.learned)),
            entry: None,
            by_host: false,
        },
        Fact::Failed { error, .. } => Decision::without_facts(config.on_error, Reason::Lookup(*error)),
    }
}

mod control;
mod event;
mod feeds;
mod judge;
mod late;
mod measure;
mod notify;
mod outside;
mod pursue;
mod release;
mod routes;
mod select;
mod self_test;
#[cfg(test)]
mod tests;
