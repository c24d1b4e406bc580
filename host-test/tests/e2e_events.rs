//! The control listener: events, overrides and what they change, in a real Envoy with several workers.

use anyhow::{Context, Result, ensure};
use host_test::{
    client::Ask,
    envoy::config::Place,
    eventually,
    fake::{Options, Rule},
    lab::{CONTROL, LONGEST_WAIT, Lab, MAIN, READ_TOKEN, WRITE_TOKEN, outbound, plugin},
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

const WORKERS: u16 = 3;
/// The machines inside.
const LAPTOPS: [IpAddr; 3] = [laptop(7), laptop(8), laptop(9)];
/// The name of the listener for TCP.
const TCP: &str = "tcp";

const fn laptop(last: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, last))
}

/// The public destination of this number.
fn destination(number: u8) -> IpAddr {
    [192, 0, 2, number].into()
}

/// Gates that spend no credit on traffic alone, and write everything down.
fn gate() -> Value {
    json!({"direction": "egress", "select": {"mode": "events"}, "journal": {"entries": 4096}, "log": "all",
        "api": {"concurrency": 4, "budget": {"per_day": 1000, "reserve_for_events": 500}}})
}

fn connections() -> Value {
    let mut gate = gate();
    gate["role"] = json!("network");
    gate
}

async fn lab(server: &Server) -> Result<Lab> {
    let lab = Lab::with(gate())
        .listener(TCP, connections())
        .place(Place::BeforeTcp(server.address()))
        .control()
        .fake(Options { concurrency: None, ..Options::default() })
        .workers(WORKERS)
        .start()
        .await?;
    // Every worker, and the main thread, has said that it is there.
    lab.wait_for_workers(usize::from(WORKERS) + 1).await?;
    Ok(lab)
}

fn request(lab: &Lab, from: IpAddr, to: u8) -> Ask {
    lab.ask_at(MAIN, Some(from)).toward((destination(to), 80).into())
}

async fn tunnel(lab: &Lab, from: IpAddr, to: u8) -> Result<Client> {
    let mut client = Client::between(from, (destination(to), 443).into(), lab.address(TCP)).await?;
    client.exchange(b"hello").await?;
    Ok(client)
}

/// How many connections each worker has had on this listener.
async fn by_worker(lab: &Lab, listener: &str) -> Result<Vec<u64>> {
    let stats = lab.envoy.stats().await?;
    let of = |worker| stats.get(&format!("listener.{listener}.worker_{worker}.downstream_cx_total")).copied();
    Ok((0..WORKERS).map(|worker| of(worker).unwrap_or(0)).collect())
}

/// Sends requests until each worker has had one since, and gives their statuses.
async fn on_every_worker(lab: &Lab, from: IpAddr, to: u8) -> Result<BTreeSet<u16>> {
    let before = by_worker(lab, MAIN).await?;
    let mut statuses = BTreeSet::new();
    for _ in 0..50 {
        for _ in 0..4 {
            statuses.insert(request(lab, from, to).send().await?.status.as_u16());
        }
        let now = by_worker(lab, MAIN).await?;
        if before.iter().zip(&now).all(|(before, now)| before < now) {
            return Ok(statuses);
        }
    }
    anyhow::bail!("some worker gets no connection: {before:?}, {:?}", by_worker(lab, MAIN).await?)
}

