//! The shipped configurations for connections, in a real Envoy: plain TCP, sidecars, once per connection.

use anyhow::{Context, Result, bail};
use host_test::{
    client::{Ask, Http2},
    envoy,
    fake::{Rule, peer},
    lab::{
        DOCUMENTATION, LONGEST_WAIT, Lab,
        shipped::{lead, yaml},
    },
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::{fs, net::IpAddr, process::Command};

const TAG: &str = "x-criminalip";

/// The documentation's addresses can be looked up, and lookups have all the time they take.
fn public(mode: &str) -> Value {
    json!({"mode": mode, "scope": {"treat_as_public": DOCUMENTATION}, "first_look": {"hold": LONGEST_WAIT},
        "api": {"timeout": LONGEST_WAIT}})
}

/// Has the PROXY protocol say who the peer and the destination are.
fn by_proxy_protocol(bootstrap: &mut Value) {
    bootstrap["static_resources"]["listeners"][0]["listener_filters"] = json!([{
        "name": "envoy.filters.listener.proxy_protocol",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"},
    }]);
}

#[tokio::test]
async fn plain_tcp_reaches_the_service_after_the_verdict_only() -> Result<()> {
    let server = Server::start(b"hello")?;
    let lab = Lab::shipped("tcp-ingress.yaml", public("enforce"), |bootstrap| {
        by_proxy_protocol(bootstrap);
        lead(bootstrap, "upstream", server.address());
    })
    .await?;
    let at = lab.address("tcp-ingress");
    assert_eq!(Client::from(peer::C2, at).await?.closed().await?, b"");
    assert_eq!(server.accepted().len(), 0);
    assert_eq!(Client::from(peer::CLEAN, at).await?.read(5).await?, b"hello");
    let access: Value = serde_json::from_str(&lab.envoy.wait_for_access("wasm_downstream_close").await?)?;
    assert_eq!(access["client"], peer::C2.to_string());
    assert!(access["criminalip"].as_str().is_some_and(|tag| tag.starts_with("verdict=deny")), "{access}");
    Ok(())
}

async fn once(mode: &str, patch: impl FnOnce(&mut Value)) -> Result<Lab> {
    Lab::shipped("once-per-connection.yaml", public(mode), |bootstrap| {
        by_proxy_protocol(bootstrap);
        patch(bootstrap);
    })
    .await
}

fn ask(lab: &Lab, peer: IpAddr) -> Ask {
    lab.ask_at("once-per-connection", Some(peer)).header(TAG, "verdict=allow").header(TAG, "and again")
}

#[tokio::test]
async fn once_per_connection_every_request_has_the_connections_tag_and_never_the_clients() -> Result<()> {
    let lab = once("enforce", |_| {}).await?;
    let tor = "verdict=tag, score=60, findings=(tor proxy), source=";
    // On HTTP/1.1, and on one kept HTTP/2 connection.
    for source in ["api", "cache"] {
        let reply = ask(&lab, peer::TOR).send().await?;
        assert_eq!(reply.upstream()?.header(TAG), [format!("{tor}{source}")]);
    }
    let kept = Http2::connect(lab.address("once-per-connection"), Some(peer::TOR)).await?;
    for _ in 0..3 {
        let reply = kept.send(ask(&lab, peer::TOR)).await?;
        assert_eq!(reply.upstream()?.header(TAG), [format!("{tor}cache")]);
    }
    lab.wait_for_metric("criminalip_decisions_total", 3).await?;
    // Who is not judged has no tag, not even its own.
    let reply = ask(&lab, "10.0.0.1".parse()?).send().await?;
    assert_eq!(reply.upstream()?.header(TAG), [""; 0]);
    assert!(ask(&lab, peer::C2).send().await.is_err(), "it is closed");
    assert_eq!(lab.fake.calls().len(), 2);
    Ok(())
}

#[tokio::test]
async fn once_per_connection_shadow_mode_lets_all_pass_and_tags_what_would_have_been() -> Result<()> {
    let lab = once("shadow", |_| {}).await?;
    let reply = ask(&lab, peer::C2).send().await?;
    let seen = reply.upstream()?;
    let [tag] = seen.header(TAG)[..] else { bail!("{:?}", seen.headers) };
    assert!(tag.starts_with("would=deny"), "{tag}");
    Ok(())
}

/// The file has a filter in its comments. It is put in as it stands there.
#[tokio::test]
async fn once_per_connection_rbac_refuses_what_would_be_denied_also_what_is_learned_late() -> Result<()> {
    let file = fs::read_to_string(envoy::workspace().join("envoy/once-per-connection.yaml"))?;
    let commented = file.lines().skip_while(|line| !line.ends_with("# - name: envoy.filters.http.rbac"));
    let lines = commented.map_while(|line| line.trim_start().strip_prefix("# "));
    let lines = lines.take_while(|line| line.starts_with(['-', ' ']));
    let filters = yaml(&lines.collect::<Vec<_>>().join("\n"))?;
    let filter = filters.get(0).context("no filter")?.clone();
    let mut changes = public("shadow");
    changes["first_look"] = json!({"hold": "0s", "then": "allow"});
    let lab = Lab::shipped("once-per-connection.yaml", changes, |bootstrap| {
        by_proxy_protocol(bootstrap);
        let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][1];
        if let Some(filters) = manager["typed_config"]["http_filters"].as_array_mut() {
            filters.insert(0, filter);
        }
    })
    .await?;
    lab.fake.tell(Rule::hold());
    let kept = Http2::connect(lab.address("once-per-connection"), Some(peer::C2)).await?;
    assert_eq!(kept.send(ask(&lab, peer::C2)).await?.status.as_u16(), 200, "nothing is known yet");
    lab.fake.wait_for_calls(1).await?;
    lab.fake.release();
    lab.envoy.wait_for_log("\"late\":true").await?;
    assert_eq!(kept.send(ask(&lab, peer::C2)).await?.status.as_u16(), 403);
    assert_eq!(ask(&lab, peer::C2).send().await?.status.as_u16(), 403);
    lab.fake.wait_until_idle().await?;
    Ok(())
}

