//! The networks that feeds name: as text, as numbers, and which of them a feed may not name.

use evaluator::special_purpose;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network as numbers: quick to compare, IPv4 before IPv6, by address and then by length, so that what holds others
/// comes right before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    pub(crate) is_v6: bool,
    // Two halves: as one number they would take a third more memory.
    high: u64,
    low: u64,
    pub(crate) length: u8,
}

/// Why an entry of a feed is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// It is no network.
    Malformed,
    /// It is of special purpose as a whole: only the operator's own deny list may touch private addresses.
    NotPublic,
    /// It is shorter than /8, or /16 in IPv6: a slip of the feed, not a list of anybody's addresses.
    TooBroad,
    /// The feed says that it does not count now.
    NotNow,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 4] = [Refusal::Malformed, Refusal::NotPublic, Refusal::TooBroad, Refusal::NotNow];

    /// The stable code, as metrics and logs write it.
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::NotPublic => "not_public",
            Refusal::TooBroad => "too_broad",
            Refusal::NotNow => "not_now",
        }
    }
}

/// The shortest prefixes that a feed may name.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;

impl Network {
    /// The network of this address and as many bits; those beyond are cut off.
    pub(crate) fn new(is_v6: bool, bits: u128, length: u8) -> Network {
        let width = width(is_v6);
        let length = length.min(width);
        let bits = bits & u128::MAX.unbounded_shl(u32::from(width.saturating_sub(length)));
        Network { is_v6, high: (bits >> 64) as u64, low: bits as u64, length }
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or an address alone. Bits beyond the prefix are cut off, and IPv4 mapped into
    /// IPv6 becomes IPv4.
    pub(crate) fn parse(text: &[u8]) -> Option<Network> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(ip) => Some(Network::new(false, ip.to_bits().into(), prefix(length, 32)?)),
            IpAddr::V6(ip) => {
                let length = prefix(length, 128)?;
                match (ip.to_ipv4_mapped(), length.checked_sub(96)) {
                    (Some(v4), Some(length)) => Some(Network::new(false, v4.to_bits().into(), length)),
                    _ => Some(Network::new(true, ip.to_bits(), length)),
                }
            }
        }
    }

    /// The address alone.
    pub(crate) fn host(ip: IpAddr) -> Network {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Network::new(false, ip.to_bits().into(), 32),
            IpAddr::V6(ip) => Network::new(true, ip.to_bits(), 128),
        }
    }

    /// Whether a feed may name it.
    pub(crate) fn check(self) -> Result<Network, Refusal> {
        if self.length < if self.is_v6 { SHORTEST_V6 } else { SHORTEST_V4 } {
            return Err(Refusal::TooBroad);
        }
        // What is only partly of special purpose is looked at address by address, when a peer comes.
        let is_special = |bits| special_purpose(address(self.is_v6, bits)).is_some();
        if is_special(self.bits()) && is_special(self.bits() | self.host_mask()) {
            return Err(Refusal::NotPublic);
        }
        Ok(self)
    }

    /// The first address, as a number.
    pub(crate) fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// Whether it holds all of the other.
    pub(crate) fn holds(self, other: Network) -> bool {
        self.is_v6 == other.is_v6
            && self.length <= other.length
            && (self.bits() ^ other.bits()) & !self.host_mask() == 0
    }

    /// For people.
    pub(crate) fn to_ip_net(self) -> IpNet {
        match address(self.is_v6, self.bits()) {
            IpAddr::V4(ip) => Ipv4Net::new(ip, self.length).unwrap_or_default().into(),
            IpAddr::V6(ip) => Ipv6Net::new(ip, self.length).unwrap_or_default().into(),
        }
    }

    fn host_mask(self) -> u128 {
        let host_bits = width(self.is_v6).saturating_sub(self.length);
        !u128::MAX.unbounded_shl(host_bits.into())
    }
}

const fn width(is_v6: bool) -> u8 {
    if is_v6 { 128 } else { 32 }
}

