//! Peer addresses in the forms that Envoy gives them: `192.0.2.1:443`, `[2001:db8::1]:443`, or without a port.

use crate::push_number;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A peer: its address and, where known, its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The address; an IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) is given as the IPv4 address.
    pub ip: IpAddr,
    /// The port; `None` where the text has none or has 0, which Envoy writes for addresses from `x-forwarded-for`.
    pub port: Option<u16>,
}

/// Reads a peer from `ip`, `ip:port`, `ipv6`, `ipv6%zone`, `[ipv6]`, `[ipv6]:port` or `[ipv6%zone]:port`. The zone is
/// dropped. Allocates nothing.
///
/// # Errors
/// [`AddressError::NotAnAddress`] where there is no IP address, as in the path of a Unix domain socket;
/// [`AddressError::BadPort`] where an address is followed by something that is no port.
///
/// ```
/// let peer = evaluator::parse_peer(b"[::ffff:192.0.2.1]:443")?;
/// assert_eq!(peer.ip.to_string(), "192.0.2.1");
/// assert_eq!(peer.port, Some(443));
/// # Ok::<(), evaluator::AddressError>(())
/// ```
pub fn parse_peer(text: &[u8]) -> Result<Peer, AddressError> {
    // Most peers are IPv4; the standard parser takes several times as long, and every request pays for it.
    if let Some((ip, rest)) = leading_v4(text) {
        return match rest {
            [] => Ok(Peer { ip: ip.into(), port: None }),
            [b':', port @ ..] => Ok(Peer { ip: ip.into(), port: parse_port(port)? }),
            _ => Err(AddressError::NotAnAddress),
        };
    }
    let text = core::str::from_utf8(text).map_err(|_| AddressError::NotAnAddress)?;
    let Some(inside) = text.strip_prefix('[') else {
        return Ok(Peer { ip: parse_v6(text)?, port: None });
    };
    let (address, rest) = inside.split_once(']').ok_or(AddressError::NotAnAddress)?;
    let ip = parse_v6(address)?;
    match rest.as_bytes() {
        [] => Ok(Peer { ip, port: None }),
        [b':', port @ ..] => Ok(Peer { ip, port: parse_port(port)? }),
        _ => Err(AddressError::BadPort),
    }
}

/// Reads an IP address alone, as the standard library does, whose own code for it is several times as large.
///
/// ```
/// assert_eq!(evaluator::parse_ip("::ffff:192.0.2.1"), "::ffff:192.0.2.1".parse().ok());
/// assert_eq!(evaluator::parse_ip("192.0.2.01"), None);
/// ```
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    match leading_v4(text.as_bytes()) {
        Some((ip, [])) => Some(ip.into()),
        _ => whole_v6(text.as_bytes()).map(IpAddr::V6),
    }
}

/// The address as the standard library writes it, whose own code for it is several times as large.
///
/// ```
/// assert_eq!(evaluator::ip_text("2001:DB8:0:0::1".parse()?), "2001:db8::1");
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
pub fn ip_text(ip: IpAddr) -> String {
    // As long as they get, so that none has to grow.
    let mut text = String::with_capacity(39);
    match ip {
        IpAddr::V4(ip) => push_v4(&mut text, ip),
        IpAddr::V6(ip) => push_v6(&mut text, ip),
    }
    text
}

/// Why a text is no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressError {
    /// There is no IP address in it, as in the path of a Unix domain socket.
    NotAnAddress,
    /// An IP address, but what follows it is not a port of 0 to 65535.
    BadPort,
}

impl AddressError {
    /// The stable code: `not_an_address` or `bad_port`.
    pub const fn code(self) -> &'static str {
        match self {
            AddressError::NotAnAddress => "not_an_address",
            AddressError::BadPort => "bad_port",
        }
    }

    /// In words, which say what would be right.
    pub const fn message(self) -> &'static str {
        match self {
            AddressError::NotAnAddress => {
                "not an IP address; right would be 192.0.2.1, 192.0.2.1:443, 2001:db8::1 or [2001:db8::1]:443"
            }
            AddressError::BadPort => "the port after the address is not a number of 0 to 65535",
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for AddressError {}

/// The IPv4 address at the start of the text, and what follows it.
fn leading_v4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (a, [b'.', rest @ ..]) = leading_octet(text)? else { return None };
    let (b, [b'.', rest @ ..]) = leading_octet(rest)? else { return None };
    let (c, [b'.', rest @ ..]) = leading_octet(rest)? else { return None };
    let (d, rest) = leading_octet(rest)?;
    Some((Ipv4Addr::new(a, b, c, d), rest))
}

