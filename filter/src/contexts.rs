//! The proxy's contexts in this VM: roots, and the streams that they have.

use crate::control::Control;
use crate::host::{self, Level};
use crate::http::Http;
use crate::network::Network;
use crate::root::Root;
use gate::{Role, Site, StreamId};
use std::cell::RefCell;
use std::hash::{BuildHasherDefault, Hasher};

#[allow(
    clippy::disallowed_types,
    reason = "the proxy numbers its contexts one by one: nobody chooses keys that collide"
)]
type Map<T> = std::collections::HashMap<u32, T, BuildHasherDefault<Spread>>;

/// The hash of a number: each request asks for four, and one multiplication spreads such numbers well enough.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        // By Fibonacci: 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// All contexts.
pub(crate) struct Contexts {
    /// A few: one a configuration, and those that wait for the last stream of an old one.
    roots: Vec<Root>,
    streams: Map<Stream>,
}

/// A stream, by what its configuration makes of it.
pub(crate) enum Stream {
    Http(Http),
    Network(Network),
    Control(Box<Control>),
}

impl Stream {
    /// Its configuration.
    pub(crate) fn site(&self) -> &Site {
        match self {
            Stream::Http(http) => http.site(),
            Stream::Network(network) => network.site(),
            Stream::Control(control) => control.site(),
        }
    }
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> =
        const { RefCell::new(Contexts { roots: Vec::new(), streams: Map::with_hasher(BuildHasherDefault::new()) }) };
}

/// Gives the contexts to `use_them`. `None` if they are in use further up the stack, which no callback of the proxy causes:
/// what a callback asks for takes effect after it.
pub(crate) fn with<R>(use_them: impl FnOnce(&mut Contexts) -> R) -> Option<R> {
    CONTEXTS.with(|contexts| match contexts.try_borrow_mut() {
        Ok(mut contexts) => Some(use_them(&mut contexts)),
        Err(_) => {
            host::log(Level::Error, "portcullis: a callback came within another; please report this");
            None
        }
    })
}

impl Contexts {
    pub(crate) fn add_root(&mut self, id: u32) {
        self.roots.push(Root::new(id));
    }

    /// Adds a stream of a root. One whose root has no configuration is not judged, so it is not known either.
    pub(crate) fn add_stream(&mut self, id: StreamId, root: u32) {
        let Some(loaded) = self.root(root).and_then(|root| root.loaded()) else { return };
        let site = loaded.site();
        let stream = match site.config.role {
            Role::Http => Stream::Http(Http::new(id, site)),
            Role::Network => Stream::Network(Network::new(id, site)),
            Role::Control => Stream::Control(Box::new(Control::new(id, site, loaded.tokens()))),
        };
        self.streams.insert(id.0, stream);
    }

    pub(crate) fn root(&mut self, id: u32) -> Option<&mut Root> {
        self.roots.iter_mut().find(|root| root.id() == id)
    }

    pub(crate) fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.get_mut(&id)
    }

    /// Ends a context, unless it is a root that still waits for answers. Returns whether it ended.
    pub(crate) fn done(&mut self, id: u32) -> bool {
        match self.streams.remove(&id) {
            Some(Stream::Http(http)) => http.on_done(),
            Some(Stream::Network(network)) => network.on_done(),
            Some(Stream::Control(control)) => control.on_done(),
            None if self.root(id).is_some_and(|root| !root.on_done()) => return false,
            None => self.remove(id),
        }
        true
    }

    /// Forgets a root.
    pub(crate) fn remove(&mut self, root: u32) {
        self.roots.retain(|other| other.id() != root);
    }
}
