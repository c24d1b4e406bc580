//! Streams that wait for a verdict: all of them end, and one lookup serves them all.

use anyhow::Result;
use futures_util::future::try_join_all;
use host_test::{
    fake::{Answer, Options, Rule, peer},
    lab::Lab,
    upstream::checksum,
};
use serde_json::json;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// So many bytes, no two neighbours alike.
fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn fifty_first_requests_at_once_cost_one_lookup_and_all_get_the_right_answer() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    for (peer, status) in [(peer::TOR, 200), (peer::C2, 403)] {
        lab.fake.tell(Rule::hold().only(peer));
        // Half of them on connections of their own, half as streams of one HTTP/2 connection.
        let shared = lab.http2(peer).await?;
        let many = tokio::join!(
            try_join_all((0..25).map(|_| lab.ask(peer).send())),
            try_join_all((0..25).map(|_| shared.send(lab.ask(peer)))),
            async {
                lab.fake.wait_for_call_about(peer).await?;
                lab.wait_for_active(50).await?;
                lab.fake.release();
                anyhow::Ok(())
            },
        );
        many.2?;
        for reply in many.0?.into_iter().chain(many.1?) {
            assert_eq!(reply.status.as_u16(), status, "{peer}");
            if status == 200 {
                let tags = reply.upstream()?;
                assert_eq!(tags.header("x-criminalip"), ["verdict=tag, score=60, findings=(tor proxy), source=api"]);
            }
        }
        assert_eq!(lab.fake.calls_about(peer).len(), 1, "{peer}");
        lab.wait_for_active(0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn streams_of_several_peers_wait_for_their_own_verdicts_in_one_lane() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::delay(Duration::from_millis(20)));
    let peers = [peer::CLEAN, peer::TOR, peer::C2, peer::SCANNER, peer::CRITICAL, peer::RESOLVER];
    let replies = try_join_all(peers.map(|peer| lab.ask(peer).send())).await?;
    let codes: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!(codes, [200, 200, 403, 200, 403, 200]);
    let calls = lab.fake.calls();
    assert_eq!(calls.len(), peers.len());
    assert!(calls.iter().all(|call| !call.overlapped && call.outcome == Some("report")), "{calls:#?}");
    Ok(())
}

#[tokio::test]
async fn several_lanes_are_used_where_the_key_allows_them() -> Result<()> {
    let lab = Lab::with(json!({"api": {"concurrency": 3}}))
        .fake(Options { concurrency: Some(3), ..Options::default() })
        .start()
        .await?;
    lab.fake.tell(Rule::hold());
    let peers = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"];
    let asks = try_join_all(peers.map(|peer| lab.ask(peer.parse().expect("an address")).send()));
    let (replies, held) = tokio::join!(asks, async {
        lab.fake.wait_for_calls(3).await?;
        lab.wait_for_active(4).await?;
        let under_way = lab.fake.calls().len();
        lab.fake.release();
        lab.fake.wait_for_calls(4).await?;
        lab.fake.release();
        anyhow::Ok(under_way)
    });
    assert_eq!(held?, 3, "the fourth waits for a lane");
    assert!(replies?.iter().all(|reply| reply.status.as_u16() == 200));
    Ok(())
}

#[tokio::test]
async fn a_body_of_3_mb_is_held_and_released_whole_over_http_1_and_2() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    let sent = body(3_000_000);
    for (peer, http2) in [("198.51.100.1", false), ("198.51.100.2", true)] {
        let peer = peer.parse()?;
        lab.fake.tell(Rule::hold().only(peer));
        let ask = lab.ask(peer).post(sent.clone());
        let reply = tokio::spawn(if http2 { ask.http2() } else { ask }.send());
        lab.fake.wait_for_call_about(peer).await?;
        lab.wait_for_active(1).await?;
        assert_eq!(lab.upstream.seen().iter().filter(|seen| seen.body_bytes > 0).count(), usize::from(http2));
        lab.fake.release();
        let seen = reply.await??.upstream()?;
        assert_eq!((seen.body_bytes, seen.body_checksum), (sent.len(), checksum(&sent)), "http2: {http2}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_upload_never_reaches_the_upstream() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    let reply = lab.ask(peer::C2).http2().post(body(100_000)).send().await?;
    assert_eq!(reply.status.as_u16(), 403);
    assert_eq!(lab.upstream.seen(), []);
    Ok(())
}

#[tokio::test]
async fn clients_that_leave_while_held_are_forgotten_and_the_lookup_serves_the_others() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::hold());
    let leader = tokio::spawn(lab.ask(peer::TOR).path("/leaves").send());
    lab.fake.wait_for_calls(1).await?;
    let shared = Arc::new(lab.http2(peer::TOR).await?);
    let stream = |path: &str| {
        let (shared, ask) = (shared.clone(), lab.ask(peer::TOR).path(path));
        tokio::spawn(async move { shared.send(ask).await })
    };
    let (reset, sibling) = (stream("/is-reset"), stream("/stays"));
    let other = tokio::spawn(lab.ask(peer::TOR).path("/stays-too").send());
    lab.wait_for_active(4).await?;
    leader.abort();
    reset.abort();
    lab.wait_for_active(2).await?;
    lab.fake.release();
    for reply in [sibling.await??, other.await??] {
        assert_eq!(reply.upstream()?.header("x-criminalip").len(), 1);
    }
    assert_eq!(lab.fake.calls().len(), 1);
    let mut paths: Vec<_> = lab.upstream.seen().into_iter().map(|seen| seen.path).collect();
    paths.sort();
    assert_eq!(paths, ["/stays", "/stays-too"]);
    lab.wait_for_active(0).await
}

