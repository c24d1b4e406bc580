//! The pipeline's operational scenarios, as the configurations in `envoy/scenarios` have them, in a real Envoy.

use anyhow::{Context, Result};
use host_test::{
    envoy::config::Place,
    lab::{LONGEST_WAIT, Lab, MAIN},
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// The machines inside.
const LAPTOPS: [IpAddr; 2] = [laptop(7), laptop(8)];

const fn laptop(last: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, last))
}

/// The public destination of this number.
fn destination(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

/// Where a client's own address leads, for the scenarios.
fn toward(number: u8, port: u16) -> SocketAddr {
    (destination(number), port).into()
}

/// A scenario's configuration, with a journal, as it is shipped.
fn scenario(name: &str) -> Result<Value> {
    let file = host_test::envoy::workspace().join("envoy/scenarios").join(name);
    Ok(serde_json::from_str(&std::fs::read_to_string(&file).with_context(|| file.display().to_string())?)?)
}

async fn scenario_lab(name: &str, server: &Server) -> Result<Lab> {
    let mut shipped = scenario(name)?;
    shipped["first_look"] = json!({"hold": LONGEST_WAIT});
    let place = Place::BeforeTcp(server.address());
    let lab = Lab::with(shipped).place(place).control().start().await?;
    ready(&lab).await?;
    Ok(lab)
}

async fn ready(lab: &Lab) -> Result<()> {
    lab.tell_outbound((101..=110).map(destination), &[101, 102].map(destination));
    lab.wait_for_workers(2).await
}

async fn open(lab: &Lab, from: IpAddr, to: SocketAddr) -> Result<Option<Client>> {
    let mut client = Client::between(from, to, lab.address(MAIN)).await?;
    client.send(b"hello").await?;
    Ok(client.read(5).await.is_ok().then_some(client))
}

fn asked(lab: &Lab) -> BTreeSet<IpAddr> {
    lab.fake.calls().iter().filter_map(|call| call.ip).collect()
}

/// An event for a machine: nothing is asked because of traffic, and then exactly what it reached.
async fn after_an_event(name: &str, kind: &str) -> Result<()> {
    let server = Server::start(b"")?;
    let lab = scenario_lab(name, &server).await?;
    let mut bad = open(&lab, LAPTOPS[0], toward(101, 443)).await?.context("it passes at first")?;
    let mut good = open(&lab, LAPTOPS[0], toward(103, 8443)).await?.context("it passes")?;
    let mut other = open(&lab, LAPTOPS[1], toward(102, 443)).await?.context("it passes")?;
    assert_eq!(asked(&lab), BTreeSet::new());
    let id = lab.hand_in(json!({"type": kind, "source": LAPTOPS[0]})).await?;
    let done = lab.wait_until_done(&id).await?;
    assert_eq!((&done["denied"], &done["credits"], &done["window"]), (&json!(1), &json!(2), &json!("5m")), "{done:#}");
    assert_eq!(asked(&lab), BTreeSet::from([destination(101), destination(103)]));
    bad.closed().await?;
    assert!(open(&lab, LAPTOPS[1], toward(101, 443)).await?.is_none());
    assert_eq!(good.exchange(b"more").await?, b"more");
    assert_eq!(other.exchange(b"more").await?, b"more");
    Ok(())
}

#[tokio::test]
async fn scenario_malware_alert() -> Result<()> {
    after_an_event("malware-alert.json", "malware").await
}

#[tokio::test]
async fn scenario_phishing_click() -> Result<()> {
    after_an_event("phishing-click.json", "phishing").await
}

/// What a developer's machine does on ports of logins and databases is validated at once, and the rest after its login.
#[tokio::test]
async fn scenario_developer_login() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = scenario_lab("developer-login.json", &server).await?;
    assert!(open(&lab, LAPTOPS[0], toward(101, 3306)).await?.is_none(), "denied before it connects");
    assert!(open(&lab, [10, 30, 0, 1].into(), toward(104, 3306)).await?.is_some(), "no developer's machine");
    let mut web = open(&lab, LAPTOPS[0], toward(102, 443)).await?.context("it passes at first")?;
    assert_eq!(asked(&lab), BTreeSet::from([destination(101)]));
    let id = lab.hand_in(json!({"type": "login", "source": LAPTOPS[0], "note": "login to the vault"})).await?;
    let done = lab.wait_until_done(&id).await?;
    assert_eq!((&done["validated"], &done["credits"]), (&json!(2), &json!(1)), "{done:#}");
    web.closed().await?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "the proxy goes by the clock on the wall, and so must what it is told")]
fn hours_since_1970() -> Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() / 3600)
}

/// The working hours are those of the test.
#[tokio::test]
async fn scenario_after_hours() -> Result<()> {
    let server = Server::start(b"")?;
    let mut shipped = scenario("after-hours.json")?;
    assert_eq!(shipped["select"]["after_hours"]["working"], "Mon-Fri 09:00-18:00");
    shipped["first_look"] = json!({"hold": LONGEST_WAIT});
    // Half an hour of each day that is not now.
    let hour = (hours_since_1970()? + 12) % 24;
    let working = format!("Mon-Sun {hour:02}:00-{hour:02}:30");
    shipped["select"]["after_hours"] = json!({"time_zone": "+00:00", "working": working});
    let lab = Lab::with(shipped).place(Place::BeforeTcp(server.address())).control().start().await?;
    ready(&lab).await?;
    assert!(open(&lab, LAPTOPS[0], toward(101, 443)).await?.is_none());
    assert!(open(&lab, LAPTOPS[0], toward(103, 443)).await?.is_some());
    assert_eq!(asked(&lab), BTreeSet::from([destination(101), destination(103)]));
    // An event looks back at all of it, and finds it known.
    let id = lab.hand_in(json!({"type": "after_hours", "window": "1m"})).await?;
    let done = lab.wait_until_done(&id).await?;
    assert_eq!((&done["validated"], &done["credits"]), (&json!(2), &json!(0)), "{done:#}");
    Ok(())
}

/// Only connections to other ports than those of the web are validated, as they come and by an event.
async fn by_port(name: &str, kind: &str, chosen: u16) -> Result<()> {
    let server = Server::start(b"")?;
    let lab = scenario_lab(name, &server).await?;
    assert!(open(&lab, LAPTOPS[0], toward(101, chosen)).await?.is_none());
    let mut web = open(&lab, LAPTOPS[0], toward(102, 443)).await?.context("it passes")?;
    assert_eq!(asked(&lab), BTreeSet::from([destination(101)]));
    let id = lab.hand_in(json!({"type": kind})).await?;
    let done = lab.wait_until_done(&id).await?;
    assert_eq!((&done["destinations"], &done["credits"]), (&json!(1), &json!(0)), "{done:#}");
    assert_eq!(web.exchange(b"more").await?, b"more");
    Ok(())
}

#[tokio::test]
async fn scenario_traffic_outside_80_and_443() -> Result<()> {
    by_port("unusual-ports.json", "unusual_port", 8081).await
}

#[tokio::test]
async fn scenario_critical_ports() -> Result<()> {
    by_port("critical-ports.json", "critical_port", 3389).await
}
