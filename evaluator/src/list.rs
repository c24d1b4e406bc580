//! Lists of networks that somebody put there on purpose: allow and deny lists.

use crate::{Network, Runs, Timestamp};
use alloc::{boxed::Box, collections::BinaryHeap, vec::Vec};
use core::fmt;
use core::net::IpAddr;
use ipnet::IpNet;

/// One network on a list, and who put it there, why and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The network; bits of the host are cut off, and an IPv4 network mapped into IPv6 becomes the IPv4 network.
    pub net: IpNet,
    /// Who answers for the entry.
    pub owner: Option<Box<str>>,
    /// Why it is there.
    pub reason: Option<Box<str>>,
    /// The first moment at which it no longer counts; `None` for never.
    pub until: Option<Timestamp>,
}

/// A list of networks. The entry with the longest prefix decides, and finding it takes about as long among a hundred
/// thousand as among ten.
#[derive(Clone, Debug, Default)]
pub struct List {
    entries: Networks<Entry>,
    expiries: Expiries,
}

impl List {
    /// The list of these entries.
    ///
    /// # Errors
    /// [`Duplicate`] names the first network that is there twice.
    pub fn new(entries: Vec<Entry>) -> Result<List, Duplicate> {
        let mut networks = Networks::default();
        let expiries = Expiries::new(entries.iter().filter_map(|entry| entry.until));
        for mut entry in entries {
            let network = Network::from(entry.net);
            let net = network.to_ip_net();
            entry.net = net;
            if !networks.insert(network, entry) {
                return Err(Duplicate { net });
            }
        }
        Ok(List { entries: networks, expiries })
    }

    /// The entry with the longest prefix around this address, among those that count at `now`.
    pub fn find(&self, ip: IpAddr, now: Timestamp) -> Option<&Entry> {
        self.entries.longest(ip, |entry| entry.until.is_none_or(|until| now < until))
    }

    /// When the next entry stops counting: later than `now`.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.expiries.next(now)
    }

    /// How many entries the list has, expired ones included.
    pub fn len(&self) -> usize {
        self.entries.0.len()
    }

    /// Whether the list has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.0.is_empty()
    }
}

/// When the entries of a list stop counting, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expiries(Vec<Timestamp>);

impl Expiries {
    pub(crate) fn new(expiries: impl Iterator<Item = Timestamp>) -> Expiries {
        // A heap, since its code is a tenth of what sorts slices.
        Expiries(expiries.collect::<BinaryHeap<_>>().into_sorted_vec())
    }

    pub(crate) fn add(&mut self, expiry: Option<Timestamp>) {
        let Some(expiry) = expiry else { return };
        self.0.insert(self.0.partition_point(|other| *other <= expiry), expiry);
    }

    /// The first that is later than `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.get(self.0.partition_point(|expiry| *expiry <= now)).copied()
    }
}

/// A network that is on one list twice, so that it would be unclear which entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The network, without bits of the host.
    pub net: IpNet,
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is on the list twice; keep one of the entries", self.net)
    }
}

impl core::error::Error for Duplicate {}

/// Values by network.
#[derive(Clone, Debug)]
pub(crate) struct Networks<T>(Runs<Network, T>);

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Networks(Runs::default())
    }
}

impl<T> Networks<T> {
    /// Puts a value in. Returns whether there was none.
    pub(crate) fn insert(&mut self, network: Network, value: T) -> bool {
        self.0.insert(network, value)
    }

    /// The value with the longest prefix around this address, among those that count.
    pub(crate) fn longest(&self, ip: IpAddr, counts: impl Fn(&T) -> bool) -> Option<&T> {
        let mut around = Network::host(ip);
        loop {
            // What holds an address comes before it, and so do others. Those that hold it are no longer than what it has in
            // common with the last of them.
            let (network, value) = self.0.until(&around)?;
            around = if !network.holds(around) {
                around.common(*network)?
            } else if counts(value) {
                return Some(value);
            } else {
                network.shorter()?
            };
        }
    }