/// A number of 0 to 255 without leading zeros; where another digit follows, the caller finds it and refuses.
fn leading_octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, mut rest) = text.split_first()?;
    let mut octet = digit(*first)?;
    while octet != 0
        && let Some((next, after)) = rest.split_first()
        && let Some(next) = digit(*next)
    {
        octet = octet.checked_mul(10)?.checked_add(next)?;
        rest = after;
    }
    Some((octet, rest))
}

/// The IPv6 address that the text is (RFC 4291 section 2.2).
fn whole_v6(text: &[u8]) -> Option<Ipv6Addr> {
    let (mut bits, mut count) = (0_u128, 0_u32);
    // The groups before `::`, and how many they are.
    let mut head = None;
    let mut rest = text;
    if let [b':', b':', tail @ ..] = rest {
        (head, rest) = (Some((0, 0)), tail);
    }
    while !rest.is_empty() {
        if let Some((last, [])) = leading_v4(rest) {
            (bits, count) = (bits << 32 | u128::from(last.to_bits()), count.saturating_add(2));
            break;
        }
        let (group, after) = leading_group(rest)?;
        (bits, count) = (bits << 16 | u128::from(group), count.saturating_add(1));
        rest = match after {
            [b':', b':', tail @ ..] if head.is_none() => {
                head = Some((bits, count));
                bits = 0;
                tail
            }
            [b':', tail @ ..] if !tail.is_empty() => tail,
            [] => after,
            _ => return None,
        };
    }
    let bits = match head {
        None if count == 8 => bits,
        Some((head, before)) if count < 8 => {
            let behind = 128_u32.saturating_sub(before.saturating_mul(16));
            head.unbounded_shl(behind) | bits
        }
        _ => return None,
    };
    Some(Ipv6Addr::from_bits(bits))
}

fn push_v4(text: &mut String, ip: Ipv4Addr) {
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        push_number(text, octet.into(), 10);
    }
}

/// In the one form of RFC 5952.
fn push_v6(text: &mut String, ip: Ipv6Addr) {
    if let Some(mapped) = ip.to_ipv4_mapped() {
        text.push_str("::ffff:");
        return push_v4(text, mapped);
    }
    let groups = ip.segments();
    // The first of the longest runs of zeros, of two at least, is not written.
    let (mut start, mut longest, mut run) = (0, 1, 0_usize);
    for (place, group) in groups.into_iter().enumerate() {
        run = if group == 0 { run.saturating_add(1) } else { 0 };
        if run > longest {
            (start, longest) = (place.saturating_add(1).saturating_sub(run), run);
        }
    }
    let end = start.saturating_add(if longest > 1 { longest } else { 0 });
    for (place, group) in groups.into_iter().enumerate() {
        if (start..end).contains(&place) {
            if place == start {
                text.push_str("::");
            }
            continue;
        }
        if place > 0 && place != end {
            text.push(':');
        }
        push_number(text, group.into(), 16);
    }
}

/// One to four hexadecimal digits.
fn leading_group(text: &[u8]) -> Option<(u16, &[u8])> {
    let (mut group, mut rest) = (None, text);
    for _ in 0..4 {
        let Some((first, after)) = rest.split_first() else { break };
        let Some(digit) = char::from(*first).to_digit(16) else { break };
        (group, rest) = (Some(group.unwrap_or(0) << 4 | digit as u16), after);
    }
    Some((group?, rest))
}

fn digit(byte: u8) -> Option<u8> {
    byte.checked_sub(b'0').filter(|digit| *digit < 10)
}

fn parse_v6(text: &str) -> Result<IpAddr, AddressError> {
    let address = match text.split_once('%') {
        Some((_, "")) => return Err(AddressError::NotAnAddress),
        Some((address, _zone)) => address,
        None => text,
    };
    let ip = whole_v6(address.as_bytes()).ok_or(AddressError::NotAnAddress)?;
    Ok(IpAddr::V6(ip).to_canonical())
}

