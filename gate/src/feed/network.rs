//! The networks that feeds name: as text, as numbers, and which of them a feed may not name.

use evaluator::{Network, parse_ip, special_purpose};

/// Why an entry of a feed is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Reads `192.0.2.0/24`, `2001:db8::/32` or an address alone. Bits beyond the prefix are cut off, and IPv4 mapped into
/// IPv6 becomes IPv4.
pub(crate) fn parse(text: &[u8]) -> Option<Network> {
    let text = core::str::from_utf8(text).ok()?;
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address = parse_ip(address)?;
    Some(Network::of(address, prefix(length, if address.is_ipv4() { 32 } else { 128 })?))
}

/// Whether a feed may name it.
pub(crate) fn check(network: Network) -> Result<Network, Refusal> {
    if network.length() < if network.is_v6() { SHORTEST_V6 } else { SHORTEST_V4 } {
        return Err(Refusal::TooBroad);
    }
    // What is only partly of special purpose is looked at address by address, when a peer comes.
    if special_purpose(network.first()).is_some() && special_purpose(network.last()).is_some() {
        return Err(Refusal::NotPublic);
    }
    Ok(network)
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
            let read = parse(text.as_bytes()).map(|network| network.to_ip_net().to_string());
            assert_eq!(read.as_deref(), network, "{text}");
        }
        assert_eq!(parse(b"192.0.2.\xff"), None);
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
            let network = parse(text.as_bytes()).unwrap();
            assert_eq!(check(network), refusal.map_or(Ok(network), Err), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(is_v6: bool, bits: u128, length in 0..=128u8) {
            let bits = if is_v6 { bits } else { bits & u128::from(u32::MAX) };
            let network = Network::new(is_v6, bits, length);
            let text = network.to_ip_net().to_string();
            let read = parse(text.as_bytes()).unwrap();
            // Mapped addresses come back as what they stand for.
            let mapped = is_v6 && length >= 96 && bits >> 32 == 0xffff;
            prop_assert!(mapped || read == network, "{}", text);
        }

        #[test]
        fn any_bytes_are_a_network_or_none(bytes: Vec<u8>, near in "[0-9a-f:./]{0,44}") {
            let _ = (parse(&bytes), parse(near.as_bytes()));
        }
    }
}