    /// Whether a network holds this address.
    pub(crate) fn covers(&self, ip: IpAddr) -> bool {
        self.longest(ip, |_| true).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn entry(net: &str, until: Option<i64>) -> Entry {
        Entry { net: net.parse().unwrap(), owner: None, reason: Some(net.into()), until: until.map(at) }
    }

    #[test]
    fn the_longest_prefix_that_has_not_expired_decides() {
        let list = List::new(vec![
            entry("0.0.0.0/0", None),
            entry("203.0.113.0/24", Some(300)),
            entry("203.0.113.7/32", Some(100)),
            entry("2001:db8::/32", None),
            entry("::ffff:198.51.100.9/120", None),
        ])
        .unwrap();
        assert_eq!((list.len(), list.is_empty()), (5, false));
        for (ip, now, reason) in [
            ("203.0.113.7", 99, Some("203.0.113.7/32")),
            ("203.0.113.7", 100, Some("203.0.113.0/24")),
            ("203.0.113.7", 300, Some("0.0.0.0/0")),
            ("203.0.113.8", 0, Some("203.0.113.0/24")),
            ("8.8.8.8", 0, Some("0.0.0.0/0")),
            ("::ffff:203.0.113.8", 0, Some("203.0.113.0/24")),
            ("198.51.100.200", 0, Some("::ffff:198.51.100.9/120")),
            ("2001:db8::1", 0, Some("2001:db8::/32")),
            ("2001:db9::1", 0, None),
        ] {
            let found = list.find(ip.parse().unwrap(), at(now)).and_then(|entry| entry.reason.as_deref());
            assert_eq!(found, reason, "{ip} at {now}");
        }
    }

    #[test]
    fn the_next_expiry_is_the_first_that_is_still_to_come() {
        let list = List::new(vec![
            entry("8.8.8.8/32", Some(300)),
            entry("9.9.9.9/32", None),
            entry("1.1.1.1/32", Some(100)),
            entry("2001:db8::/32", Some(100)),
        ])
        .unwrap();
        for (now, next) in [(0, Some(100)), (99, Some(100)), (100, Some(300)), (299, Some(300)), (300, None)] {
            assert_eq!(list.next_expiry(at(now)), next.map(at), "{now}");
        }
        assert_eq!(List::default().next_expiry(at(0)), None);
    }

    #[test]
    fn a_network_may_be_there_only_once_whatever_its_host_bits() {
        for (first, second, net) in [
            ("203.0.113.1/24", "203.0.113.2/24", "203.0.113.0/24"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24", "203.0.113.0/24"),
            ("2001:db8::1/128", "2001:db8::1/128", "2001:db8::1/128"),
        ] {
            let error = List::new(vec![entry(first, None), entry(second, Some(9))]).unwrap_err();
            assert_eq!(error, Duplicate { net: net.parse().unwrap() });
        }
    }

    #[test]
    fn an_empty_list_finds_nothing() {
        let list = List::default();
        assert!(list.is_empty() && list.find(IpAddr::from([8, 8, 8, 8]), at(0)).is_none());
    }

    /// Few enough bits that prefixes nest and addresses hit.
    fn address() -> impl Strategy<Value = IpAddr> {
        let bytes = prop::sample::select(vec![0u8, 1, 127, 128, 255]);
        let v4 = prop::array::uniform4(bytes.clone()).prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
        let v6 = prop::array::uniform16(bytes).prop_map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_linear_scan_finds(
            entries in prop::collection::vec((address(), 0..=128u8, prop::option::of(0..3i64)), 0..40),
            peers in prop::collection::vec(address(), 1..20),
            now in 0..3i64,
        ) {
            let entries: BTreeMap<IpNet, Entry> = entries
                .into_iter()
                .map(|(ip, length, until)| IpNet::new(ip, length.min(if ip.is_ipv4() { 32 } else { 128 })).map(|net| {
                    (net.trunc(), Entry { net, owner: None, reason: None, until: until.map(at) })
                }).unwrap())
                .collect();
            let list = List::new(entries.values().cloned().collect()).unwrap();
            prop_assert_eq!(list.len(), entries.len());
            let hosts = entries.keys().map(|net| net.addr());
            for ip in hosts.chain(peers) {
                let expected = entries
                    .iter()
                    .filter(|(net, entry)| net.contains(&ip) && entry.until.is_none_or(|until| at(now) < until))
                    .max_by_key(|(net, _)| net.prefix_len())
                    .map(|(net, _)| *net);
                prop_assert_eq!(list.find(ip, at(now)).map(|entry| entry.net), expected, "{}", ip);
            }
        }
    }
}
