//! Address scope: which peers are public, and so worth a look-up.

mod registry;

use crate::Network;
use crate::list::Networks;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipnet::IpNet;

pub use registry::{SpecialPurpose, special_purpose};

/// The registries' scope, with the operator's exceptions.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    skip: Networks<()>,
    treat_as_public: Networks<()>,
}

impl Scope {
    /// A scope in which the networks of `skip` are never public, and the other networks of `treat_as_public` always are.
    pub fn new(skip: Vec<IpNet>, treat_as_public: Vec<IpNet>) -> Scope {
        Scope { skip: networks(skip), treat_as_public: networks(treat_as_public) }
    }

    /// Adds an address to `treat_as_public`.
    pub fn treat_as_public(&mut self, ip: IpAddr) {
        self.treat_as_public.insert(Network::host(ip), ());
    }

    /// Whether the address is public: `skip` decides first, then `treat_as_public`, then [`special_purpose`].
    pub fn is_public(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        !self.skip.covers(ip) && (special_purpose(ip).is_none() || self.treat_as_public.covers(ip))
    }
}

fn networks(nets: Vec<IpNet>) -> Networks<()> {
    let mut networks = Networks::default();
    for net in nets {
        networks.insert(net.into(), ());
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_wins_over_treat_as_public_which_wins_over_the_registries() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let scope = Scope::new(
            nets(&["8.8.8.0/24", "203.0.113.128/25", "2606:4700::/32"]),
            nets(&["203.0.113.0/24", "10.1.0.0/16", "2001:db8::/32", "8.8.8.8/32"]),
        );
        for (ip, public) in [
            ("8.8.8.8", false),
            ("8.8.4.4", true),
            ("203.0.113.1", true),
            ("203.0.113.200", false),
            ("::ffff:203.0.113.1", true),
            ("::ffff:203.0.113.200", false),
            ("10.1.2.3", true),
            ("10.2.2.3", false),
            ("2001:db8::1", true),
            ("2606:4700::1", false),
            ("2a00::1", true),
        ] {
            assert_eq!(scope.is_public(ip.parse().unwrap()), public, "{ip}");
        }
        assert!(!Scope::default().is_public(IpAddr::from([203, 0, 113, 1])));
    }
}
