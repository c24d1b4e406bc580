//! The worker's own memory of peers: assessments and, for a short while, lookups that failed. Never verdicts.

mod bounded;

use crate::{CacheLimits, Config, LookupError, RootId, SubjectId};
use bounded::Bounded;
use core::time::Duration;
use evaluator::{Action, Assessment, Class, Timestamp};
use foldhash::quality::FixedState;

/// What is remembered about one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// What Criminal IP said.
    Known {
        /// The facts.
        assessment: Assessment,
        /// How many times in a row something that speaks against the peer was found again.
        again: u8,
    },
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
            Fact::Known { assessment, .. } => assessment.learned,
            Fact::Failed { at, .. } => *at,
        }
    }

    /// Seconds since this was learned.
    pub(crate) fn age(&self, now: Timestamp) -> u32 {
        now.seconds_since(self.learned())
    }

    /// Whether this is better than what was known: it is newer, and no failure in the place of facts, which may still decide
    /// when they are stale.
    pub(crate) fn replaces(&self, known: &Fact) -> bool {
        let is_failure = |fact: &Fact| matches!(fact, Fact::Failed { .. });
        self.learned() > known.learned() && (!is_failure(self) || is_failure(known))
    }

    /// The fact that a new assessment becomes, after what was known before.
    pub(crate) fn after(before: Option<Fact>, assessment: Assessment) -> Fact {
        let again = match before {
            Some(Fact::Known { assessment: before, again })
                if before.class() != Class::Clean && assessment.class() != Class::Clean =>
            {
                again.saturating_add(1)
            }
            _ => 0,
        };
        Fact::Known { assessment, again }
    }

    /// How long the fact counts for a stream that it leads to this action.
    pub(crate) fn lifetime(&self, config: &Config, action: Action) -> Duration {
        match self {
            Fact::Known { again, .. } if action == Action::Deny => config.block.lifetime(*again),
            Fact::Known { assessment, .. } => config.cache.ttl.for_class(assessment.class()),
            Fact::Failed { .. } => config.cache.ttl.error,
        }
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

/// A bounded map from peer to fact. Eviction resists scans: a peer seen once goes before one seen often.
pub(crate) struct Cache {
    facts: Bounded,
}

/// A fact in the cache.
#[derive(Clone, Copy)]
pub(crate) struct Remembered {
    pub(crate) fact: Fact,
    /// When a lookup to learn the fact anew last failed.
    refresh_failed: Timestamp,
    /// Which lists it was last looked for in, in vain.
    pub(crate) unlisted: Edition,
}

/// The scope and the lists of a configuration, with overrides and feeds, as they were at some time. An entry that stops
/// counting makes no other edition: who is on no list does not come onto one by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    /// Whose they are.
    pub(crate) root: RootId,
    /// How often overrides and feeds have changed, and one.
    pub(crate) changes: u32,
}

impl Edition {
    /// No edition of any lists.
    const NONE: Edition = Edition { root: RootId(0), changes: 0 };
}

impl Remembered {
    /// A fact just learned.
    pub(crate) fn new(fact: Fact) -> Remembered {
        Remembered { fact, refresh_failed: Timestamp::from_unix(0), unlisted: Edition::NONE }
    }
}

impl Cache {
    /// An empty cache for at most `entries` peers. The seed keeps outsiders from choosing addresses that collide.
    pub(crate) fn new(entries: u32, seed: u64) -> Cache {
        Cache { facts: Bounded::new(entries, FixedState::with_seed(seed)) }
    }

    /// Changes the limit. Returns how many peers are evicted because they no longer fit.
    pub(crate) fn resize(&mut self, entries: u32) -> u64 {
        self.facts.resize(entries)
    }

    /// What is remembered about this peer, whatever it is worth.
    pub(crate) fn get(&self, peer: SubjectId) -> Option<&Remembered> {
        self.facts.get(peer)
    }

    /// How far a fact about this peer can be relied on that counts this long.
    pub(crate) fn freshness(
        &self,
        peer: SubjectId,
        remembered: &Remembered,
        lifetime: Duration,
        limits: &CacheLimits,
        now: Timestamp,
    ) -> Freshness {
        let Remembered { fact, refresh_failed, .. } = remembered;
        let age = u64::from(fact.age(now));
        let full = lifetime.as_secs();
        if let Fact::Failed { .. } = fact {
            return if age < full { Freshness::Fresh } else { Freshness::Expired };
        }
        // Shorter by up to a tenth, by address, so that facts learned together do not all end together.
        let tenth = full.checked_div(10).unwrap_or(0);
        if age < full.saturating_sub(tenth) || age < full.saturating_sub(self.share_of(tenth, peer)) {
            Freshness::Fresh
        } else if age >= full.saturating_add(limits.stale.as_secs()) {
            Freshness::Expired
        } else if u64::from(now.seconds_since(*refresh_failed)) < limits.ttl.error.as_secs() {
            // A failed refresh is not repeated at once.
            Freshness::Fresh
        } else {
            Freshness::Stale
        }
    }

    /// Remembers a fact in the place of an older one. Returns how many other peers are evicted to make room.
    pub(crate) fn insert(&mut self, peer: SubjectId, fact: Fact) -> u64 {
        self.facts.insert(peer, Remembered::new(fact))
    }

    /// Notes that the fact about this peer could not be learned anew.
    pub(crate) fn refresh_failed(&mut self, peer: SubjectId, now: Timestamp) {
        if let Some(remembered) = self.facts.get_mut(peer) {
            remembered.refresh_failed = now;
        }
    }

    /// Notes that the peer is public and on none of these lists.
    pub(crate) fn unlisted(&mut self, peer: SubjectId, edition: Edition) {
        if let Some(remembered) = self.facts.get_mut(peer) {
            remembered.unlisted = edition;
        }
    }

    /// How many peers are remembered.
    pub(crate) fn len(&self) -> usize {
        self.facts.len() as usize
    }

    /// A share of `whole`, the same for the same address.
    fn share_of(&self, whole: u64, peer: SubjectId) -> u64 {
        let byte = self.facts.hash(peer) & 0xff;
        whole.saturating_mul(byte).checked_div(256).unwrap_or(0)
    }
}
