//! How a stream is decided from what is known, and what is asked where that is not enough.
//!
//! Up to two are judged for one stream: an address, and the domain that the client called it by. The worse verdict counts,
//! and one denial is enough: nothing is asked that could only confirm it.

use super::self_test::is_self_test;
use super::{Gate, decide};
use crate::cache::{Edition, Freshness, Remembered};
use crate::waiter::{OwnedConnection, Pending, Waiter};
use crate::{
    Admitted, Config, Consulted, Counter, Decision, Found, Moment, Priority, Proxy, Reason, Remote, RootId, Site, Skip,
    StreamId, Subject, SubjectId, ledger,
};
use alloc::rc::Rc;
use evaluator::{Action, Connection, Source, Timestamp};

impl Gate {
    /// Decides a stream from lists and remembered facts alone: the warm path.
    pub fn consult<'s>(
        &mut self,
        site: &'s Site,
        remote: &Remote,
        connection: &Connection<'_>,
        now: Timestamp,
    ) -> Consulted<'s> {
        let config = &site.config;
        let decided = match self.recall_unlisted(site, remote, connection, now) {
            Some(recalled) => Some(recalled).filter(|(_, freshness)| *freshness != Freshness::Expired),
            None => match self.look_up(site, remote, connection, now) {
                Ok((known, true)) => known.decided(),
                Ok((_, false)) => {
                    let skip = if *remote == Remote::default() { Skip::NoAddress } else { Skip::NotPublic };
                    return Consulted::Skip(self.skip(skip));
                }
                Err(listed) => return Consulted::Decided(self.count(config, listed)),
            },
        };
        let Some((decision, freshness)) = decided else { return Consulted::Unknown };
        if freshness == Freshness::Stale {
            self.counters.add(Counter::Cache(Found::Stale));
            return Consulted::Stale(decision);
        }
        self.counters.add(Counter::Cache(Found::Fresh));
        Consulted::Decided(self.count(config, decision))
    }

    /// What is remembered about an address that was on no list when it was last looked for, and still is on none: most
    /// requests are of those, and long lists cost them nothing.
    fn recall_unlisted(
        &mut self,
        site: &Site,
        remote: &Remote,
        connection: &Connection<'_>,
        now: Timestamp,
    ) -> Option<(Decision<'static>, Freshness)> {
        let id = remote.address.filter(|_| remote.host.is_none()).map(SubjectId::from)?;
        let remembered = self.cache.get(id).filter(|remembered| remembered.unlisted == self.edition(site.root))?;
        let decided = self.decide(&site.config, id, remembered, connection, Source::Cache, now);
        self.feeds.serve(now);
        Some(decided)
    }

    /// Looks for a stream's other end in the lists, which is an error where one decides, and recalls what is known about it.
    /// Tells also whether there is anything to judge.
    fn look_up<'s>(
        &mut self,
        site: &'s Site,
        remote: &Remote,
        connection: &Connection<'_>,
        now: Timestamp,
    ) -> Result<(Known, bool), Decision<'s>> {
        let config = &site.config;
        self.feeds.serve(now);
        if let Some(decision) = self.listed_or_overridden(config, remote, now) {
            return Err(decision);
        }
        if let Some(decision) = self.named(config, remote, now) {
            return Err(decision);
        }
        let (mut known, mut judged) = (Known::default(), false);
        for id in self.judged(config, remote, now).into_iter().flatten() {
            judged = true;
            known.add(self.recall(config, id, connection, now), id.is_domain());
            if remote.host.is_none() {
                self.cache.unlisted(id, self.edition(site.root));
            }
        }
        Ok((known, judged))
    }

    /// The lists of this root as they are now.
    fn edition(&self, root: RootId) -> Edition {
        Edition { root, changes: self.feeds.taken().wrapping_add(self.overrides_taken()).wrapping_add(1) }
    }

    /// What lists and overrides say: first the allow list, then overrides, then the deny list.
    #[inline]
    pub(super) fn listed_or_overridden<'s>(
        &self,
        config: &'s Config,
        remote: &Remote,
        now: Timestamp,
    ) -> Option<Decision<'s>> {
        let listed = config.lists.decide(remote, config.destination, now);
        if !self.has_overrides() || listed.is_some_and(|listed| listed.verdict.action == Action::Allow) {
            return listed;
        }
        self.overridden(remote, now).or(listed)
    }

    /// What becomes of a stream for which facts that are stale decide: what those say, or what another worker has learned
    /// since. If none has, sees to it that they are learned anew, when there is nothing more urgent and the connection is
    /// worth it. `connection` is all that [`Site::needs_to_ask`].
    pub fn refresh(
        &mut self,
        site: &Rc<Site>,
        remote: &Remote,
        connection: &Connection<'_>,
        stale: Decision<'static>,
        proxy: Proxy<'_>,
    ) -> Decision<'static> {
        let (config, now) = (&site.config, proxy.now.timestamp());
        let selected = self.selects(site, remote, connection);
        let is_stale = |recalled: &(Decision<'_>, Freshness)| recalled.1 == Freshness::Stale;
        let mut known = Known::default();
        for id in self.judged(config, remote, now).into_iter().flatten() {
            let mut recalled = self.recall(config, id, connection, now);
            if recalled.as_ref().is_some_and(is_stale) {
                self.catch_up(id, proxy);
                recalled = self.recall(config, id, connection, now);
            }
            if selected && recalled.as_ref().is_some_and(is_stale) {
                self.want(site, id, remote, Priority::Refresh, proxy.now);
            }
            known.add(recalled, id.is_domain());
        }
        let decision = known.decided().map_or(stale, |(decision, _)| decision);
        self.count(config, decision)
    }

    /// Takes in a stream about whose peer this worker does not know enough: asks the other workers' memory; else sees to it
    /// that the peer is looked up if the connection is worth it, and holds the stream if there is room and the configuration
    /// says so. All streams that wait for one peer, on all workers, share one lookup. `connection` is all that
    /// [`Site::needs_to_ask`].
    pub fn admit(
        &mut self,
        site: &Rc<Site>,
        stream: StreamId,
        remote: &Remote,
        connection: &Connection<'_>,
        proxy: Proxy<'_>,
    ) -> Admitted {
        let config = &site.config;
        let now = proxy.now.timestamp();
        let (mut known, mut pending) = (Known::default(), Pending::default());
        for id in self.judged(config, remote, now).into_iter().flatten() {
            let recalled = self.recall(config, id, connection, now);
            let recalled = recalled.or_else(|| self.recall_shared(site, id, remote, connection, proxy));
            if recalled.is_none() {
                pending.add(id);
            }
            known.add(recalled, id.is_domain());
        }
        if let Some((decision, _)) = known.decided() {
            self.counters.add(Counter::Cache(Found::Shared));
            return Admitted::Decided(self.count(config, decision));
        }
        self.counters.add(Counter::Cache(Found::Miss));
        if !self.selects(site, remote, connection) {
            // What is known about one of two is better than nothing.
            return match known.decision {
                Some(decision) => Admitted::Decided(self.count(config, decision)),
                None => Admitted::Skip(self.skip(Skip::NotSelected)),
            };
        }
        let halted = ledger::status(proxy.store, config.api.budget, proxy.now).halted;
        let halted = halted.filter(|_| !pending.iter().any(|id| is_self_test(config, id)));
        let refusal = if let Some((halt, _)) = halted {
            Some(Reason::Halted(halt))
        } else if !self.want_all(site, pending, remote, proxy.now) {
            Some(Reason::QueueFull)
        } else if config.first_look.hold.is_zero() {
            Some(Reason::HoldExpired)
        } else if self.waiters.len() >= usize::try_from(config.first_look.max_held).unwrap_or(usize::MAX) {
            Some(Reason::HeldFull)
        } else {
            None
        };
        if let Some(reason) = refusal {
            let fallback = match reason {
                Reason::Halted(_) => config.on_error,
                _ => config.first_look.then,
            };
            let decision = known.with(Decision::without_facts(fallback, reason));
            return Admitted::Decided(self.count(config, decision));
        }
        let waiter = Waiter {
            remote: remote.clone(),
            pending,
            known: known.decision,
            site: Rc::clone(site),
            connection: OwnedConnection::from(connection),
            since: proxy.now,
            deadline: proxy.now.after(config.first_look.hold),
        };
        self.hold(stream, waiter);
        Admitted::Held
    }

    /// Those of the other end that Criminal IP may be asked about: first the address.
    pub(crate) fn judged(&self, config: &Config, remote: &Remote, now: Timestamp) -> [Option<SubjectId>; 2] {
        let address = remote.address.filter(|address| config.scope.is_public(*address)).map(SubjectId::from);
        // IPv6 multicast, where an operator takes it for public: those names are the domains'.
        let address = address.filter(|id| !id.is_domain());
        let host = remote.host.as_ref().filter(|host| {
            config.select.domains
                && config.host_scope.is_public(host, now)
                && config.lists.allow_hosts.find(host, now).is_none()
        });
        [address, host.map(|host| SubjectId::of_domain(host, self.seed))]
    }

    /// What this worker remembers, as a decision; `None` where that is nothing, or too old.
    pub(super) fn recall(
        &self,
        config: &Config,
        id: SubjectId,
        connection: &Connection<'_>,
        now: Timestamp,
    ) -> Option<(Decision<'static>, Freshness)> {
        let remembered = self.cache.get(id)?;
        Some(self.decide(config, id, remembered, connection, Source::Cache, now))
            .filter(|(_, freshness)| *freshness != Freshness::Expired)
    }

    /// What the workers share, as a decision, and remembers it.
    pub(super) fn recall_shared(
        &mut self,
        site: &Rc<Site>,
        id: SubjectId,
        remote: &Remote,
        connection: &Connection<'_>,
        proxy: Proxy<'_>,
    ) -> Option<(Decision<'static>, Freshness)> {
        let fact = self.table.get(proxy.store, id)?;
        let (remembered, now) = (Remembered::new(fact), proxy.now.timestamp());
        let (decision, freshness) = self.decide(&site.config, id, &remembered, connection, Source::Shared, now);
        if freshness == Freshness::Expired {
            return None;
        }
        self.remember(id, fact, Source::Shared);
        if freshness == Freshness::Stale && self.selects(site, remote, connection) {
            self.want(site, id, remote, Priority::Refresh, proxy.now);
        }
        Some((decision, freshness))
    }

    /// What a fact says about a stream, and how far it can be relied on for that.
    fn decide(
        &self,
        config: &Config,
        id: SubjectId,
        remembered: &Remembered,
        connection: &Connection<'_>,
        source: Source,
        now: Timestamp,
    ) -> (Decision<'static>, Freshness) {
        let decision = decide(config, &remembered.fact, connection, source, now);
        let lifetime = remembered.fact.lifetime(config, decision.verdict.action);
        (decision, self.cache.freshness(id, remembered, lifetime, &config.cache, now))
    }

    /// Sees to it that all of these will be looked up. `false` when the queue is full of what is more urgent.
    fn want_all(&mut self, site: &Rc<Site>, pending: Pending, remote: &Remote, now: Moment) -> bool {
        let mut all = true;
        for id in pending.iter() {
            all &= self.want(site, id, remote, Priority::FirstLook, now);
        }
        all
    }

    /// Sees to it that one of the other end will be looked up. `false` when the queue is full of what is more urgent.
    pub(crate) fn want(
        &mut self,
        site: &Rc<Site>,
        id: SubjectId,
        remote: &Remote,
        priority: Priority,
        now: Moment,
    ) -> bool {
        let subject = match (id.is_domain(), remote.address, &remote.host) {
            (true, _, Some(host)) => Subject::Domain(Rc::clone(host)),
            (false, Some(address), _) => Subject::Address(address),
            _ => return false,
        };
        let dropped = self.wanted.add(site, id, &subject, priority, now);
        if dropped.is_some() {
            self.counters.add(Counter::Dropped);
        }
        dropped != Some(id)
    }
}

/// What is known about those who are judged for one stream.
#[derive(Default)]
struct Known {
    /// The worst verdict so far.
    decision: Option<Decision<'static>>,
    /// The least reliable fact so far.
    freshness: Option<Freshness>,
    /// Nothing is known about one of them.
    lacks: bool,
}

impl Known {
    fn add(&mut self, recalled: Option<(Decision<'static>, Freshness)>, is_domain: bool) {
        let Some((decision, freshness)) = recalled else {
            self.lacks = true;
            return;
        };
        self.decision = Some(self.with(Decision { by_host: is_domain, ..decision }));
        self.freshness = self.freshness.max(Some(freshness));
    }

    /// The worse of what is known and another decision.
    fn with(&self, other: Decision<'static>) -> Decision<'static> {
        self.decision.map_or(other, |decision| decision.or_worse(other))
    }

    /// The decision, if what is known is enough for one.
    fn decided(&self) -> Option<(Decision<'static>, Freshness)> {
        let enough = |decision: &Decision<'_>| !self.lacks || decision.verdict.action == Action::Deny;
        self.decision.filter(enough).zip(self.freshness)
    }
}
