//! Hosts as clients name them: in `:authority`, in CONNECT, in the server name of TLS.

mod patterns;

pub use patterns::{HostEntry, HostList, HostScope, RepeatedHost};

use crate::{Peer, parse_number, parse_peer};
use alloc::boxed::Box;
use core::fmt;

/// A host that a client named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address, in brackets where it is IPv6, with its port where one is given.
    Address(Peer),
    /// A domain name.
    Name {
        /// The name in lower case, without the dot of the root. Labels of other scripts are in their ASCII form (IDNA
        /// A-labels), as the client must send them.
        name: Box<str>,
        /// The port, where one is given.
        port: Option<u16>,
    },
}

/// Reads a host with an optional port: what stands in `:authority` and after CONNECT, or a server name of TLS.
///
/// # Errors
/// [`HostError`] where it is neither an address nor a name that the domain name system can have.
///
/// ```
/// use evaluator::{Host, parse_host};
///
/// let named = parse_host(b"WWW.Example.com.:8443");
/// assert_eq!(named, Ok(Host::Name { name: "www.example.com".into(), port: Some(8443) }));
/// assert!(matches!(parse_host(b"[2001:db8::1]:443"), Ok(Host::Address(_))));
/// ```
pub fn parse_host(text: &[u8]) -> Result<Host, HostError> {
    if let Ok(peer) = parse_peer(text)
        // An IPv6 address without brackets is no authority: where would its port begin?
        && (peer.ip.is_ipv4() || text.starts_with(b"["))
    {
        return Ok(Host::Address(peer));
    }
    let (name, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) => text.split_at_checked(colon).ok_or(HostError::BadPort)?,
        None => (text, &b""[..]),
    };
    let port = match port {
        [] => None,
        [_, digits @ ..] => Some(parse_port(digits).ok_or(HostError::BadPort)?),
    };
    Ok(Host::Name { name: normalised(name)?, port })
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostError {
    /// It has no characters, or more than the 253 that a domain name has at most (RFC 1035 section 2.3.4).
    BadLength,
    /// A label is empty or longer than 63 characters, begins or ends with a hyphen, or has other characters than
    /// letters, digits, `-` and `_` of ASCII.
    BadLabel,
    /// The last label is a number: some programs take such names for addresses, each in its own way
    /// (<https://url.spec.whatwg.org/#ends-in-a-number-checker>).
    Number,
    /// What follows the last colon is no port of 1 to 65535.
    BadPort,
}

