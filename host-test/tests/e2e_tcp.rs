//! Connections through the network filter, before `tcp_proxy`: held, resumed, closed.

use anyhow::Result;
use host_test::{
    envoy::config::Place,
    fake::peer,
    lab::{Lab, MAIN},
    tcp::{Client, Server},
};
use serde_json::{Value, json};

/// A lab whose only listener has the network filter before `tcp_proxy`.
async fn lab(server: &Server, mut changes: Value) -> Result<Lab> {
    changes["role"] = "network".into();
    Lab::with(changes).place(Place::BeforeTcp(server.address())).start().await
}

#[tokio::test]
async fn a_known_client_passes_and_a_bad_one_is_closed_without_reaching_the_server() -> Result<()> {
    let server = Server::start(b"hello")?;
    let lab = lab(&server, json!({})).await?;
    let mut clean = Client::from(peer::CLEAN, lab.address(MAIN)).await?;
    assert_eq!(clean.read(5).await?, b"hello");
    assert_eq!(clean.exchange(b"ping").await?, b"ping");
    let mut c2 = Client::from(peer::C2, lab.address(MAIN)).await?;
    assert_eq!(c2.closed().await, b"");
    assert_eq!(server.accepted().len(), 1);
    let access = lab.envoy.wait_for_access(&format!("\"peer\":\"{}\"", peer::C2)).await?;
    assert!(access.contains("wasm_downstream_close") && access.contains("verdict=deny"), "{access}");
    Ok(())
}
