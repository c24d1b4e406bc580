//! A filter that is not where its configuration says.

use anyhow::Result;
use host_test::{
    envoy::config::Place,
    fake::{Rule, peer},
    lab::{Lab, MAIN},
    tcp::{Client, Server},
};
use serde_json::json;

#[tokio::test]
async fn a_filter_in_the_wrong_place_refuses_everything_says_so_once_and_harms_nobody_else() -> Result<()> {
    let server = Server::start(b"hello")?;
    // The likely mistake: the same configuration in both places, which makes them one to the proxy.
    for (role, wrong) in [("http", Place::BeforeTcp(server.address())), ("network", Place::Http)] {
        let right = if role == "http" { Place::Http } else { Place::BeforeTcp(server.address()) };
        let changes = json!({"role": role});
        let lab = Lab::with(changes.clone()).place(right).listener("wrong", changes).place(wrong).start().await?;
        lab.fake.tell(Rule::hold().only(peer::TOR));
        // One that waits in the same VM meanwhile.
        let held = if role == "http" {
            let ask = lab.ask(peer::TOR);
            tokio::spawn(async move { ask.send().await?.upstream().map(drop) })
        } else {
            let mut client = Client::from(peer::TOR, lab.address(MAIN)).await?;
            tokio::spawn(async move { client.read(5).await.map(drop) })
        };
        lab.wait_for_metric("criminalip_held", 1).await?;
        for _ in 0..5 {
            if role == "http" {
                assert_eq!(Client::from(peer::CLEAN, lab.address("wrong")).await?.closed().await?, b"");
            } else {
                let asked = lab.ask_at("wrong", Some(peer::CLEAN)).send().await;
                assert!(asked.is_err(), "{asked:?}");
            }
        }
        lab.wait_for_metric("criminalip_misplaced_total", 5).await?;
        lab.fake.release();
        held.await??;
        let log = lab.envoy.log();
        let said: Vec<_> = log.iter().filter(|line| line.contains("portcullis: role: ")).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(!log.iter().any(|line| line.contains("invalid context_id")), "nothing panicked");
        assert_eq!(lab.envoy.stat("wasm.main.vm_reload_success").await?, 0);
    }
    assert_eq!(server.accepted().len(), 1);
    Ok(())
}
