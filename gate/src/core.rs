//! The gate of one worker: consults what is known, admits streams that must wait, hands out lookups, and releases every
//! stream exactly once.

use crate::cache::{Cache, Fact, Freshness};
use crate::events::{Admitted, Answer, Consulted, Effects, Lookup, Proxy, Release, RootId, Site, StreamId};
use crate::ledger::{self, Ask, End, Grant};
use crate::table::{Table, shared_seed};
use crate::waiter::{OwnedConnection, Waiter};
use crate::wanted::{State, WantedList};
use crate::{
    Config, Counter, Counters, Decision, LookupError, LookupId, Moment, Priority, Reason, Skip, Store, WorkerId,
};
use evaluator::{Action, AnswerError, Connection, Source, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// The decision core of one worker.
pub struct Gate {
    worker: WorkerId,
    cache: Cache,
    table: Table,
    wanted: WantedList,
    waiters: BTreeMap<StreamId, Waiter>,
    next_id: u32,
    /// State of the generator that spreads retries.
    jitter: u64,
    /// When to ask for a lane again. News of a lane come earlier, unless they are lost.
    ask_again: Moment,
    /// Whether other workers may know this one as waiting.
    listed: bool,
    /// What was counted since the proxy last took it.
    pub counters: Counters,
}

/// How much later than its own time-out an answer may come before the lookup counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// When a worker that waits for a lane asks again, should no message reach it.
const ASK_AGAIN: Duration = Duration::from_millis(250);

impl Gate {
    /// An empty gate, for a worker of the proxy that keeps this store. `random` must be: it names the worker and keeps
    /// outsiders from choosing addresses that collide.
    pub fn new(random: u64, store: &dyn Store) -> Gate {
        let seed = shared_seed(store, random.rotate_left(32));
        Gate {
            worker: WorkerId(random),
            cache: Cache::new(1, seed),
            table: Table::new(1, seed),
            wanted: WantedList::default(),
            waiters: BTreeMap::new(),
            next_id: 0,
            jitter: random | 1,
            ask_again: Moment::default(),
            listed: false,
            counters: Counters::default(),
        }
    }

    /// Takes note of a configuration that was loaded: how many peers this worker and the proxy are to remember. Where
    /// Criminal IP is not being asked because of its answers, it is asked again: the key may be another.
    pub fn configure(&mut self, config: &Config, store: &dyn Store) {
        self.cache.resize(config.cache.entries);
        self.table.resize(config.cache.shared_slots);
        ledger::forgive(store);
    }

    /// Decides a stream from lists and remembered facts alone: the warm path.
    pub fn consult<'s>(
        &mut self,
        site: &'s Site,
        peer: IpAddr,
        connection: &Connection<'_>,
        now: Timestamp,
    ) -> Consulted<'s> {
        let config = &site.config;
        if let Some(entry) = config.lists.allow.find(peer, now) {
            return Consulted::Decided(self.count(config, Decision::listed(Action::Allow, entry)));
        }
        if let Some(entry) = config.lists.deny.find(peer, now) {
            return Consulted::Decided(self.count(config, Decision::listed(Action::Deny, entry)));
        }
        if !config.scope.is_public(peer) {
            return Consulted::Skip(self.skip(Skip::NotPublic));
        }
        let Some((fact, freshness)) = self.cache.get(peer, &config.cache, now) else { return Consulted::Unknown };
        let decision = decide(config, fact, connection, Source::Cache, now);
        let decision = self.count(config, decision);
        if freshness == Freshness::Stale { Consulted::Stale(decision) } else { Consulted::Decided(decision) }
    }

    /// Counts a stream that is not judged, and says so.
    pub fn skip(&mut self, skip: Skip) -> Skip {
        self.counters.add(Counter::Skipped(skip));
        skip
    }

    /// Sees to it that a peer whose facts are stale is looked up, when there is nothing more urgent.
    pub fn refresh(&mut self, site: &Rc<Site>, peer: IpAddr, now: Moment) {
        self.want(site, peer, Priority::Refresh, now);
    }

    /// Takes in a stream whose peer this worker does not know: asks the other workers' memory; else sees to it that the
    /// peer is looked up, and holds the stream if there is room and the configuration says so. All streams that wait
    /// for one address, on all workers, share one lookup.
    pub fn admit(
        &mut self,
        site: &Rc<Site>,
        stream: StreamId,
        peer: IpAddr,
        connection: &Connection<'_>,
        proxy: Proxy<'_>,
    ) -> Admitted {
        let config = &site.config;
        if let Some((fact, freshness)) = self.learn_from_others(site, peer, proxy) {
            if freshness == Freshness::Stale {
                self.refresh(site, peer, proxy.now);
            }
            let decision = decide(config, &fact, connection, Source::Shared, proxy.now.timestamp());
            return Admitted::Decided(self.count(config, decision));
        }
        let no_facts = |reason| match reason {
            Reason::Halted(_) => Decision::without_facts(config.on_error, reason),
            _ => Decision::without_facts(config.first_look.then, reason),
        };
        let halted = ledger::status(proxy.store, config.api.budget, proxy.now).halted;
        let refusal = if let Some((halt, _)) = halted {
            Some(Reason::Halted(halt))
        } else if !self.want(site, peer, Priority::FirstLook, proxy.now) {
            Some(Reason::QueueFull)
        } else if config.first_look.hold.is_zero() {
            Some(Reason::HoldExpired)
        } else if self.waiters.len() >= usize::try_from(config.first_look.max_held).unwrap_or(usize::MAX) {
            Some(Reason::HeldFull)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return Admitted::Decided(self.count(config, no_facts(reason)));
        }
        let waiter = Waiter {
            peer,
            site: Rc::clone(site),
            connection: OwnedConnection::from(connection),
            deadline: proxy.now.after(config.first_look.hold),
        };
        self.waiters.insert(stream, waiter);
        self.count_waiters(peer);
        Admitted::Held
    }

    /// Forgets a stream that ended by itself. Its lookup goes on.
    pub fn leave(&mut self, stream: StreamId) {
        if let Some(waiter) = self.waiters.remove(&stream) {
            self.count_waiters(waiter.peer);
        }
    }

    /// The next lookup that this root is to send now, if there is a lane for it. `queue` is the root's own.
    pub fn next_lookup(&mut self, root: RootId, queue: u32, proxy: Proxy<'_>, effects: &mut Effects) -> Option<Lookup> {
        let now = proxy.now;
        while let Some(peer) = self.due(Some(root), now) {
            let wanted = self.wanted.get(peer)?;
            let site = Rc::clone(&wanted.site);
            let api = &site.config.api;
            let lost_at = now.after(api.timeout).after(LOST_AFTER);
            let ask = Ask {
                worker: self.worker,
                queue,
                peer,
                priority: wanted.priority,
                since: wanted.since,
                lanes: api.concurrency,
                budget: api.budget,
                until: lost_at,
            };
            self.listed = true;
            match ledger::take(proxy.store, &ask, now) {
                Grant::Granted => {
                    // Another worker may have brought the answer since this one last looked.
                    if self.resolve_from_others(peer, proxy, effects) {
                        self.settle(peer, Some(LookupError::NotSent), None, proxy, effects);
                        continue;
                    }
                    let id = LookupId(self.next_id);
                    self.next_id = self.next_id.wrapping_add(1);
                    self.wanted.send(peer, id, lost_at);
                    return Some(Lookup { id, peer, site });
                }
                Grant::InFlight => self.wanted.put_off(peer, now.after(ASK_AGAIN)),
                Grant::Wait => {
                    self.ask_again = now.after(ASK_AGAIN);
                    break;
                }
                Grant::Halted(halt, _) => {
                    self.wanted.remove(peer);
                    self.release_peer(
                        peer,
                        |waiter| Decision::without_facts(waiter.site.config.on_error, Reason::Halted(halt)),
                        effects,
                    );
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
        let Some(peer) = self.wanted.in_flight(id) else { return };
        let now = proxy.now.timestamp();
        let error = answer.facts.err();
        self.counters.add(Counter::Lookup(error));
        if error == Some(LookupError::Answer(AnswerError::ConcurrencyRefused)) && self.wanted.try_again(peer, proxy.now)
        {
            self.settle(peer, error, None, proxy, effects);
            return;
        }
        let Some(wanted) = self.wanted.remove(peer) else { return };
        let fact = match answer.facts {
            Ok(assessment) => Fact::Known(assessment),
            Err(error) => Fact::Failed { at: now, error },
        };
        // Facts that are only stale are better than none.
        if error.is_none() || !self.cache.refresh_failed(peer, &wanted.site.config.cache, now) {
            self.table.put(proxy.store, peer, &fact);
            self.cache.insert(peer, fact);
        }
        self.settle(peer, error, answer.retry_after, proxy, effects);
        self.release_with(peer, &fact, Source::Api, now, effects);
        self.withdraw_if_idle(proxy);
    }

    /// Takes the news of another worker that its lookup of this peer ended.
    pub fn hear(&mut self, peer: IpAddr, proxy: Proxy<'_>, effects: &mut Effects) {
        self.ask_again = proxy.now;
        if self.wanted.get(peer).is_some_and(|wanted| matches!(wanted.state, State::Queued { .. }))
            && !self.resolve_from_others(peer, proxy, effects)
        {
            self.wanted.put_off(peer, proxy.now);
        }
        self.withdraw_if_idle(proxy);
    }

    /// Releases every stream that waited long enough, and gives up lookups whose answer the proxy lost.
    pub fn sweep(&mut self, proxy: Proxy<'_>, effects: &mut Effects) {
        for id in self.wanted.lost(proxy.now) {
            let lost = Answer { facts: Err(LookupError::TimedOut), retry_after: None };
            self.answer(id, &lost, proxy, effects);
        }
        self.release(
            |waiter| waiter.deadline <= proxy.now,
            |waiter| Decision::without_facts(waiter.site.config.first_look.then, Reason::HoldExpired),
            effects,
        );
    }

    /// Prepares for the end of a root: what it has not sent yet goes to the root of a stream that still waits for it, or
    /// is forgotten. Returns whether answers to what it has sent are still to come: until then it must live.
    pub fn retire(&mut self, root: RootId) -> bool {
        let staying = self.waiters.values().filter(|waiter| waiter.site.root != root);
        let heirs = staying.map(|waiter| (waiter.peer, Rc::clone(&waiter.site))).collect();
        self.wanted.retire(root, &heirs);
        self.wanted.has_in_flight(root)
    }

    /// The next moment at which [`Gate::sweep`] or [`Gate::next_lookup`] has something to do; `None` when idle.
    pub fn next_event(&self) -> Option<Moment> {
        let streams = self.waiters.values().map(|waiter| waiter.deadline);
        let lookups = self.wanted.next_event().map(|next| next.max(self.ask_again));
        streams.chain(lookups).min()
    }

    /// How many streams wait.
    pub fn held(&self) -> usize {
        self.waiters.len()
    }

    /// How many peers the cache remembers.
    pub fn remembered(&self) -> usize {
        self.cache.len()
    }

    /// How many addresses wait for a lane.
    pub fn queued(&self) -> usize {
        self.wanted.queued()
    }

    /// Sees to it that this peer will be looked up. `false` when the queue is full of what is more urgent.
    fn want(&mut self, site: &Rc<Site>, peer: IpAddr, priority: Priority, now: Moment) -> bool {
        let dropped = self.wanted.add(site, peer, priority, now);
        if dropped.is_some() {
            self.counters.add(Counter::Dropped);
        }
        dropped != Some(peer)
    }

    /// What the other workers know about this peer, as far as it is worth something; remembered here from now on.
    fn learn_from_others(&mut self, site: &Site, peer: IpAddr, proxy: Proxy<'_>) -> Option<(Fact, Freshness)> {
        let fact = self.table.get(proxy.store, peer)?;
        let freshness = self.cache.freshness(peer, &fact, &site.config.cache, proxy.now.timestamp());
        if freshness == Freshness::Expired {
            return None;
        }
        self.cache.insert(peer, fact);
        Some((fact, freshness))
    }

    /// Ends the wait for a peer about which another worker has learned something.
    fn resolve_from_others(&mut self, peer: IpAddr, proxy: Proxy<'_>, effects: &mut Effects) -> bool {
        let Some(site) = self.wanted.get(peer).map(|wanted| Rc::clone(&wanted.site)) else { return false };
        let Some((fact, Freshness::Fresh)) = self.learn_from_others(&site, peer, proxy) else { return false };
        self.wanted.remove(peer);
        self.release_with(peer, &fact, Source::Shared, proxy.now.timestamp(), effects);
        true
    }

    fn due(&self, root: Option<RootId>, now: Moment) -> Option<IpAddr> {
        if now < self.ask_again { None } else { self.wanted.due(root, now) }
    }

    fn settle(
        &mut self,
        peer: IpAddr,
        error: Option<LookupError>,
        retry_after: Option<Duration>,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) {
        let end = End { error, retry_after, jitter: self.next_jitter() };
        self.ask_again = proxy.now;
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

    fn count_waiters(&mut self, peer: IpAddr) {
        let waiters = self.waiters.values().filter(|waiter| waiter.peer == peer).count();
        if let Some(wanted) = self.wanted.get_mut(peer) {
            wanted.waiters = u32::try_from(waiters).unwrap_or(u32::MAX);
        }
    }

    fn release_with(&mut self, peer: IpAddr, fact: &Fact, source: Source, now: Timestamp, effects: &mut Effects) {
        let decide = |waiter: &Waiter| decide(&waiter.site.config, fact, &waiter.connection.borrowed(now), source, now);
        self.release_peer(peer, decide, effects);
    }

    fn release_peer(&mut self, peer: IpAddr, decide: impl Fn(&Waiter) -> Decision<'static>, effects: &mut Effects) {
        self.release(|waiter| waiter.peer == peer, decide, effects);
    }

    fn release(
        &mut self,
        done: impl Fn(&Waiter) -> bool,
        decide: impl Fn(&Waiter) -> Decision<'static>,
        effects: &mut Effects,
    ) {
        let done: Vec<StreamId> = self.waiters.iter().filter(|(_, waiter)| done(waiter)).map(|(id, _)| *id).collect();
        for stream in done {
            let Some(waiter) = self.waiters.remove(&stream) else { continue };
            let decision = self.count(&waiter.site.config, decide(&waiter));
            self.count_waiters(waiter.peer);
            effects.released.push(Release { stream, peer: waiter.peer, site: waiter.site, decision });
        }
    }

    fn count<'s>(&mut self, config: &Config, decision: Decision<'s>) -> Decision<'s> {
        self.counters.add(Counter::Decision(decision.verdict.action, decision.source, config.mode));
        if let Some(reason) = decision.reason {
            self.counters.add(match decision.refuses(config.mode) {
                true => Counter::FailedClosed(reason),
                false => Counter::FailedOpen(reason),
            });
        }
        decision
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
        Fact::Known(assessment) => Decision {
            verdict: config.policy.evaluate(assessment, connection),
            source,
            reason: None,
            age: Some(now.seconds_since(assessment.learned)),
            entry: None,
        },
        Fact::Failed { error, .. } => Decision::without_facts(config.on_error, Reason::Lookup(*error)),
    }
}

#[cfg(test)]
mod tests;
