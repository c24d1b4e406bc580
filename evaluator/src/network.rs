//! Networks as numbers: lists and feeds have many of them, in order.

use crate::{decimal, ip_text, parse_ip, parse_number};
use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A network as numbers: quick to compare, IPv4 before IPv6, by address and then by length, so that what holds others
/// comes right before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    is_v6: bool,
    // Two halves: as one number they would take a third more memory.
    high: u64,
    low: u64,
    length: u8,
}

impl Network {
    /// The network of this address and as many bits; those beyond are cut off.
    pub fn new(is_v6: bool, bits: u128, length: u8) -> Network {
        let width = width(is_v6);
        let length = length.min(width);
        let bits = bits & u128::MAX.unbounded_shl(u32::from(width.saturating_sub(length)));
        Network { is_v6, high: (bits >> 64) as u64, low: bits as u64, length }
    }

    /// The network of this address and as many bits. IPv4 mapped into IPv6 becomes IPv4: peers are compared in that form.
    pub fn of(ip: IpAddr, length: u8) -> Network {
        match ip {
            IpAddr::V4(ip) => Network::new(false, ip.to_bits().into(), length),
            IpAddr::V6(ip) => match (ip.to_ipv4_mapped(), length.checked_sub(96)) {
                (Some(v4), Some(length)) => Network::new(false, v4.to_bits().into(), length),
                _ => Network::new(true, ip.to_bits(), length),
            },
        }
    }

    /// The address alone.
    pub fn host(ip: IpAddr) -> Network {
        Network::of(ip, 128)
    }

    /// Whether its addresses are IPv6.
    pub fn is_v6(self) -> bool {
        self.is_v6
    }

    /// The first address, as a number.
    pub fn bits(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// The bits of its prefix, 0 to 32 or 128.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The first address.
    pub fn first(self) -> IpAddr {
        address(self.is_v6, self.bits())
    }

    /// The last address.
    pub fn last(self) -> IpAddr {
        address(self.is_v6, self.bits() | self.host_mask())
    }

    /// Whether it holds all of the other.
    pub fn holds(self, other: Network) -> bool {
        self.is_v6 == other.is_v6
            && self.length <= other.length
            && (self.bits() ^ other.bits()) & !self.host_mask() == 0
    }

    /// The network that is one bit shorter.
    pub(crate) fn shorter(self) -> Option<Network> {
        Some(Network::new(self.is_v6, self.bits(), self.length.checked_sub(1)?))
    }

    /// The longest network that holds both. `None` where they are not of one family.
    pub(crate) fn common(self, other: Network) -> Option<Network> {
        let unused = 128u32.saturating_sub(width(self.is_v6).into());
        let same = (self.bits() ^ other.bits()).leading_zeros().saturating_sub(unused);
        let length = self.length.min(other.length).min(same as u8);
        (self.is_v6 == other.is_v6).then(|| Network::new(self.is_v6, self.bits(), length))
    }

    /// For people.
    pub fn to_ip_net(self) -> IpNet {
        match self.first() {
            IpAddr::V4(ip) => Ipv4Net::new(ip, self.length).unwrap_or_default().into(),
            IpAddr::V6(ip) => Ipv6Net::new(ip, self.length).unwrap_or_default().into(),
        }
    }

    fn host_mask(self) -> u128 {
        let host_bits = width(self.is_v6).saturating_sub(self.length);
        !u128::MAX.unbounded_shl(host_bits.into())
    }
}

/// Reads a network such as `203.0.113.0/24`, or an address, which is the network of that address alone; bits beyond the prefix
/// stay. `None` for all else. No number has leading zeros: to some, those make it octal.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else { return parse_ip(text).map(IpNet::from) };
    let is_plain = length == "0" || !length.starts_with('0');
    let length = parse_number(length).filter(|_| is_plain).and_then(|length| u8::try_from(length).ok());
    IpNet::new(parse_ip(address)?, length?).ok()
}

/// The network as [`parse_network`] reads it, its length always with it.
pub fn network_text(net: IpNet) -> String {
    [&ip_text(net.addr()), "/", &decimal(net.prefix_len().into())].concat()
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Network {
        Network::of(net.addr(), net.prefix_len())
    }
}

const fn width(is_v6: bool) -> u8 {
    if is_v6 { 128 } else { 32 }
}

fn address(is_v6: bool, bits: u128) -> IpAddr {
    if is_v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_network_is_an_address_with_or_without_a_length_in_plain_numbers() {
        for (text, net) in [
            ("203.0.113.9", "203.0.113.9/32"),
            ("203.0.113.9/24", "203.0.113.9/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1/128"),
        ] {
            assert_eq!(parse_network(text), Some(net.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "010.0.0.0/8",
            "10/8",
            "a/8",
        ] {
            assert_eq!(parse_network(text), None, "{text}");
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
                prop_assert_eq!(Network::from(IpNet::V4(nets.0)), left);
                let common = left.common(right).unwrap();
                prop_assert!(common.holds(left) && common.holds(right));
                let longer = Network::new(false, a.into(), common.length + 1);
                prop_assert!(common.length == 32 || longer == common || !longer.holds(left) || !longer.holds(right));
            }
        }
    }
}
