//! The assessment: the facts kept about a peer. No policy is in it, so a change of policy needs no new lookup.

use crate::{Direction, Finding, Findings, Timestamp};
use core::num::NonZeroU32;

/// Criminal IP's five levels of risk, as numbers of 20 to 100.
///
/// The API writes them as strings (`"Safe"` ... `"Critical"`), the older `/v1/ip/data` as integers 1 to 5
/// (<https://github.com/criminalip/CIP-NSE-Script>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// 20
    Safe = 20,
    /// 40
    Low = 40,
    /// 60
    Moderate = 60,
    /// 80
    Dangerous = 80,
    /// 100
    Critical = 100,
}

impl Level {
    /// Every level, from the lowest up.
    pub const ALL: [Level; 5] = [Level::Safe, Level::Low, Level::Moderate, Level::Dangerous, Level::Critical];

    /// As the API writes it, such as `Safe`.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Safe => "Safe",
            Level::Low => "Low",
            Level::Moderate => "Moderate",
            Level::Dangerous => "Dangerous",
            Level::Critical => "Critical",
        }
    }
}

/// The level in each direction; `None` where the report gives none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Score {
    /// Risk of traffic that comes from the address.
    pub inbound: Option<Level>,
    /// Risk of traffic that goes to the address.
    pub outbound: Option<Level>,
}

impl Score {
    /// The level that matters for traffic of this direction: inbound on ingress, outbound on egress.
    pub const fn toward(self, direction: Direction) -> Option<Level> {
        match direction {
            Direction::Ingress => self.inbound,
            Direction::Egress => self.outbound,
        }
    }

    /// The higher of the two levels.
    pub fn highest(self) -> Option<Level> {
        self.inbound.max(self.outbound)
    }
}

/// An ISO 3166-1 alpha-2 country code, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([core::num::NonZeroU8; 2]);

impl Country {
    /// Reads two ASCII letters of any case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Country> {
        let [first, second] = text.as_bytes() else { return None };
        let letter = |byte: &u8| {
            byte.is_ascii_alphabetic().then(|| core::num::NonZeroU8::new(byte.to_ascii_uppercase())).flatten()
        };
        Some(Country([letter(first)?, letter(second)?]))
    }

    /// The two letters.
    pub fn letters(self) -> [char; 2] {
        self.0.map(|letter| char::from(letter.get()))
    }
}

/// How bad an assessment is, whatever the policy: it sets how long caches keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing that speaks against the address, or mere context such as hosting, cloud and mobile.
    Clean,
    /// A score of 60, or any finding that is not mere context.
    Suspicious,
    /// A score of 80 or more, or command-and-control, malware, phishing or a malicious domain.
    Malicious,
}

impl Class {
    /// `clean`, `suspicious` or `malicious`.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Clean => "clean",
            Class::Suspicious => "suspicious",
            Class::Malicious => "malicious",
        }
    }
}

/// The facts kept about a peer: what one report said, at most 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// When the facts were learned.
    pub learned: Timestamp,
    /// What the report shows now: the newest record of each port, evidence of the last 60 days.
    pub findings: Findings,
    /// What the published pipeline would find in the same report: every record, however old, keywords included.
    pub published: Findings,
    /// The autonomous system, where the report names one.
    pub asn: Option<NonZeroU32>,
    /// The country, where the report names one.
    pub country: Option<Country>,
    /// The level in each direction.
    pub score: Score,
}

impl Assessment {
    /// The class, which sets the lifetime in caches.
    pub fn class(&self) -> Class {
        const WORST: Findings = Findings::of(&[Finding::C2, Finding::Malware, Finding::Phishing, Finding::Domain]);
        const CONTEXT: Findings = Findings::of(&[Finding::Hosting, Finding::Cloud, Finding::Mobile]);
        let level = self.score.highest();
        if level >= Some(Level::Dangerous) || self.findings.intersects(WORST) {
            Class::Malicious
        } else if level >= Some(Level::Moderate) || !self.findings.without(CONTEXT).is_empty() {
            Class::Suspicious
        } else {
            Class::Clean
        }
    }
}

const _: () = assert!(size_of::<Assessment>() <= 32, "caches keep at most 32 bytes a peer");

#[cfg(test)]
mod tests {
    use super::*;

    fn assessment(inbound: Option<Level>, outbound: Option<Level>, findings: &[Finding]) -> Assessment {
        Assessment {
            learned: Timestamp::from_unix(0),
            findings: Findings::of(findings),
            published: Findings::EMPTY,
            asn: None,
            country: None,
            score: Score { inbound, outbound },
        }
    }

    #[test]
    fn the_class_follows_the_worst_fact() {
        use Level::{Critical, Dangerous, Low, Moderate, Safe};
        for (inbound, outbound, findings, class) in [
            (None, None, &[][..], Class::Clean),
            (Some(Safe), Some(Low), &[Finding::Hosting, Finding::Cloud, Finding::Mobile], Class::Clean),
            (Some(Safe), Some(Moderate), &[], Class::Suspicious),
            (Some(Safe), Some(Safe), &[Finding::Tor], Class::Suspicious),
            (Some(Dangerous), Some(Safe), &[], Class::Malicious),
            (None, Some(Critical), &[], Class::Malicious),
            (Some(Safe), Some(Safe), &[Finding::Phishing], Class::Malicious),
        ] {
            assert_eq!(assessment(inbound, outbound, findings).class(), class, "{inbound:?} {outbound:?} {findings:?}");
        }
    }

    #[test]
    fn a_country_is_two_letters() {
        assert_eq!(Country::parse("kr").map(Country::letters), Some(['K', 'R']));
        for wrong in ["", "k", "kor", "1r", "é"] {
            assert_eq!(Country::parse(wrong), None, "{wrong}");
        }
    }
}
