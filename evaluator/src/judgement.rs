//! Judgements: a verdict with what people and programs want to know about it, in one form for all of them.

use crate::{
    Action, AnswerError, Connection, Detail, Evidence, Examination, Finding, Level, Policy, Score, decimal, ip_text,
};
use alloc::{string::String, vec::Vec};
use core::net::IpAddr;
use serde::Serialize;

/// What is said about an address, and why. Its JSON is the same on the command line and in edge runtimes; it is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement<'a> {
    /// The address, as it was asked about.
    pub ip: IpAddr,
    /// The destination port of the connection, where known.
    pub port: Option<u16>,
    /// Whether the verdict is other than `allow`; `None` where there is no verdict.
    pub suspicious: Option<bool>,
    /// The name of the action; `None` where there is no verdict.
    pub verdict: Option<&'static str>,
    /// The rule that decided; `None` where none matched.
    pub rule: Option<&'a str>,
    /// The name of the profile whose rules the policy ends with; `None` where it has none.
    pub profile: Option<&'static str>,
    /// The direction of the connection.
    pub direction: &'static str,
    /// The level in each direction.
    pub score: Levels,
    /// Everything that was found, whether or not a rule acts on it.
    pub findings: Vec<Found<'a>>,
    /// `assessed`, or the code of the error.
    pub outcome: &'static str,
    /// Criminal IP's page about the address.
    pub link: String,
}

/// Levels as numbers of 20 to 100; `None` where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Levels {
    /// Of traffic that comes from the address.
    pub inbound: Option<u8>,
    /// Of traffic that goes to the address.
    pub outbound: Option<u8>,
}

impl From<Score> for Levels {
    fn from(score: Score) -> Levels {
        let number = |level: Option<Level>| level.map(|level| level as u8);
        Levels { inbound: number(score.inbound), outbound: number(score.outbound) }
    }
}

/// A finding, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found<'a> {
    /// The finding's code.
    pub code: &'static str,
    /// What it rests on, for people; without control characters.
    pub detail: Option<alloc::borrow::Cow<'a, str>>,
}

impl<'a> Judgement<'a> {
    /// Judges a connection with this address by what was read about it, or by why nothing could be read.
    ///
    /// `profile` is the name of the profile whose rules the policy ends with.
    pub fn new(
        ip: IpAddr,
        examined: Result<&'a Examination, AnswerError>,
        policy: &'a Policy,
        profile: Option<&'static str>,
        connection: &Connection<'_>,
    ) -> Judgement<'a> {
        let nothing = Judgement {
            ip,
            port: connection.port,
            suspicious: None,
            verdict: None,
            rule: None,
            profile,
            direction: connection.direction.name(),
            score: Levels::default(),
            findings: Vec::new(),
            outcome: "assessed",
            link: report_link(ip),
        };
        let examination = match examined {
            Ok(examination) => examination,
            Err(error) => return Judgement { outcome: error.code(), ..nothing },
        };
        let assessment = &examination.reading.assessment;
        let verdict = policy.evaluate(assessment, connection);
        let reported = match policy.evidence {
            Evidence::Current => &examination.current,
            Evidence::Published => &examination.published,
        };
        let mut findings: Vec<_> = reported.iter().map(Found::from).collect();
        findings.extend(found_in(connection, policy));
        Judgement {
            suspicious: Some(verdict.action != Action::Allow),
            verdict: Some(verdict.action.name()),
            rule: policy.rule_name(&verdict),
            score: assessment.score.into(),
            findings,
            ..nothing
        }
    }
}

impl<'a> From<&'a Detail> for Found<'a> {
    fn from(detail: &'a Detail) -> Found<'a> {
        Found { code: detail.finding.code(), detail: detail.detail.as_deref().map(Into::into) }
    }
}

/// What a policy finds in the connection alone.
pub fn found_in<'a>(connection: &Connection<'_>, policy: &Policy) -> impl Iterator<Item = Found<'a>> + use<'a> {
    let port = decimal(connection.port.unwrap_or_default().into());
    policy.found_in(connection).iter().map(move |finding| {
        let detail = match finding {
            Finding::Openssh => ["product hint on port ", &port].concat(),
            _ => ["destination port ", &port].concat(),
        };
        Found { code: finding.code(), detail: Some(detail.into()) }
    })
}

/// Where Criminal IP's pages about addresses are, for people; each ends with its address.
pub const REPORT_PAGES: &str = "https://www.criminalip.io/asset/report/";

/// Criminal IP's page about an address, for people.
pub fn report_link(ip: IpAddr) -> String {
    [REPORT_PAGES, &ip_text(ip.to_canonical())].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Profile, Timestamp, examine};

    const NOW: i64 = 1_711_324_800;

    fn judge(body: &[u8], port: Option<u16>, product: Option<&str>) -> String {
        let examined = examine(200, body, Timestamp::from_unix(NOW));
        let connection = Connection { port, product, ..Connection::new(Direction::Egress, Timestamp::from_unix(NOW)) };
        let policy = Profile::Pipeline.policy();
        let examined = examined.as_ref().map_err(|error| *error);
        let ip = "::ffff:192.0.2.7".parse().unwrap();
        serde_json::to_string(&Judgement::new(ip, examined, &policy, Some("pipeline"), &connection)).unwrap()
    }

    #[test]
    fn a_judgement_says_what_was_found_in_the_report_and_in_the_connection() {
        let tor = br#"{"ip":"192.0.2.7","issues":{"is_tor":true},"score":{"inbound":"Low"},"status":200}"#;
        let expected = r#"{"ip":"::ffff:192.0.2.7","port":2022,"suspicious":true,"verdict":"deny","rule":"anonymity","profile":"pipeline","direction":"egress","score":{"inbound":40,"outbound":null},"findings":[{"code":"anonymity.tor","detail":"is_tor"},{"code":"ssh.openssh","detail":"product hint on port 2022"}],"outcome":"assessed","link":"https://www.criminalip.io/asset/report/192.0.2.7"}"#;
        assert_eq!(judge(tor, Some(2022), Some("OpenSSH")), expected);
    }

    #[test]
    fn invariant_2_what_could_not_be_read_has_no_verdict() {
        let expected = r#"{"ip":"::ffff:192.0.2.7","port":null,"suspicious":null,"verdict":null,"rule":null,"profile":"pipeline","direction":"egress","score":{"inbound":null,"outbound":null},"findings":[],"outcome":"bad_key","link":"https://www.criminalip.io/asset/report/192.0.2.7"}"#;
        assert_eq!(judge(br#"{"status":401,"message":"invalid api key"}"#, None, None), expected);
    }
}
