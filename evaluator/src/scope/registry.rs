//! The address blocks that are not ordinary public addresses, as IANA registers them.
//!
//! Sources, as of 2026: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>, the multicast blocks, and
//! <https://www.iana.org/assignments/ipv6-address-space> for what is not global unicast at all.
//!
//! Blocks that the registries call globally reachable are public, also inside a larger block that is not. Where the
//! registries leave it open:
//!
//! - An IPv6 address that carries an IPv4 address which the traffic really goes to (mapped `::ffff:0:0/96`, NAT64
//!   `64:ff9b::/96`, 6to4 `2002::/16`) is judged by that IPv4 address.
//! - Teredo `2001::/32`, ORCHID `2001:10::/28` and the 6to4 relay `192.88.99.0/24` are withdrawn or tunnel through a third
//!   party: not public.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses that is not ordinary public address space.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecialPurpose {
    /// What the block is for, in a few words: `private use`.
    pub name: &'static str,
    /// The block in CIDR notation: `10.0.0.0/8`.
    pub block: &'static str,
}

/// The smallest special-purpose block around the address; `None` for ordinary public addresses.
///
/// ```
/// use evaluator::special_purpose;
/// assert_eq!(special_purpose("10.1.2.3".parse()?).map(|special| special.name), Some("private use"));
/// assert_eq!(special_purpose("8.8.8.8".parse()?), None);
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn special_purpose(ip: IpAddr) -> Option<&'static SpecialPurpose> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => special_v4(ip),
        IpAddr::V6(ip) => special_v6(ip),
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<&'static SpecialPurpose> {
    // Nearly every peer ends here: these are the first octets of the table below.
    let [0 | 10 | 100 | 127 | 169 | 172 | 192 | 198 | 203 | 224.., ..] = ip.octets() else { return None };
    let bits = ip.to_bits();
    let block = V4.iter().find(|block| (bits ^ block.base) & u32::MAX.unbounded_shl(block.host_bits) == 0)?;
    block.special.as_ref()
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static SpecialPurpose> {
    let [a, b, c, d, .., y, z] = ip.segments();
    match (a, b, c, d) {
        (0x2002, high, low, _) => return special_v4(embedded(high, low)),
        (0x64, 0xff9b, 0, 0) if ip.segments().get(4..6) == Some(&[0, 0]) => return special_v4(embedded(y, z)),
        // Global unicast, where no block of the table is.
        (0x2000 | 0x2003..=0x3ffe, ..) => return None,
        _ => {}
    }
    let bits = ip.to_bits();
    let block = V6.iter().find(|block| (bits ^ block.base) & u128::MAX.unbounded_shl(block.host_bits) == 0)?;
    block.special.as_ref()
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

struct Block<T> {
    base: T,
    host_bits: u32,
    /// `None` for a block that is public although a larger one around it is not.
    special: Option<SpecialPurpose>,
}

/// A row of a table; the prefix length and the text of the block are checked against each other by a test.
macro_rules! blocks {
    ($bits:literal: $($base:expr, $length:literal, $block:literal, $kind:ident $($name:literal)?;)+) => {
        &[$(Block { base: $base, host_bits: $bits - $length, special: blocks!(@$kind $block $($name)?) },)+]
    };
    (@special $block:literal $name:literal) => { Some(SpecialPurpose { name: $name, block: $block }) };
    (@public $block:literal) => { None };
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    Ipv4Addr::new(a, b, c, d).to_bits()
}

const fn v6(a: u16, b: u16, c: u16, d: u16, h: u16) -> u128 {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, h).to_bits()
}

