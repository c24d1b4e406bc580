//! Facts that go to and come from a memory outside of the proxy, which outlives it and is slow to ask.

use super::Gate;
use crate::cache::{Fact, Freshness, Remembered};
use crate::record;
use crate::{Config, Effects, Proxy, SubjectId};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use evaluator::{Action, Class, Source, Timestamp};

impl Gate {
    /// The number of the layout of [`Gate::keepsake`], which belongs into the key that a fact is kept under.
    pub const KEEPSAKE_LAYOUT: u32 = 2;

    /// What this worker has learned about this peer, to be kept outside, and for how long from now it may be worth
    /// something. `None` where nothing is known, or only that a lookup failed.
    pub fn keepsake(&self, config: &Config, peer: IpAddr, now: Timestamp) -> Option<(Vec<u8>, Duration)> {
        let peer = peer.into();
        let fact = self.cache.get(peer)?.fact;
        let left = worth(config, &fact)?.checked_sub(Duration::from_secs(fact.age(now).into()))?;
        Some((record::encode(&(peer, fact)), left))
    }

    /// Takes in what a memory outside has kept about this peer, where it is newer than what is known: it decides the
    /// streams that wait for it, and the peer is not looked up any more. Returns whether it was of use; bytes may be
    /// anything.
    pub fn take_back(
        &mut self,
        config: &Config,
        peer: IpAddr,
        kept: &[u8],
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) -> bool {
        let (now, peer) = (proxy.now.timestamp(), SubjectId::from(peer));
        let Some((about, fact)) = record::decode::<(SubjectId, Fact)>(kept) else { return false };
        let is_worth = worth(config, &fact).is_some_and(|worth| u64::from(fact.age(now)) < worth.as_secs());
        let known = self.cache.get(peer).is_some_and(|known| known.fact.learned() >= fact.learned());
        if about != peer || !is_worth || known {
            return false;
        }
        self.table.put(proxy.store, peer, &fact);
        if self.is_queued(peer) && self.is_fresh(config, peer, fact, now) {
            self.wanted.remove(peer);
            self.remember(peer, fact, Source::Shared);
            self.release_with(peer, &fact, Source::Shared, proxy.now, effects);
        }
        true
    }

    /// Whether this peer is to be looked up, or is being.
    pub fn wants(&self, peer: IpAddr) -> bool {
        self.wanted.get(peer.into()).is_some()
    }

    fn is_queued(&self, peer: SubjectId) -> bool {
        self.wanted.get(peer).is_some_and(|wanted| wanted.is_queued())
    }

    fn is_fresh(&self, config: &Config, peer: SubjectId, fact: Fact, now: Timestamp) -> bool {
        let lifetime = fact.lifetime(config, Action::Allow);
        self.cache.freshness(peer, &Remembered::new(fact), lifetime, &config.cache, now) == Freshness::Fresh
    }
}

/// How long a fact can be of use: as long as its class lets it live, or a denial, and then as long as stale facts decide.
pub(super) fn worth(config: &Config, fact: &Fact) -> Option<Duration> {
    let Fact::Known { assessment, again } = fact else { return None };
    let class = config.cache.ttl.for_class(assessment.class());
    let denied = match assessment.class() {
        Class::Clean => Duration::ZERO,
        Class::Suspicious | Class::Malicious => config.block.lifetime(*again),
    };
    Some(class.max(denied).saturating_add(config.cache.stale))
}
