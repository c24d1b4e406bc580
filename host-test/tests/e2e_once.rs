//! Once per connection: the network filter decides, and Envoy makes the request header of it.

use anyhow::Result;
use host_test::{envoy::config::Place, fake::peer, lab::Lab};
use serde_json::json;

#[tokio::test]
async fn the_request_header_is_that_of_the_connection_and_never_the_clients() -> Result<()> {
    let lab = Lab::with(json!({"role": "network"})).place(Place::BeforeHttp).start().await?;
    for (peer, tags) in
        [(peer::TOR, &["verdict=tag, score=60, findings=(tor proxy), source=api"][..]), ("10.0.0.1".parse()?, &[])]
    {
        let reply = lab.ask(peer).header("x-criminalip", "verdict=allow").send().await?;
        assert_eq!(reply.upstream()?.header("x-criminalip"), tags);
    }
    assert!(lab.ask(peer::C2).send().await.is_err(), "it is closed");
    Ok(())
}
