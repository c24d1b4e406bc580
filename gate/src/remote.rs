//! The other end of a connection, whom verdicts are about.

use alloc::rc::Rc;
use core::net::IpAddr;

/// The other end of a connection, as far as it is known: the client on ingress, the destination on egress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its address, canonical: IPv4-mapped IPv6 is unwrapped.
    pub address: Option<IpAddr>,
    /// The domain name that the client called it by, normalised ([`evaluator::parse_host`]).
    pub host: Option<Rc<str>>,
}

impl From<IpAddr> for Remote {
    fn from(address: IpAddr) -> Remote {
        Remote { address: Some(address), host: None }
    }
}

impl From<&str> for Remote {
    fn from(host: &str) -> Remote {
        Remote { address: None, host: Some(host.into()) }
    }
}