fn address(is_v6: bool, bits: u128) -> IpAddr {
    if is_v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

fn prefix(text: Option<&str>, width: u8) -> Option<u8> {
    let Some(text) = text else { return Some(width) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|length| is_number && *length <= width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_read_as_feeds_write_them() {
        for (text, network) in [
            ("192.0.2.1", Some("192.0.2.1/32")),
            ("192.0.2.77/24", Some("192.0.2.0/24")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("2001:DB8::ffff/32", Some("2001:db8::/32")),
            ("::ffff:192.0.2.1", Some("192.0.2.1/32")),
            ("::ffff:192.0.2.1/120", Some("192.0.2.0/24")),
            ("::ffff:0:0/95", Some("::fffe:0:0/95")),
            ("192.0.2.1/33", None),
            ("192.0.2.1/", None),
            ("192.0.2.1/+8", None),
            ("192.0.2.1/255.255.255.0", None),
            ("192.0.2.1:443", None),
            ("192.0.2", None),
            ("example.com", None),
            ("", None),
            ("/8", None),
        ] {
            let read = Network::parse(text.as_bytes()).map(|network| network.to_ip_net().to_string());
            assert_eq!(read.as_deref(), network, "{text}");
        }
        assert_eq!(Network::parse(b"192.0.2.\xff"), None);
    }

    #[test]
    fn what_a_feed_may_not_name_is_refused() {
        for (text, refusal) in [
            ("8.8.8.8", None),
            ("8.0.0.0/8", None),
            ("2a00::/16", None),
            ("0.0.0.0/0", Some(Refusal::TooBroad)),
            ("8.0.0.0/7", Some(Refusal::TooBroad)),
            ("::/0", Some(Refusal::TooBroad)),
            ("2a00::/15", Some(Refusal::TooBroad)),
            ("10.0.0.0/8", Some(Refusal::NotPublic)),
            ("192.168.7.0/24", Some(Refusal::NotPublic)),
            ("127.0.0.1", Some(Refusal::NotPublic)),
            ("100.64.0.0/10", Some(Refusal::NotPublic)),
            ("198.51.100.7", Some(Refusal::NotPublic)),
            ("224.0.0.0/8", Some(Refusal::NotPublic)),
            ("fc00::/18", Some(Refusal::NotPublic)),
            ("::1", Some(Refusal::NotPublic)),
            // Only partly private: no peer that is private is looked for in a feed.
            ("192.0.0.0/8", None),
            ("100.0.0.0/8", None),
        ] {
            let network = Network::parse(text.as_bytes()).unwrap();
            assert_eq!(network.check(), refusal.map_or(Ok(network), Err), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_what_its_text_says(a: u32, b: u32, one in 0..=32u8, other in 0..=32u8, flip in 0..32u32) {
            let near = a ^ 1u32.unbounded_shl(flip);
            for b in [a, b, near] {
                let (left, right) = (Network::new(false, a.into(), one), Network::new(false, b.into(), other));
                let nets = (Ipv4Net::new(a.into(), one).unwrap(), Ipv4Net::new(b.into(), other).unwrap());
                prop_assert_eq!(left.holds(right), nets.0.contains(&nets.1));
                prop_assert_eq!(left.to_ip_net(), IpNet::V4(nets.0.trunc()));
            }
        }

        #[test]
        fn what_is_written_is_read_back(is_v6: bool, bits: u128, length in 0..=128u8) {
            let bits = if is_v6 { bits } else { bits & u128::from(u32::MAX) };
            let network = Network::new(is_v6, bits, length);
            let text = network.to_ip_net().to_string();
            let read = Network::parse(text.as_bytes()).unwrap();
            // Mapped addresses come back as what they stand for.
            let mapped = is_v6 && length >= 96 && bits >> 32 == 0xffff;
            prop_assert!(mapped || read == network, "{}", text);
        }

        #[test]
        fn any_bytes_are_a_network_or_none(bytes: Vec<u8>, near in "[0-9a-f:./]{0,44}") {
            let _ = (Network::parse(&bytes), Network::parse(near.as_bytes()));
        }
    }
}
