//! Crowds: ten thousand requests at once from two hundred new peers, spread over the workers, and what happens to them
//! when Criminal IP goes away or the configuration changes in the middle.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use host_test::{
    client::{Http2, Reply},
    fake::{Answer, Call, Rule, peer},
    lab::{LONGEST_WAIT, Lab, plugin},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

const PEERS: usize = 200;

fn peers() -> Vec<IpAddr> {
    (0..).take(PEERS).map(|last| Ipv4Addr::new(198, 51, 100, last).into()).collect()
}

/// Everybody can be held.
fn patient() -> Value {
    json!({"first_look": {"max_held": 20_000, "hold": LONGEST_WAIT}})
}

/// So many requests of each peer at once, over five HTTP/2 connections each, which Envoy spreads over its workers.
async fn crowd(lab: &Lab, each: usize) -> Result<Vec<Reply>> {
    const CONNECTIONS: usize = 5;
    let connections = peers().into_iter().flat_map(|peer| [peer; CONNECTIONS]);
    let connections: Vec<Http2> = try_join_all(connections.map(|peer| lab.http2(peer))).await?;
    // Who the peer is stands at the head of the connection, so all requests are the same.
    let ask = lab.ask(Ipv4Addr::UNSPECIFIED.into());
    let requests = connections
        .iter()
        .flat_map(|connection| std::iter::repeat_n(connection, each / CONNECTIONS))
        .map(|connection| connection.send(ask.clone()));
    try_join_all(requests).await
}

/// How many lookups are answered before a crowd of ten requests each finds itself in the middle.
const ANSWERED: usize = 50;

/// Has the stand-in answer so many lookups, and no more before its rules are forgotten and it releases the next one.
fn answer_some(lab: &Lab) {
    lab.fake.tell(Rule::hold());
    lab.fake.tell(Rule::answer(Answer::Report).times(ANSWERED as u32));
}

/// Waits until a crowd of so many requests each is in the middle: everybody waits who does not have an answer.
async fn wait_for_the_middle(lab: &Lab, each: usize) -> Result<()> {
    lab.fake.wait_for_calls(ANSWERED + 1).await?;
    lab.envoy.wait_for_stat("http.main.downstream_rq_total", (PEERS * each) as u64).await?;
    lab.wait_for_active(((PEERS - ANSWERED) * each) as u64).await
}

/// The reports given, by peer.
fn reports(calls: &[Call]) -> BTreeMap<Option<IpAddr>, usize> {
    let mut reports = BTreeMap::new();
    for call in calls.iter().filter(|call| call.outcome == Some("report")) {
        *reports.entry(call.ip).or_default() += 1;
    }
    reports
}

/// One call about each peer, all answered, no two at the same time.
fn assert_one_lookup_each(calls: &[Call], context: &str) {
    let asked: BTreeSet<_> = calls.iter().map(|call| call.ip).collect();
    assert_eq!((calls.len(), asked.len()), (PEERS, PEERS), "{context}");
    assert!(calls.iter().all(|call| call.outcome == Some("report") && !call.overlapped), "{context}");
}

#[tokio::test]
async fn ten_thousand_requests_at_once_of_two_hundred_new_peers_cost_two_hundred_lookups_one_at_a_time() -> Result<()> {
    const EACH: usize = 50;
    for workers in [2, 4] {
        let lab = Lab::with(patient()).answering().workers(workers).start().await?;
        lab.fake.tell(Rule::hold());
        let (replies, released) = tokio::join!(crowd(&lab, EACH), async {
            lab.wait_for_active((PEERS * EACH) as u64).await?;
            let calls = lab.fake.calls().len();
            lab.fake.forget_rules();
            lab.fake.release();
            anyhow::Ok(calls)
        });
        assert_eq!(released?, 1, "{workers} workers: all wait for the first answer");
        let replies = replies?;
        assert_eq!(replies.len(), PEERS * EACH);
        for reply in replies {
            let tag = reply.header("x-seen").unwrap_or_default();
            assert!(reply.status.is_success() && tag.starts_with("verdict=allow, score=20"), "{reply:?}");
        }
        assert_one_lookup_each(&lab.fake.calls(), &format!("{workers} workers"));
        lab.wait_for_active(0).await?;
    }
    Ok(())
}