#[tokio::test]
async fn an_alert_for_one_of_three_laptops_has_its_destinations_validated_and_the_bad_ones_denied() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server).await?;
    let bad = [105, 112, 138];
    lab.tell_outbound((101..=140).map(destination), &bad.map(destination));
    // One destination is known already.
    lab.operate("POST", &format!("/v1/peers/{}/lookup", destination(103)), Value::Null, 202).await?;
    eventually(async || {
        lab.operate("GET", &format!("/v1/peers/{}", destination(103)), Value::Null, 200).await?;
        Ok(())
    })
    .await?;
    // Forty destinations by three laptops: the first goes to 101 to 120, the others overlap and go further.
    let mut open = BTreeMap::new();
    for (laptop, to) in [(LAPTOPS[0], 101..=120), (LAPTOPS[1], 115..=130), (LAPTOPS[2], 125..=140)] {
        for number in to {
            if number % 2 == 0 {
                assert_eq!(request(&lab, laptop, number).send().await?.status, 200, "{number}");
            } else {
                open.insert((laptop, number), tunnel(&lab, laptop, number).await?);
            }
        }
    }
    // Another laptop has a connection to one of the bad destinations of the first.
    open.insert((LAPTOPS[2], 105), tunnel(&lab, LAPTOPS[2], 105).await?);
    // And the first one to a private destination.
    let private = lab.ask_at(MAIN, Some(LAPTOPS[0])).toward(([10, 9, 9, 9], 80).into()).send().await?;
    assert_eq!(private.status, 200);
    assert_eq!(lab.fake.calls().len(), 1, "traffic alone spends nothing");

    let id = lab.hand_in(json!({"type": "malware", "source": LAPTOPS[0], "note": "laptop 7"})).await?;
    let done = lab.wait_until_done(&id).await?;
    let validated: BTreeSet<_> = lab.fake.calls().iter().skip(1).filter_map(|call| call.ip).collect();
    let expected: BTreeSet<_> = (101..=120).filter(|number| *number != 103).map(destination).collect();
    assert_eq!(validated, expected, "only what the laptop reached and nobody knew");
    assert_eq!(lab.fake.calls().len(), 20, "each but once");
    for (key, count) in [("destinations", 20), ("validated", 20), ("credits", 19), ("denied", 2), ("connections", 20)] {
        assert_eq!(done[key], count, "{key}: {done:#}");
    }
    assert_eq!(done["workers"]["expected"], done["workers"]["answered"]);
    lab.wait_for_metric("criminalip_credits_spent_today", 20).await?;

    // Denied on every worker from then on.
    for number in [105, 112] {
        assert_eq!(on_every_worker(&lab, LAPTOPS[1], number).await?, BTreeSet::from([403]), "{number}");
    }
    for key in [(LAPTOPS[0], 105), (LAPTOPS[2], 105)] {
        let mut client = open.remove(&key).context("it was open")?;
        client.closed().await?;
    }
    // Nothing else is touched: 138 is bad, but nobody asked.
    assert_eq!(request(&lab, LAPTOPS[2], 138).send().await?.status, 200);
    for ((laptop, number), client) in &mut open {
        assert_eq!(client.exchange(b"still here").await?, b"still here", "{laptop} {number}");
    }
    assert_eq!(lab.fake.calls().len(), 20);
    let audit = lab.operate("GET", "/v1/audit", Value::Null, 200).await?;
    let what: Vec<_> = audit["entries"].as_array().into_iter().flatten().map(|entry| &entry["what"]).collect();
    assert_eq!(what, ["event", "lookup"]);
    lab.envoy.wait_for_log(&format!(r#""what":"event","object":"{id}""#)).await?;
    Ok(())
}

#[tokio::test]
async fn an_override_counts_on_every_worker_and_can_be_taken_back() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server).await?;
    let mut held = tunnel(&lab, LAPTOPS[0], 150).await?;
    let mut other = tunnel(&lab, LAPTOPS[0], 151).await?;
    assert_eq!(on_every_worker(&lab, LAPTOPS[0], 150).await?, BTreeSet::from([200]));
    let deny = json!({"action": "deny", "owner": "soc", "reason": "incident 42"});
    lab.operate("PUT", "/v1/overrides/192.0.2.150", deny.clone(), 201).await?;
    held.closed().await?;
    eventually(async || {
        let statuses = on_every_worker(&lab, LAPTOPS[1], 150).await?;
        ensure!(statuses == BTreeSet::from([403]), "{statuses:?}");
        Ok(())
    })
    .await?;
    assert_eq!(other.exchange(b"still here").await?, b"still here");
    let decision = lab.wait_for_decision(destination(150)).await?;
    let line = lab.decisions().into_iter().find(|line| line["rule"] == "override").context("no line")?;
    assert_eq!(
        (&line["source"], &line["list"]),
        (&json!("override"), &json!({"cidr": "192.0.2.150/32", "owner": "soc", "reason": "incident 42"})),
        "{decision}"
    );
    lab.operate("DELETE", "/v1/overrides/192.0.2.150%2F32?reason=over", Value::Null, 204).await?;
    eventually(async || {
        let statuses = on_every_worker(&lab, LAPTOPS[1], 150).await?;
        ensure!(statuses == BTreeSet::from([200]), "{statuses:?}");
        Ok(())
    })
    .await
}

