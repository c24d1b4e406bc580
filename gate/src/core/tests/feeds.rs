use super::*;
use crate::{ListEntry, Page};

const FEEDS: &str = r#", "log": "all", "lists": {
    "allow": [{"cidr": "8.8.8.1", "owner": "me"}], "deny": [{"cidr": "8.8.8.2"}, {"cidr": "10.1.0.0/16"}],
    "feeds": [{"cluster": "f", "authority": "feeds.internal", "path": "/list", "then": "deny"}]}"#;

/// A world whose feed says this.
fn fed(body: &str) -> World {
    let mut world = World::new(FEEDS);
    let (site, mut effects) = (Rc::clone(&world.site), Effects::default());
    world.gate.join_feeds(&site, Proxy { now: world.now, store: &world.store }, &mut effects);
    world.feed(body);
    world
}

impl World {
    /// Has the feed fetched and read, and say this. Returns the streams that are released by that.
    fn feed(&mut self, body: &str) -> Vec<Release> {
        let (root, mut effects) = (self.site.root, Effects::default());
        let mut tend = |world: &mut World, millis| {
            world.wait(millis);
            let proxy = Proxy { now: world.now, store: &world.store };
            let Some(fetch) = world.gate.tend_feeds(root, proxy, &mut effects) else { return false };
            let page = Page::Body { bytes: body.as_bytes().to_vec(), etag: None };
            world.gate.fetched(fetch.id, Ok(page), proxy, &mut effects);
            true
        };
        assert!((0..100_000).any(|_| tend(self, 1_000)), "the feed is not asked for");
        // Ticks while there is something to read.
        let asked = (0..100).filter(|_| tend(self, 1)).count();
        assert!(asked == 0 && effects.news.iter().all(|news| !news.is_warning), "{asked} {effects:?}");
        effects.released
    }
}

#[test]
fn invariant_4_no_feed_reaches_a_private_peer() {
    // What is private only in part is taken in; the documentation ranges are public here, as far as the operator says so.
    let mut world = fed("192.0.0.0/8\n100.0.0.0/8\n0.0.0.0/0\n10.0.0.0/8\n198.0.0.0/8\n");
    for (peer, skipped) in [
        ("192.168.1.1", true),
        ("100.64.0.1", true),
        ("198.18.0.1", true),
        ("10.2.0.1", true),
        ("192.1.1.1", false),
        ("100.128.0.1", false),
        ("198.51.100.9", false),
    ] {
        let consulted =
            world.gate.consult(&world.site, &ip(peer).into(), &connection(world.now), world.now.timestamp());
        assert_eq!(matches!(consulted, Consulted::Skip(Skip::NotPublic)), skipped, "{peer}: {consulted:?}");
        let fed = matches!(&consulted, Consulted::Decided(decision) if decision.source == Source::Feed);
        assert_eq!(fed, !skipped, "{peer}");
    }
    assert_eq!(world.consult("10.1.1.1").unwrap().source, Source::List, "the operator's own list does");
}

#[test]
fn invariant_5_lists_win_over_feeds_and_feeds_over_evidence() {
    let mut world = fed("8.8.8.0/24\n");
    for (peer, action, source, rule) in [
        ("8.8.8.1", Action::Allow, Source::List, "allow list"),
        ("8.8.8.2", Action::Deny, Source::List, "deny list"),
        ("8.8.8.3", Action::Deny, Source::Feed, "feed"),
    ] {
        let site = Rc::clone(&world.site);
        let decision = world.consult(peer).unwrap();
        assert_eq!((decision.verdict.action, decision.source), (action, source), "{peer}");
        assert_eq!(decision.rule(&site.config), Some(rule), "{peer}");
    }
    assert_eq!(world.consult("8.8.9.1"), None, "others are looked up");
    assert!(world.next().is_none(), "and those that the feed names are not");
    let counted = counted(&mut world.gate);
    assert_eq!(counted["criminalip_decisions_total;action=deny;source=feed;mode=enforce"], 1);
}

