//! Profiles: lists of rules with a name. They are ordinary rules, which a configuration puts its own before.

use crate::{Action, Condition, Direction, Evidence, Finding, Findings, Level, Policy, Rule};
use alloc::{vec, vec::Vec};

/// A named list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The published pipeline, exactly: any of its conditions denies.
    Pipeline,
    /// For clients: what the address does counts, not which services run behind it.
    Ingress,
    /// For destinations: what the address serves counts too.
    Egress,
}

impl Profile {
    /// Every profile.
    pub const ALL: &[Profile] = &[Profile::Pipeline, Profile::Ingress, Profile::Egress];

    /// `pipeline`, `ingress` or `egress`.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Pipeline => "pipeline",
            Profile::Ingress => "ingress",
            Profile::Egress => "egress",
        }
    }

    /// The profile of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Profile> {
        Profile::ALL.iter().copied().find(|profile| profile.name() == name)
    }

    /// The profile for traffic of this direction where none is chosen.
    pub const fn default_for(direction: Direction) -> Profile {
        match direction {
            Direction::Ingress => Profile::Ingress,
            Direction::Egress => Profile::Egress,
        }
    }

    /// The rules, and the reading of the report that they look at.
    pub fn policy(self) -> Policy {
        use Action::{Deny, Tag};
        match self {
            Profile::Pipeline => Policy {
                evidence: Evidence::Published,
                rules: vec![
                    found("reputation", &[Finding::Reputation], Deny),
                    found("tls", TLS, Deny),
                    found("directory-listing", &[Finding::DirectoryListing], Deny),
                    found("mining", &[Finding::Mining], Deny),
                    found("anonymity", ANONYMITY, Deny),
                    found("ssh", &[Finding::SshPort, Finding::Openssh], Deny),
                    found("dns-port-55", &[Finding::DnsPort55], Deny),
                ],
            },
            Profile::Ingress => current(vec![
                scored("score-80", Level::Dangerous, Deny),
                found("c2", &[Finding::C2], Deny),
                found("malware", &[Finding::Malware], Deny),
                found("attack", &[Finding::Attack], Deny),
                found("anonymity", ANONYMITY, Tag),
                found("scanner", &[Finding::Scanner], Tag),
                scored("score-60", Level::Moderate, Tag),
            ]),
            Profile::Egress => current(vec![
                scored("score-80", Level::Dangerous, Deny),
                found("c2", &[Finding::C2], Deny),
                found("malware", &[Finding::Malware], Deny),
                found("phishing", &[Finding::Phishing], Deny),
                found("domain", &[Finding::Domain], Deny),
                found("mining", &[Finding::Mining], Deny),
                found("anonymity", ANONYMITY, Tag),
                found("tls", TLS, Tag),
                found("directory-listing", &[Finding::DirectoryListing], Tag),
                unusual_ssh(),
            ]),
        }
    }
}

const ANONYMITY: &[Finding] = &[Finding::Vpn, Finding::AnonymousVpn, Finding::Tor, Finding::Proxy];
const TLS: &[Finding] = &[Finding::TlsSelfSigned, Finding::TlsExpired];

fn current(rules: Vec<Rule>) -> Policy {
    Policy { rules, evidence: Evidence::Current }
}

fn found(name: &str, any: &[Finding], then: Action) -> Rule {
    let when = Condition { any: Findings::of(any), ..Condition::default() };
    Rule { name: name.into(), when, then }
}

fn scored(name: &str, level: Level, then: Action) -> Rule {
    let when = Condition { score_at_least: Some(level), ..Condition::default() };
    Rule { name: name.into(), when, then }
}

