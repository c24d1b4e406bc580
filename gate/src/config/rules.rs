//! `policy`: the operator's rules, and the profile that follows them.

use super::Block;
use super::form::{Choice, Form, LevelNumber, OrNull, Span, Whole, refuse_choice};
use super::json::Json;
use super::keys::{Keys, Many, Section, any_number_of, one_or_more};
use super::mistake::{At, MistakeKind, Mistakes};
use super::text::{COUNTRY, HOST, METHOD, PATH_PREFIX, RULE_NAME, TIME_ZONE, WITHIN};
use evaluator::{Action, Condition, Direction, Finding, Findings, Policy, Profile, Rule, TimeWindow};
use std::time::Duration;

/// `ingress` or `egress`.
pub(super) const DIRECTION: Choice<Direction> =
    Choice(&[("ingress", Direction::Ingress), ("egress", Direction::Egress)]);

/// The name of a profile, or `none`.
pub(super) const PROFILE: Choice<Option<Profile>> = Choice(&[
    ("pipeline", Some(Profile::Pipeline)),
    ("ingress", Some(Profile::Ingress)),
    ("egress", Some(Profile::Egress)),
    ("none", None),
]);

/// The policy as it is written: the profile that follows the rules, if one is named, and the rules.
pub(super) struct WrittenPolicy {
    /// `None` where the direction chooses, `Some(None)` where there is none.
    pub(super) profile: Option<Option<Profile>>,
    pub(super) block: Block,
    rules: Vec<Rule>,
}

impl WrittenPolicy {
    /// The rules, followed by those of the profile.
    pub(super) fn complete(self, profile: Option<Profile>) -> Policy {
        let mut policy = profile.map(Profile::policy).unwrap_or_default();
        policy.rules.splice(0..0, self.rules);
        policy
    }
}

pub(super) fn policy(keys: &mut Keys<'_>) -> Option<WrittenPolicy> {
    let profile = keys.optional("profile", OrNull(PROFILE)).map(Option::flatten);
    let rules = Many { most: 1000, identity: Some(name), ..any_number_of(Section(rule)) };
    let rules = keys.or("rules", rules, Json::Array(Vec::new()));
    let block = keys.section("block", block);
    Some(WrittenPolicy { profile, block: block?, rules: rules? })
}

fn block(keys: &mut Keys<'_>) -> Option<Block> {
    const LEAST: Duration = Duration::from_secs(1);
    const TTL: Span = Span { least: LEAST, most: Duration::from_secs(30 * 86_400) };
    const MAX: Span = Span { least: LEAST, most: Duration::from_secs(365 * 86_400) };
    let ttl = keys.or("ttl", TTL, "24h");
    let factor = keys.or("factor", Whole { least: 1_u32, most: 10 }, 2);
    let max = keys.or("max", MAX, "7d");
    Some(Block { ttl: ttl?, factor: factor?, max: max? })
}

fn rule(keys: &mut Keys<'_>) -> Option<Rule> {
    const ACTION: Choice<Action> = Choice(&[("allow", Action::Allow), ("tag", Action::Tag), ("deny", Action::Deny)]);
    let name = keys.required("name", RULE_NAME);
    let when = keys.required("when", Section(condition));
    let then = keys.required("then", ACTION);
    Some(Rule { name: name?, when: when?, then: then? })
}

fn name(rule: &Json) -> Option<String> {
    rule.member("name")?.text().map(String::from)
}

fn condition(keys: &mut Keys<'_>) -> Option<Condition> {
    const PORT: Whole<u16> = Whole { least: 1, most: u16::MAX };
    const ASN: Whole<u32> = Whole { least: 1, most: u32::MAX };
    let score_at_least = keys.optional("score_at_least", LevelNumber);
    let mut findings = |name| Findings::of(&keys.optional(name, one_or_more(FindingCode)).unwrap_or_default());
    let (any, all, none) = (findings("any"), findings("all"), findings("none"));
    let condition = Condition {
        score_at_least,
        any,
        all,
        none,
        direction: keys.optional("direction", DIRECTION),
        ports: keys.optional("ports", one_or_more(PORT)).unwrap_or_default(),
        ports_other_than: keys.optional("ports_other_than", one_or_more(PORT)).unwrap_or_default(),
        path_prefix: keys.optional("path_prefix", one_or_more(PATH_PREFIX)).unwrap_or_default(),
        method: keys.optional("method", one_or_more(METHOD)).unwrap_or_default(),
        host: keys.optional("host", one_or_more(HOST)).unwrap_or_default(),
        country: keys.optional("country", one_or_more(COUNTRY)).unwrap_or_default(),
        asn: keys.optional("asn", one_or_more(ASN)).unwrap_or_default(),
        time: keys.optional("time", Section(time)),
    };
    let excluded = all.union(any).intersection(none);
    if !all.intersection(none).is_empty() || (!any.is_empty() && none.contains_all(any)) {
        let codes: Vec<&str> = excluded.iter().map(Finding::code).collect();
        let (at, mistakes) = keys.parts();
        let message = format!("the rule can never match: \"none\" excludes {}", codes.join(", "));
        mistakes.note(at, MistakeKind::Conflict, message);
    }
    Some(condition)
}

fn time(keys: &mut Keys<'_>) -> Option<TimeWindow> {
    let time_zone = keys.required("time_zone", TIME_ZONE);
    let within = keys.required("within", WITHIN);
    TimeWindow::parse(&time_zone?, &within?).ok()
}

/// The code of a finding.
struct FindingCode;

impl Form for FindingCode {
    type Value = Finding;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<Finding> {
        let finding = found.text().and_then(Finding::from_code);
        if finding.is_none() {
            refuse_choice(found, &codes(), at, mistakes);
        }
        finding
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        serde_json::json!({"enum": codes(), "description": "finding code"})
    }
}

fn codes() -> Vec<&'static str> {
    Finding::ALL.iter().map(|finding| finding.code()).collect()
}
