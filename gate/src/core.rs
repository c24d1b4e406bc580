//! The gate of one worker: consults what is known, admits streams that must wait, hands out lookups, and releases every
//! stream exactly once.

use crate::cache::{Cache, Fact};
use crate::{Config, Counter, Counters, Decision, LookupError, LookupId, Moment, Reason, Skip};
use evaluator::{Action, AnswerError, Assessment, Connection, Direction, Needs, Source, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Names a stream: the proxy's context id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// Names one loaded configuration in the worker: the proxy's root context id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// One loaded configuration. Several can be live in one worker: other listeners, or the one before an update.
#[derive(Debug)]
pub struct Site {
    /// Its root context.
    pub root: RootId,
    /// What the operator wrote.
    pub config: Config,
    /// What its rules look at.
    pub needs: Needs,
}

impl Site {
    /// A configuration loaded by this root.
    pub fn new(root: RootId, config: Config) -> Site {
        let needs = config.policy.needs();
        Site { root, config, needs }
    }
}

/// What is known about a peer without waiting.
#[derive(Debug, PartialEq)]
pub enum Consulted<'s> {
    /// The peer is none of the gate's business.
    Skip(Skip),
    /// Lists or facts decide.
    Decided(Decision<'s>),
    /// Nothing is known: [`Gate::admit`] the stream.
    Unknown,
}

/// What becomes of a stream whose peer is unknown.
#[derive(Debug, PartialEq)]
pub enum Admitted {
    /// It waits. Exactly one [`Release`] will name it, unless it [`leaves`](Gate::leave) first.
    Held,
    /// It does not wait.
    Decided(Decision<'static>),
}

/// A stream whose wait is over.
#[derive(Debug)]
pub struct Release {
    /// The stream.
    pub stream: StreamId,
    /// Its peer.
    pub peer: IpAddr,
    /// The configuration it arrived under.
    pub site: Rc<Site>,
    /// What to do with it.
    pub decision: Decision<'static>,
}

/// A lookup to send now.
#[derive(Debug)]
pub struct Lookup {
    /// To be handed back with the answer.
    pub id: LookupId,
    /// The address to ask about.
    pub peer: IpAddr,
    /// The configuration that says how to ask.
    pub site: Rc<Site>,
}

/// The decision core of one worker.
pub struct Gate {
    cache: Cache,
    wanted: BTreeMap<IpAddr, Wanted>,
    queue: VecDeque<IpAddr>,
    in_flight: BTreeMap<LookupId, IpAddr>,
    waiters: BTreeMap<StreamId, Waiter>,
    next_id: u32,
    /// What was counted since the proxy last took it.
    pub counters: Counters,
}

/// An address about which Criminal IP is to be asked.
struct Wanted {
    /// The configuration by which it is asked.
    site: Rc<Site>,
    state: State,
    /// How often Criminal IP refused because another call was under way.
    refusals: u8,
}

enum State {
    /// Awaits a lane, not before this moment.
    Queued { not_before: Moment },
    /// Awaits the answer; given up at this moment, should the proxy never bring one.
    InFlight { lost_at: Moment },
}

struct Waiter {
    peer: IpAddr,
    site: Rc<Site>,
    connection: OwnedConnection,
    deadline: Moment,
}

/// Addresses that may wait for a lane at the same time, in one worker.
const QUEUE_LIMIT: usize = 1024;
/// How often a lookup is sent again when Criminal IP refuses it because another call with the key is under way.
const REFUSALS_LIMIT: u8 = 20;
/// The pause before it is sent again.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);
/// How much later than its own time-out an answer may come before the lookup counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

impl Gate {
    /// An empty gate. The seed must be random: see [`Gate::resize`] for the limit.
    pub fn new(seed: u64) -> Gate {
        Gate {
            cache: Cache::new(1, seed),
            wanted: BTreeMap::new(),
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            waiters: BTreeMap::new(),
            next_id: 0,
            counters: Counters::default(),
        }
    }

    /// Sets how many peers the cache keeps.
    pub fn resize(&mut self, entries: u32) {
        self.cache.resize(entries);
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
        let decision = match self.cache.fresh(peer, &config.cache.ttl, now) {
            Some(Fact::Known(assessment)) => judge(config, assessment, connection, Source::Cache, now),
            Some(Fact::Failed { error, .. }) => Decision::without_facts(config.on_error, Reason::Lookup(*error)),
            None => return Consulted::Unknown,
        };
        Consulted::Decided(self.count(config, decision))
    }

    /// Counts a stream that is not judged, and says so.
    pub fn skip(&mut self, skip: Skip) -> Skip {
        self.counters.add(Counter::Skipped(skip));
        skip
    }

    /// Takes in a stream whose peer is unknown: sees to it that the peer is looked up, and holds the stream if there is
    /// room and the configuration says so. All streams that wait for one address share one lookup.
    pub fn admit(
        &mut self,
        site: &Rc<Site>,
        stream: StreamId,
        peer: IpAddr,
        connection: &Connection<'_>,
        now: Moment,
    ) -> Admitted {
        let first_look = &site.config.first_look;
        let refusal = if !self.want(site, peer, now) {
            Some(Reason::QueueFull)
        } else if first_look.hold.is_zero() {
            Some(Reason::HoldExpired)
        } else if self.waiters.len() >= usize::try_from(first_look.max_held).unwrap_or(usize::MAX) {
            Some(Reason::HeldFull)
        } else {
            None
        };
        if let Some(reason) = refusal {
            let decision = Decision::without_facts(first_look.then, reason);
            return Admitted::Decided(self.count(&site.config, decision));
        }
        let waiter = Waiter {
            peer,
            site: Rc::clone(site),
            connection: OwnedConnection::from(connection),
            deadline: now.after(first_look.hold),
        };
        self.waiters.insert(stream, waiter);
        Admitted::Held
    }

    /// Forgets a stream that ended by itself. Its lookup goes on.
    pub fn leave(&mut self, stream: StreamId) {
        self.waiters.remove(&stream);
    }

    /// The next lookup that this root is to send now, if a lane is free.
    pub fn next_lookup(&mut self, root: RootId, now: Moment) -> Option<Lookup> {
        let position = self.queue.iter().position(|peer| self.is_due(*peer, Some(root), now))?;
        let peer = self.queue.remove(position)?;
        let wanted = self.wanted.get_mut(&peer)?;
        let id = LookupId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        wanted.state = State::InFlight { lost_at: now.after(wanted.site.config.api.timeout).after(LOST_AFTER) };
        self.in_flight.insert(id, peer);
        Some(Lookup { id, peer, site: Rc::clone(&wanted.site) })
    }

    /// A root that has a lookup to send now.
    pub fn next_root(&self, now: Moment) -> Option<RootId> {
        let peer = self.queue.iter().find(|peer| self.is_due(**peer, None, now))?;
        self.wanted.get(peer).map(|wanted| wanted.site.root)
    }

    /// Takes the answer to a lookup, remembers it, and releases every stream that waits for it.
    pub fn answer(
        &mut self,
        id: LookupId,
        answer: Result<Assessment, LookupError>,
        now: Moment,
        released: &mut Vec<Release>,
    ) {
        let Some(peer) = self.in_flight.remove(&id) else { return };
        let Some(wanted) = self.wanted.get_mut(&peer) else { return };
        self.counters.add(Counter::Lookup(answer.err()));
        if answer == Err(LookupError::Answer(AnswerError::ConcurrencyRefused)) && wanted.refusals < REFUSALS_LIMIT {
            wanted.refusals = wanted.refusals.saturating_add(1);
            wanted.state = State::Queued { not_before: now.after(REFUSAL_PAUSE) };
            self.queue.push_front(peer);
            return;
        }
        self.wanted.remove(&peer);
        let fact = match answer {
            Ok(assessment) => Fact::Known(assessment),
            Err(error) => Fact::Failed { at: now.timestamp(), error },
        };
        self.cache.insert(peer, fact);
        self.release(
            |waiter| waiter.peer == peer,
            |waiter| match &fact {
                Fact::Known(assessment) => {
                    let connection = waiter.connection.borrowed(now.timestamp());
                    judge(&waiter.site.config, assessment, &connection, Source::Api, now.timestamp())
                }
                Fact::Failed { error, .. } => {
                    Decision::without_facts(waiter.site.config.on_error, Reason::Lookup(*error))
                }
            },
            released,
        );
    }

    /// Releases every stream that waited long enough, and gives up lookups whose answer the proxy lost.
    pub fn sweep(&mut self, now: Moment, released: &mut Vec<Release>) {
        let lost = |peer: &IpAddr| match self.wanted.get(peer).map(|wanted| &wanted.state) {
            Some(State::InFlight { lost_at }) => *lost_at <= now,
            _ => false,
        };
        let lost: Vec<LookupId> = self.in_flight.iter().filter(|(_, peer)| lost(peer)).map(|(id, _)| *id).collect();
        for id in lost {
            self.answer(id, Err(LookupError::TimedOut), now, released);
        }
        self.release(
            |waiter| waiter.deadline <= now,
            |waiter| Decision::without_facts(waiter.site.config.first_look.then, Reason::HoldExpired),
            released,
        );
    }

    /// Prepares for the end of a root: what it has not sent yet goes to the root of a stream that still waits for it, or
    /// is forgotten. Returns whether answers to what it has sent are still to come: until then it must live.
    pub fn retire(&mut self, root: RootId) -> bool {
        let heirs: BTreeMap<IpAddr, Rc<Site>> = self
            .waiters
            .values()
            .filter(|waiter| waiter.site.root != root)
            .map(|waiter| (waiter.peer, Rc::clone(&waiter.site)))
            .collect();
        let wanted = &mut self.wanted;
        self.queue.retain(|peer| match (wanted.get_mut(peer), heirs.get(peer)) {
            (Some(entry), _) if entry.site.root != root => true,
            (Some(entry), Some(heir)) => {
                entry.site = Rc::clone(heir);
                true
            }
            _ => {
                wanted.remove(peer);
                false
            }
        });
        self.has_in_flight(root)
    }

    /// Whether answers to lookups of this root are still to come.
    pub fn has_in_flight(&self, root: RootId) -> bool {
        self.in_flight.values().any(|peer| self.wanted.get(peer).is_some_and(|wanted| wanted.site.root == root))
    }

    /// The next moment at which [`Gate::sweep`] or [`Gate::next_lookup`] has something to do; `None` when idle.
    pub fn next_event(&self) -> Option<Moment> {
        let streams = self.waiters.values().map(|waiter| waiter.deadline);
        let lookups = self.wanted.values().filter_map(|wanted| match wanted.state {
            // Without a free lane the next answer is the event.
            State::Queued { not_before } => self.has_lane(wanted).then_some(not_before),
            State::InFlight { lost_at } => Some(lost_at),
        });
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

    /// Sees to it that this peer will be looked up. `false` when the queue is full.
    fn want(&mut self, site: &Rc<Site>, peer: IpAddr, now: Moment) -> bool {
        if self.wanted.contains_key(&peer) {
            return true;
        }
        if self.queue.len() >= QUEUE_LIMIT {
            return false;
        }
        let wanted = Wanted { site: Rc::clone(site), state: State::Queued { not_before: now }, refusals: 0 };
        self.wanted.insert(peer, wanted);
        self.queue.push_back(peer);
        true
    }

    fn is_due(&self, peer: IpAddr, root: Option<RootId>, now: Moment) -> bool {
        let Some(wanted) = self.wanted.get(&peer) else { return false };
        let State::Queued { not_before } = wanted.state else { return false };
        not_before <= now && self.has_lane(wanted) && root.is_none_or(|root| wanted.site.root == root)
    }

    fn has_lane(&self, wanted: &Wanted) -> bool {
        self.in_flight.len() < usize::from(wanted.site.config.api.concurrency)
    }

    fn release(
        &mut self,
        done: impl Fn(&Waiter) -> bool,
        decide: impl Fn(&Waiter) -> Decision<'static>,
        released: &mut Vec<Release>,
    ) {
        let (done, waiting) = std::mem::take(&mut self.waiters).into_iter().partition(|(_, waiter)| done(waiter));
        self.waiters = waiting;
        let done: BTreeMap<StreamId, Waiter> = done;
        for (stream, waiter) in done {
            let decision = self.count(&waiter.site.config, decide(&waiter));
            released.push(Release { stream, peer: waiter.peer, site: waiter.site, decision });
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

fn judge(
    config: &Config,
    assessment: &Assessment,
    connection: &Connection<'_>,
    source: Source,
    now: Timestamp,
) -> Decision<'static> {
    Decision {
        verdict: config.policy.evaluate(assessment, connection),
        source,
        reason: None,
        age: Some(now.seconds_since(assessment.learned)),
        entry: None,
    }
}

/// What the rules need of a stream that waits.
struct OwnedConnection {
    direction: Direction,
    port: Option<u16>,
    path: Option<Box<[u8]>>,
    method: Option<Box<[u8]>>,
    host: Option<Box<[u8]>>,
}

impl From<&Connection<'_>> for OwnedConnection {
    fn from(connection: &Connection<'_>) -> OwnedConnection {
        OwnedConnection {
            direction: connection.direction,
            port: connection.port,
            path: connection.path.map(Box::from),
            method: connection.method.map(Box::from),
            host: connection.host.map(Box::from),
        }
    }
}

impl OwnedConnection {
    fn borrowed(&self, now: Timestamp) -> Connection<'_> {
        Connection {
            direction: self.direction,
            port: self.port,
            product: None,
            path: self.path.as_deref(),
            method: self.method.as_deref(),
            host: self.host.as_deref(),
            now,
        }
    }
}

#[cfg(test)]
mod tests;