/// A host with OpenSSH is ordinary; a connection to it on a port where neither SSH nor the web is at home is not.
fn unusual_ssh() -> Rule {
    let mut rule = found("ssh-unusual-port", &[Finding::Openssh], Action::Tag);
    rule.when.ports_other_than = vec![22, 80, 443];
    rule
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assessment, Connection, Score, Timestamp};
    use std::collections::BTreeSet;

    /// One case: what the report says now, the levels, the port; and the rule that decides.
    type Case = (&'static [Finding], Option<Level>, Option<Level>, Option<u16>, Option<&'static str>);

    fn check(profile: Profile, direction: Direction, cases: &[Case]) {
        let policy = profile.policy();
        for (findings, inbound, outbound, port, rule) in cases {
            let (shown, other) = match policy.evidence {
                Evidence::Current => (Findings::of(findings), Findings::EMPTY),
                Evidence::Published => (Findings::EMPTY, Findings::of(findings)),
            };
            let assessment = Assessment {
                learned: Timestamp::from_unix(0),
                findings: shown,
                published: other,
                asn: None,
                country: None,
                score: Score { inbound: *inbound, outbound: *outbound },
            };
            let connection = Connection { port: *port, ..Connection::new(direction, Timestamp::from_unix(0)) };
            let verdict = policy.evaluate(&assessment, &connection);
            let found = policy.rule_name(&verdict);
            assert_eq!(found, *rule, "{profile:?} {findings:?} {inbound:?} {outbound:?} {port:?}");
            let denies = match profile {
                Profile::Pipeline => true,
                _ => matches!(found, Some("score-80" | "c2" | "malware" | "attack" | "phishing" | "mining")),
            };
            let expected = match (found, denies) {
                (None, _) => Action::Allow,
                (Some(_), true) => Action::Deny,
                (Some(_), false) => Action::Tag,
            };
            assert_eq!(verdict.action, expected, "{profile:?} {found:?}");
        }
    }

    #[test]
    fn pipeline_denies_for_each_of_its_conditions() {
        use Finding::*;
        use Level::*;
        let cases: &[Case] = &[
            (&[], Some(Safe), Some(Safe), None, None),
            (&[Reputation], Some(Critical), Some(Safe), None, Some("reputation")),
            (&[TlsSelfSigned], None, None, None, Some("tls")),
            (&[TlsExpired, Mining], None, None, None, Some("tls")),
            (&[DirectoryListing], None, None, None, Some("directory-listing")),
            (&[Mining], None, None, None, Some("mining")),
            (&[Vpn], None, None, None, Some("anonymity")),
            (&[AnonymousVpn], None, None, None, Some("anonymity")),
            (&[Tor], None, None, None, Some("anonymity")),
            (&[Proxy], None, None, None, Some("anonymity")),
            (&[Openssh], None, None, None, Some("ssh")),
            (&[], Some(Safe), None, Some(22), Some("ssh")),
            (&[], Some(Safe), None, Some(55), Some("dns-port-55")),
            (&[], Some(Moderate), Some(Moderate), Some(443), None),
            (&[C2, Malware, Scanner, Darkweb, Ids], None, None, None, None),
        ];
        check(Profile::Pipeline, Direction::Egress, cases);
        check(Profile::Pipeline, Direction::Ingress, cases);
    }

    #[test]
    fn ingress_acts_on_what_a_client_does_and_not_on_what_runs_behind_it() {
        use Finding::*;
        use Level::*;
        check(
            Profile::Ingress,
            Direction::Ingress,
            &[
                (&[], None, None, None, None),
                (&[], Some(Critical), None, None, Some("score-80")),
                (&[Reputation], Some(Dangerous), None, None, Some("score-80")),
                (&[Reputation], Some(Low), Some(Critical), None, None),
                (&[C2], None, None, None, Some("c2")),
                (&[Malware, Tor], None, None, None, Some("malware")),
                (&[Attack], None, None, None, Some("attack")),
                (&[Tor], None, None, None, Some("anonymity")),
                (&[Proxy], Some(Moderate), None, None, Some("anonymity")),
                (&[Vpn], None, None, None, Some("anonymity")),
                (&[AnonymousVpn], None, None, None, Some("anonymity")),
                (&[Scanner], None, None, None, Some("scanner")),
                (&[], Some(Moderate), None, None, Some("score-60")),
                (&[], Some(Low), Some(Moderate), None, None),
                (&[Openssh, TlsExpired, TlsSelfSigned, DirectoryListing, Mining], None, None, Some(22), None),
                (&[Darkweb, Ids, Honeypot, Vulnerable, Hosting, Cloud, Mobile], None, None, Some(55), None),
            ],
        );
    }

    #[test]
    fn egress_acts_on_what_a_destination_serves() {
        use Finding::*;
        use Level::*;
        check(
            Profile::Egress,
            Direction::Egress,
            &[
                (&[], None, None, Some(22), None),
                (&[], None, Some(Dangerous), None, Some("score-80")),
                (&[Reputation], Some(Critical), Some(Low), None, None),
                (&[], Some(Safe), Some(Moderate), None, None),
                (&[C2], None, None, None, Some("c2")),
                (&[Malware], None, None, None, Some("malware")),
                (&[Phishing], None, None, None, Some("phishing")),
                (&[Mining, Tor], None, None, None, Some("mining")),
                (&[Attack, Scanner], None, None, None, None),
                (&[Tor], None, None, None, Some("anonymity")),
                (&[TlsSelfSigned], None, None, None, Some("tls")),
                (&[TlsExpired], None, None, None, Some("tls")),
                (&[DirectoryListing], None, None, None, Some("directory-listing")),
                (&[Openssh], None, None, Some(2022), Some("ssh-unusual-port")),
                (&[Openssh], None, None, Some(22), None),
                (&[Openssh], None, None, Some(443), None),
                (&[Openssh], None, None, None, None),
            ],
        );
    }

    #[test]
    fn names_lead_back_and_rules_are_told_apart() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(*profile));
            let policy = profile.policy();
            let names: BTreeSet<_> = policy.rules.iter().map(|rule| &rule.name).collect();
            assert_eq!(names.len(), policy.rules.len(), "{profile:?}");
        }
        assert_eq!(Profile::from_name("Ingress"), None);
        assert_eq!(Profile::default_for(Direction::Ingress), Profile::Ingress);
        assert_eq!(Profile::default_for(Direction::Egress), Profile::Egress);
    }
}
