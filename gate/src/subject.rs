//! Who is judged and asked about, and the short name under which it is remembered.

use crate::hash::hash;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

/// A peer, as Criminal IP is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An IP address, canonical: IPv4-mapped IPv6 is unwrapped.
    Address(IpAddr),
    /// A domain name, normalised.
    Domain(Rc<str>),
}

impl From<IpAddr> for Subject {
    fn from(address: IpAddr) -> Subject {
        Subject::Address(address)
    }
}

impl Subject {
    /// How people and programs are told of it.
    pub fn text(&self) -> String {
        match self {
            Subject::Address(address) => evaluator::ip_text(*address),
            Subject::Domain(name) => String::from(&**name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A subject in 16 bytes, the same in all workers of a proxy: an IPv6 or IPv4-mapped address as it is; a domain as a
/// multicast address, which is never judged, made of 120 bits of its hash. The hash is keyed with the proxy's secret seed, so
/// that nobody can find two domains with the same name.
#[derive(Clone, Copy, Debug, Eq, PartialOrd, Ord)]
pub struct SubjectId([u8; 16]);

/// The first byte of IPv6 multicast (RFC 4291 section 2.7).
const MULTICAST: u8 = 0xff;

impl SubjectId {
    /// The name of this domain in the proxy with this seed.
    pub(crate) fn of_domain(name: &str, seed: u64) -> SubjectId {
        let [_, hash @ ..] = hash((seed, seed.rotate_left(32)), &name).as_bytes();
        let mut bytes = [MULTICAST; 16];
        let [_, rest @ ..] = &mut bytes;
        *rest = hash;
        SubjectId(bytes)
    }

    /// Whether it names a domain.
    pub(crate) fn is_domain(self) -> bool {
        let [first, ..] = self.0;
        first == MULTICAST
    }

    /// The address, if it is one.
    pub(crate) fn address(self) -> Option<IpAddr> {
        (!self.is_domain()).then(|| IpAddr::from(self.0).to_canonical())
    }

    /// From a message between workers.
    pub fn from_bytes(bytes: [u8; 16]) -> SubjectId {
        SubjectId(bytes)
    }

    /// For a message between workers.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl From<IpAddr> for SubjectId {
    fn from(address: IpAddr) -> SubjectId {
        SubjectId(match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        })
    }
}

// Each request hashes and compares one: in one step, unlike an array with its length.
impl Hash for SubjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.0));
    }
}

impl PartialEq for SubjectId {
    fn eq(&self, other: &SubjectId) -> bool {
        u128::from_ne_bytes(self.0) == u128::from_ne_bytes(other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(subject: &str) -> SubjectId {
        subject.parse::<IpAddr>().map_or_else(|_| SubjectId::of_domain(subject, 7), SubjectId::from)
    }

    #[test]
    fn every_subject_has_a_name_of_its_own_and_that_of_a_domain_is_secret() {
        let subjects = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "::192.0.2.1", "example.com", "www.example.com", "a"];
        for (index, one) in subjects.iter().enumerate() {
            assert_eq!(id(one), id(one));
            assert_eq!(SubjectId::from_bytes(id(one).to_bytes()), id(one));
            for other in &subjects[index + 1..] {
                assert_ne!(id(one), id(other), "{one} {other}");
            }
        }
        assert_ne!(SubjectId::of_domain("a", 1), SubjectId::of_domain("a", 2), "it depends on the seed");
        assert!(id("example.com").is_domain() && !id("192.0.2.1").is_domain() && !id("2001:db8::1").is_domain());
    }
}
