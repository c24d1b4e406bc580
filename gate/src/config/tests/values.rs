use super::*;
use evaluator::{Action, Evidence, Level, Timestamp, parse_duration};
use std::net::IpAddr;

#[test]
fn what_is_left_out_has_its_default() {
    let config = Config::parse(br#"{"api": {"cluster": "criminalip"}}"#).unwrap();
    let time = |text| parse_duration(text).unwrap();
    assert_eq!((config.mode, config.direction), (Mode::Enforce, Direction::Ingress));
    assert_eq!((&*config.api.cluster, &*config.api.authority), ("criminalip", "api.criminalip.io"));
    assert_eq!((config.api.full, &config.api.key, config.api.concurrency), (true, &Key::Injected, 1));
    assert_eq!((config.api.timeout, config.api.max_body), (time("5s"), 4 * 1024 * 1024));
    assert_eq!(config.first_look, FirstLook { hold: time("750ms"), then: Fallback::Allow, max_held: 256 });
    assert_eq!(config.on_error, Fallback::Allow);
    assert_eq!(config.cache.entries, 100_000);
    assert_eq!(
        [Class::Clean, Class::Suspicious, Class::Malicious].map(|class| config.cache.ttl.for_class(class)),
        [time("12h"), time("12h"), time("24h")]
    );
    assert_eq!(config.cache.ttl.error, time("30s"));
    assert_eq!((config.profile, config.policy), (Some(Profile::Ingress), Profile::Ingress.policy()));
    assert!(config.lists.allow.is_empty() && config.lists.deny.is_empty());
    assert!(config.scope.is_public("8.8.8.8".parse().unwrap()));
    assert!(!config.scope.is_public("192.0.2.1".parse().unwrap()));
    assert_eq!((&*config.tag.request_header, &config.tag.response_header), ("x-criminalip", &None));
    assert_eq!(config.tag.filter_state.as_deref(), Some("criminalip"));
    assert_eq!((config.deny.status, &*config.deny.message, config.log), (403, "Access denied", LogLevel::Denials));
}

#[test]
fn what_is_written_is_what_is_read() {
    let config = Config::parse(
        br#"{
        "mode": "shadow",
        "direction": "egress",
        "api": {"cluster": "criminalip", "authority": "gateway.internal:8443", "full": false, "key_env": "CRIMINALIP_API_KEY",
                "timeout": "250ms", "max_body": "32MiB", "concurrency": 64.0},
        "first_look": {"hold": "0s", "then": "deny", "max_held": 1e3},
        "on_error": "deny",
        "cache": {"entries": 10, "ttl": {"clean": "1s", "suspicious": "2s", "malicious": "3s", "error": "4s"}},
        "policy": {"profile": "pipeline",
                   "rules": [{"name": "tor-login", "then": "deny",
                              "when": {"score_at_least": 60, "any": ["anonymity.tor"], "all": ["scanner"], "none": ["cloud"],
                                       "direction": "egress", "ports": [443], "ports_other_than": [80],
                                       "path_prefix": ["/login"], "method": ["POST"], "host": ["*.example.com"],
                                       "country": ["kr"], "asn": [64500],
                                       "time": {"time_zone": "+09:00", "within": "Mon-Fri 09:00-18:00"}}},
                             {"name": "rest", "when": {}, "then": "tag"}]},
        "scope": {"skip": ["8.8.8.0/24"], "treat_as_public": ["192.0.2.0/24"]},
        "lists": {"allow": [{"cidr": "203.0.113.0/24", "owner": "netops", "reason": "partner",
                             "until": "2027-01-01T00:00:00Z"}],
                  "deny": [{"cidr": "198.51.100.7"}, {"cidr": "::/0"}]},
        "tag": {"request_header": "x-risk", "response_header": "x-risk", "filter_state": null},
        "deny": {"status": 451, "message": "<no>"},
        "log": "none"
    }"#,
    )
    .unwrap();
    assert_eq!((config.mode, config.direction), (Mode::Shadow, Direction::Egress));
    assert_eq!((&*config.api.authority, config.api.full), ("gateway.internal:8443", false));
    assert_eq!(config.api.key, Key::Environment("CRIMINALIP_API_KEY".into()));
    assert_eq!((config.api.timeout, config.api.max_body), (Duration::from_millis(250), 32 << 20));
    assert_eq!(config.api.concurrency, 64);
    assert_eq!(config.first_look, FirstLook { hold: Duration::ZERO, then: Fallback::Deny, max_held: 1000 });
    assert_eq!((config.on_error, config.cache.entries), (Fallback::Deny, 10));
    let ttl = config.cache.ttl;
    assert_eq!([ttl.clean, ttl.suspicious, ttl.malicious, ttl.error].map(|ttl| ttl.as_secs()), [1, 2, 3, 4]);

    assert_eq!((config.profile, config.policy.evidence), (Some(Profile::Pipeline), Evidence::Published));
    assert_eq!(config.policy.rules[2..], Profile::Pipeline.policy().rules);
    let [tor, rest] = &config.policy.rules[..2] else { panic!() };
    assert_eq!((&*tor.name, tor.then, &*rest.name, rest.then), ("tor-login", Action::Deny, "rest", Action::Tag));
    assert_eq!(rest.when, evaluator::Condition::default());
    let when = &tor.when;
    assert_eq!((when.score_at_least, when.direction), (Some(Level::Moderate), Some(Direction::Egress)));
    let findings = [when.any, when.all, when.none].map(|findings| findings.iter().next().unwrap().code());
    assert_eq!(findings, ["anonymity.tor", "scanner", "cloud"]);
    assert_eq!((&when.ports[..], &when.ports_other_than[..], &when.asn[..]), (&[443][..], &[80][..], &[64_500][..]));
    assert_eq!((&*when.path_prefix[0], &*when.method[0], &*when.host[0]), ("/login", "POST", "*.example.com"));
    assert_eq!(when.country[0].letters(), ['K', 'R']);
    assert_eq!(when.time, evaluator::TimeWindow::parse("+09:00", "Mon-Fri 09:00-18:00").ok());

    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(!config.scope.is_public(ip("8.8.8.8")) && config.scope.is_public(ip("192.0.2.1")));
    let (now, later) = (Timestamp::from_unix(1_790_000_000), Timestamp::parse("2027-01-01").unwrap());
    let entry = config.lists.allow.find(ip("203.0.113.9"), now).unwrap();
    assert_eq!((entry.owner.as_deref(), entry.reason.as_deref()), (Some("netops"), Some("partner")));
    assert!(config.lists.allow.find(ip("203.0.113.9"), later).is_none());
    assert_eq!(config.lists.deny.find(ip("198.51.100.7"), now).unwrap().net.to_string(), "198.51.100.7/32");
    assert!(config.lists.deny.find(ip("198.51.100.8"), now).is_none());
    assert!(config.lists.deny.find(ip("2001:db8::1"), now).is_some());
    assert_eq!((&*config.tag.request_header, config.tag.response_header.as_deref()), ("x-risk", Some("x-risk")));
    assert_eq!(config.tag.filter_state, None);
    assert_eq!((config.deny.status, &*config.deny.message, config.log), (451, "<no>", LogLevel::None));
}

#[test]
fn the_profile_follows_the_direction_unless_one_is_chosen() {
    for (members, profile) in [
        (r#""direction": "ingress""#, Some(Profile::Ingress)),
        (r#""direction": "egress""#, Some(Profile::Egress)),
        (r#""direction": "egress", "policy": {"profile": "ingress"}"#, Some(Profile::Ingress)),
        (r#""policy": {"profile": "none"}"#, None),
        (r#""policy": {"profile": null}"#, None),
    ] {
        let config = Config::parse(format!(r#"{{"api": {{"cluster": "c"}}, {members}}}"#).as_bytes()).unwrap();
        assert_eq!(config.profile, profile, "{members}");
        assert_eq!(config.policy, profile.map(Profile::policy).unwrap_or_default(), "{members}");
    }
}
