//! The worker's own memory of peers: assessments and, for a short while, lookups that failed. Never verdicts.

use crate::{LookupError, Ttl};
use evaluator::{Assessment, Timestamp};
use foldhash::quality::FixedState;
use quick_cache::{
    UnitWeighter,
    unsync::{self, DefaultLifecycle},
};
use std::net::IpAddr;

/// What is remembered about one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Seconds since this was learned.
    pub(crate) fn age(&self, now: Timestamp) -> u32 {
        match self {
            Fact::Known(assessment) => now.seconds_since(assessment.learned),
            Fact::Failed { at, .. } => now.seconds_since(*at),
        }
    }

    /// Whether these lifetimes still let it decide.
    fn is_fresh(&self, ttl: &Ttl, now: Timestamp) -> bool {
        let lifetime = match self {
            Fact::Known(assessment) => ttl.for_class(assessment.class()),
            Fact::Failed { .. } => ttl.error,
        };
        u64::from(self.age(now)) < lifetime.as_secs()
    }
}

/// A bounded map from address to fact. Eviction resists scans: an address seen once goes before one seen often.
pub(crate) struct Cache {
    facts: unsync::Cache<[u8; 16], Fact, UnitWeighter, FixedState>,
}

impl Cache {
    /// An empty cache for at most `entries` peers. The seed keeps outsiders from choosing addresses that collide.
    pub(crate) fn new(entries: u32, seed: u64) -> Cache {
        let hasher = FixedState::with_seed(seed);
        let facts = unsync::Cache::with(0, u64::from(entries), UnitWeighter, hasher, DefaultLifecycle::default());
        Cache { facts }
    }

    /// Changes the limit; what no longer fits is evicted.
    pub(crate) fn resize(&mut self, entries: u32) {
        if self.facts.capacity() != u64::from(entries) {
            self.facts.set_capacity(u64::from(entries));
        }
    }

    /// The fact about this peer, if it is fresh.
    pub(crate) fn fresh(&self, peer: IpAddr, ttl: &Ttl, now: Timestamp) -> Option<&Fact> {
        self.facts.get(&key(peer)).filter(|fact| fact.is_fresh(ttl, now))
    }

    /// Remembers a fact in the place of an older one.
    pub(crate) fn insert(&mut self, peer: IpAddr, fact: Fact) {
        self.facts.insert(key(peer), fact);
    }

    /// How many peers are remembered.
    pub(crate) fn len(&self) -> usize {
        self.facts.len()
    }
}

/// Peers are canonical (IPv4-mapped IPv6 is unwrapped), so an IPv4 address cannot meet an IPv6 one here.
fn key(peer: IpAddr) -> [u8; 16] {
    match peer {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
