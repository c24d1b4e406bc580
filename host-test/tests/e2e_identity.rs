//! Who the peer is: X-Forwarded-For trusted and not, IPv6, mapped IPv4, and addresses that are nobody's business outside.

use anyhow::Result;
use host_test::{
    client::raw,
    envoy::config::Peers,
    fake::peer,
    lab::{Lab, MAIN},
};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};

#[tokio::test]
async fn x_forwarded_for_counts_as_far_as_the_listener_trusts_it() -> Result<()> {
    let forwarded = |use_remote_address, trusted_hops| Peers::Forwarded { use_remote_address, trusted_hops };
    let lab = Lab::with(json!({}))
        .peers(forwarded(true, 0))
        .listener("one-proxy", json!({}))
        .peers(forwarded(true, 1))
        .listener("sidecar", json!({}))
        .peers(forwarded(false, 0))
        .start()
        .await?;
    // The connection itself comes from 127.0.0.1, which is never looked up.
    for (listener, header, judged) in [
        (MAIN, "192.0.2.40", None),
        (MAIN, "192.0.2.20, 192.0.2.40", None),
        ("one-proxy", "192.0.2.40", Some(peer::C2)),
        ("one-proxy", "192.0.2.40, 192.0.2.10", Some(peer::CLEAN)),
        ("one-proxy", "192.0.2.10, 192.0.2.40", Some(peer::C2)),
        ("one-proxy", "not an address", None),
        ("one-proxy", "", None),
        ("one-proxy", "10.0.0.9", None),
        ("one-proxy", "2001:db8::40", Some(peer::v6(peer::C2))),
        ("one-proxy", "::ffff:192.0.2.40", Some(peer::C2)),
        ("sidecar", "192.0.2.10, 192.0.2.40", Some(peer::C2)),
        ("sidecar", "192.0.2.40, 192.0.2.10", Some(peer::CLEAN)),
    ] {
        let reply = lab.ask_at(listener, None).header("x-forwarded-for", header).send().await?;
        let bad = [peer::C2, peer::v6(peer::C2)];
        let expected = if judged.is_some_and(|peer| bad.contains(&peer)) { 403 } else { 200 };
        assert_eq!(reply.status.as_u16(), expected, "{listener}: {header:?}");
        if expected == 200 {
            let tags = reply.upstream()?.header("x-criminalip").len();
            assert_eq!(tags, usize::from(judged.is_some()), "{listener}: {header:?}");
        }
    }
    let mut asked: Vec<_> = lab.fake.calls().iter().filter_map(|call| call.ip).collect();
    asked.sort();
    let mut expected = [peer::CLEAN, peer::C2, peer::v6(peer::C2)];
    expected.sort();
    assert_eq!(asked, expected, "one lookup for each peer");
    Ok(())
}

#[tokio::test]
async fn ipv6_peers_are_judged_and_mapped_ones_are_their_ipv4_selves() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    let mapped = |peer: IpAddr| match peer {
        IpAddr::V4(peer) => IpAddr::V6(peer.to_ipv6_mapped()),
        peer => peer,
    };
    for (peer, status, asked) in [
        (peer::v6(peer::C2), 403, "2001:db8::40"),
        (peer::v6(peer::CLEAN), 200, "2001:db8::10"),
        (mapped(peer::C2), 403, "192.0.2.40"),
        (mapped(peer::CLEAN), 200, "192.0.2.10"),
    ] {
        assert_eq!(lab.ask(peer).send().await?.status.as_u16(), status, "{peer}");
        let target = lab.fake.calls().last().map(|call| call.target.clone());
        assert_eq!(target, Some(format!("/v1/asset/ip/report?ip={asked}&full=true")), "{peer}");
    }
    // What is known about the IPv4 address is known about its mapped form.
    assert_eq!(lab.ask(peer::C2).send().await?.status.as_u16(), 403);
    assert_eq!(lab.fake.calls().len(), 4);
    Ok(())
}

#[tokio::test]
async fn peers_that_are_not_public_pass_without_a_lookup_and_without_a_tag() -> Result<()> {
    let lab = Lab::with(json!({"on_error": "deny", "first_look": {"then": "deny"}, "scope": {"skip": ["8.8.8.0/24"]}}))
        // The PROXY protocol does not carry all of these addresses.
        .peers(Peers::Forwarded { use_remote_address: true, trusted_hops: 1 })
        .start()
        .await?;
    let peers = [
        "10.0.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "224.0.0.251",
        "0.0.0.0",
        "240.0.0.1",
        "8.8.8.8",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
    ];
    for peer in peers {
        let ask = lab.ask_at(MAIN, None).header("x-forwarded-for", peer).header("x-criminalip", "mine");
        let reply = ask.send().await?;
        assert_eq!(reply.upstream()?.header("x-criminalip"), [""; 0], "{peer}");
    }
    assert_eq!(lab.fake.calls().len(), 0, "{:#?}", lab.fake.calls());
    lab.wait_for_metric("criminalip_skipped_total;reason=not_public", peers.len() as u64).await
}

#[tokio::test]
async fn a_connection_that_names_no_peer_is_its_own_peer() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    let answer = raw(
        lab.address(MAIN),
        None,
        b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\nx-criminalip: mine\r\n\r\n",
    )
    .await?;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("mine"), "{answer}");
    assert_eq!(lab.fake.calls().len(), 0);
    Ok(())
}

#[tokio::test]
async fn whole_ranges_of_peers_each_get_their_own_verdict() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    for last in 1..=60 {
        let peer = Ipv4Addr::new(198, 51, 100, last).into();
        assert_eq!(lab.ask(peer).send().await?.status.as_u16(), 200);
        assert_eq!(lab.fake.calls_about(peer).len(), 1, "{peer}");
    }
    Ok(())
}
