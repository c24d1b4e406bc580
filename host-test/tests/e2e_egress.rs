//! Destinations: the shipped forward proxy and egress gateway, in a real Envoy with a name server of the test's own.

use anyhow::{Context, Result, ensure};
use host_test::{
    client::raw,
    dns::Dns,
    fake::{Answer, Rule, host, peer},
    hello::client_hello,
    lab::{DOCUMENTATION, Lab},
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// Every name leads to this machine.
fn home(_: &str) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::LOCALHOST)
}

/// The changes that let the documentation's addresses and names be looked up, and give lookups all the time they take.
fn public() -> Value {
    let mut public = DOCUMENTATION.to_vec();
    public.extend(["*.example.net", "*.example.com"]);
    json!({"scope": {"treat_as_public": public, "skip": []}, "first_look": {"hold": "20s"}, "log": "all",
        "api": {"timeout": "20s"}})
}

async fn forward_proxy(dns: &Dns) -> Result<Lab> {
    Lab::shipped("forward-proxy.yaml", public(), |bootstrap| dns.resolve_for(bootstrap)).await
}

/// Asks the proxy for a tunnel. Gives the status, and the tunnel.
async fn connect(lab: &Lab, target: &str) -> Result<(u16, Client)> {
    let mut client = Client::plain(lab.address("forward-proxy")).await?;
    client.send(format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.read(1).await?);
    }
    let head = String::from_utf8(head)?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, client))
}

#[tokio::test]
async fn a_forward_proxy_judges_the_address_that_connect_names() -> Result<()> {
    let dns = Dns::start(home)?;
    let lab = forward_proxy(&dns).await?;
    for target in ["192.0.2.40:443", "[2001:db8::40]:443", "192.0.2.130:8443"] {
        assert_eq!(connect(&lab, target).await?.0, 403, "{target}");
    }
    let asked: Vec<_> = lab.fake.calls().iter().filter_map(|call| call.ip).collect();
    assert_eq!(asked, [peer::C2, peer::v6(peer::C2), peer::PHISHING]);
    assert_eq!(connect(&lab, "192.0.2.40:443").await?.0, 403);
    assert_eq!(lab.fake.calls().len(), 3, "what is known is not asked again");
    let decision = lab.wait_for_decision(peer::C2).await?;
    assert_eq!((&decision["direction"], &decision["rule"]), (&json!("egress"), &json!("score-80")));
    // Lists keep clients away from this machine, and what no host is called is not judged.
    assert_eq!(connect(&lab, "127.0.0.1:9901").await?.0, 403);
    connect(&lab, "0x7f.1:80").await?;
    lab.wait_for_metric("criminalip_bad_hosts_total", 1).await
}

#[tokio::test]
async fn a_forward_proxy_judges_the_name_that_connect_names_and_tunnels_to_the_others() -> Result<()> {
    let (dns, server) = (Dns::start(home)?, Server::start(b"")?);
    let lab = forward_proxy(&dns).await?;
    let port = server.address().port();
    let (status, mut tunnel) = connect(&lab, &format!("WWW.Example.net:{port}")).await?;
    assert_eq!(status, 200);
    assert_eq!(tunnel.exchange(b"through").await?, b"through");
    for name in [host::MALICIOUS, host::PHISHING] {
        assert_eq!(connect(&lab, &format!("{name}:{port}")).await?.0, 403, "{name}");
        assert_eq!(lab.fake.calls_about_domain(name).len(), 1, "{name}");
        assert!(!dns.asked().contains(&name.to_owned()), "{name} is not even resolved");
    }
    assert_eq!(server.accepted().len(), 1);
    let target = lab.fake.calls_about_domain(host::UNKNOWN)[0].target.clone();
    assert_eq!(target, "/v1/domain/quick/malicious/view?domain=www.example.net");
    let line = lab.envoy.wait_for_log("\"rule\":\"phishing\"").await?;
    let decision: Value = serde_json::from_str(&line[line.find('{').context("no JSON")?..])?;
    assert_eq!((&decision["peer"], &decision["host"]), (&Value::Null, &json!(host::PHISHING)));
    assert_eq!(decision["findings"], json!(["phishing", "domain.malicious"]));
    Ok(())
}

