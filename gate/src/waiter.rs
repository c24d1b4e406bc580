//! Streams that wait for a verdict.

use crate::{Moment, Site};
use evaluator::{Connection, Direction, Timestamp};
use std::net::IpAddr;
use std::rc::Rc;

/// A stream that waits.
pub(crate) struct Waiter {
    pub(crate) peer: IpAddr,
    /// The configuration it arrived under.
    pub(crate) site: Rc<Site>,
    pub(crate) connection: OwnedConnection,
    /// When it has waited long enough.
    pub(crate) deadline: Moment,
}

/// What the rules need of a stream that waits.
pub(crate) struct OwnedConnection {
    direction: Direction,
    port: Option<u16>,
    path: Option<Box<[u8]>>,
    method: Option<Box<[u8]>>,
    host: Option<Box<[u8]>>,
}

impl From<&Connection<'_>> for OwnedConnection {
    fn from(connection: &Connection<'_>) -> OwnedConnection {
        OwnedConnection {
            direction: connection.direction,
            port: connection.port,
            path: connection.path.map(Box::from),
            method: connection.method.map(Box::from),
            host: connection.host.map(Box::from),
        }
    }
}

impl OwnedConnection {
    pub(crate) fn borrowed(&self, now: Timestamp) -> Connection<'_> {
        Connection {
            direction: self.direction,
            port: self.port,
            product: None,
            path: self.path.as_deref(),
            method: self.method.as_deref(),
            host: self.host.as_deref(),
            now,
        }
    }
}
