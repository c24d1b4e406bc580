//! The self-test: an address that takes the whole path of a malicious peer and costs no lookup.

use super::Gate;
use crate::cache::Fact;
use crate::{Config, Effects, Proxy, Subject, SubjectId};
use core::net::{IpAddr, Ipv4Addr};
use evaluator::{Assessment, Finding, Findings, Level, Score, Source, Timestamp};

/// The address of the self-test, from a range that nobody has (RFC 5737 section 3).
pub const SELF_TEST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254));

impl Gate {
    /// Answers what would be a lookup of the self-test's address. Returns whether it was one.
    pub(super) fn answer_self_test(
        &mut self,
        config: &Config,
        id: SubjectId,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) -> bool {
        if !is_self_test(config, id) {
            return false;
        }
        self.wanted.remove(id);
        let before = self.table.get(proxy.store, id).or(self.cache.get(id).map(|remembered| remembered.fact));
        let fact = Fact::after(before, worst(proxy.now.timestamp()));
        self.table.put(proxy.store, id, &fact);
        self.remember(id, fact, Source::SelfTest);
        self.notify(config, &Subject::Address(SELF_TEST), before, &fact, proxy, effects);
        self.release_with(id, &fact, Source::SelfTest, proxy.now, effects);
        true
    }
}

/// Whether this is the address of the self-test, and the configuration has one.
pub(super) fn is_self_test(config: &Config, id: SubjectId) -> bool {
    config.self_test && id == SubjectId::from(SELF_TEST)
}

/// What every profile denies, in both directions.
fn worst(now: Timestamp) -> Assessment {
    let findings = Findings::of(&[Finding::Reputation, Finding::C2, Finding::Malware]);
    Assessment {
        learned: now,
        findings,
        published: Findings::of(&[Finding::Reputation]),
        asn: None,
        country: None,
        score: Score { inbound: Some(Level::Critical), outbound: Some(Level::Critical) },
    }
}