/// The port in these digits; 0 means unknown.
fn parse_port(text: &[u8]) -> Result<Option<u16>, AddressError> {
    let number = |text: &[u8]| {
        let mut port = 0u16;
        for byte in text {
            port = port.checked_mul(10)?.checked_add(digit(*byte)?.into())?;
        }
        Some(port)
    };
    match number(text) {
        Some(_) if text.is_empty() => Err(AddressError::BadPort),
        Some(0) => Ok(None),
        Some(port) => Ok(Some(port)),
        None => Err(AddressError::BadPort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn every_form_that_envoy_gives_is_read() {
        for (text, ip, port) in [
            ("5.6.7.8:0", "5.6.7.8", None),
            ("127.0.0.1:45176", "127.0.0.1", Some(45176)),
            ("127.0.0.1", "127.0.0.1", None),
            ("[2001:db8::abcd]:5555", "2001:db8::abcd", Some(5555)),
            ("[2001:db8::abcd]:0", "2001:db8::abcd", None),
            ("[2001:db8::abcd]", "2001:db8::abcd", None),
            ("2001:db8::abcd", "2001:db8::abcd", None),
            ("::", "::", None),
            ("[fe80::1%eth0]:80", "fe80::1", Some(80)),
            ("fe80::1%eth0", "fe80::1", None),
            ("[::ffff:8.8.4.4]:5555", "8.8.4.4", Some(5555)),
            ("::ffff:808:404", "8.8.4.4", None),
            // Compatible, not mapped: another address.
            ("::8.8.4.4", "::808:404", None),
        ] {
            assert_eq!(parse_peer(text.as_bytes()), Ok(Peer { ip: ip.parse().unwrap(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_from_what_has_no_port() {
        use AddressError::*;
        for (text, error) in [
            ("", NotAnAddress),
            ("/var/run/x.sock", NotAnAddress),
            ("@abstract", NotAnAddress),
            ("/run/a:80", NotAnAddress),
            ("example.com:443", NotAnAddress),
            ("1.2.3:80", NotAnAddress),
            ("1.2.3.256", NotAnAddress),
            ("01.2.3.4", NotAnAddress),
            (" 1.2.3.4", NotAnAddress),
            ("[1.2.3.4]:80", NotAnAddress),
            ("[::1", NotAnAddress),
            ("[]:80", NotAnAddress),
            ("fe80::1%", NotAnAddress),
            ("1.2.3.4%eth0", NotAnAddress),
            ("1.2.3.4:", BadPort),
            ("1.2.3.4:65536", BadPort),
            ("1.2.3.4:+80", BadPort),
            ("1.2.3.4:80 ", BadPort),
            ("[::1]80", BadPort),
            ("[::1]:", BadPort),
            ("[::1]:-1", BadPort),
        ] {
            assert_eq!(parse_peer(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(parse_peer(b"1.2.3.4\xff:80"), Err(NotAnAddress));
    }

    proptest! {
        #[test]
        fn an_address_is_read_and_written_as_by_the_standard_library(
            like_v6 in "(::|:|[0-9a-fA-F]{1,5}|1\\.2\\.3\\.4|[g. %-]){0,20}",
            groups in "([0-9a-f]{0,4}:){0,9}(::)?(:?[0-9a-f]{1,4}){0,9}(10\\.0\\.0\\.9)?",
            v6: Ipv6Addr,
            sparse in 0_u8..,
            like_v4 in "([0-9]{1,3}\\.){2,4}[0-9]{0,3}",
        ) {
            // Groups of zeros where the bits are not set.
            let groups_of_v6 = v6.segments();
            let kept: [u16; 8] = core::array::from_fn(|at| if sparse >> at & 1 == 1 { groups_of_v6[at] } else { 0 });
            let sparse = Ipv6Addr::from(kept);
            for text in [like_v6, groups, v6.to_string(), sparse.to_string(), like_v4] {
                prop_assert_eq!(parse_ip(&text), text.parse().ok(), "{}", text);
                if let Ok(ip) = text.parse::<IpAddr>() {
                    prop_assert_eq!(ip_text(ip), ip.to_string());
                }
            }
        }

        #[test]
        fn what_the_standard_library_reads_is_read_alike(socket: SocketAddr) {
            let expected = Peer { ip: socket.ip().to_canonical(), port: Some(socket.port()).filter(|port| *port != 0) };
            let plain = SocketAddr::new(socket.ip(), socket.port());
            prop_assert_eq!(parse_peer(plain.to_string().as_bytes()), Ok(expected));
            prop_assert_eq!(parse_peer(socket.ip().to_string().as_bytes()), Ok(Peer { port: None, ..expected }));
        }

        #[test]
        fn ipv4_addresses_are_read_as_the_standard_library_reads_them(text in "([0-9]{1,3}\\.){3}[0-9]{1,4}") {
            let standard = text.parse().map(IpAddr::V4).map_err(|_| AddressError::NotAnAddress);
            prop_assert_eq!(parse_peer(text.as_bytes()).map(|peer| peer.ip), standard);
        }

        #[test]
        fn what_is_read_is_canonical(text in "[0-9a-f:.\\[\\]%]{0,24}") {
            if let Ok(peer) = parse_peer(text.as_bytes()) {
                prop_assert_eq!(peer.ip, peer.ip.to_canonical());
                prop_assert_ne!(peer.port, Some(0));
            }
        }

        #[test]
        fn any_bytes_have_an_answer(bytes: Vec<u8>) {
            let _ = parse_peer(&bytes);
        }
    }
}
