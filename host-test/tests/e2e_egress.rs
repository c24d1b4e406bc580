//! Destinations: the shipped forward proxy and egress gateway, in a real Envoy with a name server of the test's own.

use anyhow::{Context, Result, ensure};
use host_test::{
    client::raw,
    dns::Dns,
    fake::{Answer, Rule, host, peer},
    hello::client_hello,
    lab::{DOCUMENTATION, LONGEST_WAIT, Lab},
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Every name leads to this machine.
fn home(_: &str) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::LOCALHOST)
}

/// The changes that let the documentation's addresses and names be looked up, let clients come back to this machine, and
/// give lookups all the time they take.
fn public() -> Value {
    let mut public = DOCUMENTATION.to_vec();
    public.extend(["*.example.net", "*.example.com"]);
    json!({"scope": {"treat_as_public": public, "skip": []}, "first_look": {"hold": LONGEST_WAIT}, "log": "all",
        "lists": {"deny": []}, "api": {"timeout": LONGEST_WAIT}})
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
    Ok(())
}

#[tokio::test]
async fn no_name_leads_to_the_proxys_own_machine() -> Result<()> {
    let (dns, server) = (Dns::start(home)?, Server::start(b"")?);
    let mut changes = public();
    changes.as_object_mut().context("an object")?.remove("lists");
    let lab = Lab::shipped("forward-proxy.yaml", changes, |bootstrap| dns.resolve_for(bootstrap)).await?;
    let port = server.address().port();
    // An address, a name that leads to it, an internal name, and one that is none.
    for host in ["127.0.0.1", host::UNKNOWN, "printer.internal", "bad-.example.net"] {
        assert_eq!(connect(&lab, &format!("{host}:{port}")).await?.0, 403, "{host}");
    }
    assert!(server.accepted().iter().all(|connection| connection.received == 0));
    let denials = lab.decisions();
    let late =
        denials.iter().find(|one| one["host"] == host::UNKNOWN && one["action"] == "deny").context("no denial")?;
    assert_eq!((&late["peer"], &late["rule"]), (&json!("127.0.0.1"), &json!("deny list")));
    lab.wait_for_metric("criminalip_bad_hosts_total", 1).await
}

/// The addresses of this machine stand for public ones, and names lead to the one that they begin with.
fn numbered(name: &str) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::new(127, 0, 0, name.split('.').next()?.strip_prefix("host")?.parse().ok()?))
}

/// A forward proxy that does not ask about names, and the report about one of the addresses.
async fn resolving_proxy(dns: &Dns) -> Result<Lab> {
    let changes = json!({"scope": {"treat_as_public": ["127.0.0.0/8"]}, "select": {"domains": false}, "log": "all",
        "first_look": {"hold": LONGEST_WAIT}, "lists": {"deny": []}, "api": {"timeout": LONGEST_WAIT}});
    let lab = Lab::shipped("forward-proxy.yaml", changes, |bootstrap| dns.resolve_for(bootstrap)).await?;
    for (ip, level) in [([127, 0, 0, 1], "Critical"), ([127, 0, 0, 2], "Critical"), ([127, 0, 0, 3], "Safe")] {
        let ip = IpAddr::from(ip);
        let report = json!({"ip": ip, "score": {"inbound": "Safe", "outbound": level}, "status": 200}).to_string();
        lab.fake.tell(Rule { held: true, ..Rule::answer(Answer::Raw(200, report.into())).only(ip) });
    }
    Ok(lab)
}

#[tokio::test]
async fn a_tunnel_to_a_name_opens_when_the_address_behind_it_has_its_verdict() -> Result<()> {
    let dns = Dns::start(numbered)?;
    let (bad, good) =
        (Server::start_at(([127, 0, 0, 2], 0).into(), b"")?, Server::start_at(([127, 0, 0, 3], 0).into(), b"")?);
    let lab = Arc::new(resolving_proxy(&dns).await?);
    for (name, server, status) in [("host2.example.net", &bad, 403), ("host3.example.net", &good, 200)] {
        let target = format!("{name}:{}", server.address().port());
        let calls = lab.fake.calls().len();
        let opening = tokio::spawn({
            let (lab, target) = (lab.clone(), target.clone());
            async move { connect(&lab, &target).await }
        });
        lab.fake.wait_for_calls(calls + 1).await?;
        lab.wait_for_metric("criminalip_held", 1).await?;
        assert!(!opening.is_finished(), "{name}");
        lab.fake.release();
        let (answer, mut tunnel) = opening.await??;
        assert_eq!(answer, status, "{name}");
        if status == 200 {
            assert_eq!(tunnel.exchange(b"through").await?, b"through");
        }
        assert_eq!(connect(&lab, &target).await?.0, status, "{name}, from memory");
    }
    assert!(bad.accepted().iter().all(|connection| connection.received == 0));
    let denial = lab.decisions().into_iter().find(|one| one["action"] == "deny").context("no denial")?;
    assert_eq!((&denial["peer"], &denial["host"]), (&json!("127.0.0.2"), &json!("host2.example.net")));
    Ok(())
}

#[tokio::test]
async fn an_answer_from_a_bad_address_never_reaches_the_client_that_asked_for_its_name() -> Result<()> {
    let dns = Dns::start(numbered)?;
    let lab = resolving_proxy(&dns).await?;
    lab.fake.release();
    let port = lab.upstream.address().port();
    let request = format!("GET http://host1.example.net:{port}/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let proxy = lab.address("forward-proxy");
    let first = tokio::spawn({
        let request = request.clone();
        async move { raw(proxy, None, request.as_bytes()).await }
    });
    lab.fake.wait_for_calls(1).await?;
    lab.upstream.wait_for(1).await?;
    lab.wait_for_metric("criminalip_held", 1).await?;
    lab.fake.release();
    for answer in [first.await??, raw(proxy, None, request.as_bytes()).await?] {
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer.starts_with("HTTP/1.1 403") && !answer.contains("body_bytes"), "{answer}");
    }
    Ok(())
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
    assert_eq!(seen.path, "/page");
    let own: Vec<_> = seen.headers.iter().filter(|(name, _)| name.starts_with("x-")).collect();
    assert!(own.is_empty(), "{own:?}");
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
    Ok(())
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
        assert_eq!(client.closed().await?, b"", "{name}");
        assert!(!dns.asked().contains(&name.to_owned()), "{name} is not even resolved");
        let access = lab.envoy.wait_for_access(&format!("\"destination\":\"{name}\"")).await?;
        assert!(access.contains("verdict=deny") && access.contains("wasm_downstream_close"), "{access}");
    }
    // Without a name, and without TLS at all, there is nowhere to go.
    for first in [client_hello(None), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut client = Client::plain(gateway).await?;
        client.send(&first).await?;
        assert_eq!(client.closed().await?, b"");
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
