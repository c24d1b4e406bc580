//! What a worker does for the control listener: it takes over overrides, says that it is there, and looks back when a
//! security event comes.

use super::Gate;
use super::pursue::Pursuit;
use crate::audit::{self, Act, What};
use crate::crew::{self, Figures, Member, Pulse, SAY_AGAIN};
use crate::journal::{Noted, Seen};
use crate::overrides::{self, Override, Overrides};
use crate::{
    Config, Counter, Decision, Effects, ListEntry, Moment, Place, Proxy, Remote, Role, RootId, Site, StreamId, alert,
};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use evaluator::{Action, Entry, Timestamp, network_text};
use ipnet::IpNet;

/// How often a worker looks for changes that it was not told of.
const LOOK_AGAIN: Duration = Duration::from_millis(900);

/// What a worker keeps for the control listener.
#[derive(Default)]
pub(crate) struct Station {
    pub(super) overrides: Overrides,
    /// The number of the change that they show.
    version: u32,
    /// How often they were taken over.
    taken: u32,
    /// When the first of them stops counting.
    expiry: Option<Timestamp>,
    /// The newest security event that was looked at; `None` before the first look.
    alert: Option<u32>,
    pub(super) pursuits: Vec<Pursuit>,
    look_at: Moment,
    say_at: Moment,
    /// Decisions since the worker started: allow, tag, deny.
    decisions: [u64; 3],
    /// Entries of the journal that were lost since then.
    lost: u64,
}

impl Station {
    /// Takes note of decisions that were counted.
    pub(super) fn count(&mut self, action: Action, more: u64) {
        if let Some(count) = self.decisions.get_mut(action as usize) {
            *count = count.saturating_add(more);
        }
    }
}

impl Gate {
    /// Takes note of a configuration that is live from now on, until it [retires](Gate::retire).
    pub fn enter(&mut self, site: &Rc<Site>) {
        self.sites.retain(|other| other.root != site.root);
        self.sites.push(Rc::clone(site));
    }

    /// Writes a stream into the journal that [`Gate::consult`] did not skip. `stays_open` promises that
    /// [`Gate::ended`] will follow. Returns where, and whether an entry begins with it, whose [name](Gate::called) is still to
    /// come.
    pub fn note(
        &mut self,
        site: &Rc<Site>,
        client: Option<IpAddr>,
        remote: &Remote,
        port: Option<u16>,
        stays_open: bool,
        now: Moment,
    ) -> Option<(Place, bool)> {
        let Noted { place, is_new, lost } = self.journal.note(&Seen { site, client, remote, port, stays_open }, now)?;
        if lost {
            self.counters.add(Counter::JournalLost);
            self.station.lost = self.station.lost.saturating_add(1);
        }
        Some((place, is_new))
    }

    /// Whether there is a journal.
    pub fn keeps_journal(&self) -> bool {
        self.journal.is_kept()
    }

    /// Writes into the journal what a client calls the other end.
    pub fn called(&mut self, place: Place, name: &str) {
        self.journal.name(place, name);
    }

    /// Writes into the journal that a stream ended, and how many bytes its client sent.
    pub fn ended(&mut self, place: Place, bytes: u64, now: Moment) {
        self.journal.end(place, bytes, now);
    }

    /// What is to be done on a tick for the control listener, or because another worker [told](Effects::look) of a change.
    /// `queue` is one by which this worker can be told.
    pub fn tend_control(&mut self, queue: u32, told: bool, proxy: Proxy<'_>, effects: &mut Effects) {
        let now = proxy.now;
        if !told && self.station.look_at.is_ahead_of(now, LOOK_AGAIN) {
            return;
        }
        self.station.look_at = now.after(LOOK_AGAIN);
        let Some(pulse) = Pulse::read(proxy.store) else { return };
        if pulse.overrides != self.station.version {
            self.take_overrides(pulse.overrides, proxy, effects);
        }
        let seen = self.station.alert.replace(pulse.alert).unwrap_or(pulse.alert);
        let first = seen.max(pulse.alert.saturating_sub(alert::KEPT)).saturating_add(1);
        for number in first..=pulse.alert {
            let Some(alert) = alert::read(proxy.store, number) else { continue };
            if let Some(place) = alert.crew.iter().position(|worker| *worker == self.worker) {
                self.pursue(alert, place, proxy, effects);
            }
        }
        if pulse.is_listening(now) && !self.station.say_at.is_ahead_of(now, SAY_AGAIN) {
            self.station.say_at = now.after(SAY_AGAIN);
            crew::join(proxy.store, &Member { worker: self.worker, queue, seen: now, figures: self.figures() });
        }
    }

    /// What is to be done on a tick where there is a control listener: says so to all workers, and takes overrides away
    /// that count no longer.
    pub fn tend_listener(&mut self, proxy: Proxy<'_>, effects: &mut Effects) {
        Pulse::listen(proxy.store, proxy.now);
        if self.station.expiry.is_some_and(|expiry| expiry <= proxy.now.timestamp()) {
            let expired = overrides::expire(proxy.store, proxy.now.timestamp());
            if !expired.is_empty() {
                self.changed_overrides(proxy, effects);
            }
            for one in expired {
                audit(What::OverrideExpired, &network_text(one.net()), &one.by, Some(&one.reason), proxy, effects);
            }
        }
    }

