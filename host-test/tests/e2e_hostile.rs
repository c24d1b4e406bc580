//! What hostile clients send: the filter neither traps nor lets them speak for it.

use anyhow::Result;
use host_test::{
    client::raw,
    fake::{Rule, peer},
    lab::{Lab, MAIN},
};
use serde_json::json;

/// A configuration whose rules look at everything that a request has.
fn curious() -> serde_json::Value {
    json!({
        "log": "all",
        "policy": {"rules": [
            {"name": "path", "when": {"path_prefix": ["/never"], "method": ["NEVER"], "host": ["never.test"], "ports": [1]},
             "then": "deny"},
            {"name": "host", "when": {"host": ["*.never.test"]}, "then": "deny"},
            {"name": "method", "when": {"method": ["NEVER"]}, "then": "deny"},
        ]},
    })
}

/// Every byte that Envoy's HTTP/1 parser lets into a header value.
fn odd_bytes() -> Vec<u8> {
    (0x80..=0xff).chain(b'\t'..=b'\t').chain(b' '..=b'~').chain([0xc3, 0x28, 0xe2, 0x82, 0xf0, 0x9f, 0xff]).collect()
}

#[tokio::test]
async fn bytes_that_are_not_utf8_in_every_header_value_do_not_trap() -> Result<()> {
    let lab = Lab::with(curious()).start().await?;
    let names = [
        "accept",
        "content-type",
        "user-agent",
        "x-criminalip",
        "x-forwarded-for",
        "x-request-id",
        "cookie",
        "referer",
        "authorization",
        "x-portcullis",
        "via",
        "te",
    ];
    let mut head = b"GET /odd?\x80\xff HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\n".to_vec();
    for name in names {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(&odd_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    // Held and at once, passed, tagged and refused.
    for (peer, statuses) in [(peer::CLEAN, ["200", "400"]), (peer::TOR, ["200", "400"]), (peer::C2, ["403", "400"])] {
        for _ in 0..2 {
            // With the odd bytes in the path Envoy itself may refuse; without them it must come through.
            let odd_path = answer(&lab, peer, &head).await?;
            assert!(statuses.iter().any(|status| odd_path.contains(&format!(" {status} "))), "{peer}: {odd_path}");
            let path = head.iter().position(|byte| *byte == b'?').unwrap_or_default();
            let plain = [&head[..path], &head[path + 3..]].concat();
            let plain_path = answer(&lab, peer, &plain).await?;
            assert!(plain_path.contains(&format!(" {} ", statuses[0])), "{peer}: {plain_path}");
        }
    }
    let tagged = lab.upstream.seen();
    assert!(!tagged.is_empty());
    for seen in &tagged {
        let tags = seen.header("x-criminalip");
        assert!(tags.len() == 1 && tags[0].starts_with("verdict="), "{tags:?}");
    }
    no_trap(&lab).await
}

#[tokio::test]
async fn single_headers_of_odd_bytes_over_http_2_do_not_trap() -> Result<()> {
    let lab = Lab::with(curious()).start().await?;
    let value: Vec<u8> = (0x80..=0xff).collect();
    for name in ["accept", "content-type", "x-criminalip", "user-agent", "x-forwarded-for"] {
        for (peer, status) in [(peer::C2, 403), (peer::TOR, 200)] {
            let reply = lab.ask(peer).http2().header(name, &value).send().await?;
            assert_eq!(reply.status.as_u16(), status, "{name} from {peer}");
        }
    }
    no_trap(&lab).await
}

#[tokio::test]
async fn large_and_many_headers_and_long_paths_do_not_trap() -> Result<()> {
    let lab = Lab::with(curious()).start().await?;
    let long = "a".repeat(30_000);
    let reply = lab.ask(peer::TOR).path(&format!("/{long}")).send().await?;
    assert_eq!(reply.upstream()?.path.len(), long.len() + 1);
    let accept = "application/json;q=0.1,".repeat(1_000);
    let refused = lab.ask(peer::C2).header("accept", &accept).send().await?;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (403, Some("application/json")));
    let many = (0..90).fold(lab.ask(peer::TOR), |ask, _| ask.header("x-criminalip", "verdict=allow"));
    assert_eq!(many.send().await?.upstream()?.header("x-criminalip").len(), 1);
    no_trap(&lab).await
}

#[tokio::test]
async fn requests_without_a_host_or_path_do_not_trap() -> Result<()> {
    let lab = Lab::with(curious()).start().await?;
    for head in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\n\r\n",
        b"CONNECT proxy.test:443 HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\n\r\n",
        b"GET http://[::ffff HTTP/1.1\r\nhost: [::\r\nconnection: close\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nhost: \xff\r\nconnection: close\r\n\r\n",
        b"\x16\x03\x01\x00\xff",
    ] {
        answer(&lab, peer::TOR, head).await?;
    }
    no_trap(&lab).await
}

#[tokio::test]
async fn a_flood_of_clients_that_leave_ends_with_nothing_held() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    lab.fake.tell(Rule::hold());
    for round in 1..=8_u64 {
        let leaving: Vec<_> = (0..50).map(|_| tokio::spawn(lab.ask(peer::TOR).http2().send())).collect();
        lab.wait_for_active(50).await?;
        leaving.iter().for_each(tokio::task::JoinHandle::abort);
        lab.wait_for_active(0).await?;
        assert_eq!(lab.fake.calls().len(), 1, "round {round}");
    }
    lab.fake.release();
    lab.wait_for_metric("criminalip_lookups_total;outcome=assessed", 1).await?;
    no_trap(&lab).await
}

async fn answer(lab: &Lab, peer: std::net::IpAddr, bytes: &[u8]) -> Result<String> {
    let answer = raw(lab.address(MAIN), Some(peer), bytes).await?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

/// The VM that was there at the start still is, and serves.
async fn no_trap(lab: &Lab) -> Result<()> {
    assert_eq!(lab.ask(peer::TOR).send().await?.status.as_u16(), 200);
    let stats = lab.envoy.stats().await?;
    let reloads: Vec<_> = stats.keys().filter(|name| name.contains("vm_reload")).collect();
    assert!(reloads.is_empty(), "{reloads:?}");
    let bad: Vec<_> =
        lab.envoy.log().into_iter().filter(|line| line.starts_with("critical") || line.starts_with("error")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    Ok(())
}
