//! Selection: which connections are worth a lookup.

use crate::Network;
use crate::policy::{host_matches, one_of};
use crate::{Connection, Needs, TimeWindow};
use alloc::{boxed::Box, vec::Vec};
use ipnet::IpNet;

/// Which connections are worth a lookup, where nothing is known about their peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Selection {
    /// All.
    #[default]
    All,
    /// Those for which one of these holds.
    Matching(Vec<Criteria>),
    /// None: traffic alone makes no peer worth a lookup.
    Events,
}

/// What must hold for a connection to be selected: every field that asks something. Fields that are empty or `None` ask
/// nothing.
///
/// What is unknown (a port, a route, ...) is never among what a field names, and never other than what it names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Criteria {
    /// The destination port is one of these.
    pub ports: Vec<u16>,
    /// The destination port is known and is none of these.
    pub ports_other_than: Vec<u16>,
    /// The time of the connection lies outside of this window.
    pub outside: Option<TimeWindow>,
    /// The route has one of these names.
    pub routes: Vec<Box<str>>,
    /// The host, without port, is one of these (any case); a leading `*.` stands for one label or more.
    pub hosts: Vec<Box<str>>,
    /// The client is in one of these networks. IPv4 networks are written as such.
    pub sources: Vec<IpNet>,
    /// The peer's lot is less than this.
    pub sample: Option<u8>,
}

impl Selection {
    /// Whether this connection is worth a lookup. `lot` is a number from 0 to 99 that the peer always has.
    pub fn selects(&self, connection: &Connection<'_>, lot: u8) -> bool {
        match self {
            Selection::All => true,
            Selection::Matching(any) => any.iter().any(|criteria| criteria.hold(connection, lot)),
            Selection::Events => false,
        }
    }

    /// Which parts of a connection this looks at.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        if let Selection::Matching(any) = self {
            for criteria in any {
                needs.port |= !criteria.ports.is_empty() || !criteria.ports_other_than.is_empty();
                needs.host |= !criteria.hosts.is_empty();
                needs.route |= !criteria.routes.is_empty();
                needs.client |= !criteria.sources.is_empty();
            }
        }
        needs
    }
}

impl Criteria {
    fn hold(&self, connection: &Connection<'_>, lot: u8) -> bool {
        one_of(&self.ports, connection.port, |port, known| *port == known)
            && (self.ports_other_than.is_empty()
                || connection.port.is_some_and(|port| !self.ports_other_than.contains(&port)))
            && self.outside.as_ref().is_none_or(|window| !window.contains(connection.now))
            && one_of(&self.routes, connection.route, |name, route| name.as_bytes() == route)
            && one_of(&self.hosts, connection.host, |pattern, host| host_matches(pattern, host))
            && one_of(&self.sources, connection.client, |network, client| {
                Network::from(*network).holds(Network::host(client))
            })
            && self.sample.is_none_or(|sample| lot < sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Timestamp};
    use std::vec;

    /// Monday 2026-03-30 00:00 UTC.
    const MONDAY: i64 = 1_774_828_800;

    fn nothing() -> Connection<'static> {
        Connection::new(Direction::Egress, Timestamp::from_unix(MONDAY + 12 * 3_600))
    }

    #[test]
    fn each_condition_selects_what_it_names_and_nothing_unknown() {
        let none = Criteria::default;
        let working = TimeWindow::parse("Asia/Seoul", "Mon-Fri 09:00-18:00").unwrap();
        let at = |hour: i64| Connection { now: Timestamp::from_unix(MONDAY + hour * 3_600), ..nothing() };
        let port = |port| Connection { port: Some(port), ..nothing() };
        let route = |name| Connection { route: Some(name), ..nothing() };
        let host = |host| Connection { host: Some(host), ..nothing() };
        let client = |text: &str| Connection { client: Some(text.parse().unwrap()), ..nothing() };
        let sources = ["10.1.0.0/16", "2001:db8::/32"].map(|net| net.parse().unwrap());
        for (criteria, selected, not) in [
            (Criteria { ports: vec![22, 445], ..none() }, vec![port(22), port(445)], vec![port(23), nothing()]),
            (Criteria { ports_other_than: vec![80, 443], ..none() }, vec![port(22)], vec![port(80), nothing()]),
            (Criteria { outside: Some(working), ..none() }, vec![at(9), at(23)], vec![at(0), at(8)]),
            (
                Criteria { routes: vec!["admin".into()], ..none() },
                vec![route(b"admin")],
                vec![route(b"Admin"), route(b"adm\xff"), route(b""), nothing()],
            ),
            (
                Criteria { hosts: vec!["*.corp.example".into()], ..none() },
                vec![host(b"git.corp.example:8443"), host(b"A.Corp.Example")],
                vec![host(b"corp.example"), host(b"\xff"), nothing()],
            ),
            (
                Criteria { sources: sources.into(), ..none() },
                vec![client("10.1.2.3"), client("::ffff:10.1.2.3"), client("2001:db8::9")],
                vec![client("10.2.2.3"), client("2001:db9::9"), nothing()],
            ),
        ] {
            let selection = Selection::Matching(vec![criteria.clone()]);
            for (connections, expected) in [(selected, true), (not, false)] {
                for connection in connections {
                    assert_eq!(selection.selects(&connection, 0), expected, "{criteria:?}: {connection:?}");
                }
            }
        }
    }

    #[test]
    fn everything_in_one_must_hold_and_one_of_them_is_enough() {
        let both = Criteria { ports: vec![22], sources: vec!["10.1.0.0/16".parse().unwrap()], ..Criteria::default() };
        let other = Criteria { hosts: vec!["a.example".into()], ..Criteria::default() };
        let selection = Selection::Matching(vec![both, other]);
        let (developer, guest) = ([10, 1, 2, 3].into(), [10, 9, 2, 3].into());
        for (port, client, host, expected) in [
            (22, developer, "b.example", true),
            (22, guest, "b.example", false),
            (80, developer, "b.example", false),
            (80, guest, "a.example", true),
        ] {
            let connection =
                Connection { port: Some(port), client: Some(client), host: Some(host.as_bytes()), ..nothing() };
            assert_eq!(selection.selects(&connection, 0), expected, "{port} {client} {host}");
        }
        let needs = Needs { port: true, client: true, host: true, ..Needs::default() };
        assert_eq!(selection.needs(), needs);
    }

    #[test]
    fn a_sample_is_as_large_as_it_says() {
        for (sample, selected) in [(1, 1), (30, 30), (100, 100)] {
            let sample = Criteria { sample: Some(sample), ..Criteria::default() };
            let selection = Selection::Matching(vec![sample]);
            assert_eq!((0..100).filter(|lot| selection.selects(&nothing(), *lot)).count(), selected);
        }
    }

    #[test]
    fn all_are_selected_or_none_where_nothing_is_asked() {
        for (selection, expected) in
            [(Selection::All, true), (Selection::Events, false), (Selection::Matching(vec![]), false)]
        {
            assert_eq!(selection.selects(&nothing(), 99), expected, "{selection:?}");
            assert_eq!(selection.needs(), Needs::default());
        }
    }
}
