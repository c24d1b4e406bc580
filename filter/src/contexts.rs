//! The proxy's contexts in this VM: roots, and the streams that they have.

use crate::control::Control;
use crate::host::{self, Level};
use crate::http::Http;
use crate::network::Network;
use crate::root::Root;
use crate::vm::Own;
use alloc::boxed::Box;
use alloc::vec::Vec;
use gate::{Role, Site, StreamId};

/// All contexts.
#[derive(Default)]
pub(crate) struct Contexts {
    /// A few: one a configuration, and those that wait for the last stream of an old one.
    roots: Vec<Root>,
    streams: Streams,
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

static CONTEXTS: Own<Contexts> = Own::new();

/// Gives the contexts to `use_them`. `None` if they are in use further up the stack, which no callback of the proxy causes:
/// what a callback asks for takes effect after it.
pub(crate) fn with<R>(use_them: impl FnOnce(&mut Contexts) -> R) -> Option<R> {
    let used = CONTEXTS.with(use_them);
    if used.is_none() {
        host::log(Level::Error, "portcullis: a callback came within another; please report this");
    }
    used
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
        self.streams.insert(id, stream);
    }

    pub(crate) fn root(&mut self, id: u32) -> Option<&mut Root> {
        self.roots.iter_mut().find(|root| root.id() == id)
    }

    pub(crate) fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.get_mut(id)
    }

    /// Ends a context, unless it is a root that still waits for answers. Returns whether it ended.
    pub(crate) fn done(&mut self, id: u32) -> bool {
        match self.streams.remove(id) {
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

/// Streams by their numbers. The proxy counts its contexts, so that the last digits of their numbers spread them evenly; and the
/// lists keep their room, so that a request that comes and goes takes no memory.
struct Streams([Vec<(u32, Stream)>; 256]);

impl Default for Streams {
    fn default() -> Self {
        Streams([const { Vec::new() }; 256])
    }
}

impl Streams {
    /// Those whose numbers end as this one does.
    fn like(&mut self, id: u32) -> Option<&mut Vec<(u32, Stream)>> {
        self.0.get_mut(usize::try_from(id % 256).ok()?)
    }

    fn insert(&mut self, id: StreamId, stream: Stream) {
        // Numbers begin again after 2^32.
        self.remove(id.0);
        if let Some(streams) = self.like(id.0) {
            streams.push((id.0, stream));
        }
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.like(id)?.iter_mut().find(|(other, _)| *other == id).map(|(_, stream)| stream)
    }

    fn remove(&mut self, id: u32) -> Option<Stream> {
        let streams = self.like(id)?;
        let place = streams.iter().position(|(other, _)| *other == id)?;
        Some(streams.swap_remove(place).1)
    }
}
