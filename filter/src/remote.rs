//! Who is at the other end of a request.

use crate::host::{self, Headers};
use crate::worker::Worker;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use evaluator::{Direction, Host, Peer, parse_host, parse_peer};
use gate::{Destination, Gate, Place, Remote, Site};

/// The other end of a request, and what was read to find it.
pub(crate) struct Found {
    pub(crate) remote: Remote,
    /// The destination's port; on ingress where a rule looks at it.
    pub(crate) port: Option<u16>,
    /// The `:authority`, where it was read.
    pub(crate) authority: Option<Vec<u8>>,
}

/// The other end of the current request, as far as the proxy's settings and the client tell.
pub(crate) fn of_request(site: &Site, gate: &mut Gate) -> Found {
    let mut found = Found::by_address(site);
    if site.config.reads_host() {
        let authority = host::header(Headers::Request, ":authority").unwrap_or_default();
        found.add_name(&authority, site, gate);
        if found.port.is_none() && site.needs.port {
            found.port = Some(usual_port());
        }
        found.authority = Some(authority);
    }
    found
}

/// The other end of the current connection, as far as the proxy's settings and the client tell.
pub(crate) fn of_connection(site: &Site, gate: &mut Gate) -> Found {
    let mut found = Found::by_address(site);
    if site.config.reads_host() {
        if let Some(server) = server_name() {
            found.add_name(&server, site, gate);
        }
        if found.port.is_none() && site.needs.port {
            found.port = port();
        }
    }
    found
}

/// The server that the client of the current connection names, where it names one and the proxy looks.
pub(crate) fn server_name() -> Option<Vec<u8>> {
    host::property(b"connection\0requested_server_name").ok().filter(|name| !name.is_empty())
}

/// Writes into the journal what a client calls the other end, where that is a name.
pub(crate) fn note_name(worker: &mut Worker, place: Place, text: Option<Vec<u8>>) {
    if let Some(Ok(Host::Name { name, .. })) = text.as_deref().map(parse_host) {
        worker.gate.called(place, &name);
    }
}

/// The address of the client of the current request or connection.
pub(crate) fn client(site: &Site, remote: &Remote) -> Option<IpAddr> {
    match site.config.direction {
        Direction::Ingress => remote.address,
        Direction::Egress => address(b"source\0address").map(|client| client.ip),
    }
}

impl Found {
    /// What the proxy itself knows of the other end.
    fn by_address(site: &Site) -> Found {
        let peer = match (site.config.direction, site.config.destination) {
            (Direction::Ingress, _) => address(b"source\0address"),
            (Direction::Egress, Destination::Address) => address(b"destination\0address"),
            (Direction::Egress, Destination::Name) => None,
        };
        let port = match site.config.direction {
            Direction::Ingress => site.needs.port.then(port).flatten(),
            Direction::Egress => peer.and_then(|peer| peer.port),
        };
        Found { remote: Remote { address: peer.map(|peer| peer.ip), host: None }, port, authority: None }
    }

    /// What the client calls the other end.
    fn add_name(&mut self, text: &[u8], site: &Site, gate: &mut Gate) {
        let counts = site.config.destination == Destination::Name;
        match parse_host(text) {
            Ok(Host::Name { name, port }) => {
                self.remote.host = Some(Rc::from(name));
                self.port = if counts { port } else { self.port };
            }
            Ok(Host::Address(peer)) if counts => {
                self.remote.address = Some(peer.ip);
                self.port = peer.port;
            }
            // Beside the address that the connection goes to, another is a mere claim.
            Ok(Host::Address(_)) => {}
            Err(_) => gate.bad_host(),
        }
    }
}

/// The address that the proxy chose for the current request, once it did.
pub(crate) fn upstream() -> Option<IpAddr> {
    address(b"upstream\0address").map(|peer| peer.ip)
}

/// The port to which the current connection was made.
pub(crate) fn port() -> Option<u16> {
    let number = |value: &[u8]| Some(u64::from_le_bytes(value.try_into().ok()?));
    u16::try_from(host::short_property(b"destination\0port", number).ok()??).ok()
}

/// The port that the scheme stands for, where the authority names none.
fn usual_port() -> u16 {
    match host::header(Headers::Request, ":scheme").as_deref() {
        Some(b"https") => 443,
        _ => 80,
    }
}

fn address(path: &[u8]) -> Option<Peer> {
    host::short_property(path, parse_peer).ok()?.ok()
}
