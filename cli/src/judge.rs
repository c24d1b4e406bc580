//! From facts to a verdict, with what people want to know about it.

use evaluator::{Action, Assessment, Connection, Direction, Examination, Judgement, Policy, Profile};
use std::net::IpAddr;

/// The rules to judge by, and which way the traffic goes.
pub(crate) struct Judge {
    pub(crate) policy: Policy,
    pub(crate) direction: Direction,
    pub(crate) profile: Profile,
}

impl Judge {
    /// The rules of a profile; the direction is the profile's own unless given.
    pub(crate) fn of_profile(profile: Profile, direction: Option<Direction>) -> Judge {
        let direction = direction.unwrap_or(match profile {
            Profile::Ingress => Direction::Ingress,
            Profile::Egress | Profile::Pipeline => Direction::Egress,
        });
        Judge { policy: profile.policy(), direction, profile }
    }

    /// The verdict on a connection to a peer with this report.
    pub(crate) fn judge<'a>(
        &'a self,
        ip: IpAddr,
        examination: &'a Examination,
        connection: &Connection<'_>,
    ) -> Judged<'a> {
        let assessment = examination.reading.assessment;
        let profile = Some(self.profile.name());
        Judged {
            judgement: Judgement::new(ip, Ok(examination), &self.policy, profile, connection),
            action: self.policy.evaluate(&assessment, connection).action,
            assessment,
            subject: examination.reading.subject,
        }
    }
}

/// A verdict with what it rests on.
pub(crate) struct Judged<'a> {
    pub(crate) judgement: Judgement<'a>,
    pub(crate) action: Action,
    pub(crate) assessment: Assessment,
    /// The address that the report names.
    pub(crate) subject: Option<IpAddr>,
}

impl Judged<'_> {
    /// The mark of a verdict: `OK` or `SUSPICIOUS`.
    pub(crate) fn mark(&self) -> &'static str {
        if self.action == Action::Allow { "OK" } else { "SUSPICIOUS" }
    }
}
