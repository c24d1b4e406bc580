//! Verdicts, end to end: who passes, who is tagged, who is refused and how, and what is written about it.

use anyhow::Result;
use host_test::{
    client::raw,
    fake::peer,
    lab::{Lab, MAIN},
};
use serde_json::{Value, json};
use std::net::IpAddr;

const TOR_TAG: &str = "verdict=tag, score=60, findings=(tor proxy), source=api";

#[tokio::test]
async fn clean_tor_and_scanner_pass_with_their_tag_and_the_second_request_costs_nothing() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    for (peer, tag) in [
        (peer::CLEAN, "verdict=allow, score=20, source="),
        (peer::TOR, "verdict=tag, score=60, findings=(tor proxy), source="),
        (peer::SCANNER, "verdict=tag, score=40, findings=(scanner), source="),
    ] {
        for source in ["api", "cache"] {
            let reply = lab.ask(peer).path(&format!("/{peer}/{source}")).send().await?;
            assert_eq!(reply.upstream()?.header("x-criminalip"), [format!("{tag}{source}")], "{peer}");
            let entry = lab.wait_for_access(&format!("/{peer}/{source}")).await?;
            assert_eq!(entry["tag"], format!("{tag}{source}"), "filter state, {peer}");
        }
        assert_eq!(lab.fake.calls_about(peer).len(), 1, "{peer}");
    }
    lab.wait_for_metric("criminalip_decisions_total;action=tag;source=cache;mode=enforce", 2).await?;
    lab.wait_for_metric("criminalip_decisions_total;action=allow;source=api", 1).await?;
    lab.wait_for_metric("criminalip_lookups_total;outcome=assessed", 3).await
}

#[tokio::test]
async fn c2_is_refused_in_the_form_that_the_client_reads() -> Result<()> {
    let lab = Lab::with(json!({"deny": {"message": "Go <away>"}})).start().await?;
    let peer = peer::C2;
    for (accept, kind, body) in [
        ("", "text/plain; charset=utf-8", "Go <away>\n"),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "<h1>Go &lt;away&gt;</h1>"),
        ("application/json", "application/json", "\"error\":\"Go <away>\""),
    ] {
        let reply = lab.ask(peer).header("accept", accept).send().await?;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (403, Some(kind)), "{accept}");
        assert!(reply.text().contains(body), "{accept}: {}", reply.text());
    }
    let reply = lab.ask(peer).header("accept", "application/json").send().await?;
    let body: Value = serde_json::from_slice(&reply.body)?;
    assert_eq!((&body["peer"], &body["findings"]), (&json!("192.0.2.40"), &json!(["reputation", "c2"])), "{body}");
    assert_eq!(body["report"], "https://www.criminalip.io/asset/report/192.0.2.40");
    assert!(body["rule"].is_string(), "{body}");
    assert_eq!(lab.upstream.seen(), [], "nothing reached the upstream");
    Ok(())
}

