//! Open connections that passed, to be found by their peer.

use crate::index::Index;
use crate::waiter::OwnedConnection;
use crate::{Remote, Site, Sorted, StreamId, SubjectId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use evaluator::{Action, Runs, Source, Timestamp};

/// Connections that one worker watches at the same time. The proxy's own limits are usually lower.
pub(crate) const WATCH_LIMIT: usize = 65_536;

/// An open connection that passed.
pub(crate) struct Open {
    /// The other end.
    pub(crate) remote: Remote,
    /// Who is judged for it: an address, a domain, or both.
    pub(crate) judged: [Option<SubjectId>; 2],
    /// The configuration it arrived under.
    pub(crate) site: Rc<Site>,
    pub(crate) connection: OwnedConnection,
}

impl Open {
    /// Whether the allow list of its configuration lets it pass.
    pub(crate) fn is_on_allow_list(&self, now: Timestamp) -> bool {
        let config = &self.site.config;
        let listed = config.lists.decide(&self.remote, config.destination, now);
        listed.is_some_and(|listed| listed.verdict.action == Action::Allow)
    }
}

/// The open connections of one worker that passed by something else than a list.
#[derive(Default)]
pub(crate) struct Connections {
    streams: Runs<StreamId, Box<Open>>,
    by_peer: Index,
    /// Those of their peers about whom something was learned since it was last looked at, and from where.
    news: Sorted<SubjectId, Source>,
    /// The peer that was visited last.
    visited: u128,
}

impl Connections {
    /// Watches a connection. `false` when there is no room.
    pub(crate) fn insert(&mut self, stream: StreamId, open: Open) -> bool {
        self.remove(stream);
        if self.streams.len() >= WATCH_LIMIT {
            return false;
        }
        for peer in open.judged.into_iter().flatten() {
            self.by_peer.insert(peer, stream);
        }
        self.streams.insert(stream, Box::new(open));
        true
    }

    pub(crate) fn remove(&mut self, stream: StreamId) -> Option<Open> {
        let open = self.streams.remove(&stream)?;
        for peer in open.judged.into_iter().flatten() {
            self.by_peer.remove(peer, stream);
            if self.of(peer).next().is_none() {
                self.news.remove(&peer);
            }
        }
        Some(*open)
    }

    pub(crate) fn get(&self, stream: StreamId) -> Option<&Open> {
        self.streams.get(&stream).map(Box::as_ref)
    }

    /// The connections from this one on.
    pub(crate) fn from(&self, first: StreamId) -> impl Iterator<Item = (StreamId, &Open)> {
        self.streams.from(&first).map(|(stream, open)| (*stream, &**open))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (StreamId, &Open)> {
        self.streams.iter().map(|(stream, open)| (*stream, &**open))
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// The connections of this peer.
    pub(crate) fn of(&self, peer: SubjectId) -> impl Iterator<Item = StreamId> + '_ {
        let rank = u128::from(peer);
        self.by_peer.range(rank..=rank).map(|(_, stream)| stream.into())
    }

    /// So many peers, each time the next ones, round and round.
    pub(crate) fn visit(&mut self, most: usize) -> Vec<SubjectId> {
        let mut peers = Vec::new();
        while peers.len() < most {
            let Some(next) = self.visited.checked_add(1) else { break };
            let Some((peer, _)) = self.by_peer.range(next..=u128::MAX).next() else { break };
            self.visited = peer;
            peers.push(peer.into());
        }
        if peers.len() < most {
            self.visited = 0;
        }
        peers
    }

    /// Notes that something was learned about a peer, if it has connections.
    pub(crate) fn note(&mut self, peer: SubjectId, source: Source) {
        if self.of(peer).next().is_some() {
            self.news.insert(peer, source);
        }
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The peers about whom something was learned, each once.
    pub(crate) fn take_news(&mut self) -> Sorted<SubjectId, Source> {
        core::mem::take(&mut self.news)
    }
}
