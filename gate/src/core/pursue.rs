//! A worker's part in a security event: it looks back, sees to it that what it finds is looked up, and says what came of it.

use super::Gate;
use super::control::host;
use crate::alert::{self, Alert, AlertAction, CLIENTS, DeniedBy, FOUND, Found, Part, State};
use crate::journal::Entry;
use crate::overrides::Override;
use crate::{Decision, Effects, Mode, Moment, Proxy, Remote, RootId, Site, Sorted, SubjectId, ledger};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use evaluator::{Action, Connection, Direction, Source, hexadecimal};
use ipnet::IpNet;

/// For how long connections that are closed still count for an event that is over.
const LINGERS: Duration = Duration::from_secs(60);

/// An event that this worker has looked back from.
pub(crate) struct Pursuit {
    alert: Alert,
    /// This worker's place in its crew.
    place: usize,
    part: Part,
    /// As many as were found, in the same order.
    targets: Vec<Target>,
    /// Whether others have not been told the newest.
    untold: bool,
}

/// A destination.
struct Target {
    site: Rc<Site>,
    remote: Remote,
    /// Who is asked about.
    judged: [Option<SubjectId>; 2],
}

/// What makes two connections one destination.
type Key = (Option<IpAddr>, Option<Rc<str>>, Option<u16>, RootId);

impl Gate {
    /// Looks back from an event.
    pub(super) fn pursue(&mut self, alert: Alert, place: usize, proxy: Proxy<'_>, effects: &mut Effects) {
        let from = Moment::from_millis(alert.at.millis().saturating_sub(alert.window));
        let source = alert.source.and_then(|(address, length)| IpNet::new(address, length).ok());
        let part = Part { number: alert.number, ..Part::default() };
        let (to, kind) = (alert.at, alert.kind);
        let mut pursuit = Pursuit { alert, place, part, targets: Vec::new(), untold: true };
        let mut places = Sorted::default();
        for (entry, site) in self.journal.between(from, to) {
            if entry.is_from(source) && kind.concerns(entry.port) {
                pursuit.add(&mut places, entry, site);
            }
        }
        for at in 0..pursuit.targets.len() {
            self.look_into(&mut pursuit, at, proxy, effects);
        }
        if self.station.pursuits.len() >= usize::try_from(alert::KEPT).unwrap_or(usize::MAX) {
            // Nobody remembers that event any more.
            self.station.pursuits.remove(0);
        }
        self.station.pursuits.push(pursuit);
        self.go_on(proxy, effects);
    }

    /// Takes over what was learned for events since, and tells the others.
    pub(super) fn go_on(&mut self, proxy: Proxy<'_>, effects: &mut Effects) {
        if self.station.pursuits.is_empty() {
            return;
        }
        let mut pursuits = core::mem::take(&mut self.station.pursuits);
        for pursuit in pursuits.iter_mut().filter(|pursuit| pursuit.untold || pursuit.part.done.is_none()) {
            for at in 0..pursuit.targets.len() {
                if pursuit.part.found.get(at).is_some_and(|found| found.state == State::Waiting) {
                    self.check(pursuit, at, State::LookedUp, proxy, effects);
                }
            }
            let waits = pursuit.part.found.iter().any(|found| found.state == State::Waiting);
            let ends = !waits && pursuit.part.done.is_none();
            if ends {
                pursuit.part.done = Some(proxy.now);
                pursuit.untold = true;
            }
            if core::mem::take(&mut pursuit.untold) {
                alert::write_part(proxy.store, pursuit.place, &pursuit.part);
            }
            if ends {
                self.notify_of_end(&pursuit.alert, proxy);
            }
        }
        pursuits
            .retain(|pursuit| pursuit.part.done.is_none_or(|done| done.after(LINGERS).is_ahead_of(proxy.now, LINGERS)));
        self.station.pursuits = pursuits;
    }

    /// Notes that a lookup for an event cost a credit.
    pub(super) fn spent_for_event(&mut self, peer: SubjectId) {
        for pursuit in &mut self.station.pursuits {
            let Some(found) = pursuit.found(peer).find(|found| found.state == State::Waiting) else { continue };
            found.credits = found.credits.saturating_add(1);
            pursuit.untold = true;
            // The first that asked pays.
            break;
        }
    }