/// Longer prefixes before the shorter ones around them.
static V4: &[Block<u32>] = blocks! { 32:
    v4(0, 0, 0, 0), 32, "0.0.0.0/32", special "unspecified";
    v4(0, 0, 0, 0), 8, "0.0.0.0/8", special "this network";
    v4(10, 0, 0, 0), 8, "10.0.0.0/8", special "private use";
    v4(100, 64, 0, 0), 10, "100.64.0.0/10", special "shared address space";
    v4(127, 0, 0, 0), 8, "127.0.0.0/8", special "loopback";
    v4(169, 254, 0, 0), 16, "169.254.0.0/16", special "link-local";
    v4(172, 16, 0, 0), 12, "172.16.0.0/12", special "private use";
    v4(192, 0, 0, 9), 32, "192.0.0.9/32", public;
    v4(192, 0, 0, 10), 32, "192.0.0.10/32", public;
    v4(192, 0, 0, 0), 24, "192.0.0.0/24", special "protocol assignments";
    v4(192, 0, 2, 0), 24, "192.0.2.0/24", special "documentation";
    v4(192, 88, 99, 0), 24, "192.88.99.0/24", special "withdrawn 6to4 relay";
    v4(192, 168, 0, 0), 16, "192.168.0.0/16", special "private use";
    v4(198, 18, 0, 0), 15, "198.18.0.0/15", special "benchmarking";
    v4(198, 51, 100, 0), 24, "198.51.100.0/24", special "documentation";
    v4(203, 0, 113, 0), 24, "203.0.113.0/24", special "documentation";
    v4(224, 0, 0, 0), 4, "224.0.0.0/4", special "multicast";
    v4(255, 255, 255, 255), 32, "255.255.255.255/32", special "limited broadcast";
    v4(240, 0, 0, 0), 4, "240.0.0.0/4", special "reserved";
};

/// Longer prefixes before the shorter ones around them.
static V6: &[Block<u128>] = blocks! { 128:
    v6(0x2001, 1, 0, 0, 1), 128, "2001:1::1/128", public;
    v6(0x2001, 1, 0, 0, 2), 128, "2001:1::2/128", public;
    v6(0x2001, 1, 0, 0, 3), 128, "2001:1::3/128", public;
    v6(0x2001, 3, 0, 0, 0), 32, "2001:3::/32", public;
    v6(0x2001, 4, 0x112, 0, 0), 48, "2001:4:112::/48", public;
    v6(0x2001, 0x20, 0, 0, 0), 28, "2001:20::/28", public;
    v6(0x2001, 0x30, 0, 0, 0), 28, "2001:30::/28", public;
    v6(0x2001, 0, 0, 0, 0), 32, "2001::/32", special "Teredo";
    v6(0x2001, 2, 0, 0, 0), 48, "2001:2::/48", special "benchmarking";
    v6(0x2001, 0x10, 0, 0, 0), 28, "2001:10::/28", special "withdrawn ORCHID";
    v6(0x2001, 0, 0, 0, 0), 23, "2001::/23", special "protocol assignments";
    v6(0x2001, 0xdb8, 0, 0, 0), 32, "2001:db8::/32", special "documentation";
    v6(0x3fff, 0, 0, 0, 0), 20, "3fff::/20", special "documentation";
    v6(0x2000, 0, 0, 0, 0), 3, "2000::/3", public;
    v6(0, 0, 0, 0, 0), 128, "::/128", special "unspecified";
    v6(0, 0, 0, 0, 1), 128, "::1/128", special "loopback";
    v6(0x64, 0xff9b, 1, 0, 0), 48, "64:ff9b:1::/48", special "local-use translation";
    v6(0x100, 0, 0, 0, 0), 64, "100::/64", special "discard-only";
    v6(0x100, 0, 0, 1, 0), 64, "100:0:0:1::/64", special "dummy prefix";
    v6(0x5f00, 0, 0, 0, 0), 16, "5f00::/16", special "segment routing";
    v6(0xfc00, 0, 0, 0, 0), 7, "fc00::/7", special "unique local";
    v6(0xfe80, 0, 0, 0, 0), 10, "fe80::/10", special "link-local";
    v6(0xff00, 0, 0, 0, 0), 8, "ff00::/8", special "multicast";
    v6(0, 0, 0, 0, 0), 0, "::/0", special "not global unicast";
};

#[cfg(test)]
mod tests;
