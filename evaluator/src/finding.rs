//! Findings: the pieces of evidence that a report, or the connection itself, can give.

use core::fmt;

macro_rules! findings {
    ($($(#[$doc:meta])* $name:ident $code:literal $token:literal,)+) => {
        /// One kind of evidence. Codes are stable: logs, rules and other programs may rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Finding { $($(#[$doc])* $name,)+ }

        impl Finding {
            /// Every finding, in the order of their bits.
            pub const ALL: &[Finding] = &[$(Finding::$name,)+];

            /// The stable code, as logs and rules write it: `anonymity.tor`.
            pub const fn code(self) -> &'static str {
                match self { $(Finding::$name => $code,)+ }
            }

            /// The short name in the tag header, an RFC 9651 token: `tor`.
            pub const fn token(self) -> &'static str {
                match self { $(Finding::$name => $token,)+ }
            }
        }
    };
}

findings! {
    /// Criminal IP rates the address Dangerous or Critical, inbound or outbound.
    Reputation "reputation" "reputation",
    /// A TLS certificate that its own subject issued.
    TlsSelfSigned "tls.self_signed" "self_signed",
    /// A TLS certificate served after its end.
    TlsExpired "tls.expired" "expired",
    /// A web server that lists its directories.
    DirectoryListing "exposure.directory_listing" "directory_listing",
    /// Crypto-currency mining.
    Mining "mining" "mining",
    /// A VPN exit.
    Vpn "anonymity.vpn" "vpn",
    /// An exit of a VPN that advertises anonymity.
    AnonymousVpn "anonymity.anonymous_vpn" "anonymous_vpn",
    /// A Tor node.
    Tor "anonymity.tor" "tor",
    /// An open or commercial proxy.
    Proxy "anonymity.proxy" "proxy",
    /// The connection goes to port 22.
    SshPort "ssh.port" "ssh_port",
    /// OpenSSH answers on the host, or was hinted at for this connection.
    Openssh "ssh.openssh" "openssh",
    /// The connection goes to port 55, which the published pipeline takes for suspected DNS spoofing.
    DnsPort55 "dns.port55" "port55",
    /// A command-and-control server.
    C2 "c2" "c2",
    /// Malware is hosted or spread.
    Malware "malware" "malware",
    /// Phishing is hosted or sent.
    Phishing "phishing" "phishing",
    /// Attacks were reported from the address.
    Attack "attack" "attack",
    /// The address scans others.
    Scanner "scanner" "scanner",
    /// The address was seen on the dark web.
    Darkweb "darkweb" "darkweb",
    /// An intrusion detection rule names the address.
    Ids "ids" "ids",
    /// The address was caught by a honeypot.
    Honeypot "honeypot" "honeypot",
    /// A service of the host has known vulnerabilities.
    Vulnerable "vulnerable" "vulnerable",
    /// A hosting provider's address.
    Hosting "hosting" "hosting",
    /// A cloud provider's address.
    Cloud "cloud" "cloud",
    /// A mobile carrier's address.
    Mobile "mobile" "mobile",
    /// Criminal IP lists the domain as malicious.
    Domain "domain.malicious" "malicious_domain",
}

impl Finding {
    /// The finding with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Finding> {
        Finding::ALL.iter().copied().find(|finding| finding.code() == code)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A set of findings, four bytes wide.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Findings(u32);

impl Findings {
    /// The empty set.
    pub const EMPTY: Findings = Findings(0);

    /// The set of these findings.
    pub const fn of(findings: &[Finding]) -> Findings {
        let mut bits = 0;
        let mut rest = findings;
        while let [first, tail @ ..] = rest {
            bits |= first.bit();
            rest = tail;
        }
        Findings(bits)
    }

    /// The set from its bits, as [`Findings::bits`] gives them; bits that name no finding are dropped.
    pub const fn from_bits(bits: u32) -> Findings {
        Findings(bits & Findings::of(Finding::ALL).0)
    }

    /// The set as bits, the first of [`Finding::ALL`] lowest.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Adds a finding.
    pub const fn insert(&mut self, finding: Finding) {
        self.0 |= finding.bit();
    }

    /// Whether the finding is in the set.
    pub const fn contains(self, finding: Finding) -> bool {
        self.0 & finding.bit() != 0
    }

    /// Whether all of `other` is in the set.
    pub const fn contains_all(self, other: Findings) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the sets share a finding.
    pub const fn intersects(self, other: Findings) -> bool {
        self.0 & other.0 != 0
    }

    /// What both sets have.
    pub const fn intersection(self, other: Findings) -> Findings {
        Findings(self.0 & other.0)
    }

    /// What either set has.
    pub const fn union(self, other: Findings) -> Findings {
        Findings(self.0 | other.0)
    }

    /// What this set has and `other` has not.
    pub const fn without(self, other: Findings) -> Findings {
        Findings(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The findings in the order of [`Finding::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Finding> {
        Finding::ALL.iter().copied().filter(move |finding| self.contains(*finding))
    }
}

impl fmt::Debug for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Finding::code)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_and_tokens_are_distinct_and_codes_lead_back() {
        let codes: BTreeSet<_> = Finding::ALL.iter().map(|f| f.code()).collect();
        let tokens: BTreeSet<_> = Finding::ALL.iter().map(|f| f.token()).collect();
        assert_eq!((codes.len(), tokens.len()), (Finding::ALL.len(), Finding::ALL.len()));
        for finding in Finding::ALL {
            assert_eq!(Finding::from_code(finding.code()), Some(*finding));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = Findings::of(&[Finding::Tor, Finding::C2]);
        set.insert(Finding::Mobile);
        assert_eq!(set.iter().collect::<std::vec::Vec<_>>(), [Finding::Tor, Finding::C2, Finding::Mobile]);
        assert_eq!(Findings::from_bits(set.bits()), set);
        assert_eq!(Findings::from_bits(u32::MAX), Findings::of(Finding::ALL));
    }
}
