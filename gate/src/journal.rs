//! The journal: the connections that one worker has seen of late, for looking back from a security event.
//!
//! Requests and connections of one client to one destination that follow each other closely are one entry. Writing takes
//! no memory once the journal is full, and no host call.

use crate::hash::hash;
use crate::{Moment, Remote, RootId, Site};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;
use core::time::Duration;
use evaluator::Network;
use foldhash::fast::FixedState;
use ipnet::IpNet;

/// For how long after its beginning an entry takes in more: what a long one covers could not be told from a gap.
const TOGETHER: Duration = Duration::from_secs(60);
/// How many configurations the journal tells apart; entries of others are not written.
const SITES: usize = 64;

/// What one client did to one destination, within a minute.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The client; `None` where it has no address.
    pub(crate) client: Option<IpAddr>,
    /// The other end: on ingress the client itself.
    pub(crate) remote: Remote,
    /// What the client called the other end first, where it said so.
    pub(crate) name: Option<Box<str>>,
    /// The destination's port, where the proxy knows it.
    pub(crate) port: Option<u16>,
    /// By which configuration: its place among those known.
    site: u8,
    pub(crate) first: Moment,
    pub(crate) last: Moment,
    /// How many requests or connections.
    pub(crate) count: u32,
    /// How many of them are not over.
    open: u32,
    /// What clients sent on those that are, in bytes.
    pub(crate) bytes: u64,
}

/// Where a connection was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// The connections that one worker has seen.
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    /// How many entries came before the first that is kept.
    gone: u64,
    limit: usize,
    window: Duration,
    /// The newest entry of each client and destination, by hash; a collision costs an entry.
    recent: Box<[u64]>,
    hasher: FixedState,
    /// Hosts are chosen by clients: none may have the hash of another at will.
    seed: u64,
    sites: Vec<Option<Rc<Site>>>,
}

impl Journal {
    /// A journal without entries, until one is wanted.
    pub(crate) fn new(seed: u64) -> Journal {
        Journal {
            entries: VecDeque::new(),
            gone: 0,
            limit: 0,
            window: Duration::ZERO,
            recent: Box::default(),
            hasher: FixedState::with_seed(seed),
            seed,
            sites: Vec::new(),
        }
    }

