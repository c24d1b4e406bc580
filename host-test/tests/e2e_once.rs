//! The network filter before the connection manager: no request is served before the verdict, and once per connection is
//! enough for all of its requests.

use anyhow::Result;
use host_test::{
    client::Http2,
    envoy::config::Place,
    fake::{Rule, peer},
    lab::{Builder, Lab, MAIN},
    tcp::Client,
};
use serde_json::{Value, json};

const TAG: &str = "x-criminalip";

/// A lab whose only listener has the network filter before the connection manager, which makes the header.
fn once(mut changes: Value) -> Builder {
    changes["role"] = "network".into();
    Lab::with(changes).place(Place::BeforeHttp)
}

/// So many requests one after the other, none waiting for the answer to the one before.
fn pipelined(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|number| {
            let connection = if number + 1 == count { "close" } else { "keep-alive" };
            format!("GET /{number} HTTP/1.1\r\nhost: proxy.test\r\nconnection: {connection}\r\n\r\n").into_bytes()
        })
        .collect()
}

#[tokio::test]
async fn the_request_header_is_that_of_the_connection_and_never_the_clients() -> Result<()> {
    let lab = once(json!({})).start().await?;
    let tor = &["verdict=tag, score=60, findings=(tor proxy), source=api"][..];
    for (peer, tags) in [(peer::TOR, tor), ("10.0.0.1".parse()?, &[])] {
        let ask = lab.ask(peer).header(TAG, "verdict=allow").header(TAG, "again");
        assert_eq!(ask.send().await?.upstream()?.header(TAG), tags);
    }
    assert!(lab.ask(peer::C2).send().await.is_err(), "it is closed");
    Ok(())
}

#[tokio::test]
async fn pipelined_requests_are_served_after_the_verdict_or_never() -> Result<()> {
    const REQUESTS: usize = 5;
    for (peer, served) in [(peer::TOR, REQUESTS), (peer::C2, 0)] {
        let lab = once(json!({})).start().await?;
        lab.fake.tell(Rule::hold());
        let mut client = Client::from(peer, lab.address(MAIN)).await?;
        lab.envoy.set_log_level("wasm", "trace").await?;
        let requests = pipelined(REQUESTS);
        let (first, rest) = requests.split_at(requests.len() / 2);
        client.send(first).await?;
        lab.wait_for_metric("criminalip_held", 1).await?;
        client.send(rest).await?;
        // Envoy has read all of it.
        lab.envoy.wait_for_log(&format!("proxy_on_downstream_data(2, {}, ", requests.len())).await?;
        assert_eq!(lab.envoy.stat("http.main.downstream_rq_total").await?, 0);
        lab.fake.release();
        let answers = String::from_utf8(client.closed().await?)?;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), served, "{answers}");
        let seen: Vec<_> = lab.upstream.seen().into_iter().map(|seen| seen.path).collect();
        assert_eq!(seen, (0..served).map(|number| format!("/{number}")).collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test]
async fn all_requests_of_a_kept_connection_carry_its_tag_and_cost_no_more_of_anything() -> Result<()> {
    let lab = once(json!({})).start().await?;
    let connection = Http2::connect(lab.address(MAIN), Some(peer::TOR)).await?;
    for _ in 0..5 {
        let reply = connection.send(lab.ask(peer::TOR).header(TAG, "verdict=allow")).await?;
        assert_eq!(reply.upstream()?.header(TAG), ["verdict=tag, score=60, findings=(tor proxy), source=api"]);
    }
    lab.wait_for_metric("criminalip_decisions_total", 1).await?;
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_a_late_answer_denies_it() -> Result<()> {
    let lab = once(json!({"first_look": {"hold": "0s"}})).start().await?;
    lab.fake.tell(Rule::hold());
    let connection = Http2::connect(lab.address(MAIN), Some(peer::C2)).await?;
    let first = connection.send(lab.ask(peer::C2)).await?;
    assert_eq!(first.upstream()?.header(TAG), ["verdict=allow, source=first_look"]);
    lab.fake.wait_for_calls(1).await?;
    lab.fake.release();
    lab.envoy.wait_for_log("\"late\":true").await?;
    assert!(connection.send(lab.ask(peer::C2)).await.is_err(), "it is closed");
    lab.wait_for_metric("criminalip_connections", 0).await
}

#[tokio::test]
async fn in_shadow_mode_requests_pass_and_their_tag_says_what_would_have_been() -> Result<()> {
    let lab = once(json!({"mode": "shadow"})).start().await?;
    let reply = lab.ask(peer::C2).header(TAG, "verdict=allow").send().await?;
    let seen = reply.upstream()?;
    let tag = seen.header(TAG);
    assert!(tag.len() == 1 && tag[0].starts_with("would=deny, score="), "{tag:?}");
    Ok(())
}

/// Before the connection manager Envoy reads on, and so sees at once that a client left.
#[tokio::test]
async fn a_client_that_leaves_while_held_is_forgotten_at_once() -> Result<()> {
    let lab = once(json!({})).start().await?;
    lab.fake.tell(Rule::hold());
    let mut leaving = Client::from(peer::C2, lab.address(MAIN)).await?;
    leaving.send(&pipelined(1)).await?;
    lab.wait_for_metric("criminalip_held", 1).await?;
    drop(leaving);
    lab.wait_for_metric("criminalip_held", 0).await?;
    lab.fake.release();
    lab.fake.wait_until_idle().await?;
    assert_eq!(lab.envoy.stat("http.main.downstream_rq_total").await?, 0);
    Ok(())
}