impl HostError {
    /// In words, which say what would be right.
    pub const fn message(self) -> &'static str {
        match self {
            HostError::BadLength => "a host name has 1 to 253 characters",
            HostError::BadLabel => "a host name has labels of letters, digits, - and _, such as www.example.com",
            HostError::Number => "a host name does not end in a number",
            HostError::BadPort => "a port is a number of 1 to 65535",
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for HostError {}

/// The name in the one form in which names are compared.
fn normalised(name: &[u8]) -> Result<Box<str>, HostError> {
    const LONGEST: usize = 253;
    const LONGEST_LABEL: usize = 63;
    let name = name.strip_suffix(b".").unwrap_or(name);
    let text = core::str::from_utf8(name).map_err(|_| HostError::BadLabel)?;
    if text.is_empty() || text.len() > LONGEST {
        return Err(HostError::BadLength);
    }
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let mut last = "";
    for label in text.split('.') {
        if !is_label(label) {
            return Err(HostError::BadLabel);
        }
        last = label;
    }
    let hexadecimal = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    if last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(HostError::Number);
    }
    Ok(text.to_ascii_lowercase().into())
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    let port = parse_number(core::str::from_utf8(digits).ok()?)?;
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// Whether a normalised name belongs to no public host: a single label, a special-use name
/// (<https://www.iana.org/assignments/special-use-domain-names>: `.local`, `.localhost`, `.test`, `.onion`, ...), `.internal`
/// (reserved by ICANN for private use), or one that networks use inside although nobody reserved it (RFC 6762
/// appendix G, and `.corp`, which ICANN does not delegate). All of `.arpa` is infrastructure.
pub fn is_internal(name: &str) -> bool {
    const TOP: &[&str] = &[
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localhost",
        "mail",
        "onion",
        "private",
        "test",
    ];
    const DOCUMENTATION: &[&str] = &["example.com", "example.net", "example.org"];
    let Some((rest, top)) = name.rsplit_once('.') else { return true };
    let is_below =
        |domain: &&str| name.strip_suffix(*domain).is_some_and(|below| below.is_empty() || below.ends_with('.'));
    rest.is_empty() || TOP.contains(&top) || DOCUMENTATION.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[test]
    fn hosts_are_read_as_clients_write_them() {
        for (text, name, port) in [
            ("example.com", "example.com", None),
            ("example.com:443", "example.com", Some(443)),
            ("EXAMPLE.com.", "example.com", None),
            ("EXAMPLE.com.:80", "example.com", Some(80)),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("_sip._tcp.example.com", "_sip._tcp.example.com", None),
            ("localhost", "localhost", None),
            ("3com.com", "3com.com", None),
            ("1.2.3.4.example", "1.2.3.4.example", None),
            ("0xface.example", "0xface.example", None),
        ] {
            assert_eq!(parse_host(text.as_bytes()), Ok(Host::Name { name: name.into(), port }), "{text}");
        }
        for (text, ip, port) in [
            ("203.0.113.7", "203.0.113.7", None),
            ("203.0.113.7:8080", "203.0.113.7", Some(8080)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("[::ffff:203.0.113.7]:443", "203.0.113.7", Some(443)),
        ] {
            let peer = Peer { ip: ip.parse().unwrap(), port };
            assert_eq!(parse_host(text.as_bytes()), Ok(Host::Address(peer)), "{text}");
        }
    }

    #[test]
    fn what_no_host_is_called_is_refused() {
        use HostError::*;
        for (text, error) in [
            ("", BadLength),
            (".", BadLength),
            (":443", BadLength),
            ("a..example", BadLabel),
            (".example.com", BadLabel),
            ("example.com..", BadLabel),
            ("-a.example", BadLabel),
            ("a-.example", BadLabel),
            ("user@example.com", BadLabel),
            ("exa mple.com", BadLabel),
            ("b\u{fc}cher.example", BadLabel),
            ("example.com/x", BadLabel),
            ("*.example.com", BadLabel),
            ("2130706433", Number),
            ("127.1", Number),
            ("0x7f000001", Number),
            ("0x7f.1", Number),
            ("example.0x", Number),
            ("1.2.3.4.5", Number),
            ("203.0.113.256", Number),
            ("203.0.113.7:0x50", BadPort),
            ("example.com:", BadPort),
            ("example.com:0", BadPort),
            ("example.com:65536", BadPort),
            ("example.com:+80", BadPort),
            ("[2001:db8::1]x", BadPort),
            ("/run/x.sock", BadLabel),
        ] {
            assert_eq!(parse_host(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(parse_host(b"\xff.example"), Err(BadLabel));
        let long = "abcdefgh.".repeat(28) + "b";
        assert_eq!(long.len(), 253);
        assert!(parse_host(long.as_bytes()).is_ok());
        assert_eq!(parse_host(("a".to_string() + &long).as_bytes()), Err(BadLength));
        assert_eq!(parse_host(("a".repeat(64) + ".example").as_bytes()), Err(BadLabel));
        assert!(parse_host(("a".repeat(63) + ".example").as_bytes()).is_ok());
        // Without brackets nobody knows where its port begins.
        assert!(parse_host(b"2001:db8::1").is_err());
    }

    #[test]
    fn names_of_private_networks_are_internal_and_others_are_not() {
        for (name, internal) in [
            ("localhost", true),
            ("printer", true),
            ("db.localhost", true),
            ("web.default.svc.cluster.local", true),
            ("vault.service.internal", true),
            ("metadata.google.internal", true),
            ("router.lan", true),
            ("host.home.arpa", true),
            ("1.0.0.127.in-addr.arpa", true),
            ("abc.onion", true),
            ("www.example.com", true),
            ("example.com", true),
            ("anexample.com", false),
            ("local.io", false),
            ("internal.dev", false),
            ("www.criminalip.io", false),
        ] {
            assert_eq!(is_internal(name), internal, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_name_a_host_or_are_refused(bytes: Vec<u8>) {
            let _ = parse_host(&bytes);
        }

        #[test]
        fn what_is_read_is_read_again_as_itself(text in "[a-zA-Z0-9_.:-]{0,40}") {
            if let Ok(Host::Name { name, .. }) = parse_host(text.as_bytes()) {
                prop_assert_eq!(parse_host(name.as_bytes()), Ok(Host::Name { name: name.clone(), port: None }));
                let _: String = name.into();
            }
        }
    }
}