    /// Sets how many entries are kept, and for how long they matter.
    pub(crate) fn resize(&mut self, limit: u32, window: Duration) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.window = window;
        if self.limit == limit {
            return;
        }
        self.limit = limit;
        while self.entries.len() > limit {
            self.forget_first();
        }
        // The memory of a full journal, so that writing takes none.
        self.entries.reserve_exact(limit.saturating_sub(self.entries.len()));
        self.recent = vec![u64::MAX; limit.next_power_of_two()].into();
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.limit > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Of those who are at both ends: all of it in few steps, since each request pays for it.
    fn hash(&self, seen: &Seen<'_>, site: u8) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for address in [seen.client, seen.remote.address].into_iter().flatten() {
            match address {
                IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
                IpAddr::V6(address) => hasher.write_u128(address.to_bits()),
            }
        }
        if let Some(host) = &seen.remote.host {
            hasher.write_u64(hash((self.seed, 0), host).h1);
        }
        hasher.write_u32(u32::from(site) << 16 | u32::from(seen.port.unwrap_or(0)));
        hasher.finish()
    }

    /// Writes a connection down.
    pub(crate) fn note(&mut self, seen: &Seen<'_>, now: Moment) -> Option<Noted> {
        let site = self.site(seen.site)?;
        let hash = usize::try_from(self.hash(seen, site) & 0xffff_ffff).unwrap_or(0);
        let mask = self.recent.len().checked_sub(1)?;
        let newest = self.recent.get_mut(hash & mask)?;
        let index = newest.checked_sub(self.gone).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index))
            && entry.first.after(TOGETHER).is_ahead_of(now, TOGETHER)
            && entry.is_of(seen, site)
        {
            entry.last = entry.last.max(now);
            entry.count = entry.count.saturating_add(1);
            entry.open = entry.open.saturating_add(u32::from(seen.stays_open));
            return Some(Noted { place: Place(*newest), is_new: false, lost: false });
        }
        let number = self.gone.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX));
        *newest = number;
        let full = self.entries.len() >= self.limit;
        let lost = full && self.entries.front().is_some_and(|first| first.end(now).after(self.window) > now);
        if full {
            self.forget_first();
        }
        self.entries.push_back(Entry {
            client: seen.client,
            remote: seen.remote.clone(),
            name: None,
            port: seen.port,
            site,
            first: now,
            last: now,
            count: 1,
            open: u32::from(seen.stays_open),
            bytes: 0,
        });
        Some(Noted { place: Place(number), is_new: true, lost })
    }

    /// Writes down what the client calls the other end.
    pub(crate) fn name(&mut self, place: Place, name: &str) {
        if let Some(entry) = self.at(place) {
            entry.name = Some(name.into());
        }
    }

    fn at(&mut self, place: Place) -> Option<&mut Entry> {
        let index = place.0.checked_sub(self.gone).and_then(|index| usize::try_from(index).ok())?;
        self.entries.get_mut(index)
    }

    /// Writes down that a connection ended, and how much its client sent.
    pub(crate) fn end(&mut self, place: Place, bytes: u64, now: Moment) {
        if let Some(entry) = self.at(place) {
            entry.open = entry.open.saturating_sub(1);
            entry.last = entry.last.max(now);
            entry.bytes = entry.bytes.saturating_add(bytes);
        }
    }

    /// The entries from `from` to `to`, and the configuration that each came under, or the one in its place.
    pub(crate) fn between(&self, from: Moment, to: Moment) -> impl Iterator<Item = (&Entry, &Rc<Site>)> {
        let sites = &self.sites;
        let within =
            self.entries.iter().filter(move |entry| entry.first <= to && (entry.last >= from || entry.open > 0));
        within.filter_map(move |entry| Some((entry, sites.get(usize::from(entry.site))?.as_ref()?)))
    }

    /// Gives what came under a configuration that is gone to the one in its place, which looks its peers up.
    pub(crate) fn retire(&mut self, root: RootId, heir: Option<&Rc<Site>>) {
        for site in &mut self.sites {
            if site.as_ref().is_some_and(|site| site.root == root) {
                *site = heir.cloned();
            }
        }
    }

    fn forget_first(&mut self) {
        if self.entries.pop_front().is_some() {
            self.gone = self.gone.saturating_add(1);
        }
    }

    /// The place of this configuration.
    fn site(&mut self, site: &Rc<Site>) -> Option<u8> {
        let known = |known: &Option<Rc<Site>>| known.as_ref().is_some_and(|known| known.root == site.root);
        let place = match self.sites.iter().position(known) {
            Some(place) => place,
            // Entries of a place that is given anew came under a configuration that nobody inherited: they do not count.
            None if self.sites.len() < SITES => {
                self.sites.push(Some(Rc::clone(site)));
                self.sites.len().saturating_sub(1)
            }
            None => return None,
        };
        u8::try_from(place).ok()
    }
}

/// Where a connection was written down, and what came of it.
pub(crate) struct Noted {
    pub(crate) place: Place,
    /// An entry begins with it.
    pub(crate) is_new: bool,
    /// An entry had to make room that still mattered.
    pub(crate) lost: bool,
}

/// A connection to write down.
pub(crate) struct Seen<'a> {
    pub(crate) site: &'a Rc<Site>,
    pub(crate) client: Option<IpAddr>,
    pub(crate) remote: &'a Remote,
    pub(crate) port: Option<u16>,
    /// Whether its end will be written down.
    pub(crate) stays_open: bool,
}

impl Entry {
    fn is_of(&self, seen: &Seen<'_>, site: u8) -> bool {
        self.site == site && self.client == seen.client && self.port == seen.port && self.remote == *seen.remote
    }

    fn end(&self, now: Moment) -> Moment {
        if self.open > 0 { now } else { self.last }
    }

