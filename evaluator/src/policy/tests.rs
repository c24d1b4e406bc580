use super::*;
use crate::Score;
use alloc::vec;
use core::num::NonZeroU32;
use proptest::prelude::*;

fn assessment(findings: &[Finding], published: &[Finding]) -> Assessment {
    Assessment {
        learned: Timestamp::from_unix(0),
        findings: Findings::of(findings),
        published: Findings::of(published),
        asn: None,
        country: None,
        score: Score::default(),
    }
}

fn connection(direction: Direction) -> Connection<'static> {
    Connection::new(direction, Timestamp::from_unix(0))
}

fn rule(name: &str, when: Condition, then: Action) -> Rule {
    Rule { name: name.into(), when, then }
}

fn matches(when: Condition, assessment: &Assessment, connection: &Connection<'_>) -> bool {
    let policy = Policy { rules: vec![rule("only", when, Action::Deny)], evidence: Evidence::Current };
    policy.evaluate(assessment, connection).action == Action::Deny
}

fn texts(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

#[test]
fn the_first_matching_rule_decides_and_none_allows() {
    let tor = Condition { any: Findings::of(&[Finding::Tor]), ..Condition::default() };
    let policy = Policy {
        rules: vec![
            rule("tor", tor, Action::Tag),
            rule("ports", Condition { ports: vec![25], ..Condition::default() }, Action::Deny),
            rule("port 25 again", Condition { ports: vec![25], ..Condition::default() }, Action::Allow),
        ],
        evidence: Evidence::Current,
    };
    for (findings, port, action, name) in [
        (&[Finding::Tor][..], 25, Action::Tag, Some("tor")),
        (&[], 25, Action::Deny, Some("ports")),
        (&[Finding::Vpn], 80, Action::Allow, None),
    ] {
        let connection = Connection { port: Some(port), ..connection(Direction::Egress) };
        let verdict = policy.evaluate(&assessment(findings, &[]), &connection);
        assert_eq!((verdict.action, policy.rule_name(&verdict)), (action, name));
        assert_eq!(verdict.findings, Findings::of(findings));
    }
}

#[test]
fn what_the_connection_shows_is_found_where_it_speaks_about_the_peer() {
    use Direction::*;
    use Evidence::*;
    use Finding::*;
    for (evidence, direction, port, product, expected) in [
        (Current, Egress, Some(22), None, &[SshPort][..]),
        (Current, Egress, Some(55), None, &[DnsPort55]),
        (Current, Egress, Some(2022), Some("an oPeNsSh server"), &[Openssh]),
        (Current, Egress, Some(55), Some("OpenSSH"), &[DnsPort55, Openssh]),
        (Current, Egress, Some(22), Some("OpenSSH"), &[SshPort]),
        (Current, Egress, None, Some("OpenSSH"), &[]),
        (Current, Egress, Some(2022), Some("Open SSH"), &[]),
        (Current, Egress, Some(443), Some(""), &[]),
        (Current, Ingress, Some(22), Some("OpenSSH"), &[]),
        (Current, Ingress, Some(55), Some("OpenSSH"), &[]),
        (Published, Ingress, Some(22), None, &[SshPort]),
        (Published, Ingress, Some(55), Some("OpenSSH"), &[DnsPort55, Openssh]),
        (Published, Egress, Some(0), Some("OpenSSH"), &[Openssh]),
    ] {
        let policy = Policy { rules: vec![], evidence };
        let connection = Connection { port, product, ..connection(direction) };
        let found = policy.evaluate(&assessment(&[], &[]), &connection).findings;
        assert_eq!(found, Findings::of(expected), "{evidence:?} {direction:?} {port:?} {product:?}");
    }
}

#[test]
fn the_evidence_chooses_the_reading_of_the_report() {
    let assessment = assessment(&[Finding::Tor], &[Finding::TlsExpired]);
    for (evidence, found) in [(Evidence::Current, Finding::Tor), (Evidence::Published, Finding::TlsExpired)] {
        let verdict = Policy { rules: vec![], evidence }.evaluate(&assessment, &connection(Direction::Ingress));
        assert_eq!(verdict.findings, Findings::of(&[found]));
    }
}

#[test]
fn each_condition_holds_for_what_it_names_and_not_for_the_unknown() {
    let facts = Assessment {
        asn: NonZeroU32::new(64_500),
        country: Country::parse("KR"),
        score: Score { inbound: Some(Level::Moderate), outbound: Some(Level::Critical) },
        ..assessment(&[Finding::Tor, Finding::Scanner], &[])
    };
    let known = Connection {
        port: Some(8080),
        path: Some(b"/login?next=/\xff"),
        method: Some(b"POST"),
        host: Some(b"API.example.com:8443"),
        now: Timestamp::from_unix(1_774_828_800), // Monday 2026-03-30 00:00 UTC
        ..connection(Direction::Ingress)
    };
    let (nobody, unknown) = (assessment(&[], &[]), connection(Direction::Ingress));
    let any = |findings| Condition { any: Findings::of(findings), ..Condition::default() };
    let all = |findings| Condition { all: Findings::of(findings), ..Condition::default() };
    let none = |findings| Condition { none: Findings::of(findings), ..Condition::default() };
    let score = |level| Condition { score_at_least: Some(level), ..Condition::default() };
    let direction = |direction| Condition { direction: Some(direction), ..Condition::default() };
    let time = |within| Condition { time: TimeWindow::parse("UTC", within).ok(), ..Condition::default() };
    let country = |code| Condition { country: Country::parse(code).into_iter().collect(), ..Condition::default() };
    for (when, holds, for_unknown) in [
        (Condition::default(), true, true),
        (any(&[Finding::Tor, Finding::Vpn]), true, false),
        (any(&[Finding::Vpn]), false, false),
        (all(&[Finding::Tor, Finding::Scanner]), true, false),
        (all(&[Finding::Tor, Finding::Vpn]), false, false),
        (none(&[Finding::Vpn]), true, true),
        (none(&[Finding::Tor, Finding::Vpn]), false, true),
        (score(Level::Safe), true, false),
        (score(Level::Moderate), true, false),
        (score(Level::Dangerous), false, false),
        (direction(Direction::Ingress), true, true),
        (direction(Direction::Egress), false, false),
        (Condition { ports: vec![80, 8080], ..Condition::default() }, true, false),
        (Condition { ports: vec![80], ..Condition::default() }, false, false),
        (Condition { ports_other_than: vec![80], ..Condition::default() }, true, false),
        (Condition { ports_other_than: vec![80, 8080], ..Condition::default() }, false, false),
        (Condition { path_prefix: texts(&["/admin", "/login"]), ..Condition::default() }, true, false),
        (Condition { path_prefix: texts(&["/login?next=/x"]), ..Condition::default() }, false, false),
        (Condition { method: texts(&["GET", "POST"]), ..Condition::default() }, true, false),
        (Condition { method: texts(&["post"]), ..Condition::default() }, false, false),
        (Condition { host: texts(&["api.example.com"]), ..Condition::default() }, true, false),
        (Condition { host: texts(&["example.com"]), ..Condition::default() }, false, false),
        (country("kr"), true, false),
        (country("us"), false, false),
        (Condition { asn: vec![1, 64_500], ..Condition::default() }, true, false),
        (Condition { asn: vec![1], ..Condition::default() }, false, false),
        (time("Mon 00:00-01:00"), true, false),
        (time("Tue 00:00-01:00"), false, false),
        // All fields must hold.
        (Condition { ports: vec![8080], method: texts(&["GET"]), ..Condition::default() }, false, false),
        (Condition { ports: vec![8080], ..any(&[Finding::Tor]) }, true, false),
    ] {
        assert_eq!(matches(when.clone(), &facts, &known), holds, "{when:?}");
        assert_eq!(matches(when.clone(), &nobody, &unknown), for_unknown, "unknown: {when:?}");
    }
}

#[test]
fn the_score_is_the_one_of_the_direction() {
    let mut facts = assessment(&[], &[]);
    facts.score = Score { inbound: Some(Level::Safe), outbound: Some(Level::Critical) };
    let when = Condition { score_at_least: Some(Level::Dangerous), ..Condition::default() };
    assert!(!matches(when.clone(), &facts, &connection(Direction::Ingress)));
    assert!(matches(when, &facts, &connection(Direction::Egress)));
}

#[test]
fn hosts_match_without_port_final_dot_and_case() {
    for (pattern, authority, holds) in [
        ("example.com", &b"example.com"[..], true),
        ("Example.COM", b"eXAMPLE.com.:443", true),
        ("example.com.", b"example.com", true),
        ("example.com", b"www.example.com", false),
        ("example.com", b"example.com.evil", false),
        ("example.com", b"", false),
        ("example.com", b"example.com\xff", false),
        ("*.example.com", b"www.example.com", true),
        ("*.example.com", b"A.B.EXAMPLE.com:80", true),
        ("*.example.com", b"\xff.example.com", true),
        ("*.example.com", b"example.com", false),
        ("*.example.com", b".example.com", false),
        ("*.example.com", b"wwwexample.com", false),
        ("*example.com", b"wwwexample.com", false),
        ("[2001:db8::1]", b"[2001:DB8::1]:8080", true),
        ("[2001:db8::1]", b"[2001:db8::1]", true),
        ("[2001:db8::1]", b"[2001:db8::12]", false),
        ("192.0.2.1", b"192.0.2.1:80", true),
    ] {
        let authority_text = alloc::string::String::from_utf8_lossy(authority);
        assert_eq!(host_matches(pattern, authority), holds, "{pattern} {authority_text}");
    }
}

#[test]
fn a_policy_needs_what_its_rules_look_at() {
    let path = Condition { path_prefix: texts(&["/"]), ..Condition::default() };
    let method = Condition { method: texts(&["GET"]), ..Condition::default() };
    let host = Condition { host: texts(&["a"]), ..Condition::default() };
    let of = |findings| Condition { none: Findings::of(findings), ..Condition::default() };
    let port = Needs { port: true, ..Needs::default() };
    for (whens, needs) in [
        (vec![], Needs::default()),
        (vec![of(&[Finding::Tor])], Needs::default()),
        (vec![path.clone()], Needs { path: true, ..Needs::default() }),
        (vec![method, host], Needs { method: true, host: true, ..Needs::default() }),
        (vec![of(&[Finding::SshPort])], port),
        (vec![Condition { ports: vec![1], ..Condition::default() }], port),
        (vec![Condition { ports_other_than: vec![1], ..path }], Needs { path: true, ..port }),
    ] {
        let rules = whens.into_iter().map(|when| rule("any", when, Action::Tag)).collect();
        let policy = Policy { rules, evidence: Evidence::Current };
        assert_eq!(policy.needs(), needs, "{policy:?}");
    }
}

/// Each kind of condition alone, those first of whose answers a policy says that they are the same again.
fn conditions() -> (Vec<Condition>, Vec<Condition>) {
    let (of, default) = (Findings::of(&[Finding::Tor, Finding::SshPort]), Condition::default);
    let repeatable = vec![
        default(),
        Condition { score_at_least: Some(Level::Moderate), ..default() },
        Condition { any: of, ..default() },
        Condition { all: of, ..default() },
        Condition { none: of, ..default() },
        Condition { direction: Some(Direction::Egress), ..default() },
        Condition { ports: vec![22, 443], ..default() },
        Condition { ports_other_than: vec![22, 443], ..default() },
    ];
    let others = vec![
        Condition { path_prefix: texts(&["/"]), ..default() },
        Condition { method: texts(&["GET"]), ..default() },
        Condition { host: texts(&["a"]), ..default() },
        Condition { country: vec![Country::parse("KR").unwrap()], ..default() },
        Condition { asn: vec![1], ..default() },
        Condition { time: Some(TimeWindow::parse("UTC", "Mon 08:00-10:00").unwrap()), ..default() },
    ];
    (repeatable, others)
}

#[test]
fn a_policy_is_repeatable_where_no_rule_asks_about_time_place_or_request() {
    let (repeatable, others) = conditions();
    let policy = |whens: &[Condition]| Policy {
        rules: whens.iter().map(|when| rule("any", when.clone(), Action::Tag)).collect(),
        evidence: Evidence::Current,
    };
    assert!(policy(&repeatable).is_repeatable());
    assert!(crate::Profile::ALL.iter().all(|profile| profile.policy().is_repeatable()));
    for other in others {
        assert!(!policy(&[Condition::default(), other.clone()]).is_repeatable(), "{other:?}");
    }
}

#[test]
fn rules_that_an_index_cannot_name_are_never_reached() {
    let never = Condition { ports: vec![1], ..Condition::default() };
    let mut rules = vec![rule("never", never, Action::Tag); 65_535];
    rules.push(rule("last", Condition::default(), Action::Tag));
    rules.push(rule("beyond", Condition::default(), Action::Deny));
    let mut policy = Policy { rules, evidence: Evidence::Current };
    let decide = |policy: &Policy| policy.evaluate(&assessment(&[], &[]), &connection(Direction::Ingress));
    let verdict = decide(&policy);
    assert_eq!((verdict.rule, policy.rule_name(&verdict)), (Some(u16::MAX), Some("last")));
    policy.rules[65_535].when.ports.push(1);
    assert_eq!(decide(&policy).action, Action::Allow);
}

proptest! {
    #[test]
    fn what_a_policy_does_not_need_does_not_change_its_verdict(
        bits: u32,
        profile in 0..3usize,
        port: Option<u16>,
        path: Option<Vec<u8>>,
        host: Option<Vec<u8>>,
        egress: bool,
    ) {
        let policy = crate::Profile::ALL[profile].policy();
        let facts = Assessment { findings: Findings::from_bits(bits), ..assessment(&[], &[]) };
        let direction = if egress { Direction::Egress } else { Direction::Ingress };
        let full =
            Connection { port, path: path.as_deref(), host: host.as_deref(), ..connection(direction) };
        let needs = policy.needs();
        let needed = Connection {
            port: port.filter(|_| needs.port),
            path: full.path.filter(|_| needs.path),
            host: full.host.filter(|_| needs.host),
            ..full
        };
        let (verdict, other) = (policy.evaluate(&facts, &full), policy.evaluate(&facts, &needed));
        prop_assert_eq!((verdict.action, verdict.rule), (other.action, other.rule));
    }

    #[test]
    fn a_repeatable_policy_decides_the_same_again_whatever_else_changes(
        findings in prop::collection::vec(prop::sample::select(Finding::ALL), 0..4),
        levels in prop::array::uniform2(prop::option::of(prop::sample::select(&[Level::Safe, Level::Dangerous][..]))),
        port in prop::option::of(prop::sample::select(&[22_u16, 25, 443][..])),
        hinted: bool,
        egress: bool,
        published: bool,
    ) {
        let direction = if egress { Direction::Egress } else { Direction::Ingress };
        let evidence = if published { Evidence::Published } else { Evidence::Current };
        let product = hinted.then_some("OpenSSH");
        let (inbound, outbound) = (levels[0], levels[1]);
        let here = Connection { port, product, ..connection(direction) };
        let facts = Assessment { score: Score { inbound, outbound }, ..assessment(&findings, &findings) };
        // Monday at nine o'clock, and everything of which nothing was known.
        let (path, method, host) = (Some(&b"/"[..]), Some(&b"GET"[..]), Some(&b"a"[..]));
        let now = Timestamp::from_unix(1_711_357_200);
        let elsewhere = Connection { path, method, host, route: path, now, ..here };
        let country = Country::parse("KR");
        let score = match direction {
            Direction::Ingress => Score { outbound: Some(Level::Critical), ..facts.score },
            Direction::Egress => Score { inbound: Some(Level::Critical), ..facts.score },
        };
        let others = Assessment { learned: now, asn: NonZeroU32::new(1), country, score, ..facts };
        let (repeatable, not) = conditions();
        let same = |when: &Condition| {
            let policy = Policy { rules: vec![rule("only", when.clone(), Action::Deny)], evidence };
            policy.evaluate(&facts, &here).rule == policy.evaluate(&others, &elsewhere).rule
        };
        for when in &repeatable {
            prop_assert!(same(when), "{:?}", when);
        }
        for when in &not {
            prop_assert!(!same(when), "{:?}", when);
        }
    }

    #[test]
    fn any_host_and_pattern_have_an_answer(pattern in ".{0,12}", authority: Vec<u8>) {
        let _ = host_matches(&pattern, &authority);
    }
}
