//! Configurations: refused when wrong, replaced without losing what was learned, and the ways to give the key.

use anyhow::Result;
use host_test::{
    fake::{Answer, KEY, Rule, peer},
    lab::{Lab, plugin},
};
use serde_json::json;

#[tokio::test]
async fn a_wrong_configuration_is_refused_at_the_start_with_every_mistake_named() -> Result<()> {
    let wrong = json!({
        "api": {"timeout": "5 s", "key": "one", "key_env": "TWO", "clutser": "criminalip"},
        "mode": "enforced",
        "policy": {"rules": [{"name": "a", "when": {"any": ["anonymity.toor"]}, "then": "block"}]},
        "lists": {"deny": [{"cidr": "198.51.100.7/24"}]},
        "first_look": {"hold": "750"},
    });
    let error = match Lab::with(json!({})).without_listeners().verbatim("wrong", &wrong.to_string()).start().await {
        Ok(_) => panic!("it was accepted"),
        Err(error) => format!("{error:#}"),
    };
    let refused = |mistake: &str| error.contains(&format!("configuration refused: {mistake}: "));
    for mistake in [
        "api",
        "api.cluster",
        "api.clutser",
        "api.timeout",
        "mode",
        "policy.rules[0].when.any[0]",
        "policy.rules[0].then",
        "lists.deny[0].cidr",
        "first_look.hold",
    ] {
        assert!(refused(mistake), "{mistake} is not in: {error}");
    }
    assert!(!refused("api.key"), "only what is wrong is named");
    Ok(())
}

