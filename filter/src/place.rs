//! Whether the filter is where its configuration says.
//!
//! The proxy does not say whether a new context is a request's or a connection's; the first callback tells. The SDK goes by
//! `role` instead, and panics when that is wrong: the VM would end, with every stream that waits in it, again and again.

use crate::host::{self, Level};
use crate::worker;
use gate::{Role, RootId, Site};
use std::cell::Cell;

#[derive(Clone, Copy)]
struct Newest {
    context: u32,
    root: RootId,
    role: Role,
}

thread_local! {
    /// The stream context that was created last, which is the one whose first callback comes next.
    static NEWEST: Cell<Option<Newest>> = const { Cell::new(None) };
}

/// Takes note of a stream context that the SDK creates as `role` says.
pub(crate) fn created(context: u32, site: &Site) {
    // A control listener's context is one of requests.
    let role = if site.config.role == Role::Control { Role::Http } else { site.config.role };
    NEWEST.set(Some(Newest { context, root: site.root, role }));
}

/// Whether a context's first callback, which is one of a filter of this role, is what its configuration says. Where it is
/// not, that is counted, and logged once.
pub(crate) fn fits(context: u32, is: Role) -> bool {
    let Some(newest) = NEWEST.get().filter(|newest| newest.context == context && newest.role != is) else {
        return true;
    };
    let first = worker::with(|worker| {
        worker.gate.misplaced();
        worker.misplaced.insert(newest.root)
    });
    if first.unwrap_or(true) {
        let (says, streams) = (newest.role.name(), if is == Role::Network { "connections" } else { "requests" });
        host::log(
            Level::Error,
            &format!(
                "portcullis: role: the configuration says {says:?}, but this is a filter of role {:?}: all its {streams} \
                 are refused",
                is.name()
            ),
        );
    }
    false
}