    /// Whether its client is in this network.
    pub(crate) fn is_from(&self, source: Option<IpNet>) -> bool {
        source.is_none_or(|source| self.client.is_some_and(|ip| Network::from(source).holds(Network::host(ip))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(600);

    fn site(root: u32) -> Rc<Site> {
        let config = Config::parse(br#"{"api": {"cluster": "c"}, "direction": "egress"}"#).unwrap();
        Rc::new(Site::new(RootId(root), config))
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    struct World {
        journal: Journal,
        site: Rc<Site>,
    }

    impl World {
        fn new(limit: u32) -> World {
            let mut journal = Journal::new(3);
            journal.resize(limit, WINDOW);
            World { journal, site: site(1) }
        }

        fn note(&mut self, client: u8, to: u8, stays_open: bool, now: Moment) -> Option<(Place, bool)> {
            let (site, remote) = (Rc::clone(&self.site), Remote::from(IpAddr::from([8, 8, 8, to])));
            let seen =
                Seen { site: &site, client: Some(address(client)), remote: &remote, port: Some(443), stays_open };
            self.journal.note(&seen, now).map(|noted| (noted.place, noted.lost))
        }

        fn found(&self, from: Moment, to: Moment) -> Vec<(String, u32)> {
            let found = self.journal.between(from, to);
            found.map(|(entry, _)| (entry.remote.address.unwrap().to_string(), entry.count)).collect()
        }
    }

    #[test]
    fn what_follows_closely_is_one_entry_and_what_comes_later_another() {
        let mut world = World::new(100);
        for second in [0, 1, 30, 59, 61, 62] {
            world.note(1, 1, false, at(second));
        }
        world.note(2, 1, false, at(62));
        assert_eq!(world.found(at(0), at(100)), [("8.8.8.1".into(), 4), ("8.8.8.1".into(), 2), ("8.8.8.1".into(), 1)]);
        assert_eq!(world.found(at(60), at(61)), [("8.8.8.1".into(), 2)]);
        assert_eq!(world.found(at(63), at(100)), []);
    }

    #[test]
    fn a_connection_that_is_open_is_found_however_long_ago_it_began() {
        let mut world = World::new(100);
        let (place, _) = world.note(1, 1, true, at(0)).unwrap();
        assert_eq!(world.found(at(5_000), at(5_001)), [("8.8.8.1".into(), 1)]);
        world.journal.end(place, 7, at(6_000));
        assert_eq!(world.found(at(6_001), at(6_002)), []);
        let (entry, _) = world.journal.between(at(5_900), at(6_001)).next().unwrap();
        assert_eq!((entry.bytes, entry.last), (7, at(6_000)));
    }

    #[test]
    fn entries_of_a_configuration_that_is_gone_go_to_its_heir_or_do_not_count() {
        let mut world = World::new(100);
        world.note(1, 1, false, at(0));
        world.journal.retire(RootId(1), Some(&site(2)));
        let roots = |world: &World| world.journal.between(at(0), at(1)).map(|(_, site)| site.root).collect::<Vec<_>>();
        assert_eq!(roots(&world), [RootId(2)]);
        world.journal.retire(RootId(2), None);
        assert_eq!(roots(&world), []);
    }

    #[test]
    fn a_journal_that_nobody_wants_keeps_nothing() {
        let mut world = World::new(0);
        assert_eq!(world.note(1, 1, false, at(0)), None);
        assert_eq!(world.journal.len(), 0);
    }

    proptest! {
        #[test]
        fn invariant_6_the_journal_is_bounded_and_says_what_it_lost(
            limit in 1_u32..20,
            notes in proptest::collection::vec((0_u8..4, 0_u8..30, any::<bool>(), 0_u64..200), 0..300),
        ) {
            let mut world = World::new(limit);
            let (mut now, mut written, mut lost, mut places) = (0, 0_u64, 0_u64, Vec::new());
            for (client, to, opens, later) in notes {
                now += later;
                let (place, loses) = world.note(client, to, opens, at(now)).unwrap();
                written += 1;
                lost += u64::from(loses);
                places.extend(opens.then_some(place));
                prop_assert!(world.journal.len() <= limit as usize);
            }
            let kept: u64 = world.journal.entries.iter().map(|entry| u64::from(entry.count)).sum();
            prop_assert!(kept <= written);
            if lost == 0 {
                // What was let go no longer mattered.
                let since = at(now.saturating_sub(WINDOW.as_secs()));
                prop_assert!(world.journal.gone == 0 || world.journal.between(since, at(now)).count() > 0);
            }
            places.into_iter().for_each(|place| world.journal.end(place, 1, at(now)));
            prop_assert!(world.journal.entries.iter().all(|entry| entry.open == 0));
        }
    }
}