#[tokio::test]
async fn what_is_no_configuration_at_all_is_refused_at_the_start() -> Result<()> {
    for text in ["", "{", "[]", "\u{8}\u{2}", "{\"api\": {\"cluster\": \"criminalip\", \"key_env\": \"NOT_THERE\"}}"] {
        let started = Lab::with(json!({})).without_listeners().verbatim("wrong", text).start().await;
        let error = started.err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("Envoy ended"), "{text:?}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_update_keeps_the_old_configuration_serving() -> Result<()> {
    let lab = Lab::with(json!({})).following().start().await?;
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    lab.update(plugin(json!({"mode": "shadwo"})).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_rejected", 1).await?;
    lab.envoy.wait_for_log("shadwo").await?;
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_policy_change_counts_at_once_and_keeps_what_was_learned() -> Result<()> {
    let mut lab = Lab::with(json!({})).following().start().await?;
    assert_eq!(lab.ask(peer::TOR).send().await?.status.as_u16(), 200);
    let rules = json!([{"name": "no-tor", "when": {"any": ["anonymity.tor"]}, "then": "deny"}]);
    lab.update(plugin(json!({"policy": {"rules": rules}})).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
    lab.refresh().await?;
    // The listener is replaced a moment after the update is accepted.
    host_test::eventually(async || {
        let reply = lab.ask(peer::TOR).header("accept", "application/json").send().await?;
        anyhow::ensure!(reply.status.as_u16() == 403 && reply.text().contains("no-tor"), "{}", reply.text());
        Ok(())
    })
    .await?;
    assert_eq!(lab.fake.calls().len(), 1, "the facts were kept");
    Ok(())
}

#[tokio::test]
async fn a_stream_held_across_an_update_ends_and_its_lookup_serves_the_new_configuration() -> Result<()> {
    // The connection of the replaced listener may take its time.
    let mut lab = Lab::with(json!({})).following().drain_seconds(60).start().await?;
    lab.fake.tell(Rule::hold());
    let held = tokio::spawn(lab.ask(peer::C2).send());
    lab.fake.wait_for_calls(1).await?;
    lab.update(plugin(json!({"deny": {"status": 451}})).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
    lab.refresh().await?;
    let late = tokio::spawn(lab.ask(peer::C2).send());
    lab.wait_for_active(2).await?;
    lab.fake.release();
    assert_eq!(held.await??.status.as_u16(), 403, "by the configuration under which it came");
    late.await??;
    host_test::eventually(async || {
        anyhow::ensure!(lab.ask(peer::C2).send().await?.status.as_u16() == 451);
        Ok(())
    })
    .await?;
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}

/// A lookup about [`peer::C2`] that is in flight, to be answered so on release, while the configuration that sent it is
/// gone but for that: its only stream has left, and another configuration, which refuses with 451, is in its place.
async fn lookup_of_a_gone_configuration(answer: Answer) -> Result<Lab> {
    let mut lab = Lab::with(json!({})).following().start().await?;
    lab.fake.tell(Rule { held: true, ..Rule::answer(answer).times(1) });
    let leaving = tokio::spawn(lab.ask(peer::C2).send());
    lab.fake.wait_for_calls(1).await?;
    leaving.abort();
    lab.wait_for_active(0).await?;
    lab.update(plugin(json!({"deny": {"status": 451}})).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
    lab.envoy.wait_for_stat("listener_manager.total_filter_chains_draining", 0).await?;
    lab.envoy.wait_for_stat("listener_manager.total_listeners_draining", 0).await?;
    lab.refresh().await?;
    Ok(lab)
}

#[tokio::test]
async fn a_lookup_outlives_the_configuration_that_sent_it_and_serves_the_next() -> Result<()> {
    let lab = lookup_of_a_gone_configuration(Answer::Report).await?;
    let waiting = tokio::spawn(lab.ask(peer::C2).send());
    lab.wait_for_active(1).await?;
    lab.fake.release();
    assert_eq!(waiting.await??.status.as_u16(), 451);
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_lookup_refused_for_concurrency_after_its_configuration_is_gone_is_sent_again_by_the_next() -> Result<()> {
    let lab = lookup_of_a_gone_configuration(Answer::ConcurrencyRefused).await?;
    lab.fake.release();
    lab.fake.wait_until_idle().await?;
    let reply = lab.ask(peer::C2).send().await?;
    assert_eq!(reply.status.as_u16(), 451, "{}", reply.text());
    assert_eq!(lab.fake.calls().len(), 2);
    Ok(())
}

#[tokio::test]
async fn the_key_comes_from_the_configuration_the_environment_or_the_cluster() -> Result<()> {
    let inside = json!({"api": {"key": KEY}});
    let environment = json!({"api": {"key": null, "key_env": "CIP_KEY"}});
    let outside = json!({"api": {"key": null}});
    for (name, builder) in [
        ("configuration", Lab::with(inside)),
        ("environment", Lab::with(environment).environment("CIP_KEY", KEY)),
        ("cluster", Lab::with(outside).inject_key()),
    ] {
        let lab = builder.start().await?;
        assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403, "key from {name}");
        let call = lab.fake.wait_for_call_about(peer::C2).await?;
        assert_eq!((call.header("x-api-key"), call.outcome), (Some(KEY), Some("report")), "key from {name}");
        assert_eq!(call.target, "/v1/asset/ip/report?ip=192.0.2.40&full=true");
        assert_eq!(call.header("host"), Some("api.criminalip.io"));
        assert!(lab.envoy.log().iter().all(|line| !line.contains(KEY)), "the key is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn facts_are_forgotten_after_their_time() -> Result<()> {
    let lab = Lab::with(json!({"cache": {"ttl": {"clean": "1s"}}})).start().await?;
    lab.ask(peer::CLEAN).send().await?;
    lab.ask(peer::C2).send().await?;
    host_test::eventually(async || {
        lab.ask(peer::CLEAN).send().await?;
        anyhow::ensure!(lab.fake.calls_about(peer::CLEAN).len() >= 2, "asked once so far");
        Ok(())
    })
    .await?;
    lab.ask(peer::C2).send().await?;
    assert_eq!(lab.fake.calls_about(peer::C2).len(), 1, "malicious peers keep their own time");
    Ok(())
}

#[tokio::test]
async fn two_listeners_with_different_policies_share_one_lookup() -> Result<()> {
    let rules = json!([{"name": "no-tor", "when": {"any": ["anonymity.tor"]}, "then": "deny"}]);
    let lab = Lab::with(json!({})).listener("strict", json!({"policy": {"rules": rules}})).start().await?;
    assert_eq!(lab.ask(peer::TOR).send().await?.status.as_u16(), 200);
    assert_eq!(lab.ask_at("strict", Some(peer::TOR)).send().await?.status.as_u16(), 403);
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}