#[tokio::test]
async fn a_sidecar_goes_to_where_the_connection_was_to_go() -> Result<()> {
    for direction in ["inbound", "outbound"] {
        let server = Server::start(b"hello")?;
        let name = format!("sidecar-{direction}");
        let lab = Lab::shipped(&format!("{name}.yaml"), public("enforce"), by_proxy_protocol).await?;
        let at = lab.address(&name);
        let mut passed = Client::toward(server.address(), at).await?;
        assert_eq!(passed.read(5).await?, b"hello");
        let mut denied = match direction {
            "inbound" => Client::from(peer::C2, at).await?,
            _ => Client::toward((peer::C2, 443).into(), at).await?,
        };
        assert_eq!(denied.closed().await?, b"");
        lab.envoy.wait_for_access("verdict=deny").await?;
        assert_eq!(lab.fake.calls().len(), 1);
    }
    Ok(())
}

/// Set where this program runs in a network of its own.
const OWN_NETWORK: &str = "PORTCULLIS_TEST_NETWORK";

/// Runs a program that sets up the network.
fn run(command: &str) -> Result<()> {
    let mut words = command.split(' ');
    let output = Command::new(words.next().context("no program")?).args(words).output()?;
    if !output.status.success() {
        bail!("{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Runs the test of this name again, in a network of its own. `false` when it runs there already.
#[allow(clippy::disallowed_macros, reason = "this runs outside the proxy")]
fn in_own_network(test: &str) -> Result<bool> {
    if std::env::var_os(OWN_NETWORK).is_some() {
        return Ok(false);
    }
    let unshare = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", program]).args(arguments).env(OWN_NETWORK, "1");
        command
    };
    let possible = unshare("sh", &["-c", "ip link set lo up && iptables -w -t nat -S"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine gives us no network with iptables of our own");
        return Ok(true);
    }
    let own = std::env::current_exe()?;
    let status = unshare(&own.display().to_string(), &["--exact", test, "--nocapture"]).status()?;
    if !status.success() {
        bail!("failed in a network of its own: {status}");
    }
    Ok(true)
}

/// As the comments of the files say, but that the proxy's own connections are told by their address rather than by its
/// user: here all runs as one.
#[tokio::test]
async fn a_sidecar_behind_iptables_judges_the_original_source_and_destination() -> Result<()> {
    if in_own_network("a_sidecar_behind_iptables_judges_the_original_source_and_destination")? {
        return Ok(());
    }
    let workload: IpAddr = "192.0.2.200".parse()?;
    run("ip link set lo up")?;
    for address in [peer::CLEAN, peer::C2, workload] {
        run(&format!("ip address add {address}/32 dev lo"))?;
    }
    let outbound = Lab::shipped("sidecar-outbound.yaml", public("enforce"), |_| {}).await?;
    let inbound = Lab::shipped("sidecar-inbound.yaml", public("enforce"), |_| {}).await?;
    let redirect = |what: &str, lab: &Lab, name: &str| {
        let port = lab.address(name).port();
        run(&format!("iptables -w -t nat -A OUTPUT -p tcp {what} -j REDIRECT --to-ports {port}"))
    };
    redirect(&format!("-s {workload} --dport 5432"), &outbound, "sidecar-outbound")?;
    redirect(&format!("! -s {workload} -d {workload} --dport 8000"), &inbound, "sidecar-inbound")?;

    let good = Server::start_at((peer::CLEAN, 5432).into(), b"good")?;
    let bad = Server::start_at((peer::C2, 5432).into(), b"bad")?;
    assert_eq!(Client::bound(workload, good.address()).await?.read(4).await?, b"good");
    assert_eq!(Client::bound(workload, bad.address()).await?.closed().await?, b"");
    let decision = outbound.wait_for_decision(peer::C2).await?;
    assert_eq!(decision["connection"]["port"], 5432);
    assert_eq!((good.accepted().len(), bad.accepted().len()), (1, 0));

    let server = Server::start_at((workload, 8000).into(), b"workload")?;
    assert_eq!(Client::bound(peer::CLEAN, server.address()).await?.read(8).await?, b"workload");
    assert_eq!(Client::bound(peer::C2, server.address()).await?.closed().await?, b"");
    let decision = inbound.wait_for_decision(peer::C2).await?;
    assert_eq!((&decision["direction"], &decision["connection"]["port"]), (&"ingress".into(), &8000.into()));
    assert_eq!(server.accepted().len(), 1);
    Ok(())
}