#[tokio::test]
async fn all_clients_leave_and_the_answer_is_kept_for_the_next() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::hold());
    let lone = tokio::spawn(lab.ask(peer::TOR).http2().send());
    lab.fake.wait_for_calls(1).await?;
    lone.abort();
    lab.wait_for_active(0).await?;
    lab.fake.release();
    lab.wait_for_metric("criminalip_lookups_total;outcome=assessed", 1).await?;
    let seen = lab.ask(peer::TOR).send().await?.upstream()?;
    assert_eq!(seen.header("x-criminalip"), ["verdict=tag, score=60, findings=(tor proxy), source=cache"]);
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn past_the_hold_the_first_look_decides_and_the_answer_is_enforced_on_the_next_request() -> Result<()> {
    let lab = Lab::with(json!({"first_look": {"hold": "100ms"}}))
        .listener("strict", json!({"first_look": {"hold": "100ms", "then": "deny"}}))
        .start()
        .await?;
    lab.fake.tell(Rule::hold());
    let reply = lab.ask(peer::C2).send().await?;
    assert_eq!(reply.upstream()?.header("x-criminalip"), ["verdict=allow, source=first_look"]);
    let refused = lab.ask_at("strict", Some(peer::C2)).send().await?;
    assert_eq!(refused.status.as_u16(), 403);
    lab.fake.wait_for_calls(1).await?;
    lab.fake.release();
    lab.wait_for_metric("criminalip_lookups_total;outcome=assessed", 1).await?;
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    assert_eq!(lab.fake.calls().len(), 1);
    lab.wait_for_metric("criminalip_failed_open_total;reason=hold_expired", 1).await?;
    lab.wait_for_metric("criminalip_failed_closed_total;reason=hold_expired", 1).await
}

#[tokio::test]
async fn beyond_max_held_streams_are_not_held() -> Result<()> {
    let lab = Lab::with(json!({"first_look": {"max_held": 2}})).start().await?;
    lab.fake.tell(Rule::hold());
    let held = [tokio::spawn(lab.ask(peer::TOR).send()), tokio::spawn(lab.ask(peer::TOR).send())];
    lab.wait_for_active(2).await?;
    let third = lab.ask(peer::TOR).send().await?.upstream()?;
    assert_eq!(third.header("x-criminalip"), ["verdict=allow, source=first_look"]);
    lab.fake.wait_for_calls(1).await?;
    lab.fake.release();
    for reply in held {
        assert_eq!(reply.await??.status.as_u16(), 200);
    }
    lab.wait_for_metric("criminalip_failed_open_total;reason=held_full", 1).await
}

#[tokio::test]
async fn all_workers_share_one_lookup() -> Result<()> {
    let lab = Lab::with(json!({})).workers(4).start().await?;
    let replies = try_join_all((0..100).map(|_| lab.ask(peer::C2).send())).await?;
    assert!(replies.iter().all(|reply| reply.status.as_u16() == 403));
    assert_eq!(lab.fake.calls().len(), 1, "{:#?}", lab.fake.calls());
    Ok(())
}

#[tokio::test]
async fn a_storm_of_peers_failures_and_departures_leaves_nothing_held() -> Result<()> {
    let lab = Lab::with(json!({"api": {"concurrency": 4}, "first_look": {"hold": "300ms"}}))
        .fake(Options { concurrency: None, ..Options::default() })
        .workers(2)
        .start()
        .await?;
    let answers = [
        Answer::NoCredit,
        Answer::Empty,
        Answer::Garbage,
        Answer::Cut,
        Answer::Close,
        Answer::ConcurrencyRefused,
        Answer::BadGateway,
        Answer::Silence,
    ];
    let peers: Vec<IpAddr> = (1..=60).map(|last| Ipv4Addr::new(203, 0, 113, last).into()).collect();
    for (peer, answer) in peers.iter().zip(answers.iter().cycle()).step_by(3) {
        lab.fake.tell(Rule { delay: Duration::from_millis(15), ..Rule::answer(answer.clone()).only(*peer) });
    }
    let requests = peers.iter().cycle().take(600).enumerate().map(|(index, peer)| {
        let ask = lab.ask(*peer).path(&format!("/{index}"));
        let ask = if index % 2 == 0 { ask.http2() } else { ask.post(body(20_000)) };
        // Every fourth client has little patience.
        let patience = Duration::from_millis(if index % 4 == 0 { 40 } else { 20_000 });
        async move { tokio::time::timeout(patience, ask.send()).await }
    });
    let replies = futures_util::future::join_all(requests).await;
    for reply in replies.into_iter().filter_map(Result::ok) {
        let status = reply?.status.as_u16();
        assert!(status == 200 || status == 403, "{status}");
    }
    lab.wait_for_active(0).await
}

#[tokio::test]
async fn envoy_ends_well_while_streams_are_held() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::hold());
    let held = tokio::spawn(lab.ask(peer::TOR).send());
    lab.fake.wait_for_calls(1).await?;
    lab.envoy.stop().await?;
    assert!(held.await?.is_err(), "the connection is closed");
    Ok(())
}