#[test]
fn the_log_line_names_the_feed_and_its_network() {
    let mut world = fed("8.8.8.0/24\n");
    world.wait(60_000);
    let site = Rc::clone(&world.site);
    let decision = world.consult("8.8.8.3").unwrap();
    assert!(matches!(decision.entry, Some(ListEntry::Feed(_))));
    let line: serde_json::Value =
        serde_json::from_str(&decision.log_line(&site.config, &ip("8.8.8.3").into())).unwrap();
    assert_eq!(
        [&line["rule"], &line["source"], &line["feed"]["name"], &line["feed"]["cidr"], &line["list"]],
        ["feed", "feed", "feeds.internal/list", "8.8.8.0/24", ""]
            .map(|text| match text {
                "" => serde_json::Value::Null,
                text => text.into(),
            })
            .each_ref()
    );
    assert!((59..=62).contains(&line["age"].as_u64().unwrap()), "{line}");
}

#[test]
fn a_peer_that_is_known_is_found_in_a_feed_and_an_override_that_come_later() {
    let mut world = fed("9.9.9.9\n");
    world.admit(1, "8.8.4.4");
    let lookup = world.next().unwrap();
    let clean = world.assessment(Level::Safe, &[]);
    world.answer(&lookup, Ok(clean));
    for _ in 0..2 {
        assert_eq!(world.consult("8.8.4.4").unwrap().source, Source::Cache);
    }
    world.feed("9.9.9.9\n8.8.4.4\n");
    assert_eq!(world.consult("8.8.4.4").unwrap().source, Source::Feed);
    world.feed("9.9.9.9\n");
    assert_eq!(world.consult("8.8.4.4").unwrap().source, Source::Cache);
    // Of two configurations, each goes by lists of its own.
    let other = site(2, r#", "lists": {"deny": [{"cidr": "8.8.4.0/24"}]}"#);
    for (site, source) in [(&other, Source::List), (&world.site, Source::Cache), (&other, Source::List)] {
        let remote = ip("8.8.4.4").into();
        let consulted = world.gate.consult(site, &remote, &connection(world.now), world.now.timestamp());
        assert!(matches!(consulted, Consulted::Decided(decision) if decision.source == source), "{source:?}");
    }
}

#[test]
fn a_feed_that_comes_to_name_a_peer_releases_its_held_streams_and_closes_its_open_connections() {
    let mut world = fed("9.9.9.9\n");
    // Known, and then open: more than one tick looks at, and one on the allow list.
    let open: Vec<(u32, String)> = (1..=9).map(|host| (host, format!("8.8.8.{host}"))).collect();
    for (stream, peer) in &open {
        let remote = ip(peer).into();
        world.gate.watch(&world.site, StreamId(*stream), &remote, &connection(world.now), None);
    }
    assert_eq!(world.admit(20, "8.8.8.20"), Admitted::Held);
    assert_eq!(world.admit(21, "8.8.9.21"), Admitted::Held);
    let released = world.feed("9.9.9.9\n8.8.8.0/24\n");
    let site = Rc::clone(&world.site);
    let of_feed = |release: &Release| release.decision.rule(&site.config) == Some("feed");
    let mut streams: Vec<_> =
        released.iter().filter(|release| of_feed(release)).map(|r| (r.stream.0, r.late)).collect();
    streams.sort_unstable();
    // 8.8.8.1 is on the allow list, and 8.8.8.2 on the deny list: those say what counts.
    let expected: Vec<_> = (3..=9).map(|stream| (stream, true)).chain([(20, false)]).collect();
    assert_eq!(streams, expected);
    assert!(released.iter().all(|release| release.decision.verdict.action == Action::Deny));
    let line = world.gate.log_line(&released[0].decision, &site.config, &released[0].remote, Some((Some(443), true)));
    assert!(line.contains(r#""feed":{"name":"feeds.internal/list","cidr":"8.8.8.0/24"}"#), "{line}");
    assert!(world.feed("9.9.9.9\n8.8.8.0/24\n8.8.7.0/24\n").is_empty(), "once");
}