/// Envoy ends a refused stream, and calls the filter about its end, while it carries out what the filter wanted: were all
/// of them ended from one callback, one inside the other, the VM's stack would not be deep enough.
#[tokio::test]
async fn a_thousand_held_streams_are_refused_by_one_answer() -> Result<()> {
    let lab = Lab::with(patient()).start().await?;
    lab.fake.tell(Rule::hold());
    let requests = try_join_all((0..1000).map(|_| lab.ask(peer::C2).send()));
    let (replies, released) = tokio::join!(requests, async {
        lab.wait_for_active(1000).await?;
        lab.fake.release();
        anyhow::Ok(())
    });
    released?;
    assert!(replies?.iter().all(|reply| reply.status.as_u16() == 403));
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn criminal_ip_goes_away_in_the_middle_and_no_stream_is_lost_and_the_rest_is_learned_later() -> Result<()> {
    const EACH: usize = 10;
    for workers in [2, 4] {
        let mut settings = patient();
        settings["cache"] = json!({"ttl": {"error": "1s"}});
        let lab = Lab::with(settings).answering().workers(workers).start().await?;
        answer_some(&lab);
        let (replies, gone) = tokio::join!(crowd(&lab, EACH), async {
            wait_for_the_middle(&lab, EACH).await?;
            lab.fake.close_doors().await
        });
        gone?;
        let tags: Vec<_> = replies?.iter().map(|reply| reply.header("x-seen").unwrap_or_default().to_owned()).collect();
        assert_eq!(tags.len(), PEERS * EACH);
        let known = tags.iter().filter(|tag| tag.starts_with("verdict=allow, score=20")).count();
        let unknown = tags.iter().filter(|tag| *tag == "verdict=allow, source=on_error").count();
        assert_eq!(known + unknown, tags.len(), "every stream had an answer that its operator chose");
        assert_eq!(known, ANSWERED * EACH);
        assert_eq!(lab.fake.calls().len(), ANSWERED + 1);

        lab.fake.forget_rules();
        lab.fake.open_doors().await?;
        host_test::eventually(async || {
            for peer in peers() {
                let reply = lab.ask(peer).send().await?;
                let tag = reply.header("x-seen").unwrap_or_default();
                ensure!(tag.starts_with("verdict=allow, score=20"), "{peer}: {tag}");
            }
            Ok(())
        })
        .await?;
        let calls = lab.fake.calls();
        let reports = reports(&calls);
        assert_eq!(reports.len(), PEERS);
        assert!(reports.values().all(|count| *count == 1), "{workers} workers: {reports:?}");
        assert!(calls.iter().all(|call| !call.overlapped), "{workers} workers");
    }
    Ok(())
}

#[tokio::test]
async fn a_configuration_update_in_the_middle_loses_no_stream_and_no_fact() -> Result<()> {
    const EACH: usize = 10;
    for workers in [2, 4] {
        // Connections of the replaced listener may take their time.
        let mut lab = Lab::with(patient()).following().drain_seconds(60).workers(workers).start().await?;
        answer_some(&lab);
        let (replies, updated) = tokio::join!(crowd(&lab, EACH), async {
            wait_for_the_middle(&lab, EACH).await?;
            let mut settings = patient();
            settings["tag"] = json!({"request_header": "x-other"});
            lab.update(plugin(settings).to_string())?;
            lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
            lab.fake.forget_rules();
            lab.fake.release();
            anyhow::Ok(())
        });
        updated?;
        for reply in replies? {
            let seen = reply.upstream()?;
            let tags = [seen.header("x-criminalip"), seen.header("x-other")].concat();
            assert!(matches!(tags[..], [tag] if tag.starts_with("verdict=allow, score=20")), "{seen:?}");
        }
        assert_one_lookup_each(&lab.fake.calls(), &format!("{workers} workers, held"));

        lab.refresh().await?;
        host_test::eventually(async || {
            let seen = lab.ask(peers()[0]).send().await?.upstream()?;
            ensure!(seen.header("x-other").len() == 1, "{seen:?}");
            Ok(())
        })
        .await?;
        for peer in peers() {
            let seen = lab.ask(peer).send().await?.upstream()?;
            assert!(seen.header("x-other")[0].starts_with("verdict=allow, score=20"), "{seen:?}");
        }
        assert_one_lookup_each(&lab.fake.calls(), &format!("{workers} workers, afterwards"));
    }
    Ok(())
}
