use super::*;
use crate::{ListEntry, Page};

const FEEDS: &str = r#", "log": "all", "lists": {
    "allow": [{"cidr": "8.8.8.1", "owner": "me"}], "deny": [{"cidr": "8.8.8.2"}, {"cidr": "10.1.0.0/16"}],
    "feeds": [{"cluster": "f", "authority": "feeds.internal", "path": "/list", "then": "deny"}]}"#;

/// A world whose feed says this.
fn fed(body: &str) -> World {
    let mut world = World::new(FEEDS);
    let mut effects = Effects::default();
    let site = Rc::clone(&world.site);
    let proxy = Proxy { now: world.now, store: &world.store };
    world.gate.join_feeds(&site, proxy, &mut effects);
    let mut asked = false;
    for _ in 0..2_000 {
        world.wait(1);
        let proxy = Proxy { now: world.now, store: &world.store };
        if let Some(fetch) = world.gate.tend_feeds(site.root, proxy, &mut effects) {
            let page = Page::Body { bytes: body.as_bytes().to_vec(), etag: None };
            world.gate.fetched(fetch.id, Ok(page), proxy, &mut effects);
            asked = true;
        }
    }
    assert!(asked && effects.news.iter().all(|news| !news.is_warning), "{effects:?}");
    world
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