    /// Notes that an open connection of this peer was closed.
    pub(super) fn closed_for_event(&mut self, address: Option<SubjectId>) {
        let Some(peer) = address else { return };
        for pursuit in &mut self.station.pursuits {
            let Some(found) = pursuit.found(peer).next() else { continue };
            found.closed = found.closed.saturating_add(1);
            pursuit.untold = true;
        }
    }

    /// Gives what is still to be looked up for events under a configuration that is gone to the one in its place.
    pub(super) fn inherit_events(&mut self, root: RootId) -> Vec<(SubjectId, Rc<Site>)> {
        let mut heirs = Vec::new();
        let mut pursuits = core::mem::take(&mut self.station.pursuits);
        for target in pursuits.iter_mut().flat_map(|pursuit| &mut pursuit.targets) {
            if target.site.root == root
                && let Some(heir) = self.heir(root, &target.site)
            {
                target.site = Rc::clone(&heir);
                heirs.extend(target.judged.iter().flatten().map(|peer| (*peer, Rc::clone(&heir))));
            }
        }
        self.station.pursuits = pursuits;
        heirs
    }

    /// Sees to it that enough is known about a destination.
    fn look_into(&mut self, pursuit: &mut Pursuit, at: usize, proxy: Proxy<'_>, effects: &mut Effects) {
        let Some((target, found)) = pursuit.at(at) else { return };
        let now = proxy.now.timestamp();
        if let Some(decision) = self.listed(&target.site, &target.remote, now) {
            let decision = Decision { entry: None, ..decision };
            let rule = decision_rule(&decision);
            return self.settle_target(pursuit, at, State::Known, decision, rule, proxy, effects);
        }
        target.judged = self.judged(&target.site.config, &target.remote, now);
        if target.judged.iter().flatten().next().is_none() {
            found.state = State::NotPublic;
            return;
        }
        let (site, remote) = (Rc::clone(&target.site), target.remote.clone());
        found.state = State::Waiting;
        if !self.ask_for_event(&site, &remote, proxy) {
            let Some((_, found)) = pursuit.at(at) else { return };
            (found.state, found.reason) = (State::Failed, Some("queue_full".into()));
            return;
        }
        self.check(pursuit, at, State::Known, proxy, effects);
    }

    /// What lists, overrides and feeds say.
    fn listed<'s>(&mut self, site: &'s Site, remote: &Remote, now: evaluator::Timestamp) -> Option<Decision<'s>> {
        let config = &site.config;
        let listed = self.listed_or_overridden(config, remote, now);
        listed.or_else(|| self.named(config, remote, now))
    }

    /// Settles a destination if nothing more is to come about it.
    fn check(&mut self, pursuit: &mut Pursuit, at: usize, then: State, proxy: Proxy<'_>, effects: &mut Effects) {
        let Some((target, found)) = pursuit.at(at) else { return };
        let judged = target.judged;
        if judged.iter().flatten().any(|peer| self.wanted.get(*peer).is_some()) {
            return;
        }
        let (config, now) = (&target.site.config, proxy.now.timestamp());
        let connection = Connection { port: found.port, ..Connection::new(config.direction, now) };
        let mut known: Option<Decision<'static>> = None;
        for id in judged.into_iter().flatten() {
            let Some((decision, _)) = self.recall(config, id, &connection, now) else { continue };
            let decision = Decision { by_host: id.is_domain(), ..decision };
            known = Some(known.map_or(decision, |known| known.or_worse(decision)));
        }
        match known {
            Some(Decision { reason: Some(reason), source: Source::OnError, .. }) => {
                (found.state, found.reason) = (State::Failed, Some(reason.code().into()));
                pursuit.untold = true;
            }
            Some(decision) => {
                let rule = decision.rule(config).map(Box::from);
                self.settle_target(pursuit, at, then, decision, rule, proxy, effects);
            }
            None => {
                let halted = ledger::status(proxy.store, config.api.budget, proxy.now).halted;
                let reason = halted.map_or("queue_full", |(halt, _)| halt.code());
                (found.state, found.reason) = (State::Failed, Some(reason.into()));
                pursuit.untold = true;
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "each is needed once, and they have nothing in common")]
    fn settle_target(
        &mut self,
        pursuit: &mut Pursuit,
        at: usize,
        state: State,
        decision: Decision<'_>,
        rule: Option<Box<str>>,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) {
        pursuit.untold = true;
        let (action, id) = (pursuit.alert.action, pursuit.alert.id);
        let Some((target, found)) = pursuit.at(at) else { return };
        let verdict = decision.verdict;
        found.state = state;
        found.verdict = Some(verdict.action as u8);
        found.rule = rule;
        found.findings = verdict.findings.bits();
        found.score = verdict.score.map(|level| level as u8);
        let enforced = target.site.config.mode == Mode::Enforce;
        found.denied_by = match (verdict.action, decision.source) {
            (Action::Deny, Source::Override) if enforced => Some(DeniedBy::Override),
            (Action::Deny, _) if enforced => Some(DeniedBy::Policy),
            _ => None,
        };
        let Some(address) = target.remote.address else { return };
        if action == AlertAction::Deny && verdict.action == Action::Tag {
            let now = proxy.now.timestamp();
            let ttl = target.site.config.block.ttl;
            let name = ["event ", &hexadecimal(id)].concat();
            let new = Override {
                owner: "event".into(),
                reason: name.as_str().into(),
                by: name.as_str().into(),
                until: Some(proxy.now.after(ttl).timestamp()),
                ..Override::new(host(address), true, now)
            };
            let put = self.put_override(&new, proxy, effects);
            let is_put = matches!(put, crate::overrides::Put::Added | crate::overrides::Put::Replaced);
            if let Some((_, found)) = pursuit.at(at).filter(|_| is_put && enforced) {
                found.denied_by = Some(DeniedBy::Override);
            }
        }
    }
}

