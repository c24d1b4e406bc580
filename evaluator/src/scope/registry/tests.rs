use super::*;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use std::vec::Vec;

/// The registries once more, in their own order and notation: block and whether it is globally reachable. Blocks that
/// carry an IPv4 address stand apart.
const REGISTRIES: &[(&str, bool)] = &[
    ("0.0.0.0/8", false),
    ("0.0.0.0/32", false),
    ("10.0.0.0/8", false),
    ("100.64.0.0/10", false),
    ("127.0.0.0/8", false),
    ("169.254.0.0/16", false),
    ("172.16.0.0/12", false),
    ("192.0.0.0/24", false),
    ("192.0.0.0/29", false),
    ("192.0.0.8/32", false),
    ("192.0.0.9/32", true),
    ("192.0.0.10/32", true),
    ("192.0.0.170/32", false),
    ("192.0.0.171/32", false),
    ("192.0.2.0/24", false),
    ("192.31.196.0/24", true),
    ("192.52.193.0/24", true),
    ("192.88.99.0/24", false),
    ("192.168.0.0/16", false),
    ("192.175.48.0/24", true),
    ("198.18.0.0/15", false),
    ("198.51.100.0/24", false),
    ("203.0.113.0/24", false),
    ("240.0.0.0/4", false),
    ("255.255.255.255/32", false),
    ("224.0.0.0/4", false),
    ("::1/128", false),
    ("::/128", false),
    ("64:ff9b:1::/48", false),
    ("100::/64", false),
    ("100:0:0:1::/64", false),
    ("2001::/23", false),
    ("2001::/32", false),
    ("2001:1::1/128", true),
    ("2001:1::2/128", true),
    ("2001:1::3/128", true),
    ("2001:2::/48", false),
    ("2001:3::/32", true),
    ("2001:4:112::/48", true),
    ("2001:10::/28", false),
    ("2001:20::/28", true),
    ("2001:30::/28", true),
    ("2001:db8::/32", false),
    ("2620:4f:8000::/48", true),
    ("3fff::/20", false),
    ("5f00::/16", false),
    ("fc00::/7", false),
    ("fe80::/10", false),
    ("ff00::/8", false),
    // Everything else: IPv4 is public, and of IPv6 only global unicast.
    ("0.0.0.0/0", true),
    ("2000::/3", true),
    ("::/0", false),
];

/// The registries' answer by a plain search, with the IPv4 address inside where there is one.
fn is_public(ip: IpAddr) -> bool {
    let ip = match ip {
        IpAddr::V6(v6) => match v6.octets() {
            [0x20, 0x02, a, b, c, d, ..]
            | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
            | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => IpAddr::from([a, b, c, d]),
            _ => ip,
        },
        IpAddr::V4(_) => ip,
    };
    let blocks = REGISTRIES.iter().map(|(block, public)| (block.parse::<IpNet>().unwrap(), *public));
    blocks.filter(|(net, _)| net.contains(&ip)).max_by_key(|(net, _)| net.prefix_len()).unwrap().1
}

#[test]
fn every_block_is_found_by_its_name_at_both_ends_and_not_beyond() {
    for (text, public) in REGISTRIES {
        let net: IpNet = text.parse().unwrap();
        let (first, last) = (net.network(), net.broadcast());
        let (before, after) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (
                Ipv4Addr::from_bits(first.to_bits().wrapping_sub(1)).into(),
                Ipv4Addr::from_bits(last.to_bits().wrapping_add(1)).into(),
            ),
            (IpAddr::V6(first), IpAddr::V6(last)) => (
                Ipv6Addr::from_bits(first.to_bits().wrapping_sub(1)).into(),
                Ipv6Addr::from_bits(last.to_bits().wrapping_add(1)).into(),
            ),
            _ => unreachable!(),
        };
        for ip in [before, first, last, after] {
            assert_eq!(special_purpose(ip).is_none(), is_public(ip), "{ip} at the border of {text}");
        }
        if net.prefix_len() > 3 {
            assert_eq!(special_purpose(net.addr()).is_none(), *public, "{text}");
        }
    }
}

#[test]
fn addresses_with_an_ipv4_address_inside_are_judged_by_it() {
    for (ip, name) in [
        ("::ffff:10.0.0.1", Some("private use")),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::10.0.0.1", Some("private use")),
        ("64:ff9b::8.8.8.8", None),
        ("64:ff9b:0:0:1::8.8.8.8", Some("not global unicast")),
        ("2002:a00:1::1", Some("private use")),
        ("2002:808:808::1", None),
        ("::8.8.8.8", Some("not global unicast")),
        ("4000::1", Some("not global unicast")),
        ("fec0::1", Some("not global unicast")),
    ] {
        assert_eq!(special_purpose(ip.parse().unwrap()).map(|special| special.name), name, "{ip}");
    }
}

#[test]
fn the_tables_say_in_text_what_they_say_in_bits_and_longer_prefixes_come_first() {
    let v4 = V4
        .iter()
        .map(|row| (IpNet::V4(Ipv4Net::new(row.base.into(), 32 - row.host_bits as u8).unwrap()), row.special.as_ref()));
    let v6 = V6.iter().map(|row| {
        (IpNet::V6(Ipv6Net::new(row.base.into(), 128 - row.host_bits as u8).unwrap()), row.special.as_ref())
    });
    let rows: Vec<_> = v4.chain(v6).collect();
    for (index, (net, special)) in rows.iter().enumerate() {
        assert_eq!(*net, net.trunc());
        if let Some(special) = special {
            assert_eq!(special.block.parse::<IpNet>().unwrap(), *net);
        }
        for (later, _) in &rows[index + 1..] {
            assert!(!net.contains(later), "{net} hides {later}");
        }
    }
}

proptest! {
    #[test]
    fn any_ipv4_address_is_as_the_registries_say(bits: u32) {
        let ip = IpAddr::V4(Ipv4Addr::from_bits(bits));
        prop_assert_eq!(special_purpose(ip).is_none(), is_public(ip));
    }

    #[test]
    fn any_ipv6_address_is_as_the_registries_say(block in 0..REGISTRIES.len(), bits: u128, spread in 0..128u32) {
        let base = match REGISTRIES[block].0.parse::<IpNet>().unwrap().network() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        for bits in [bits, base ^ (bits >> spread), 0x2002 << 112 | bits >> 16, 0x64_ff9b << 96 | bits >> 96] {
            let ip = IpAddr::V6(Ipv6Addr::from_bits(bits));
            prop_assert_eq!(special_purpose(ip).is_none(), is_public(ip), "{}", ip);
        }
    }
}
