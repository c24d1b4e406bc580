//! Destinations with a name: addresses and domains judged together, in simulated time.

use super::*;
use crate::Remote;

const BAD: &str = "bad.criminalip.io";
const ADDRESS: &str = "198.51.100.1";

/// On egress, with these keys, and domains selected unless they say otherwise.
fn egress(keys: &str) -> World {
    let mut document = String::from(r#"{"direction": "egress", "api": {"cluster": "criminalip", "concurrency": 2}"#);
    for (key, default) in [("select", r#"{"domains": true}"#), ("scope", r#"{"treat_as_public": ["198.51.100.0/24"]}"#)]
    {
        if !keys.contains(&format!("\"{key}\"")) {
            document += &format!(", \"{key}\": {default}");
        }
    }
    let config = Config::parse(format!("{document} {keys}}}").as_bytes()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    World::with(Rc::new(Site::new(RootId(1), config)))
}

/// `198.51.100.1 bad.criminalip.io`, or either of them alone.
fn remote(text: &str) -> Remote {
    let mut remote = Remote::default();
    for part in text.split(' ') {
        match part.parse() {
            Ok(address) => remote.address = Some(address),
            Err(_) => remote.host = Some(part.into()),
        }
    }
    remote
}

fn toward(now: Moment) -> Connection<'static> {
    Connection { direction: Direction::Egress, ..connection(now) }
}

impl World {
    fn seek(&mut self, remote: &Remote) -> Consulted<'_> {
        self.gate.consult(&self.site, remote, &toward(self.now), self.now.timestamp())
    }

    fn let_in(&mut self, stream: u32, remote: &Remote) -> Admitted {
        let proxy = Proxy { now: self.now, store: &self.store };
        self.gate.admit(&self.site, StreamId(stream), remote, &toward(self.now), proxy)
    }

    /// Sends what is to be looked up, and answers those of these subjects.
    fn learn(&mut self, answers: &[(&str, Assessment)]) -> Vec<Release> {
        let lookups: Vec<_> = std::iter::from_fn(|| self.next()).collect();
        let mut released = Vec::new();
        for lookup in lookups {
            let answer = answers.iter().find(|(subject, _)| *subject == lookup.subject.to_string());
            if let Some((_, assessment)) = answer {
                released.extend(self.answer(&lookup, Ok(*assessment)));
            }
        }
        released
    }

    fn listed(&self, findings: &[Finding]) -> Assessment {
        Assessment { score: Score::default(), ..self.assessment(Level::Safe, findings) }
    }
}

#[test]
fn a_stream_to_a_named_address_waits_for_both_and_gets_the_worse_verdict() {
    let tagged = [Finding::Tor];
    for (address, domain, action, rule, by_host) in [
        (&[][..], &[][..], Action::Allow, None, false),
        (&tagged, &[], Action::Tag, Some("anonymity"), false),
        (&tagged, &[Finding::Domain], Action::Deny, Some("domain"), true),
        (&[], &[Finding::Domain, Finding::Phishing], Action::Deny, Some("phishing"), true),
    ] {
        let mut world = egress("");
        let both = remote("198.51.100.1 bad.criminalip.io");
        assert_eq!(world.seek(&both), Consulted::Unknown);
        assert_eq!(world.let_in(1, &both), Admitted::Held);
        let clean = world.assessment(Level::Safe, address);
        let released = world.learn(&[(ADDRESS, clean)]);
        assert!(released.is_empty(), "the domain is still unknown");
        let domain = world.listed(domain);
        let lost = world.gate.wanted.in_flight(LookupId(1)).map(|(id, _)| id).unwrap();
        assert!(lost.is_domain());
        let lookup = Lookup { id: LookupId(1), subject: Subject::Domain(BAD.into()), site: Rc::clone(&world.site) };
        let released = world.answer(&lookup, Ok(domain));
        let decision = released[0].decision;
        assert_eq!((released.len(), &released[0].remote), (1, &both));
        let config = &world.site.config;
        assert_eq!((decision.verdict.action, decision.rule(config), decision.by_host), (action, rule, by_host));
        assert_eq!(decision.verdict.score, Some(Level::Safe), "the address has one");
        assert_eq!(decision.verdict.findings, clean.findings.union(domain.findings));
        let line: serde_json::Value = serde_json::from_str(&decision.log_line(config, &both)).unwrap();
        assert_eq!((&line["peer"], &line["host"]), (&ADDRESS.into(), &BAD.into()));
        assert_eq!(line["decided_by"], if by_host { "host".into() } else { serde_json::Value::Null });
        let Consulted::Decided(again) = world.seek(&both) else { panic!("both are remembered") };
        assert_eq!((again.verdict, again.source), (decision.verdict, Source::Cache));
        assert!(world.next().is_none(), "nothing is asked twice");
    }
}

#[test]
fn one_denial_is_enough_and_nothing_is_asked_that_could_only_confirm_it() {
    let mut world = egress("");
    let both = remote("198.51.100.1 bad.criminalip.io");
    assert_eq!(world.let_in(1, &both), Admitted::Held);
    let bad = world.listed(&[Finding::Domain]);
    let released = world.learn(&[(BAD, bad)]);
    assert_eq!((released.len(), released[0].decision.verdict.action), (1, Action::Deny));
    assert_eq!(world.gate.held(), 0);
    // Another address of the bad domain, and no domain but the address.
    let elsewhere = remote("198.51.100.2 bad.criminalip.io");
    assert!(matches!(world.seek(&elsewhere), Consulted::Decided(decision) if decision.by_host));
    assert!(world.next().is_none());
    assert_eq!(world.seek(&remote("198.51.100.2")), Consulted::Unknown);
}

#[test]
fn past_the_hold_what_is_known_and_the_first_look_both_count() {
    for (then, action, source) in [("allow", Action::Tag, Source::Api), ("deny", Action::Deny, Source::FirstLook)] {
        let mut world = egress(&format!(r#", "first_look": {{"then": "{then}"}}"#));
        assert_eq!(world.let_in(1, &remote("198.51.100.1 bad.criminalip.io")), Admitted::Held);
        let tor = world.assessment(Level::Safe, &[Finding::Tor]);
        assert!(world.learn(&[(ADDRESS, tor)]).is_empty());
        world.wait(750);
        let released = world.sweep();
        let decision = released[0].decision;
        assert_eq!((decision.verdict.action, decision.source), (action, source), "{then}");
        assert_eq!(decision.reason, Some(Reason::HoldExpired), "{then}");
    }
}

#[test]
fn a_lookup_that_fails_for_one_of_them_is_an_error_for_the_stream() {
    for (on_error, action, source) in [("allow", Action::Tag, Source::Api), ("deny", Action::Deny, Source::OnError)] {
        let mut world = egress(&format!(r#", "on_error": "{on_error}""#));
        assert_eq!(world.let_in(1, &remote("198.51.100.1 bad.criminalip.io")), Admitted::Held);
        let lookups: Vec<_> = std::iter::from_fn(|| world.next()).collect();
        let tor = world.assessment(Level::Safe, &[Finding::Tor]);
        assert!(world.answer(&lookups[0], Ok(tor)).is_empty());
        let released = world.answer(&lookups[1], Err(LookupError::TimedOut));
        let decision = released[0].decision;
        assert_eq!((decision.verdict.action, decision.source), (action, source), "{on_error}");
        assert_eq!(decision.reason, Some(Reason::Lookup(LookupError::TimedOut)), "{on_error}");
        assert_eq!(counted(&mut world.gate)["criminalip_cache_total;result=miss"], 1);
    }
}

#[test]
fn names_of_private_networks_and_names_nobody_selected_are_never_looked_up() {
    let skip = r#", "scope": {"skip": ["*.corp.criminalip.io"], "treat_as_public": ["www.example.com"]}"#;
    for (extra, name, asked) in [
        ("", "printer", false),
        ("", "db.default.svc.cluster.local", false),
        ("", "vault.internal", false),
        ("", "www.example.com", false),
        ("", BAD, true),
        (skip, "hr.corp.criminalip.io", false),
        (skip, "www.example.com", true),
        (r#", "select": {"domains": false}"#, BAD, false),
    ] {
        let mut world = egress(extra);
        let remote = remote(name);
        match world.seek(&remote) {
            Consulted::Unknown => assert!(asked, "{name}"),
            consulted => assert!(!asked && consulted == Consulted::Skip(Skip::NotPublic), "{name}: {consulted:?}"),
        }
        world.let_in(1, &remote);
        assert_eq!(world.next().map(|lookup| lookup.subject), asked.then(|| Subject::Domain(name.into())), "{name}");
    }
    let mut world = egress("");
    assert_eq!(world.seek(&Remote::default()), Consulted::Skip(Skip::NoAddress));
}

#[test]
fn a_name_on_the_allow_list_counts_where_the_proxy_resolves_it_and_is_a_mere_claim_elsewhere() {
    let lists = r#""lists": {
        "allow_hosts": [{"host": "*.good.example", "reason": "ours"}, {"host": "both.example"}],
        "deny_hosts": [{"host": "*.bad.example"}, {"host": "both.example"}],
        "deny": [{"cidr": "198.51.100.66"}]}"#;
    let mut by_name = egress(&format!(r#", "destination": "name", {lists}"#));
    let mut by_address = egress(&format!(", {lists}"));
    use Action::{Allow, Deny};
    for (text, named, addressed) in [
        ("www.good.example", Some(Allow), None),
        ("198.51.100.66 www.good.example", Some(Allow), Some(Deny)),
        ("www.bad.example", Some(Deny), Some(Deny)),
        ("198.51.100.1 www.bad.example", Some(Deny), Some(Deny)),
        ("198.51.100.66 www.bad.example", Some(Deny), Some(Deny)),
        ("both.example", Some(Allow), None),
        ("198.51.100.66", Some(Deny), Some(Deny)),
    ] {
        for (world, expected) in [(&mut by_name, named), (&mut by_address, addressed)] {
            match world.seek(&remote(text)) {
                Consulted::Decided(decision) => {
                    assert_eq!((Some(decision.verdict.action), decision.source), (expected, Source::List), "{text}");
                }
                other => assert!(expected.is_none() && matches!(other, Consulted::Skip(_)), "{text}: {other:?}"),
            }
        }
    }
    // The address still needs a verdict, and the name none.
    assert_eq!(by_address.seek(&remote("198.51.100.1 www.good.example")), Consulted::Unknown);
    by_address.let_in(1, &remote("198.51.100.1 www.good.example"));
    assert_eq!(by_address.next().unwrap().subject, ip(ADDRESS).into());
    assert!(by_address.next().is_none());
    let config = &by_name.site.config;
    let decision = config.lists.decide(&remote("www.good.example"), config.destination, START.timestamp()).unwrap();
    let line: serde_json::Value =
        serde_json::from_str(&decision.log_line(config, &remote("www.good.example"))).unwrap();
    assert_eq!(line["list"], serde_json::json!({"host": "*.good.example", "owner": null, "reason": "ours"}));
    assert_eq!((&line["peer"], &line["report"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}

#[test]
fn a_domain_is_remembered_for_all_workers_and_looked_up_anew_when_stale() {
    let mut world = egress("");
    let bad = remote(BAD);
    assert_eq!(world.let_in(1, &bad), Admitted::Held);
    let clean = world.listed(&[]);
    assert_eq!(world.learn(&[(BAD, clean)]).len(), 1);
    let mut other = gate(&world.store);
    let proxy = Proxy { now: world.now, store: &world.store };
    let connection = toward(world.now);
    assert_eq!(other.consult(&world.site, &bad, &connection, world.now.timestamp()), Consulted::Unknown);
    let admitted = other.admit(&world.site, StreamId(1), &bad, &connection, proxy);
    assert!(matches!(admitted, Admitted::Decided(decision) if decision.source == Source::Shared));
    world.wait(12 * 3_600_000);
    assert!(world.refresh(&bad, &toward(world.now)).is_some());
    assert_eq!(world.next().unwrap().subject, Subject::Domain(BAD.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn streams_with_an_address_and_a_name_end_exactly_once_and_each_is_asked_about_once(
        steps in proptest::collection::vec((0u8..5, 0u8..4, 0u8..4, 0u64..900), 1..150),
    ) {
        let mut world = egress("");
        let (mut held, mut flying, mut streams) = (BTreeSet::new(), Vec::<Lookup>::new(), 0..);
        for (step, address, name, millis) in steps {
            let mut released = Vec::new();
            match step {
                0 | 1 => {
                    let remote = Remote {
                        address: (address > 0).then(|| ip(&format!("198.51.100.{address}"))),
                        host: (name > 0).then(|| format!("n{name}.criminalip.io").into()),
                    };
                    let stream = streams.next().unwrap();
                    if world.seek(&remote) == Consulted::Unknown && world.let_in(stream, &remote) == Admitted::Held {
                        held.insert(StreamId(stream));
                    }
                }
                2 => if let Some(lookup) = world.next() {
                    prop_assert!(flying.iter().all(|other| other.subject != lookup.subject));
                    flying.push(lookup);
                },
                3 => if !flying.is_empty() {
                    let lookup = flying.remove(usize::from(name) % flying.len());
                    let facts = match address {
                        0 => Err(LookupError::Reset),
                        1 => Ok(world.listed(&[Finding::Domain])),
                        _ => Ok(world.listed(&[])),
                    };
                    released = world.answer(&lookup, facts);
                },
                _ => {
                    world.wait(millis);
                    released = world.sweep();
                    if address == 0 && let Some(stream) = held.pop_first() {
                        world.gate.leave(stream);
                        released.retain(|release| release.stream != stream);
                    }
                    flying.retain(|lookup| world.gate.wanted.in_flight(lookup.id).is_some());
                }
            }
            for release in released {
                prop_assert!(held.remove(&release.stream), "released twice or never held");
            }
            prop_assert_eq!(world.gate.held(), held.len());
        }
        world.wait(60_000);
        for release in world.sweep() {
            prop_assert!(held.remove(&release.stream));
        }
        prop_assert!(held.is_empty());
    }
}

#[test]
fn what_is_about_destinations_is_refused_on_ingress() {
    for keys in [
        r#""destination": "name""#,
        r#""select": {"domains": true}"#,
        r#""lists": {"deny_hosts": [{"host": "bad.example"}]}"#,
        r#""lists": {"allow_hosts": [{"host": "bad.example"}]}"#,
    ] {
        let mistakes = Config::parse(format!(r#"{{"api": {{"cluster": "c"}}, {keys}}}"#).as_bytes()).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].kind), (1, crate::MistakeKind::Conflict), "{keys}");
    }
}