/// Connections to a destination, one at least on each worker.
async fn tunnels_on_every_worker(lab: &Lab, to: u8) -> Result<Vec<Client>> {
    let before = by_worker(lab, TCP).await?;
    let mut tunnels = Vec::new();
    for _ in 0..100 {
        tunnels.push(tunnel(lab, LAPTOPS[0], to).await?);
        if before.iter().zip(by_worker(lab, TCP).await?).all(|(before, now)| *before < now) {
            return Ok(tunnels);
        }
    }
    anyhow::bail!("some worker gets no connection: {before:?}")
}

/// How long a word and its answer take over all of them, one after the other.
async fn all_answered(tunnels: &mut [Client]) -> Result<Duration> {
    let start = Instant::now();
    for tunnel in tunnels {
        tunnel.exchange(b"still here").await?;
    }
    Ok(start.elapsed())
}

/// How long it takes until all of them are closed.
async fn all_closed(tunnels: Vec<Client>) -> Result<Duration> {
    let start = Instant::now();
    for mut tunnel in tunnels {
        tunnel.closed().await?;
    }
    Ok(start.elapsed())
}

/// Workers tell each other, and look by themselves every 0.9 seconds. A machine that is busy with something else gets another
/// two chances, and as much longer as it takes for ten times the same traffic.
#[tokio::test]
async fn from_the_answer_or_the_override_to_closed_connections_on_all_workers_it_takes_less_than_a_second() -> Result<()>
{
    let server = Server::start(b"")?;
    let lab = lab(&server).await?;
    let (mut answered, mut overridden) = (Vec::new(), Vec::new());
    for number in [201, 202, 203] {
        let mut tunnels = tunnels_on_every_worker(&lab, number).await?;
        lab.fake.tell(Rule { held: true, ..outbound(destination(number), true) });
        lab.hand_in(json!({"type": "malware", "source": LAPTOPS[0]})).await?;
        lab.fake.wait_for_call_about(destination(number)).await?;
        let pace = all_answered(&mut tunnels).await?;
        lab.fake.release();
        answered.push((all_closed(tunnels).await?, pace));
        assert_eq!(on_every_worker(&lab, LAPTOPS[1], number).await?, BTreeSet::from([403]), "{number}");

        let number = number + 10;
        let mut tunnels = tunnels_on_every_worker(&lab, number).await?;
        let pace = all_answered(&mut tunnels).await?;
        let deny = json!({"action": "deny", "owner": "soc", "reason": "incident 42"});
        lab.operate("PUT", &format!("/v1/overrides/{}", destination(number)), deny, 201).await?;
        overridden.push((all_closed(tunnels).await?, pace));
        assert_eq!(on_every_worker(&lab, LAPTOPS[1], number).await?, BTreeSet::from([403]), "{number}");
    }
    for times in [answered, overridden] {
        assert!(times.iter().any(|(time, pace)| *time < Duration::from_secs(1) + *pace * 10), "{times:?}");
    }
    Ok(())
}

#[tokio::test]
async fn who_is_not_let_in_changes_nothing() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server).await?;
    let deny = json!({"action": "deny", "owner": "soc", "reason": "r"}).to_string();
    for (token, expected) in [(None, 401), (Some("wrong-0123456789abcdef"), 401), (Some(READ_TOKEN), 403)] {
        for (method, path, body) in [
            ("PUT", "/v1/overrides/192.0.2.160", &*deny),
            ("DELETE", "/v1/overrides/192.0.2.161", ""),
            ("POST", "/v1/events", r#"{"type": "other"}"#),
            ("POST", "/v1/peers/192.0.2.160/lookup", ""),
        ] {
            let mut ask = lab.ask_at(CONTROL, None).path(path).header("content-type", "application/json");
            if let Some(token) = token {
                ask = ask.header("authorization", format!("Bearer {token}"));
            }
            let reply = ask.post(body.to_owned()).method(method.parse()?).send().await?;
            assert_eq!(reply.status.as_u16(), expected, "{method} {path} {token:?}: {}", reply.text());
            assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        }
    }
    let read = lab.ask_at(CONTROL, None).header("authorization", format!("Bearer {READ_TOKEN}"));
    for path in ["/v1/overrides", "/v1/events", "/v1/audit"] {
        let reply = read.clone().path(path).send().await?;
        assert_eq!(reply.status, 200);
        let lists: Value = serde_json::from_slice(&reply.body)?;
        assert!(lists.as_object().context("an object")?.values().all(|list| list == &json!([])), "{lists}");
    }
    assert!(lab.fake.calls().is_empty());
    let dump = lab.envoy.admin("/config_dump").await?;
    assert!(!dump.contains(WRITE_TOKEN) && !lab.envoy.log().iter().any(|line| line.contains(WRITE_TOKEN)));
    Ok(())
}

