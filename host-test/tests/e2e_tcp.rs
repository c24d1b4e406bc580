//! Connections through the network filter before `tcp_proxy`: held without a byte either way, resumed or closed, and
//! closed late.

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use host_test::{
    envoy::config::Place,
    fake::{Rule, peer},
    lab::{Lab, MAIN, plugin},
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

const GREETING: &[u8] = b"220 server first\r\n";

/// A lab whose only listener has the network filter before `tcp_proxy`.
async fn lab(server: &Server, changes: Value) -> Result<Lab> {
    builder(server, changes).start().await
}

fn builder(server: &Server, changes: Value) -> host_test::lab::Builder {
    Lab::with(network(changes)).place(Place::BeforeTcp(server.address()))
}

fn network(mut changes: Value) -> Value {
    changes["role"] = "network".into();
    changes
}

/// The way to the peer under test, in this direction.
async fn connect(lab: &Lab, direction: &str, peer: IpAddr) -> Result<Client> {
    match direction {
        "ingress" => Client::from(peer, lab.address(MAIN)).await,
        _ => Client::toward(SocketAddr::new(peer, 5432), lab.address(MAIN)).await,
    }
}

#[tokio::test]
async fn nothing_passes_either_way_before_the_verdict_and_everything_after_it() -> Result<()> {
    // Three megabytes, no two neighbours alike.
    let large: Vec<u8> = (0..3 << 20).map(|index| (index % 251) as u8).collect();
    for direction in ["ingress", "egress"] {
        for greeting in [GREETING, b""] {
            let server = Server::start(greeting)?;
            let lab = lab(&server, json!({"direction": direction})).await?;
            lab.fake.tell(Rule::hold());
            let mut client = connect(&lab, direction, peer::CLEAN).await?;
            // Whoever speaks first waits; the client's word is on its way.
            let sent = tokio::spawn({
                let large = large.clone();
                async move {
                    let answer = if greeting.is_empty() {
                        client.exchange(&large).await?
                    } else {
                        assert_eq!(client.read(greeting.len()).await?, greeting);
                        client.exchange(&large).await?
                    };
                    anyhow::Ok((client, answer))
                }
            });
            lab.fake.wait_for_call_about(peer::CLEAN).await?;
            lab.wait_for_metric("criminalip_held", 1).await?;
            assert_eq!(server.accepted(), [], "the server does not know of it");
            lab.fake.release();
            let (client, answer) = sent.await??;
            assert!(answer == large, "{direction}: the bytes are not those that were sent");
            drop(client);
            assert_eq!(server.wait_for_ended(1).await?[0].received, large.len());
            lab.wait_for_metric("criminalip_connections", 0).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_denied_connection_is_closed_and_never_reaches_the_server() -> Result<()> {
    for direction in ["ingress", "egress"] {
        let server = Server::start(GREETING)?;
        let lab = lab(&server, json!({"direction": direction})).await?;
        // The first is held, the second is decided at once.
        for source in ["api", "cache"] {
            let mut client = connect(&lab, direction, peer::C2).await?;
            // It may be closed already.
            let _ = client.send(b"hello").await;
            assert_eq!(client.closed().await?, b"", "{direction} {source}");
            let line = lab.envoy.wait_for_log(&format!("\"source\":\"{source}\"")).await?;
            let decision = host_test::lab::decision(&line).context("no decision")?;
            let port = if direction == "ingress" { lab.address(MAIN).port() } else { 5432 };
            assert_eq!(decision["connection"], json!({"port": port, "late": false}));
            assert_eq!(
                (&decision["peer"], &decision["direction"], &decision["action"]),
                (&peer::C2.to_string().into(), &direction.into(), &"deny".into())
            );
            // The peer's inbound level is low, the outbound level is not.
            assert_eq!(decision["rule"], if direction == "ingress" { "c2" } else { "score-80" });
            lab.envoy.wait_for_access(&format!("source={source}")).await?;
        }
        for access in lab.envoy.access() {
            assert!(access.contains("\"closed\":\"wasm_downstream_close\""), "{access}");
            assert!(access.contains("\"tag\":\"verdict=deny, score="), "{access}");
        }
        assert_eq!(server.accepted(), []);
        assert_eq!(lab.fake.calls().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_passed_the_first_look_is_closed_when_the_answer_denies_it() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server, json!({"first_look": {"hold": "0s", "then": "allow"}})).await?;
    lab.fake.tell(Rule::hold().only(peer::C2));
    let mut bad = Client::from(peer::C2, lab.address(MAIN)).await?;
    assert_eq!(bad.exchange(b"before").await?, b"before");
    let mut good = Client::from(peer::CLEAN, lab.address(MAIN)).await?;
    assert_eq!(good.exchange(b"before").await?, b"before");
    lab.wait_for_metric("criminalip_connections", 2).await?;
    lab.fake.wait_for_call_about(peer::C2).await?;
    lab.fake.release();
    assert_eq!(bad.closed().await?, b"");
    let line = lab.envoy.wait_for_log("\"late\":true").await?;
    let decision = host_test::lab::decision(&line).context("no decision")?;
    assert_eq!((&decision["peer"], &decision["source"]), (&peer::C2.to_string().into(), &"api".into()));
    assert_eq!(decision["rule"], "c2");
    let access = lab.envoy.wait_for_access(&peer::C2.to_string()).await?;
    assert!(access.contains("wasm_downstream_close") && access.contains("verdict=deny"), "{access}");
    lab.fake.wait_for_call_about(peer::CLEAN).await?;
    lab.fake.wait_until_idle().await?;
    assert_eq!(good.exchange(b"after").await?, b"after");
    lab.wait_for_metric("criminalip_connections", 1).await?;
    assert_eq!(lab.metric("criminalip_late_denials_total;mode=enforce").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_a_list_or_a_private_address_lets_pass_is_never_closed() -> Result<()> {
    let server = Server::start(b"")?;
    let allowed = json!({"lists": {"allow": [{"cidr": peer::C2.to_string()}]}});
    let other = network(json!({"first_look": {"hold": "0s"}}));
    let lab =
        builder(&server, allowed).listener("other", other).place(Place::BeforeTcp(server.address())).start().await?;
    let mut listed = Client::from(peer::C2, lab.address(MAIN)).await?;
    let mut own = Client::from("10.0.0.1".parse()?, lab.address(MAIN)).await?;
    for client in [&mut listed, &mut own] {
        assert_eq!(client.exchange(b"before").await?, b"before");
    }
    assert_eq!(lab.fake.calls().len(), 0);
    // The other listener learns that the peer is bad, and closes its own connection only.
    let mut unlisted = Client::from(peer::C2, lab.address("other")).await?;
    assert_eq!(unlisted.closed().await?, b"");
    lab.envoy.wait_for_log("\"late\":true").await?;
    for client in [&mut listed, &mut own] {
        assert_eq!(client.exchange(b"after").await?, b"after");
    }
    Ok(())
}

#[tokio::test]
async fn in_shadow_mode_nothing_is_closed_and_the_log_says_what_would_have_been() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server, json!({"mode": "shadow", "first_look": {"hold": "0s"}})).await?;
    let mut late = Client::from(peer::C2, lab.address(MAIN)).await?;
    let line = lab.envoy.wait_for_log("\"late\":true").await?;
    assert!(line.contains("\"mode\":\"shadow\"") && line.contains("\"action\":\"deny\""), "{line}");
    assert_eq!(late.exchange(b"after").await?, b"after");
    let mut known = Client::from(peer::C2, lab.address(MAIN)).await?;
    assert_eq!(known.exchange(b"known").await?, b"known");
    drop((late, known));
    server.wait_for_ended(2).await?;
    lab.envoy.wait_for_access("would=deny").await?;
    Ok(())
}

/// Envoy does not read from a client while the next filter is `tcp_proxy`, so it sees only then that the client left.
#[tokio::test]
async fn a_client_that_leaves_while_held_is_seen_at_the_verdict_and_takes_nothing_along() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server, json!({})).await?;
    lab.fake.tell(Rule::hold());
    let leaving = Client::from(peer::CLEAN, lab.address(MAIN)).await?;
    let staying = Client::from(peer::CLEAN, lab.address(MAIN)).await?;
    lab.wait_for_metric("criminalip_held", 2).await?;
    drop(leaving);
    lab.fake.release();
    let mut staying = staying;
    assert_eq!(staying.exchange(b"still here").await?, b"still here");
    lab.envoy.wait_for_stat("listener.main.downstream_cx_active", 1).await?;
    for (metric, value) in [("criminalip_held", 0), ("criminalip_connections", 1)] {
        lab.wait_for_metric(metric, value).await?;
    }
    Ok(())
}

#[tokio::test]
async fn many_connections_of_one_peer_on_several_workers_share_one_lookup() -> Result<()> {
    for (peer, passes) in [(peer::CLEAN, true), (peer::C2, false)] {
        let server = Server::start(GREETING)?;
        let lab = builder(&server, json!({})).workers(3).start().await?;
        lab.fake.tell(Rule::hold());
        let clients = try_join_all((0..60).map(|_| Client::from(peer, lab.address(MAIN)))).await?;
        lab.wait_for_metric("criminalip_held", 60).await?;
        lab.fake.release();
        let said =
            futures_util::future::join_all(clients.into_iter().map(async |mut client| {
                if passes { client.read(GREETING.len()).await } else { client.closed().await }
            }));
        for said in said.await {
            assert_eq!(said?, if passes { GREETING } else { b"" });
        }
        assert_eq!(lab.fake.calls().len(), 1);
        assert_eq!(server.accepted().len(), if passes { 60 } else { 0 });
        lab.wait_for_metric("criminalip_held", 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn connections_that_passed_on_several_workers_are_all_closed_by_one_answer() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = builder(&server, json!({"first_look": {"hold": "0s"}})).workers(3).start().await?;
    lab.fake.tell(Rule::hold());
    let mut clients = try_join_all((0..30).map(|_| Client::from(peer::C2, lab.address(MAIN)))).await?;
    for client in &mut clients {
        assert_eq!(client.exchange(b"before").await?, b"before");
    }
    lab.fake.wait_for_calls(1).await?;
    lab.fake.release();
    for client in &mut clients {
        assert_eq!(client.closed().await?, b"");
    }
    assert_eq!(lab.fake.calls().len(), 1);
    lab.wait_for_metric("criminalip_late_denials_total", 30).await?;
    lab.wait_for_metric("criminalip_connections", 0).await
}

#[tokio::test]
async fn a_connection_held_across_an_update_ends_by_the_configuration_under_which_it_came() -> Result<()> {
    let server = Server::start(b"")?;
    // It is the verdict that closes it, and not the end of the replaced listener.
    let mut lab = builder(&server, json!({})).following().drain_seconds(60).start().await?;
    lab.fake.tell(Rule::hold());
    let mut held = Client::from(peer::C2, lab.address(MAIN)).await?;
    lab.fake.wait_for_calls(1).await?;
    lab.update(plugin(network(json!({"mode": "shadow"}))).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
    lab.refresh().await?;
    // Envoy tells it when the old listener is gone, and the new one takes new connections.
    let mut late = Client::from(peer::C2, lab.address(MAIN)).await?;
    lab.wait_for_metric("criminalip_held", 2).await?;
    lab.fake.release();
    assert_eq!(held.closed().await?, b"", "it was refused");
    // By whichever listener took it.
    let _ = late.exchange(b"shadow").await;
    host_test::eventually(async || {
        let mut next = Client::from(peer::C2, lab.address(MAIN)).await?;
        anyhow::ensure!(next.exchange(b"shadow").await? == b"shadow");
        Ok(())
    })
    .await?;
    assert_eq!(lab.fake.calls().len(), 1);
    Ok(())
}
