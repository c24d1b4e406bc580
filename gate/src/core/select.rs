//! Which connections are worth a lookup.

use super::Gate;
use crate::{Remote, Site, SubjectId};
use core::hash::BuildHasher;
use evaluator::Connection;
use foldhash::quality::FixedState;

/// Keeps lots apart from places in the table, which depend on the same seed.
const LOTS: u64 = 0x6c6f_7473;

impl Gate {
    /// Whether the configuration selects this connection for a lookup.
    pub(super) fn selects(&self, site: &Site, remote: &Remote, connection: &Connection<'_>) -> bool {
        site.config.select.connections.selects(connection, self.lot(remote))
    }

    /// From 0 to 99, the same for an address, or a name without one, on every worker of the proxy as long as it runs.
    fn lot(&self, remote: &Remote) -> u8 {
        let name = || SubjectId::of_domain(remote.host.as_deref().unwrap_or_default(), self.seed);
        let id = remote.address.map_or_else(name, SubjectId::from);
        let hash = FixedState::with_seed(self.seed ^ LOTS).hash_one(id);
        u8::try_from(hash % 100).unwrap_or(0)
    }
}
