//! `policy`: the operator's rules, and the profile that follows them.

use super::Block;
use super::form::{Choice, Form, LevelNumber, OrNull, Span, Whole, refuse_choice};
use super::json::Json;
use super::keys::{Keys, Many, Section, one_or_more, set_of};
use super::mistake::{MistakeKind, Mistakes};
use super::text::{COUNTRY, HOST, METHOD, PATH_PREFIX, RULE_NAME, TIME_ZONE, Text, WITHIN};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Action, Condition, Country, Direction, Finding, Findings, Policy, Profile, Rule, TimeWindow};

/// `ingress` or `egress`.
pub(super) const DIRECTION: Choice<Direction> =
    Choice::of(&["ingress", "egress"], &[Direction::Ingress, Direction::Egress]);

/// The name of a profile, or `none`.
pub(super) const PROFILE: Choice<Option<Profile>> = Choice::of(
    &["pipeline", "ingress", "egress", "none"],
    &[Some(Profile::Pipeline), Some(Profile::Ingress), Some(Profile::Egress), None],
);

/// The policy as it is written: the profile that follows the rules, if one is named, and the rules.
pub(super) struct WrittenPolicy {
    /// `None` where the direction chooses, `Some(None)` where there is none.
    pub(super) profile: Option<Option<Profile>>,
    pub(super) block: Block,
    pub(super) rules: Vec<Rule>,
}

/// The operator's own rules, followed by those of the profile.
pub(super) fn complete(own: Vec<Rule>, profile: Option<Profile>) -> Policy {
    let mut policy = profile.map(Profile::policy).unwrap_or_default();
    let of_profile = core::mem::replace(&mut policy.rules, own);
    policy.rules.extend(of_profile);
    policy
}

pub(super) fn policy(keys: &mut Keys<'_>) -> WrittenPolicy {
    const RULES: Many<Section<Rule>> = set_of(Section(rule), 1000, name);
    WrittenPolicy {
        profile: keys.optional("profile", &OrNull(PROFILE)).map(Option::flatten),
        rules: keys.or("rules", &RULES, "[]"),
        block: keys.section("block", block),
    }
}

fn block(keys: &mut Keys<'_>) -> Block {
    const LEAST: Duration = Duration::from_secs(1);
    const TTL: Span = Span { least: LEAST, most: Duration::from_secs(30 * 86_400) };
    const MAX: Span = Span { least: LEAST, most: Duration::from_secs(365 * 86_400) };
    Block {
        ttl: keys.or("ttl", &TTL, "24h"),
        factor: keys.or("factor", &Whole { least: 1_u32, most: 10 }, "2"),
        max: keys.or("max", &MAX, "7d"),
    }
}

fn rule(keys: &mut Keys<'_>) -> Rule {
    const ACTION: Choice<Action> = Choice::of(&["allow", "tag", "deny"], &[Action::Allow, Action::Tag, Action::Deny]);
    Rule {
        name: keys.required("name", &RULE_NAME),
        when: keys.required("when", &Section(condition)),
        then: keys.required("then", &ACTION),
    }
}

fn name(rule: &Json) -> Option<String> {
    rule.member("name")?.text().map(String::from)
}

/// Ports of which there is at least one.
pub(super) const PORTS: Many<Whole<u16>> = one_or_more(Whole { least: 1, most: u16::MAX });
/// Hosts of which there is at least one.
pub(super) const HOSTS: Many<Text<Box<str>>> = one_or_more(HOST);

fn condition(keys: &mut Keys<'_>) -> Condition {
    const CODES: Many<FindingCode> = one_or_more(FindingCode);
    const PREFIXES: Many<Text<Box<str>>> = one_or_more(PATH_PREFIX);
    const METHODS: Many<Text<Box<str>>> = one_or_more(METHOD);
    const COUNTRIES: Many<Text<Country>> = one_or_more(COUNTRY);
    const ASN: Many<Whole<u32>> = one_or_more(Whole { least: 1, most: u32::MAX });
    let condition = Condition {
        score_at_least: keys.optional("score_at_least", &LevelNumber),
        any: Findings::of(&keys.list("any", &CODES)),
        all: Findings::of(&keys.list("all", &CODES)),
        none: Findings::of(&keys.list("none", &CODES)),
        direction: keys.optional("direction", &DIRECTION),
        ports: keys.list("ports", &PORTS),
        ports_other_than: keys.list("ports_other_than", &PORTS),
        path_prefix: keys.list("path_prefix", &PREFIXES),
        method: keys.list("method", &METHODS),
        host: keys.list("host", &HOSTS),
        country: keys.list("country", &COUNTRIES),
        asn: keys.list("asn", &ASN),
        time: keys.optional("time", &Section(time)).flatten(),
    };
    let Condition { any, all, none, .. } = condition;
    let excluded = all.union(any).intersection(none);
    if !all.intersection(none).is_empty() || (!any.is_empty() && none.contains_all(any)) {
        let codes: Vec<&str> = excluded.iter().map(Finding::code).collect();
        let message = ["the rule can never match: \"none\" excludes ", &codes.join(", ")].concat();
        keys.note(MistakeKind::Conflict, message);
    }
    condition
}

fn time(keys: &mut Keys<'_>) -> Option<TimeWindow> {
    let time_zone = keys.required("time_zone", &TIME_ZONE);
    let within = keys.required("within", &WITHIN);
    TimeWindow::parse(&time_zone, &within).ok()
}

/// The code of a finding.
struct FindingCode;

impl Form for FindingCode {
    type Value = Finding;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> Finding {
        found.text().and_then(Finding::from_code).unwrap_or_else(|| {
            refuse_choice(found, &codes(), mistakes);
            Finding::Reputation
        })
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        serde_json::json!({"enum": codes(), "description": "finding code"})
    }
}

fn codes() -> Vec<&'static str> {
    Finding::ALL.iter().map(|finding| finding.code()).collect()
}
