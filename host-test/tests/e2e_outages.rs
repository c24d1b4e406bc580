//! Criminal IP slow, failing, or talking nonsense: each failure gives the configured answer, is counted under its own
//! reason, is not taken for "clean", and is over as soon as a good answer comes.

use anyhow::Result;
use host_test::{
    fake::{Answer, Rule, peer},
    lab::{Lab, MAIN, plugin},
};
use serde_json::json;
use std::{net::IpAddr, net::Ipv4Addr, time::Duration};

/// A listener that lets pass and one that refuses when a lookup fails; failures are kept for a short time.
fn strictness() -> (serde_json::Value, serde_json::Value) {
    let common = |on_error: &str| {
        json!({
            "api": {"timeout": "3s", "max_body": "4MiB"}, "on_error": on_error,
            "cache": {"ttl": {"error": "3s"}},
        })
    };
    (common("allow"), common("deny"))
}

/// How the stand-in fails about one address, and the reason under which it is to be counted.
fn failures() -> Vec<(Answer, &'static str)> {
    let body = |body: &str| Answer::Raw(200, body.into());
    vec![
        (Answer::InvalidAddress, "invalid_address"),
        (Answer::ServerError, "server_error"),
        (Answer::BadGateway, "server_error"),
        (Answer::Raw(500, Vec::new()), "server_error"),
        (Answer::Raw(503, b"down".into()), "server_error"),
        (Answer::Raw(504, b"late".into()), "server_error"),
        (body(r#"{"status":418,"message":"I am a teapot"}"#), "unknown"),
        (body(r#"{"ip":"192.0.2.40","issues":{},"status":200}"#), "malformed"),
        (body("null"), "malformed"),
        (Answer::Empty, "malformed"),
        (Answer::Garbage, "malformed"),
        (Answer::Truncated, "malformed"),
        (Answer::Cut, "reset"),
        (Answer::Close, "connection"),
        (Answer::Silence, "timeout"),
        (Answer::Padded(5_000_000), "too_large"),
    ]
}

#[tokio::test]
async fn each_failure_gives_the_configured_answer_under_its_own_reason_and_is_over_with_the_next_good_answer()
-> Result<()> {
    let (open, closed) = strictness();
    let lab = Lab::with(open).listener("strict", closed).start().await?;
    let mut expected = std::collections::BTreeMap::<&str, u64>::new();
    let mut tried = Vec::new();
    for (index, (answer, reason)) in (0..).zip(failures()) {
        let peer: IpAddr = Ipv4Addr::new(198, 51, 100, index).into();
        lab.fake.tell(Rule::answer(answer.clone()).only(peer).times(1));
        let name = format!("{answer:?} for {peer}").chars().take(80).collect::<String>();
        let passed = lab.ask(peer).send().await?;
        assert_eq!(passed.status.as_u16(), 200, "{name}");
        assert_eq!(passed.upstream()?.header("x-criminalip"), ["verdict=allow, source=on_error"], "{name}");
        // The failure is remembered, for both listeners, and costs no second lookup.
        let refused = lab.ask_at("strict", Some(peer)).send().await?;
        assert_eq!(refused.status.as_u16(), 403, "{name}");
        assert_eq!(lab.fake.calls_about(peer).len(), 1, "{name}");
        *expected.entry(reason).or_default() += 1;
        tried.push((peer, name));
        // A success in between, or the circuit breaker would open.
        let other: IpAddr = Ipv4Addr::new(198, 51, 100, 100 + index).into();
        assert_eq!(
            lab.ask(other).send().await?.upstream()?.header("x-criminalip"),
            ["verdict=allow, score=20, source=api"]
        );
    }
    for (reason, count) in expected {
        lab.wait_for_metric(&format!("criminalip_lookups_total;outcome={reason}"), count).await?;
        lab.wait_for_metric(&format!("criminalip_failed_open_total;reason={reason}"), count).await?;
        lab.wait_for_metric(&format!("criminalip_failed_closed_total;reason={reason}"), count).await?;
    }
    for (peer, name) in tried {
        host_test::eventually(async || {
            let tags = lab.ask(peer).send().await?.upstream()?;
            anyhow::ensure!(tags.header("x-criminalip")[0].starts_with("verdict=allow, score=20"), "{tags:?}");
            Ok(())
        })
        .await?;
        assert_eq!(lab.fake.calls_about(peer).len(), 2, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn what_criminal_ip_says_about_the_key_stops_all_lookups_until_the_configuration_changes() -> Result<()> {
    for (answer, reason) in [(Answer::NoCredit, "no_credit"), (Answer::BadKey, "bad_key")] {
        let mut lab = Lab::with(json!({"on_error": "deny"})).following().workers(2).start().await?;
        lab.fake.tell(Rule::answer(answer).times(1));
        assert_eq!(lab.ask(peer::CLEAN).send().await?.status.as_u16(), 403);
        lab.wait_for_metric(&format!("criminalip_failed_closed_total;reason={reason}"), 1).await?;
        let others: Vec<IpAddr> = (1..=8).map(|last| Ipv4Addr::new(198, 51, 100, last).into()).collect();
        for other in &others {
            assert_eq!(lab.ask(*other).send().await?.status.as_u16(), 403, "{reason}");
        }
        lab.wait_for_metric(&format!("criminalip_failed_closed_total;reason=halted_{reason}"), 8).await?;
        assert_eq!(lab.fake.calls().len(), 1, "{reason}");

        lab.update(plugin(json!({"on_error": "deny", "deny": {"status": 451}})).to_string())?;
        lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
        lab.refresh().await?;
        for other in others {
            host_test::eventually(async || {
                let tags = lab.ask(other).send().await?.upstream()?;
                anyhow::ensure!(tags.header("x-criminalip")[0].starts_with("verdict=allow, score=20"), "{tags:?}");
                Ok(())
            })
            .await?;
        }
        assert_eq!(lab.fake.calls().len(), 9, "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_is_obeyed_for_as_long_as_the_answer_says() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::answer(Answer::RateLimited(Some(2))).times(1));
    assert_eq!(
        lab.ask(peer::CLEAN).send().await?.upstream()?.header("x-criminalip"),
        ["verdict=allow, source=on_error"]
    );
    host_test::eventually(async || {
        let tags = lab.ask(peer::TOR).send().await?.upstream()?;
        anyhow::ensure!(tags.header("x-criminalip")[0].starts_with("verdict=tag"), "{tags:?}");
        Ok(())
    })
    .await?;
    let calls = lab.fake.calls();
    assert_eq!(calls.len(), 2, "nobody asked meanwhile");
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(2), "{calls:?}");
    Ok(())
}

#[tokio::test]
async fn after_five_failures_in_a_row_lookups_stop_until_one_succeeds() -> Result<()> {
    let lab = Lab::with(json!({})).workers(2).start().await?;
    lab.fake.tell(Rule::answer(Answer::ServerError));
    let ask = async |last| anyhow::Ok(lab.ask(Ipv4Addr::new(198, 51, 100, last).into()).send().await?.upstream()?);
    for last in 0..9 {
        assert_eq!(ask(last).await?.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    }
    // The next lookup is one to see whether it is over, a second later: on a slow machine that may have come already.
    let calls = lab.fake.calls();
    assert!((5..9).contains(&calls.len()), "{calls:#?}");
    assert!(calls[4..].windows(2).all(|pair| pair[1].at - pair[0].at >= Duration::from_secs(1)), "{calls:#?}");
    let stopped = 9 - calls.len() as u64;
    lab.wait_for_metric("criminalip_failed_open_total;reason=breaker_open", stopped).await?;
    lab.fake.forget_rules();
    host_test::eventually(async || {
        let tags = ask(9).await?;
        anyhow::ensure!(tags.header("x-criminalip")[0].starts_with("verdict=allow, score=20"), "{tags:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_refused_connection_is_a_failure_of_its_own_and_facts_outlive_it() -> Result<()> {
    let (open, closed) = strictness();
    let lab = Lab::with(open).listener("strict", closed).start().await?;
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    lab.fake.close_doors().await?;
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403, "what is known stays known");
    let unknown: IpAddr = "198.51.100.1".parse()?;
    assert_eq!(lab.ask(unknown).send().await?.upstream()?.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    assert_eq!(lab.ask_at("strict", Some(unknown)).send().await?.status.as_u16(), 403);
    lab.wait_for_metric("criminalip_failed_open_total;reason=connection", 1).await?;
    lab.wait_for_metric("criminalip_failed_closed_total;reason=connection", 1).await?;
    lab.fake.open_doors().await?;
    host_test::eventually(async || {
        anyhow::ensure!(lab.ask_at("strict", Some(unknown)).send().await?.status.is_success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_cluster_that_does_not_exist_is_a_failure_of_its_own() -> Result<()> {
    let lab = Lab::with(json!({"api": {"cluster": "nowhere"}})).start().await?;
    let seen = lab.ask(peer::C2).send().await?.upstream()?;
    assert_eq!(seen.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    lab.wait_for_metric("criminalip_failed_open_total;reason=not_sent", 1).await
}

#[tokio::test]
async fn a_lookup_refused_for_concurrency_is_sent_again() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::answer(Answer::ConcurrencyRefused).times(2));
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    assert_eq!(lab.fake.calls().len(), 3);
    lab.wait_for_metric("criminalip_lookups_total;outcome=concurrency_refused", 2).await?;
    lab.wait_for_metric("criminalip_lookups_total;outcome=assessed", 1).await
}

#[tokio::test]
async fn a_lookup_refused_for_concurrency_again_and_again_fails_in_the_end() -> Result<()> {
    let (open, _) = strictness();
    let lab = Lab::with(open).start().await?;
    lab.fake.tell(Rule::answer(Answer::ConcurrencyRefused));
    let seen = lab.ask(peer::C2).send().await?.upstream()?;
    assert_eq!(seen.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    lab.wait_for_metric("criminalip_failed_open_total;reason=concurrency_refused", 1).await
}

#[tokio::test]
async fn an_answer_about_another_address_is_no_answer() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    let report = r#"{"ip":"192.0.2.10","issues":{},"score":{"inbound":"Safe","outbound":"Safe"},"status":200}"#;
    lab.fake.tell(Rule::answer(Answer::Raw(200, report.into())));
    let seen = lab.ask(peer::C2).send().await?.upstream()?;
    assert_eq!(seen.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    lab.wait_for_metric("criminalip_lookups_total;outcome=other_address", 1).await
}

#[tokio::test]
async fn credits_that_run_out_are_noticed_and_facts_still_count() -> Result<()> {
    let (open, _) = strictness();
    let lab = Lab::with(open).start().await?;
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    lab.fake.set_credits(Some(0));
    let seen = lab.ask(peer::CRITICAL).send().await?.upstream()?;
    assert_eq!(seen.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    lab.wait_for_metric("criminalip_lookups_total;outcome=no_credit", 1).await
}

#[tokio::test]
async fn large_reports_are_read_up_to_the_limit() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    for (peer, tag) in [
        (peer::LARGE, "verdict=allow, score=20"),
        (peer::HUGE, "verdict=allow, score=20"),
        (peer::TOO_LARGE, "verdict=allow, source=on_error"),
    ] {
        let seen = lab.ask(peer).send().await?.upstream()?;
        assert!(seen.header("x-criminalip")[0].starts_with(tag), "{peer}: {seen:?}");
    }
    lab.wait_for_metric("criminalip_lookups_total;outcome=too_large", 1).await
}

#[tokio::test]
async fn a_slow_api_holds_nobody_longer_than_the_hold_and_a_time_out_ends_the_lookup() -> Result<()> {
    let lab = Lab::with(json!({"api": {"timeout": "5s"}, "first_look": {"hold": "100ms"}})).start().await?;
    lab.fake.tell(Rule::answer(Answer::Silence));
    let start = tokio::time::Instant::now();
    let seen = lab.ask(peer::C2).send().await?.upstream()?;
    let took = start.elapsed();
    assert_eq!(seen.header("x-criminalip"), ["verdict=allow, source=first_look"]);
    assert!(took >= Duration::from_millis(90), "{took:?}");
    lab.wait_for_metric("criminalip_lookups_total;outcome=timeout", 1).await?;
    let later = lab.ask_at(MAIN, Some(peer::C2)).send().await?.upstream()?;
    assert_eq!(later.header("x-criminalip"), ["verdict=allow, source=on_error"]);
    lab.fake.wait_until_idle().await
}