#[tokio::test]
async fn a_grpc_client_gets_status_7() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    // Once after a wait, once at once: both ways of refusing.
    for _ in 0..2 {
        let ask = lab.ask(peer::C2).http2().path("/shop.Cart/Add").header("content-type", "application/grpc+proto");
        let reply = ask.header("te", "trailers").post(vec![0, 0, 0, 0, 0]).send().await?;
        assert_eq!((reply.status.as_u16(), reply.header("grpc-status")), (200, Some("7")), "{:?}", reply.headers);
        assert_eq!(reply.header("grpc-message").map(|text| text.starts_with("Access denied")), Some(true));
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_can_be_explained_from_its_log_line_and_its_access_log_entry() -> Result<()> {
    let lab = Lab::with(json!({})).start().await?;
    assert_eq!(lab.ask(peer::C2).path("/explained").send().await?.status.as_u16(), 403);
    let decision = lab.wait_for_decision(peer::C2).await?;
    for (field, expected) in [
        ("peer", json!("192.0.2.40")),
        ("direction", json!("ingress")),
        ("mode", json!("enforce")),
        ("action", json!("deny")),
        ("findings", json!(["reputation", "c2"])),
        ("score", json!(40)),
        ("source", json!("api")),
        ("report", json!("https://www.criminalip.io/asset/report/192.0.2.40")),
    ] {
        assert_eq!(decision[field], expected, "{field} of {decision}");
    }
    assert!(decision["rule"].is_string() && decision["age"].is_u64(), "{decision}");
    let line = lab.envoy.wait_for_log("\"peer\":\"192.0.2.40\"").await?;
    assert!(line.starts_with("warning wasm "), "{line}");
    let entry = lab.wait_for_access("/explained").await?;
    assert_eq!(entry["tag"], "verdict=deny, score=40, findings=(reputation c2), source=api");
    let details = entry["details"].as_str().unwrap_or_default();
    assert!(details.starts_with("criminalip_denied:"), "{entry}");
    Ok(())
}

#[tokio::test]
async fn in_shadow_mode_everything_passes_and_the_tag_says_what_would_have_happened() -> Result<()> {
    let lab = Lab::with(json!({"mode": "shadow"})).start().await?;
    let reply = lab.ask(peer::C2).send().await?;
    let seen = reply.upstream()?;
    assert_eq!(seen.header("x-criminalip"), ["would=deny, score=40, findings=(reputation c2), source=api"]);
    let decision = lab.wait_for_decision(peer::C2).await?;
    assert_eq!((&decision["action"], &decision["mode"]), (&json!("deny"), &json!("shadow")));
    lab.wait_for_metric("criminalip_decisions_total;action=deny;mode=shadow", 1).await
}

#[tokio::test]
async fn the_deployments_own_tag_places_status_and_log_are_used() -> Result<()> {
    let changes = json!({
        "tag": {"request_header": "x-peer", "response_header": "x-peer-verdict"},
        "deny": {"status": 451}, "log": "all",
    });
    let lab = Lab::with(changes).start().await?;
    let tagged = lab.ask(peer::TOR).header("x-criminalip", "not ours here").send().await?;
    assert_eq!(tagged.header("x-peer-verdict"), Some(TOR_TAG));
    assert_eq!(tagged.upstream()?.header("x-peer"), [TOR_TAG]);
    assert_eq!(tagged.upstream()?.header("x-criminalip"), ["not ours here"]);
    let refused = lab.ask(peer::C2).send().await?;
    assert_eq!(refused.status.as_u16(), 451);
    assert_eq!(refused.header("x-peer-verdict"), Some("verdict=deny, score=40, findings=(reputation c2), source=api"));
    assert_eq!(lab.wait_for_decision(peer::TOR).await?["action"], "tag");
    Ok(())
}

#[tokio::test]
async fn lists_decide_without_a_lookup_and_the_allow_list_wins() -> Result<()> {
    let lists = json!({
        "allow": [{"cidr": "192.0.2.40/32", "owner": "netops", "reason": "a sensor of ours"}],
        "deny": [{"cidr": "192.0.2.0/24", "reason": "incident 42"}, {"cidr": "10.9.0.0/16"}],
    });
    let lab = Lab::with(json!({"lists": lists})).start().await?;
    let allowed = lab.ask(peer::C2).send().await?.upstream()?;
    assert_eq!(allowed.header("x-criminalip"), ["verdict=allow, source=list"]);
    for denied in [peer::CLEAN, "10.9.8.7".parse()?] {
        assert_eq!(lab.ask(denied).send().await?.status.as_u16(), 403, "{denied}");
    }
    let decision = lab.wait_for_decision(peer::CLEAN).await?;
    assert_eq!((&decision["source"], &decision["list"]["reason"]), (&json!("list"), &json!("incident 42")));
    assert_eq!(lab.fake.calls().len(), 0);
    Ok(())
}

#[tokio::test]
async fn rules_see_the_request_that_waited_for_its_verdict() -> Result<()> {
    let rules = json!([
        {"name": "tor-login", "when": {"any": ["anonymity.tor"], "path_prefix": ["/login"], "method": ["POST"],
                                       "host": ["*.proxy.test", "proxy.test"]}, "then": "deny"},
    ]);
    let lab = Lab::with(json!({"policy": {"rules": rules}})).start().await?;
    let codes = |asks: Vec<host_test::client::Ask>| async move {
        let mut codes = Vec::new();
        for ask in asks {
            codes.push(ask.send().await?.status.as_u16());
        }
        anyhow::Ok(codes)
    };
    // The first waits for the lookup, the second finds the facts in the cache.
    let login = || lab.ask(peer::TOR).path("/login?next=/").post("user");
    assert_eq!(codes(vec![login(), login(), lab.ask(peer::TOR).path("/login")]).await?, [403, 403, 200]);
    assert_eq!(lab.wait_for_decision(peer::TOR).await?["rule"], "tor-login");
    Ok(())
}

#[tokio::test]
async fn a_clients_own_tag_never_reaches_the_upstream() -> Result<()> {
    let private: IpAddr = "10.1.2.3".parse()?;
    let lab = Lab::with(json!({"lists": {"allow": [{"cidr": "203.0.113.7/32"}]}}))
        .listener("shadow", json!({"mode": "shadow"}))
        .listener("failing", json!({"api": {"cluster": "nowhere"}}))
        .listener("hasty", json!({"first_look": {"hold": "0s"}}))
        .start()
        .await?;
    let tor = "verdict=tag, score=60, findings=(tor proxy), source=";
    for (listener, peer, ours) in [
        (MAIN, peer::TOR, Some(tor)),
        (MAIN, "203.0.113.7".parse()?, Some("verdict=allow, source=list")),
        (MAIN, private, None),
        ("shadow", peer::C2, Some("would=deny, score=40, findings=(reputation c2), source=")),
        ("shadow", private, None),
        ("failing", "198.51.100.9".parse()?, Some("verdict=allow, source=on_error")),
        // At first without facts, then with them.
        ("hasty", "198.51.100.10".parse()?, Some("verdict=allow, ")),
    ] {
        // The first request may wait, the others do not.
        for (name, http2) in [("x-criminalip", false), ("X-CriminalIP", false), ("x-criminalip", true)] {
            let ask = lab.ask_at(listener, Some(peer)).header(name, "verdict=allow, score=20, source=client");
            let mut ask = ask.header(name, b"\xff\xfe");
            if !http2 {
                // What `connection` names is dropped by whoever forwards the request.
                ask = ask.header("connection", format!("keep-alive, {name}"));
            }
            let seen = if http2 { ask.http2() } else { ask }.send().await?.upstream()?;
            let tags = seen.header("x-criminalip");
            let right = match ours {
                Some(start) => tags.len() == 1 && tags[0].starts_with(start) && !tags[0].contains("client"),
                None => tags.is_empty(),
            };
            assert!(right, "{listener} {peer} {name} http2: {http2}: {tags:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_clients_own_tag_does_not_come_through_as_a_trailer() -> Result<()> {
    let lab = Lab::with(json!({})).listener("shadow", json!({"mode": "shadow"})).start().await?;
    let request = b"POST / HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
        trailer: x-criminalip\r\n\r\n4\r\nbody\r\n0\r\nx-criminalip: mine\r\nx-other: kept\r\nX-CriminalIP: mine\r\n\r\n";
    for (listener, peer) in [(MAIN, peer::TOR), (MAIN, peer::TOR), (MAIN, "10.1.2.3".parse()?), ("shadow", peer::C2)] {
        let before = lab.upstream.seen().len();
        raw(lab.address(listener), Some(peer), request).await?;
        let seen = lab.upstream.wait_for(before + 1).await?.pop().expect("one at least");
        assert_eq!(seen.trailers, [("x-other".into(), "kept".into())], "{listener} {peer}");
        assert_eq!(seen.body_bytes, 4);
    }
    Ok(())
}

#[tokio::test]
async fn on_egress_the_destination_is_judged_by_its_outbound_level_and_its_port() -> Result<()> {
    let lab = Lab::with(json!({"direction": "egress"}))
        .listener("pipeline", json!({"direction": "egress", "policy": {"profile": "pipeline"}}))
        .start()
        .await?;
    for (listener, destination, port, status) in [
        (MAIN, peer::C2, 443, 403),
        (MAIN, peer::CLEAN, 443, 200),
        (MAIN, peer::v6(peer::C2), 443, 403),
        (MAIN, "10.0.0.1".parse()?, 443, 200),
        ("pipeline", peer::CLEAN, 443, 200),
        ("pipeline", peer::CLEAN, 22, 403),
        ("pipeline", peer::CLEAN, 55, 403),
        ("pipeline", peer::SELF_SIGNED, 443, 403),
        ("pipeline", peer::EXPIRED, 443, 403),
        ("pipeline", peer::GOOD_CERTIFICATE, 443, 200),
        ("pipeline", peer::OPENSSH, 443, 403),
        ("pipeline", peer::DIRECTORY_LISTING, 443, 403),
        ("pipeline", peer::MINING, 443, 403),
        ("pipeline", peer::VPN, 443, 403),
        ("pipeline", peer::OLD_NAMES, 443, 403),
    ] {
        let (family, source) = if destination.is_ipv4() { ("TCP4", "10.0.0.9") } else { ("TCP6", "fd00::9") };
        let request = format!(
            "PROXY {family} {source} {destination} 50000 {port}\r\n\
             GET / HTTP/1.1\r\nhost: proxy.test\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(lab.address(listener), None, request.as_bytes()).await?;
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        assert!(line.contains(&format!(" {status} ")), "{listener} {destination}:{port}: {line}");
    }
    Ok(())
}