#[tokio::test]
async fn bodies_in_pieces_are_read_and_those_that_are_too_long_or_never_come_are_refused() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server).await?;
    let body = json!({"action": "deny", "owner": "soc", "reason": "in two pieces"}).to_string();
    let head = |length: usize| {
        format!(
            "PUT /v1/overrides/192.0.2.170 HTTP/1.1\r\nhost: control\r\nauthorization: Bearer {WRITE_TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )
    };
    let mut stream = tokio::net::TcpStream::connect(lab.address(CONTROL)).await?;
    stream.set_nodelay(true)?;
    let (first, second) = body.split_at(20);
    stream.write_all(format!("{}{first}", head(body.len())).as_bytes()).await?;
    // The first piece is with the filter once it has been asked about.
    lab.envoy.wait_for_stat("http.control.downstream_rq_active", 1).await?;
    stream.write_all(second.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let long = format!("{}{}", body, " ".repeat(17 << 10));
    let reply = lab.control("/v1/events").header("content-type", "application/json").post(long.clone()).send().await?;
    assert_eq!(reply.status, 413);
    // Without a length there is nothing to refuse until it has come.
    let mut stream = tokio::net::TcpStream::connect(lab.address(CONTROL)).await?;
    let chunked = head(0).replace("content-length: 0", "transfer-encoding: chunked");
    stream.write_all(format!("{chunked}{:x}\r\n{long}\r\n", long.len()).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut stream = tokio::net::TcpStream::connect(lab.address(CONTROL)).await?;
    stream.write_all(format!("{}{first}", head(body.len())).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn everything_survives_an_update_of_the_configuration() -> Result<()> {
    let mut lab = Lab::with(gate())
        .control()
        .fake(Options { concurrency: None, ..Options::default() })
        .workers(WORKERS)
        .following()
        .start()
        .await?;
    lab.wait_for_workers(usize::from(WORKERS) + 1).await?;
    lab.tell_outbound((101..=110).map(destination), &[105].map(destination));
    for number in 101..=110 {
        request(&lab, LAPTOPS[0], number).send().await?;
    }
    let deny = json!({"action": "deny", "owner": "soc", "reason": "incident 42"});
    lab.operate("PUT", "/v1/overrides/192.0.2.150", deny, 201).await?;
    let first = lab.hand_in(json!({"type": "critical_port", "source": LAPTOPS[0]})).await?;
    lab.wait_until_done(&first).await?;
    let mut changed = gate();
    changed["deny"] = json!({"status": 451});
    lab.update(plugin(changed).to_string())?;
    eventually(async || {
        lab.refresh().await?;
        let status = request(&lab, LAPTOPS[1], 150).send().await?.status.as_u16();
        ensure!(status == 451, "{status}");
        Ok(())
    })
    .await?;
    // The old configuration is gone, the journal is not.
    eventually(async || {
        let status = lab.operate("GET", "/v1/status", Value::Null, 200).await?;
        ensure!(status["gates"].as_array().map(Vec::len) == Some(1), "{status}");
        Ok(())
    })
    .await?;
    let id = lab.hand_in(json!({"type": "phishing", "source": LAPTOPS[0]})).await?;
    let done = lab.wait_until_done(&id).await?;
    assert_eq!(
        (&done["validated"], &done["credits"], &done["denied"]),
        (&json!(10), &json!(10), &json!(1)),
        "{done:#}"
    );
    assert_eq!(on_every_worker(&lab, LAPTOPS[1], 105).await?, BTreeSet::from([451]));
    let audit = lab.operate("GET", "/v1/audit", Value::Null, 200).await?;
    let events = lab.operate("GET", "/v1/events", Value::Null, 200).await?;
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    assert_eq!((count(&audit["entries"]), count(&events["events"])), (3, 2));
    Ok(())
}

#[tokio::test]
async fn a_control_listener_without_credentials_is_refused_with_all_that_is_missing() -> Result<()> {
    for (control, expected) in [
        (json!(null), &["anybody could use the control listener"][..]),
        (json!({}), &["anybody could use the control listener"]),
        (
            json!({"read_token_env": "NOT_THERE", "write_token_env": "SHORT"}),
            &[
                "control.read_token_env: there is no variable NOT_THERE",
                "control.write_token_env: the variable SHORT is too short to be a token",
            ],
        ),
    ] {
        let mut document = json!({"role": "control", "api": {"cluster": "criminalip"}});
        if !control.is_null() {
            document["control"] = control;
        }
        let lab = Lab::with(json!({})).verbatim(CONTROL, &document.to_string()).place(Place::Control);
        let refused = lab.environment("SHORT", "short").start().await.err().context("it started")?;
        let refused = format!("{refused:#}");
        assert!(expected.iter().all(|mistake| refused.contains(mistake)), "{document}: {refused}");
    }
    Ok(())
}

#[tokio::test]
async fn a_siem_hands_its_alert_in_by_the_shipped_program_once() -> Result<()> {
    let lab = Lab::with(gate()).control().start().await?;
    lab.wait_for_workers(2).await?;
    let file = host_test::envoy::workspace().join("envoy/siem-alert.py");
    let alert = json!({"@timestamp": "2026-03-30T09:00:00.000Z", "host": {"ip": ["10.20.0.7"]},
        "rule": {"name": "EDR: Emotet"}, "event": {"id": "alert-4711"}});
    let mut names = BTreeSet::new();
    for _ in 0..2 {
        let mut command = Command::new("python3");
        command.arg(&file).arg("malware").stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("PORTCULLIS_URL", format!("http://{}", lab.address(CONTROL))).env("PORTCULLIS_TOKEN", WRITE_TOKEN);
        let mut child = command.spawn()?;
        child.stdin.take().context("no input")?.write_all(alert.to_string().as_bytes())?;
        let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
        ensure!(output.status.success(), "{output:?}");
        names.insert(String::from_utf8(output.stdout)?.trim().to_owned());
    }
    let events = lab.operate("GET", "/v1/events", Value::Null, 200).await?;
    let known: BTreeSet<_> =
        events["events"].as_array().into_iter().flatten().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
    let event = &events["events"][0];
    assert_eq!((&event["at"], &event["note"]), (&json!("2026-03-30T09:00:00Z"), &json!("EDR: Emotet")), "{event}");
    Ok(())
}

#[tokio::test]
async fn the_shipped_configuration_serves_operators_and_nobody_else() -> Result<()> {
    let lab = Lab::shipped("control.yaml", json!({"api": {"timeout": LONGEST_WAIT}}), |_| {}).await?;
    lab.wait_for_workers(2).await?;
    let status = lab.operate("GET", "/v1/status", Value::Null, 200).await?;
    assert_eq!(status["gates"][0]["journal"], 8192, "they are one VM: {status}");
    let reply = lab.ask_at(CONTROL, None).path("/v1/status").send().await?;
    assert_eq!(reply.status, 401);
    let deny = json!({"action": "deny", "owner": "soc", "reason": "incident 42"});
    lab.operate("PUT", "/v1/overrides/203.0.113.0/24", deny, 201).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_found_has_the_name_that_a_client_gave_it_and_the_bytes_that_it_sent() -> Result<()> {
    let server = Server::start(b"")?;
    let lab = lab(&server).await?;
    for body in ["one", "three"] {
        let ask = request(&lab, laptop(7), 10).header("host", "files.example:80").post(body);
        assert_eq!(ask.send().await?.status, 200);
    }
    drop(tunnel(&lab, laptop(7), 11).await?);
    // The server sees the end before the worker does.
    lab.envoy.wait_for_stat(&format!("listener.{TCP}.downstream_cx_active"), 0).await?;
    let id = lab.hand_in(json!({"type": "malware", "source": laptop(7).to_string()})).await?;
    let event = lab.wait_until_done(&id).await?;
    let found: BTreeMap<_, _> = event["found"]
        .as_array()
        .context("found")?
        .iter()
        .map(|found| (found["peer"].as_str().unwrap_or_default(), (&found["name"], &found["received_bytes"])))
        .collect();
    let (request, tunnel) = (destination(10).to_string(), destination(11).to_string());
    assert_eq!(found[request.as_str()], (&json!("files.example"), &json!(8)), "{event:#}");
    assert_eq!(found[tunnel.as_str()], (&Value::Null, &json!(5)), "{event:#}");
    Ok(())
}
