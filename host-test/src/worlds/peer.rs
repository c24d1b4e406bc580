//! The peers of worlds, and what is true of them.

use std::net::IpAddr;

/// What is to become of a peer, by what the stand-in says of it and how the worlds' proxies are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may pass.
    Clean,
    /// It may pass with a tag that says so.
    Tagged,
    /// It is denied once something is known about it.
    Denied,
    /// It is never looked up and never denied, although the stand-in would speak against some.
    Private,
    /// On the allow list, although the stand-in speaks against it.
    Allowed,
    /// On the deny list, although the stand-in has nothing against it.
    Listed,
}

/// All of them.
pub static PEERS: &[(&str, Kind)] = &[
    ("192.0.2.10", Kind::Clean),
    ("198.51.100.1", Kind::Clean),
    ("198.51.100.2", Kind::Clean),
    ("198.51.100.3", Kind::Clean),
    ("192.0.2.20", Kind::Tagged),
    ("192.0.2.30", Kind::Tagged),
    ("192.0.2.40", Kind::Denied),
    ("192.0.2.132", Kind::Denied),
    ("10.1.2.3", Kind::Private),
    ("127.0.0.1", Kind::Private),
    ("100.64.0.9", Kind::Private),
    ("fe80::1", Kind::Private),
    ("::ffff:192.168.0.40", Kind::Private),
    ("2001:db8::40", Kind::Private),
    (ALLOWED, Kind::Allowed),
    (LISTED, Kind::Listed),
];

pub(super) const ALLOWED: &str = "192.0.2.50";
pub(super) const LISTED: &str = "198.51.100.66";

/// What is true of the peer at this address.
pub(super) fn kind(address: IpAddr) -> Option<Kind> {
    let is = |text: &str| text.parse::<IpAddr>().is_ok_and(|other| other == address);
    PEERS.iter().find(|(text, _)| is(text)).map(|(_, kind)| *kind)
}
