//! Clients: the shipped configurations of the edge and behind a load balancer, in a real Envoy.

use anyhow::Result;
use host_test::{
    client::{Ask, raw},
    fake::peer,
    lab::{DOCUMENTATION, LONGEST_WAIT, Lab},
};
use serde_json::{Value, json};
use std::net::IpAddr;

fn public() -> Value {
    json!({"scope": {"treat_as_public": DOCUMENTATION}, "first_look": {"hold": LONGEST_WAIT}, "api": {"timeout": LONGEST_WAIT}})
}

/// Has the load balancer be this machine.
fn balanced_from_here(bootstrap: &mut Value) {
    match bootstrap {
        Value::String(text) if text == "10.0.0.0" => *text = "127.0.0.0".into(),
        Value::Array(items) => items.iter_mut().for_each(balanced_from_here),
        Value::Object(members) => members.values_mut().for_each(balanced_from_here),
        _ => {}
    }
}

#[tokio::test]
async fn at_the_edge_the_connection_is_the_client_whatever_it_says() -> Result<()> {
    let lab = Lab::shipped("ingress.yaml", public(), |_| {}).await?;
    let ask = lab.ask_at("ingress", None).header("x-forwarded-for", "192.0.2.40").header("x-criminalip", "mine");
    let reply = ask.send().await?;
    assert_eq!(reply.upstream()?.header("x-criminalip"), [""; 0]);
    assert_eq!(lab.fake.calls().len(), 0, "this machine is not looked up");
    Ok(())
}

#[tokio::test]
async fn at_the_edge_a_client_is_judged_by_the_address_of_its_connection() -> Result<()> {
    // The addresses of this machine stand for public ones.
    let mut changes = public();
    changes["scope"] = json!({"treat_as_public": ["127.0.0.0/8"]});
    changes["on_error"] = "deny".into();
    let lab = Lab::shipped("ingress.yaml", changes, |_| {}).await?;
    let report = br#"{"ip":"127.0.0.1","score":{"inbound":"Critical","outbound":"Safe"},"status":200}"#;
    lab.fake.tell(host_test::fake::Rule::answer(host_test::fake::Answer::Raw(200, report.to_vec())));
    let reply = lab.ask_at("ingress", None).header("x-forwarded-for", "192.0.2.10").send().await?;
    assert_eq!(reply.status.as_u16(), 403);
    assert_eq!(lab.fake.calls()[0].ip, Some(IpAddr::from([127, 0, 0, 1])));
    Ok(())
}

#[tokio::test]
async fn behind_a_load_balancer_x_forwarded_for_counts_from_it_alone() -> Result<()> {
    let trusted = Lab::shipped("behind-load-balancer.yaml", public(), balanced_from_here).await?;
    for (forwarded, status) in [
        ("192.0.2.40", 403),
        ("192.0.2.10", 200),
        // What the client wrote itself is before what the load balancer appended.
        ("192.0.2.40, 192.0.2.10", 200),
        ("192.0.2.10, 192.0.2.40", 403),
        // A chain of load balancers.
        ("192.0.2.10, 192.0.2.40, 127.0.0.9", 403),
        ("2001:db8::40", 403),
        ("2001:db8::10", 200),
        ("no address", 200),
        ("", 200),
    ] {
        let ask = Ask::new(trusted.address("forwarded"), None).header("x-forwarded-for", forwarded);
        assert_eq!(ask.send().await?.status.as_u16(), status, "{forwarded:?}");
    }
    // From elsewhere the header is nothing but a claim.
    let untrusted = Lab::shipped("behind-load-balancer.yaml", public(), |_| {}).await?;
    let ask = Ask::new(untrusted.address("forwarded"), None).header("x-forwarded-for", "192.0.2.40");
    assert_eq!(ask.send().await?.status.as_u16(), 200);
    assert_eq!(untrusted.fake.calls().len(), 0);
    Ok(())
}

#[tokio::test]
async fn behind_a_load_balancer_the_proxy_protocol_counts_from_it_alone() -> Result<()> {
    let trusted = Lab::shipped("behind-load-balancer.yaml", public(), balanced_from_here).await?;
    let proxied = trusted.address("proxied");
    for (client, status) in
        [(peer::C2, 403), (peer::CLEAN, 200), (peer::v6(peer::C2), 403), (peer::v6(peer::CLEAN), 200)]
    {
        let ask = Ask::new(proxied, Some(client)).header("x-forwarded-for", "192.0.2.20");
        assert_eq!(ask.send().await?.status.as_u16(), status, "{client}");
    }
    let mut asked: Vec<_> = trusted.fake.calls().iter().filter_map(|call| call.ip).collect();
    asked.sort();
    let mut expected = [peer::CLEAN, peer::C2, peer::v6(peer::CLEAN), peer::v6(peer::C2)];
    expected.sort();
    assert_eq!(asked, expected);
    // Who speaks no PROXY protocol, and who is no load balancer, gets no answer.
    let request = b"GET / HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\n\r\n";
    assert!(raw(proxied, None, request).await.unwrap_or_default().is_empty());
    let untrusted = Lab::shipped("behind-load-balancer.yaml", public(), |_| {}).await?;
    let answer = raw(untrusted.address("proxied"), Some(peer::CLEAN), request).await;
    assert!(answer.unwrap_or_default().is_empty());
    assert_eq!(untrusted.fake.calls().len(), 0);
    Ok(())
}