    /// Puts an override, for all workers.
    pub(crate) fn put_override(&mut self, new: &Override, proxy: Proxy<'_>, effects: &mut Effects) -> overrides::Put {
        let put = overrides::put(proxy.store, new);
        if matches!(put, overrides::Put::Added | overrides::Put::Replaced) {
            self.changed_overrides(proxy, effects);
            let (verb, until) = (new.action().name(), new.until.map(|until| until.to_rfc3339()));
            let until = until.map_or(String::new(), |until| [" until ", &until].concat());
            let detail = [verb, until.as_str(), ", ", &new.owner, ": ", &new.reason].concat();
            audit(What::OverridePut, &network_text(new.net()), &new.by, Some(&detail), proxy, effects);
        }
        put
    }

    /// Tells all workers that the overrides have changed.
    pub(crate) fn changed_overrides(&mut self, proxy: Proxy<'_>, effects: &mut Effects) {
        Pulse::change(proxy.store, |pulse| pulse.overrides = pulse.overrides.wrapping_add(1));
        self.tell_crew(proxy, effects);
    }

    /// Tells all workers, this one too, that something has changed.
    pub(crate) fn tell_crew(&mut self, proxy: Proxy<'_>, effects: &mut Effects) {
        effects.look.extend(crew::members(proxy.store, proxy.now).iter().map(|member| member.queue));
        self.station.look_at = Moment::default();
    }

    /// Goes up with each change of the overrides.
    pub(super) fn overrides_taken(&self) -> u32 {
        self.station.taken
    }

    /// Whether there are overrides.
    pub(super) fn has_overrides(&self) -> bool {
        !self.station.overrides.is_empty()
    }

    /// What an override says about a stream; `None` where there is none for its other end.
    #[inline(never)]
    pub(super) fn overridden(&self, remote: &Remote, now: Timestamp) -> Option<Decision<'static>> {
        let (action, entry) = self.station.overrides.find(remote.address?, now)?;
        Some(Decision::overridden(action, entry.net))
    }

    /// The decision as one line of JSON that explains it. `connected` is the port of a connection, and whether it passed
    /// before; `None` for a request.
    pub fn log_line(
        &self,
        decision: &Decision<'_>,
        config: &Config,
        remote: &Remote,
        connected: Option<(Option<u16>, bool)>,
    ) -> String {
        decision.line(config, remote, connected, self.override_of(decision))
    }

    fn override_of(&self, decision: &Decision<'_>) -> Option<&Entry> {
        let Some(ListEntry::Override(net)) = decision.entry else { return None };
        // It decided just now.
        let (_, entry) = self.station.overrides.find(net.addr(), Timestamp::from_unix(0))?;
        (entry.net == net).then_some(entry)
    }

    /// The live configuration that takes the place of one that is gone: the newest of its kind, else the newest of any.
    pub(super) fn heir(&self, gone: RootId, of: &Site) -> Option<Rc<Site>> {
        let others = || self.sites.iter().rev().filter(|site| site.root != gone);
        let same =
            others().find(|site| site.config.role == of.config.role && site.config.direction == of.config.direction);
        same.or_else(|| others().find(|site| site.config.role != Role::Control)).or_else(|| others().next()).cloned()
    }

    /// Takes over what is denied and allowed now: held streams are released, and open connections closed.
    fn take_overrides(&mut self, version: u32, proxy: Proxy<'_>, effects: &mut Effects) {
        let all = overrides::read(proxy.store);
        self.station.version = version;
        self.station.taken = self.station.taken.wrapping_add(1);
        self.station.expiry = all.iter().filter_map(|one| one.until).min();
        self.station.overrides = Overrides::new(&all);
        if all.is_empty() {
            return;
        }
        let now = proxy.now.timestamp();
        let held: Vec<(StreamId, Decision<'static>)> = self
            .waiters
            .iter()
            .filter_map(|(stream, waiter)| Some((stream, self.overridden(&waiter.remote, now)?)))
            .collect();
        for (stream, decision) in held {
            self.release(&[stream], |_| decision, proxy.now, effects);
        }
        let open: Vec<(StreamId, Decision<'static>)> = self
            .connections
            .iter()
            .filter_map(|(stream, open)| {
                let decision = self.overridden(&open.remote, now)?;
                let denied = decision.verdict.action == Action::Deny && !open.is_on_allow_list(now);
                denied.then_some((stream, decision))
            })
            .collect();
        for (stream, decision) in open {
            self.close(stream, decision, effects);
        }
    }

    fn figures(&self) -> Figures {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Figures {
            held: count(self.waiters.len()),
            queued: count(self.wanted.queued()),
            peers: count(self.cache.len()),
            connections: count(self.connections.len()),
            journal: count(self.journal.len()),
            lost: self.station.lost,
            decisions: self.station.decisions,
        }
    }
}

/// Writes into the audit log.
pub(crate) fn audit(what: What, object: &str, by: &str, detail: Option<&str>, proxy: Proxy<'_>, effects: &mut Effects) {
    let detail = detail.map(Box::from);
    let act = Act { seq: 0, at: proxy.now, by: by.into(), what, object: object.into(), detail };
    audit::write(proxy.store, act, effects);
}

/// One address as a network.
pub(crate) fn host(address: IpAddr) -> IpNet {
    address.into()
}