#[tokio::test]
async fn a_forward_proxy_judges_plain_requests_by_name_and_address_and_keeps_the_verdict_to_itself() -> Result<()> {
    let dns = Dns::start(home)?;
    let lab = forward_proxy(&dns).await?;
    let port = lab.upstream.address().port();
    let get = async |authority: &str| {
        let request = format!(
            "GET http://{authority}/page HTTP/1.1\r\nhost: ignored.example\r\nx-criminalip: mine\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(lab.address("forward-proxy"), None, request.as_bytes()).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = get(&format!("www.example.net:{port}")).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = &lab.upstream.seen()[0];
    assert_eq!((seen.path.as_str(), seen.header("x-criminalip")), ("/page", vec![]));
    for refused in [format!("{}:{port}", host::MALICIOUS), "192.0.2.40".into(), "[2001:db8::40]:8080".into()] {
        let answer = get(&refused).await?;
        ensure!(answer.starts_with("HTTP/1.1 403"), "{refused}: {answer}");
    }
    assert_eq!(lab.upstream.seen().len(), 1);
    // Nobody outside hears of internal names.
    let calls = lab.fake.calls().len();
    get(&format!("printer:{port}")).await?;
    get(&format!("vault.internal:{port}")).await?;
    assert_eq!(lab.fake.calls().len(), calls);
    lab.wait_for_metric("criminalip_skipped_total;reason=not_public", 2).await
}

#[tokio::test]
async fn lists_of_hosts_decide_without_a_lookup() -> Result<()> {
    let (dns, server) = (Dns::start(home)?, Server::start(b"")?);
    let mut changes = public();
    changes["lists"] = json!({
        "allow_hosts": [{"host": "*.good.example.com", "owner": "netops", "reason": "partner"}],
        "deny_hosts": [{"host": "*.example.com", "reason": "incident 42"}],
    });
    let lab = Lab::shipped("forward-proxy.yaml", changes, |bootstrap| dns.resolve_for(bootstrap)).await?;
    let port = server.address().port();
    let (status, mut tunnel) = connect(&lab, &format!("a.good.example.com:{port}")).await?;
    assert_eq!(status, 200);
    assert_eq!(tunnel.exchange(b"hello").await?, b"hello");
    assert_eq!(connect(&lab, &format!("b.example.com:{port}")).await?.0, 403);
    let line = lab.envoy.wait_for_log("\"rule\":\"deny list\"").await?;
    assert!(line.contains(r#""list":{"host":"*.example.com","owner":null,"reason":"incident 42"}"#), "{line}");
    assert_eq!(lab.fake.calls().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_domain_look_up_that_fails_is_no_fact() -> Result<()> {
    let dns = Dns::start(home)?;
    let mut changes = public();
    changes["on_error"] = "deny".into();

    let lab = Lab::shipped("forward-proxy.yaml", changes, |bootstrap| dns.resolve_for(bootstrap)).await?;
    let server = Server::start(b"")?;
    let port = server.address().port();
    for (index, (answer, reason)) in [
        (Answer::Raw(200, br#"{"status":200,"message":"api success"}"#.into()), "malformed"),
        (
            Answer::Raw(200, br#"{"status":200,"data":{"domain":"other.example","result":"safe"}}"#.into()),
            "other_address",
        ),
        (Answer::Truncated, "malformed"),
        (Answer::ServerError, "server_error"),
        (Answer::Garbage, "malformed"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("n{index}.example.net");
        lab.fake.tell(Rule::answer(answer).only_domain(&name));
        assert_eq!(connect(&lab, &format!("{name}:{port}")).await?.0, 403, "{name}");
        lab.envoy.wait_for_log(&format!("\"host\":\"{name}\"")).await?;
        let line = lab.envoy.wait_for_log(&format!("\"reason\":\"{reason}\"")).await?;
        assert!(line.contains("on_error"), "{line}");
    }
    Ok(())
}

async fn egress_gateway(dns: &Dns, server: &Server) -> Result<Lab> {
    Lab::shipped("egress-gateway.yaml", public(), |bootstrap| {
        dns.resolve_for(bootstrap);
        let filters = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"];
        filters[1]["typed_config"]["port_value"] = server.address().port().into();
    })
    .await
}

#[tokio::test]
async fn an_egress_gateway_judges_the_server_name_before_anything_is_connected() -> Result<()> {
    let (dns, server) = (Dns::start(home)?, Server::start(b"")?);
    let lab = egress_gateway(&dns, &server).await?;
    let gateway = lab.address("egress-gateway");
    let hello = client_hello(Some(host::UNKNOWN));
    let mut client = Client::plain(gateway).await?;
    client.send(&hello).await?;
    assert_eq!(client.read(hello.len()).await?, hello, "passed on as it is");
    for name in [host::MALICIOUS, host::PHISHING] {
        let mut client = Client::plain(gateway).await?;
        client.send(&client_hello(Some(name))).await?;
        assert_eq!(client.closed().await, b"", "{name}");
        assert!(!dns.asked().contains(&name.to_owned()), "{name} is not even resolved");
        let access = lab.envoy.wait_for_access(&format!("\"destination\":\"{name}\"")).await?;
        assert!(access.contains("verdict=deny") && access.contains("wasm_downstream_close"), "{access}");
    }
    // Without a name, and without TLS at all, there is nowhere to go.
    for first in [client_hello(None), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut client = Client::plain(gateway).await?;
        client.send(&first).await?;
        assert_eq!(client.closed().await, b"");
    }
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(lab.fake.calls().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_connection_held_for_its_name_keeps_every_byte() -> Result<()> {
    let (dns, server) = (Dns::start(home)?, Server::start(b"")?);
    let lab = egress_gateway(&dns, &server).await?;
    lab.fake.tell(Rule::hold());
    let mut client = Client::plain(lab.address("egress-gateway")).await?;
    let bytes = [client_hello(Some(host::SAFE)), vec![7; 200_000]].concat();
    let exchange = tokio::spawn(async move { (client.exchange(&bytes).await, bytes) });
    lab.fake.wait_for_calls(1).await?;
    assert_eq!(server.accepted().len(), 0);
    lab.fake.release();
    let (echoed, sent) = exchange.await?;
    assert!(echoed? == sent);
    Ok(())
}

#[tokio::test]
async fn a_sidecars_name_is_a_claim_and_its_original_destination_counts() -> Result<()> {
    let lab = Lab::with(json!({"direction": "egress", "select": {"domains": true}, "log": "all",
        "scope": {"treat_as_public": ["*.example.net"]},
        "lists": {"allow_hosts": [{"host": "ours.example.net"}]}}))
    .start()
    .await?;
    // The listener's own address is all that the connection goes to here: no public one.
    let ask = |name: &str| lab.ask(peer::CLEAN).header("host", name).send();
    assert_eq!(ask(host::MALICIOUS).await?.status.as_u16(), 403);
    assert_eq!(ask(host::SAFE).await?.status.as_u16(), 200);
    assert_eq!(ask("ours.example.net").await?.status.as_u16(), 200);
    assert_eq!(ask("192.0.2.40").await?.status.as_u16(), 200, "the connection does not go there");
    let asked: Vec<_> = lab.fake.calls().iter().map(|call| call.domain.clone()).collect();
    assert_eq!(asked, [Some(host::MALICIOUS.to_owned()), Some(host::SAFE.to_owned())]);
    Ok(())
}
