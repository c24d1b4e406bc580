//! The worker's own memory of peers: assessments and, for a short while, lookups that failed. Never verdicts.

use crate::{CacheLimits, LookupError};
use evaluator::{Assessment, Timestamp};
use foldhash::quality::FixedState;
use quick_cache::{
    UnitWeighter,
    unsync::{self, DefaultLifecycle},
};
use serde::{Deserialize, Serialize};
use std::hash::BuildHasher;
use std::net::IpAddr;

/// What is remembered about one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// What Criminal IP said.
    Known(Assessment),
    /// The last lookup failed; it is not repeated until `cache.ttl.error` has passed.
    Failed {
        /// When it failed.
        at: Timestamp,
        /// How it failed.
        error: LookupError,
    },
}

impl Fact {
    /// When this was learned.
    pub(crate) fn learned(&self) -> Timestamp {
        match self {
            Fact::Known(assessment) => assessment.learned,
            Fact::Failed { at, .. } => *at,
        }
    }

    /// Seconds since this was learned.
    pub(crate) fn age(&self, now: Timestamp) -> u32 {
        now.seconds_since(self.learned())
    }
}

/// How far a fact can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freshness {
    /// It decides.
    Fresh,
    /// It decides, and is to be learned anew.
    Stale,
    /// It is worth nothing any more.
    Expired,
}

/// A bounded map from address to fact. Eviction resists scans: an address seen once goes before one seen often.
pub(crate) struct Cache {
    facts: unsync::Cache<[u8; 16], Remembered, UnitWeighter, FixedState>,
    hasher: FixedState,
}

#[derive(Clone, Copy)]
struct Remembered {
    fact: Fact,
    /// When a lookup to learn the fact anew last failed.
    refresh_failed: Timestamp,
}

impl Cache {
    /// An empty cache for at most `entries` peers. The seed keeps outsiders from choosing addresses that collide.
    pub(crate) fn new(entries: u32, seed: u64) -> Cache {
        let hasher = FixedState::with_seed(seed);
        let lifecycle = DefaultLifecycle::default();
        Cache { facts: unsync::Cache::with(0, u64::from(entries), UnitWeighter, hasher.clone(), lifecycle), hasher }
    }

    /// Changes the limit; what no longer fits is evicted.
    pub(crate) fn resize(&mut self, entries: u32) {
        if self.facts.capacity() != u64::from(entries) {
            self.facts.set_capacity(u64::from(entries));
        }
    }

    /// What is remembered about this peer and still worth something, and how much.
    pub(crate) fn get(&self, peer: IpAddr, limits: &CacheLimits, now: Timestamp) -> Option<(&Fact, Freshness)> {
        let remembered = self.facts.get(&key(peer))?;
        match self.freshness(peer, &remembered.fact, limits, now) {
            Freshness::Expired => None,
            // A failed refresh is not repeated at once.
            Freshness::Stale
                if u64::from(now.seconds_since(remembered.refresh_failed)) < limits.ttl.error.as_secs() =>
            {
                Some((&remembered.fact, Freshness::Fresh))
            }
            freshness => Some((&remembered.fact, freshness)),
        }
    }

    /// How far a fact about this peer can be relied on. The lifetime is shorter by up to a tenth, by address, so that
    /// facts learned together do not all end together.
    pub(crate) fn freshness(&self, peer: IpAddr, fact: &Fact, limits: &CacheLimits, now: Timestamp) -> Freshness {
        let age = u64::from(fact.age(now));
        let Fact::Known(assessment) = fact else {
            return if age < limits.ttl.error.as_secs() { Freshness::Fresh } else { Freshness::Expired };
        };
        let full = limits.ttl.for_class(assessment.class()).as_secs();
        let tenth = full.checked_div(10).unwrap_or(0);
        if age < full.saturating_sub(tenth) || age < full.saturating_sub(self.share_of(tenth, peer)) {
            Freshness::Fresh
        } else if age < full.saturating_add(limits.stale.as_secs()) {
            Freshness::Stale
        } else {
            Freshness::Expired
        }
    }

    /// Remembers a fact in the place of an older one.
    pub(crate) fn insert(&mut self, peer: IpAddr, fact: Fact) {
        self.facts.insert(key(peer), Remembered { fact, refresh_failed: Timestamp::from_unix(0) });
    }

    /// Notes that a fact could not be learned anew. `false` when nothing was known about the peer.
    pub(crate) fn refresh_failed(&mut self, peer: IpAddr, limits: &CacheLimits, now: Timestamp) -> bool {
        let known = matches!(self.get(peer, limits, now), Some((Fact::Known(_), _)));
        if let Some(mut remembered) = self.facts.get_mut(&key(peer)).filter(|_| known) {
            remembered.refresh_failed = now;
        }
        known
    }

    /// How many peers are remembered.
    pub(crate) fn len(&self) -> usize {
        self.facts.len()
    }

    /// A share of `whole`, the same for the same address.
    fn share_of(&self, whole: u64, peer: IpAddr) -> u64 {
        let byte = self.hasher.hash_one(peer) & 0xff;
        whole.saturating_mul(byte).checked_div(256).unwrap_or(0)
    }
}

/// Peers are canonical (IPv4-mapped IPv6 is unwrapped), so an IPv4 address cannot meet an IPv6 one here.
fn key(peer: IpAddr) -> [u8; 16] {
    match peer {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
