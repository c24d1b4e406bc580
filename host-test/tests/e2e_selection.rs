//! What is looked up, and what a route changes, in a real Envoy: credits go where `select` says.
#![allow(clippy::disallowed_methods, reason = "the proxy's clock is the machine's")]

use anyhow::{Context, Result, ensure};
use host_test::{
    client::raw,
    envoy::config::Place,
    fake::peer,
    lab::{Lab, MAIN},
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

/// A request as the proxy is told of it by the PROXY protocol.
struct Visit {
    client: &'static str,
    destination: IpAddr,
    port: u16,
    host: &'static str,
    path: &'static str,
}

impl Visit {
    /// Gives the status, and the tag that an upstream would have got, if any.
    async fn make(&self, lab: &Lab, listener: &str) -> Result<(u16, Option<String>)> {
        let Visit { client, destination, port, host, path } = self;
        let request = format!(
            "PROXY TCP4 {client} {destination} 50000 {port}\r\nGET {path} HTTP/1.1\r\nhost: {host}\r\n\
             x-criminalip: mine\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(lab.address(listener), None, request.as_bytes()).await?;
        let answer = String::from_utf8(answer)?;
        let status = answer.split(' ').nth(1).context("no status")?.parse()?;
        let tag = answer.lines().find_map(|line| line.strip_prefix("x-seen: "));
        Ok((status, tag.map(str::to_owned)))
    }
}

/// A day of the week, so many days from today in UTC.
fn weekday(from_today: u64) -> &'static str {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    DAYS[((today + from_today) % 7) as usize]
}

fn selecting(select: Value) -> Value {
    json!({"direction": "egress", "select": select, "api": {"concurrency": 8}})
}

#[tokio::test]
async fn each_condition_spends_credits_on_what_it_names_and_on_nothing_else() -> Result<()> {
    let hours = |working: String| json!({"after_hours": {"time_zone": "Asia/Seoul", "working": working}});
    let admin = json!({"name": "admin", "match": {"prefix": "/admin"}});
    let cases = [
        ("unusual", json!({"ports_other_than": [80, 443]})),
        ("critical", json!({"critical_ports": [22, 3389]})),
        ("at work", hours("Mon-Sun 00:00-24:00".into())),
        ("after hours", hours(format!("{} 00:00-00:01", weekday(3)))),
        ("routes", json!({"routes": ["admin"]})),
        ("hosts", json!({"hosts": ["*.corp.example"]})),
        ("sources", json!({"sources": ["10.20.0.0/16"]})),
        ("developers", json!({"all_of": [{"critical_ports": [22], "sources": ["10.20.0.0/16"]}]})),
        ("either", json!({"critical_ports": [22], "routes": ["admin"]})),
        ("everyone", json!({"sample_percent": 100})),
        ("events", json!({"mode": "events", "critical_ports": [22]})),
        ("all", json!({})),
    ];
    let mut lab = Lab::with(json!({})).without_listeners();
    for (name, select) in &cases {
        lab = lab.listener(name, selecting(select.clone())).route(admin.clone()).answering();
    }
    let lab = lab.start().await?;
    let (office, developer) = ("10.30.0.9", "10.20.0.9");
    let (git, web) = ("git.corp.example", "www.example");
    let mut last = 0;
    let mut skipped = 0;
    let mut spent = 0;
    for (client, port, host, path, selected_by) in [
        (office, 443, web, "/", &["after hours", "everyone", "all"][..]),
        (office, 80, web, "/admin", &["after hours", "routes", "either", "everyone", "all"]),
        (office, 22, web, "/", &["unusual", "critical", "after hours", "either", "everyone", "all"]),
        (office, 8443, git, "/", &["unusual", "after hours", "hosts", "everyone", "all"]),
        (developer, 443, web, "/", &["after hours", "sources", "everyone", "all"]),
        (
            developer,
            22,
            git,
            "/admin/x",
            &[
                "unusual",
                "critical",
                "after hours",
                "routes",
                "hosts",
                "sources",
                "developers",
                "either",
                "everyone",
                "all",
            ],
        ),
    ] {
        for (listener, _) in &cases {
            last += 1;
            let destination = IpAddr::from([198, 51, 100, last]);
            let (status, tag) = Visit { client, destination, port, host, path }.make(&lab, listener).await?;
            let selected = selected_by.contains(listener);
            assert_eq!((status, tag.is_some()), (200, selected), "{listener}: {client} {port} {host} {path}: {tag:?}");
            assert_eq!(lab.fake.calls_about(destination).len(), usize::from(selected), "{listener}");
            spent += u64::from(selected);
            skipped += u64::from(!selected);
        }
    }
    lab.wait_for_metric("criminalip_skipped_total;reason=not_selected", skipped).await?;
    lab.wait_for_metric("criminalip_credits_spent_today", spent).await?;
    assert_eq!(lab.fake.calls().len() as u64, spent);

    // What is known decides everywhere.
    let visit = Visit { client: office, destination: peer::C2, port: 443, host: web, path: "/" };
    assert_eq!(visit.make(&lab, "events").await?, (200, None));
    assert_eq!(visit.make(&lab, "all").await?.0, 403);
    assert_eq!(visit.make(&lab, "events").await?.0, 403);
    Ok(())
}

#[tokio::test]
async fn half_a_sample_is_the_same_half_on_every_worker() -> Result<()> {
    let lab = Lab::with(json!({"select": {"sample_percent": 50}})).answering().workers(2).start().await?;
    let peers: Vec<_> = (1..=60).map(|last| IpAddr::from([198, 51, 100, last])).collect();
    let mut sampled = Vec::new();
    for peer in &peers {
        if lab.ask(*peer).send().await?.header("x-seen").is_some() {
            sampled.push(*peer);
        }
        assert_eq!(lab.fake.calls_about(*peer).len(), usize::from(sampled.contains(peer)));
    }
    ensure!((12..=48).contains(&sampled.len()), "{sampled:?}");
    for _ in 0..3 {
        for peer in &peers {
            let tagged = lab.ask(*peer).send().await?.header("x-seen").is_some();
            assert_eq!(tagged, sampled.contains(peer), "{peer}");
        }
    }
    assert_eq!(lab.fake.calls().len(), sampled.len());
    Ok(())
}

#[tokio::test]
async fn connections_are_selected_by_port_and_source_and_closed_late_when_another_was_worth_it() -> Result<()> {
    let server = Server::start(b"hello")?;
    let lab = Lab::with(json!({
        "role": "network", "direction": "egress",
        "select": {"all_of": [{"critical_ports": [22], "sources": ["10.0.0.0/24"]}]},
    }))
    .place(Place::BeforeTcp(server.address()))
    .start()
    .await?;
    let mut passed = Client::toward((peer::C2, 443).into(), lab.address(MAIN)).await?;
    assert_eq!(passed.read(5).await?, b"hello");
    assert_eq!(lab.fake.calls().len(), 0);
    let mut refused = Client::toward((peer::C2, 22).into(), lab.address(MAIN)).await?;
    assert_eq!(refused.closed().await?, b"");
    assert_eq!(lab.fake.calls().len(), 1);
    assert_eq!(passed.closed().await?, b"", "what was learned closes the other as well");
    lab.wait_for_metric("criminalip_skipped_total;reason=not_selected", 1).await
}

#[tokio::test]
async fn a_route_has_a_policy_of_its_own_and_a_wrong_one_changes_nothing() -> Result<()> {
    let route = |name: &str, metadata: Value| {
        json!({"name": name, "match": {"path": format!("/{name}")},
               "metadata": {"filter_metadata": {"criminalip": metadata, "other": {"mode": "shadow"}}}})
    };
    let lab = Lab::with(json!({"route_metadata": "criminalip"}))
        .route(route("shadow", json!({"mode": "shadow"})))
        .route(route("lenient", json!({"profile": "none"})))
        .route(route("strict", json!({"first_look": {"hold": "0s", "then": "deny"}, "on_error": "deny"})))
        .route(route("misspelt", json!({"mode": "shadow", "profiel": "none"})))
        .route(route("number", json!({"mode": 404})))
        .route(route("null", json!({"mode": null})))
        .route(route("empty", json!({})))
        .answering()
        .listener("off", json!({}))
        .route(route("shadow", json!({"mode": "shadow"})))
        .answering()
        .start()
        .await?;
    // A peer that nothing is known about.
    let strict = lab.ask(peer::C2).path("/strict").send().await?;
    assert_eq!(strict.status.as_u16(), 403);
    lab.fake.wait_for_calls(1).await?;
    lab.wait_for_metric("criminalip_failed_closed_total;reason=hold_expired", 1).await?;
    lab.wait_for_metric("criminalip_lookups_total;outcome=assessed", 1).await?;
    for round in 0..2 {
        for (path, status, tag) in [
            ("/shadow", 200, Some("would=deny, score=40")),
            ("/lenient", 200, Some("verdict=allow, score=40")),
            ("/strict", 403, None),
            ("/misspelt", 403, None),
            ("/number", 403, None),
            ("/null", 403, None),
            ("/empty", 403, None),
            ("/", 403, None),
        ] {
            let reply = lab.ask(peer::C2).path(path).send().await?;
            assert_eq!(reply.status.as_u16(), status, "{path} {round}");
            if let Some(tag) = tag {
                let seen = reply.header("x-seen").unwrap_or_default();
                assert!(seen.starts_with(tag), "{path}: {seen}");
            }
        }
    }
    assert_eq!(lab.ask_at("off", Some(peer::C2)).path("/shadow").send().await?.status.as_u16(), 403);
    assert_eq!(lab.fake.calls().len(), 1, "one lookup for all policies");
    lab.wait_for_metric("criminalip_route_metadata_total;result=refused", 6).await?;
    let log = lab.envoy.log();
    for (route, mistake) in [
        ("misspelt", "profiel: there is no key \"profiel\"; did you mean \"profile\"? [unknown_key]"),
        ("number", "mode: "),
        ("null", "the proxy cannot hand it over; every value must be a string, and none null [wrong_type]"),
    ] {
        let line = format!("metadata \"criminalip\" of route \"{route}\" does not count: {mistake}");
        assert_eq!(log.iter().filter(|logged| logged.contains(&line)).count(), 1, "{line}: {log:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_self_test_is_refused_and_logged_like_any_bad_peer_and_costs_nothing() -> Result<()> {
    const SELF: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 254));
    let server = Server::start(b"hello")?;
    let ours = |more: Value| {
        let mut keys = json!({"self_test": true, "scope": {"treat_as_public": []}});
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        keys
    };
    let lab = Lab::with(ours(json!({})))
        .listener("egress", ours(json!({"direction": "egress"})))
        .listener("tcp", ours(json!({"role": "network"})))
        .place(Place::BeforeTcp(server.address()))
        .listener("off", json!({"scope": {"treat_as_public": []}}))
        .start()
        .await?;
    assert_eq!(lab.ask(SELF).send().await?.status.as_u16(), 403);
    let decision = lab.wait_for_decision(SELF).await?;
    assert_eq!((&decision["source"], &decision["action"]), (&json!("self_test"), &json!("deny")), "{decision}");
    assert_eq!((&decision["rule"], &decision["score"]), (&json!("score-80"), &json!(100)), "{decision}");
    assert_eq!(lab.ask(SELF).send().await?.status.as_u16(), 403);
    lab.wait_for_metric("criminalip_decisions_total;action=deny;source=self_test", 1).await?;
    lab.wait_for_metric("criminalip_decisions_total;action=deny;source=cache", 1).await?;

    let visit = Visit { client: "10.0.0.9", destination: SELF, port: 443, host: "any.example", path: "/" };
    assert_eq!(visit.make(&lab, "egress").await?.0, 403);
    assert_eq!(Client::from(SELF, lab.address("tcp")).await?.closed().await?, b"");
    assert_eq!(lab.ask_at("off", Some(SELF)).send().await?.status.as_u16(), 200);
    assert_eq!(lab.fake.calls().len(), 0);
    lab.wait_for_metric("criminalip_credits_spent_today", 0).await?;
    lab.wait_for_metric("criminalip_lookups_total", 0).await
}