fn decision_rule(decision: &Decision<'_>) -> Option<Box<str>> {
    let rule = match (decision.source, decision.verdict.action) {
        (Source::Override, _) => "override",
        (Source::Feed, _) => "feed",
        (_, Action::Deny) => "deny list",
        _ => "allow list",
    };
    Some(rule.into())
}

impl Pursuit {
    /// Takes a connection in.
    fn add(&mut self, places: &mut Sorted<Key, usize>, entry: &Entry, site: &Rc<Site>) {
        let key = (entry.remote.address, entry.remote.host.clone(), entry.port, site.root);
        let place = match places.get(&key) {
            Some(place) => *place,
            None if self.targets.len() >= FOUND => {
                self.part.too_many = self.part.too_many.saturating_add(1);
                return;
            }
            None => {
                let target = Target { site: Rc::clone(site), remote: entry.remote.clone(), judged: [None; 2] };
                self.targets.push(target);
                self.part.found.push(Found::new(entry, site));
                let place = self.targets.len().saturating_sub(1);
                places.insert(key, place);
                place
            }
        };
        if let Some(found) = self.part.found.get_mut(place) {
            found.add(entry);
        }
    }

    fn at(&mut self, at: usize) -> Option<(&mut Target, &mut Found)> {
        self.targets.get_mut(at).zip(self.part.found.get_mut(at))
    }

    fn found(&mut self, peer: SubjectId) -> impl Iterator<Item = &mut Found> {
        let all = self.targets.iter().zip(&mut self.part.found);
        all.filter(move |(target, _)| target.judged.contains(&Some(peer))).map(|(_, found)| found)
    }
}

impl Found {
    fn new(entry: &Entry, site: &Site) -> Found {
        Found {
            address: entry.remote.address,
            host: entry.remote.host.as_deref().map(Box::from),
            name: entry.name.clone(),
            port: entry.port,
            is_egress: site.config.direction == Direction::Egress,
            clients: Vec::new(),
            connections: 0,
            first: entry.first,
            last: entry.last,
            bytes: 0,
            state: State::Waiting,
            reason: None,
            verdict: None,
            rule: None,
            findings: 0,
            score: None,
            denied_by: None,
            closed: 0,
            credits: 0,
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.connections = self.connections.saturating_add(entry.count);
        (self.first, self.last) = (self.first.min(entry.first), self.last.max(entry.last));
        self.bytes = self.bytes.saturating_add(entry.bytes);
        if self.name.is_none() {
            self.name.clone_from(&entry.name);
        }
        if let Some(client) = entry.client
            && self.clients.len() < CLIENTS
            && !self.clients.contains(&client)
        {
            self.clients.push(client);
        }
    }
}
