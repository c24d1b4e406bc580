//! The inside of a request or connection: its filters and what each of them holds back.

use super::{
    client::{Connection, Outcome, Request},
    config::PluginKind,
};
use crate::host::{HeaderMap, Reply, context};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

/// What the simulation keeps of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) thread: usize,
    pub(crate) input: Input,
    pub(crate) shared: Rc<RefCell<context::Stream>>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) outcome: Outcome,
    /// The upstream's or a filter's answer has begun.
    pub(crate) responding: bool,
    /// A reply of a filter or the proxy has taken the place of the upstream's answer.
    pub(crate) replied: bool,
    /// A reply that waits for the callback that is running to return.
    pub(crate) prepared: Option<Box<Reply>>,
    /// Callbacks of the request's way that are running.
    pub(crate) decoding: u32,
    pub(crate) request_ended: bool,
    /// A TCP connection is being closed.
    pub(crate) closing: bool,
}

#[derive(Debug)]
pub(crate) enum Input {
    Http(Box<Request>),
    Tcp(Box<Connection>),
}

impl Input {
    pub(crate) fn kind(&self) -> PluginKind {
        match self {
            Input::Http(_) => PluginKind::Http,
            Input::Tcp(_) => PluginKind::Network,
        }
    }

    pub(crate) fn source(&self) -> &str {
        match self {
            Input::Http(request) => &request.source,
            Input::Tcp(connection) => &connection.source,
        }
    }

    pub(crate) fn destination(&self) -> &str {
        match self {
            Input::Http(request) => &request.destination,
            Input::Tcp(connection) => &connection.destination,
        }
    }

    pub(crate) fn properties(&self) -> &BTreeMap<String, Vec<u8>> {
        match self {
            Input::Http(request) => &request.properties,
            Input::Tcp(connection) => &connection.properties,
        }
    }
}

/// One filter of a stream.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) plugin: usize,
    /// Its context, and the generation of the VM in which it is; 0 where the VM was dead from the beginning.
    pub(crate) context: u32,
    pub(crate) generation: u64,
    /// The context exists in the module too.
    pub(crate) created: bool,
    /// 503 was sent in its place.
    pub(crate) failed: bool,
    pub(crate) request: Side,
    pub(crate) response: Side,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Response,
}

/// One way through a filter.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) stop: Stop,
    /// A callback is running, and it let the stream go on before it returned.
    pub(crate) running: bool,
    pub(crate) resumed_meanwhile: bool,
    pub(crate) headers_passed: bool,
    pub(crate) headers_end: bool,
    /// Data that the filter has seen and held back.
    pub(crate) held: Vec<u8>,
    /// The filter is shown all that it has held back, with each new piece.
    pub(crate) buffering: bool,
    /// The last piece of data was seen.
    pub(crate) data_ended: bool,
    pub(crate) trailers_seen: bool,
    /// What came while everything was stopped, which the filter has not seen.
    pub(crate) waiting: VecDeque<Frame>,
}

/// What a filter stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    No,
    /// This frame only: its callbacks go on.
    One,
    /// Everything.
    All,
}

/// A piece of a message after its headers.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Data(Vec<u8>, bool),
    Trailers,
}

impl Stream {
    pub(crate) fn new(thread: usize, input: Input, shared: context::Stream) -> Stream {
        Stream {
            thread,
            input,
            shared: Rc::new(RefCell::new(shared)),
            filters: Vec::new(),
            outcome: Outcome::default(),
            responding: false,
            replied: false,
            prepared: None,
            decoding: 0,
            request_ended: false,
            closing: false,
        }
    }

    /// The place of the `index`th filter on this way, from the start of the way.
    pub(crate) fn place(&self, way: Way, index: usize) -> Option<usize> {
        match way {
            Way::Request => (index < self.filters.len()).then_some(index),
            Way::Response => self.filters.len().checked_sub(index + 1),
        }
    }

    pub(crate) fn side(&mut self, way: Way, place: usize) -> &mut Side {
        let filter = &mut self.filters[place];
        match way {
            Way::Request => &mut filter.request,
            Way::Response => &mut filter.response,
        }
    }

    /// The number of headers, trailers included if asked for.
    pub(crate) fn count(&self, way: Way, trailers: bool) -> u32 {
        let shared = self.shared.borrow();
        let count = |map: Option<&HeaderMap>| map.map_or(0, HeaderMap::len);
        let count = match (way, trailers) {
            (Way::Request, false) => shared.request_headers.len(),
            (Way::Request, true) => count(shared.request_trailers.as_ref()),
            (Way::Response, false) => count(shared.response_headers.as_ref()),
            (Way::Response, true) => count(shared.response_trailers.as_ref()),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}
