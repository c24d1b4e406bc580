//! Notifications: a real Envoy tells webhooks of peers, and a receiver takes them, or does not.

use anyhow::{Context, Result, ensure};
use host_test::{
    client::Ask,
    envoy::{config::Place, workspace},
    eventually,
    fake::peer,
    feed::{FeedServer, Fetched, Page},
    lab::{
        Builder, Lab, MAIN, plugin,
        shipped::{WEBHOOK_PATH, lead},
    },
    tcp::{Client, Server},
};
use serde_json::{Value, json};
use std::{
    fs,
    net::IpAddr,
    process::{Command, Stdio},
};

/// `whsec_` and thirty-two bytes, for tests alone.
const SECRET: &str = "whsec_cG9ydGN1bGxpcyBwb3J0Y3VsbGlzIHBvcnRjdWxsaXMh";
const VARIABLE: &str = "PORTCULLIS_WEBHOOK_SECRET";

fn notify(path: &str) -> Value {
    json!({"cluster": "soc", "authority": "hooks.internal", "path": path})
}

fn lab(receiver: &FeedServer, changes: Value) -> Builder {
    Lab::with(changes).cluster("soc", receiver.address())
}

fn signed(path: &str) -> Value {
    let mut notify = notify(path);
    notify["secret_env"] = VARIABLE.into();
    json!({"notify": notify})
}

fn receiver(status: u16) -> Result<FeedServer> {
    let receiver = FeedServer::start()?;
    receiver.put("/hook", Page { status, ..Page::of("ok") });
    Ok(receiver)
}

fn peers(message: &Fetched) -> Result<Vec<String>> {
    let body: Value = serde_json::from_slice(&message.body)?;
    let told = body["notifications"].as_array().with_context(|| body.to_string())?;
    Ok(told.iter().filter_map(|told| told["peer"].as_str()).map(str::to_owned).collect())
}

/// Whether the receiver of `docs/notifications.md` takes this message for genuine at this time.
fn verifies(secret: &str, message: &Fetched, body: &[u8], now: &str) -> Result<bool> {
    let page = fs::read_to_string(workspace().join("docs/notifications.md"))?;
    let example = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).context("no example")?;
    let header = |name| message.header(name).with_context(|| format!("no {name}"));
    let arguments = [header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?, now];
    let call = "import sys\n\
         id, at, signature, now = sys.argv[1:]\n\
         headers = {'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature}\n\
         print(verify(os.environ['SECRET'], headers, sys.stdin.buffer.read(), float(now)))\n";
    let mut python = Command::new("python3")
        .args(["-c", &format!("import os\n{example}\n{call}")])
        .args(arguments)
        .env("SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut python.stdin.take().context("standard input")?, body)?;
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "the example fails");
    Ok(String::from_utf8(output.stdout)?.trim() == "True")
}

#[tokio::test]
async fn a_bad_peer_is_told_once_for_all_workers_in_a_message_that_the_documented_receiver_verifies() -> Result<()> {
    let receiver = receiver(200)?;
    let lab = lab(&receiver, signed("/hook")).environment(VARIABLE, SECRET).workers(3).start().await?;
    for peer in [peer::CRITICAL, peer::TOR, peer::CLEAN].repeat(20) {
        lab.ask(peer).send().await?;
    }
    lab.wait_for_metric("criminalip_notifications_total;outcome=delivered", 1).await?;
    // Known by now to all workers, however often it comes.
    for _ in 0..20 {
        assert_eq!(lab.ask(peer::CRITICAL).send().await?.status.as_u16(), 403);
    }
    let [message] = &receiver.fetched("/hook")[..] else { panic!("{:?}", receiver.fetched("/hook")) };
    assert_eq!(peers(message)?, [peer::CRITICAL.to_string()]);
    assert_eq!(message.method, "POST");
    assert_eq!(message.header("host"), Some("hooks.internal"));
    assert_eq!(message.header("content-type"), Some("application/json"));
    assert_eq!(message.header("x-api-key"), None, "the key is for Criminal IP alone");
    let body: Value = serde_json::from_slice(&message.body)?;
    let told = &body["notifications"][0];
    assert_eq!((&told["event"], &told["score"], &told["direction"]), (&json!("peer"), &json!(100), &json!("ingress")));
    assert_eq!(told["report"], format!("https://www.criminalip.io/asset/report/{}", peer::CRITICAL));

    let at: u64 = message.header("webhook-timestamp").context("no time")?.parse()?;
    let soon = (at + 299).to_string();
    assert!(verifies(SECRET, message, &message.body, &soon)?);
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(!verifies(other, message, &message.body, &soon)?, "another secret");
    assert!(!verifies(SECRET, message, b"{}", &soon)?, "another body");
    assert!(!verifies(SECRET, message, &message.body, &(at + 301).to_string())?, "an old message");
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_and_no_request_waits_for_it() -> Result<()> {
    let receiver = receiver(503)?;
    let lab = lab(&receiver, signed("/hook")).environment(VARIABLE, SECRET).start().await?;
    assert_eq!(lab.ask(peer::CRITICAL).send().await?.status.as_u16(), 403);
    receiver.wait_for("/hook", 2).await?;
    eventually(async || {
        let busy = lab.metric("criminalip_deliveries_total;outcome=busy").await?;
        ensure!(busy >= 2, "{busy}");
        Ok(())
    })
    .await?;
    lab.envoy.wait_for_log(r#"{"event":"notify","to":"hooks.internal","outcome":"busy""#).await?;
    // The next peer's news wait their turn; its request does not.
    let critical: IpAddr = "2001:db8::50".parse()?;
    assert_eq!(lab.ask(critical).send().await?.status.as_u16(), 403);
    receiver.put("/hook", Page::of("ok"));
    lab.wait_for_metric("criminalip_notifications_total;outcome=delivered", 2).await?;
    let messages = receiver.fetched("/hook");
    let [tries @ .., next] = &messages[..] else { panic!("no messages") };
    let ids: Vec<_> = tries.iter().map(|message| message.header("webhook-id")).collect();
    assert!(ids.len() >= 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(tries.iter().all(|message| message.body == tries[0].body));
    let times: Vec<_> = tries.iter().map(|message| message.header("webhook-timestamp")).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "each try is signed anew: {times:?}");
    assert_eq!(peers(next)?, [critical.to_string()]);
    assert_ne!(next.header("webhook-id"), ids[0]);
    lab.envoy.wait_for_log(r#""to":"hooks.internal","outcome":"delivered""#).await?;
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_not_there_or_refuses_costs_notifications_and_nothing_else() -> Result<()> {
    let refusing = receiver(401)?;
    let lab = lab(&refusing, json!({"notify": notify("/hook")})).start().await?;
    assert_eq!(lab.ask(peer::CRITICAL).send().await?.status.as_u16(), 403);
    lab.wait_for_metric("criminalip_notifications_total;outcome=refused", 1).await?;
    assert_eq!(refusing.fetched("/hook").len(), 1);
    assert_eq!(refusing.fetched("/hook")[0].header("webhook-signature"), None, "no secret, no signature");
    let gone = refusing.address();
    drop(refusing);

    let lab = Lab::with(json!({"notify": notify("/hook")})).cluster("soc", gone).start().await?;
    assert_eq!(lab.ask(peer::CRITICAL).send().await?.status.as_u16(), 403);
    eventually(async || {
        ensure!(lab.metric("criminalip_deliveries_total;outcome=connection").await? >= 2);
        Ok(())
    })
    .await?;
    assert_eq!(lab.ask(peer::TOR).send().await?.status.as_u16(), 200);
    let lab =
        Lab::with(json!({"notify": {"cluster": "nowhere", "authority": "a.internal", "path": "/"}})).start().await?;
    assert_eq!(lab.ask(peer::CRITICAL).send().await?.status.as_u16(), 403);
    lab.envoy.wait_for_log(r#""to":"a.internal","outcome":"not_sent""#).await?;
    Ok(())
}

#[tokio::test]
async fn each_listener_tells_its_own_webhook_in_its_own_form_whoever_learned_it() -> Result<()> {
    let receiver = FeedServer::start()?;
    let with_format = |path: &str, format: &str| {
        receiver.put(path, Page::of("ok"));
        let mut notify = notify(path);
        notify["format"] = format.into();
        notify
    };
    let server = Server::start(b"")?;
    let lab = lab(&receiver, json!({"notify": with_format("/json", "json")}))
        .listener("slack", json!({"notify": with_format("/slack", "slack")}))
        .listener("tcp", json!({"role": "network", "notify": with_format("/ecs", "ecs")}))
        .place(Place::BeforeTcp(server.address()))
        .start()
        .await?;
    // One connection, closed by the network filter, and one credit.
    let mut client = Client::from(peer::CRITICAL, lab.address("tcp")).await?;
    client.closed().await?;
    lab.wait_for_metric("criminalip_notifications_total;outcome=delivered", 3).await?;
    assert_eq!(lab.fake.calls().len(), 1);
    let body = |path: &str| -> Result<Value> {
        let messages = receiver.fetched(path);
        ensure!(messages.len() == 1, "{path}: {messages:?}");
        Ok(serde_json::from_slice(&messages[0].body)?)
    };
    let critical = peer::CRITICAL.to_string();
    assert_eq!(body("/json")?["notifications"][0]["peer"], json!(critical));
    assert!(body("/slack")?["blocks"][0]["text"]["text"].as_str().is_some_and(|text| text.contains(&critical)));
    let ecs = body("/ecs")?;
    assert_eq!((&ecs[0]["source"]["ip"], &ecs[0]["threat"]["indicator"]["ip"]), (&json!(critical), &json!(critical)));
    Ok(())
}

#[tokio::test]
async fn an_update_of_the_configuration_loses_no_notification() -> Result<()> {
    let receiver = receiver(503)?;
    let changes = json!({"notify": notify("/hook")});
    let mut lab = lab(&receiver, changes.clone()).following().start().await?;
    assert_eq!(lab.ask(peer::CRITICAL).send().await?.status.as_u16(), 403);
    receiver.wait_for("/hook", 1).await?;
    let mut after = changes;
    after["deny"] = json!({"status": 451});
    lab.update(plugin(after).to_string())?;
    lab.envoy.wait_for_stat("listener_manager.lds.update_success", 2).await?;
    lab.envoy.wait_for_stat("listener_manager.total_listeners_draining", 0).await?;
    lab.refresh().await?;
    receiver.put("/hook", Page::of("ok"));
    lab.wait_for_metric("criminalip_notifications_total;outcome=delivered", 1).await?;
    let messages = receiver.fetched("/hook");
    let ids: std::collections::BTreeSet<_> = messages.iter().map(|message| message.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1, "{messages:?}");
    let status = Ask::new(lab.address(MAIN), Some(peer::CRITICAL)).send().await?.status;
    assert_eq!(status.as_u16(), 451);
    assert_eq!(messages.len(), receiver.fetched("/hook").len(), "it is told once");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_none_is_refused_at_the_start_and_not_shown() -> Result<()> {
    for value in ["hunter2hunter2hunter2", "whsec_c2hvcnQ="] {
        let receiver = receiver(200)?;
        let started = lab(&receiver, signed("/hook")).environment(VARIABLE, value).start().await;
        let error = started.err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("notify.secret_env: the variable PORTCULLIS_WEBHOOK_SECRET holds no secret"), "{error}");
        assert!(error.contains("openssl rand -base64 32") && !error.contains(value), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn with_the_shipped_configuration_slack_is_told_at_a_path_that_only_the_environment_has() -> Result<()> {
    let receiver = receiver(200)?;
    let lab = Lab::shipped("control.yaml", json!({}), |bootstrap| lead(bootstrap, "slack", receiver.address())).await?;
    lab.wait_for_workers(2).await?;
    let id = lab.hand_in(json!({"type": "other", "note": "nobody was there"})).await?;
    lab.wait_until_done(&id).await?;
    let message = &receiver.wait_for(WEBHOOK_PATH, 1).await?[0];
    assert_eq!(message.header("host"), Some("hooks.slack.com"));
    let body: Value = serde_json::from_slice(&message.body)?;
    assert!(body["text"].is_string() && body["blocks"].is_array(), "{body}");
    assert!(!lab.envoy.admin("/config_dump").await?.contains(WEBHOOK_PATH), "the path is in the dump");
    Ok(())
}

#[tokio::test]
async fn a_path_that_is_none_is_refused_at_the_start_and_not_shown() -> Result<()> {
    const VARIABLE: &str = "PORTCULLIS_WEBHOOK_PATH";
    let changes = json!({"notify": {"cluster": "soc", "authority": "hooks.internal", "path_env": VARIABLE}});
    for (value, why) in [(Some("services/T1/B2"), "holds no path"), (None, "there is no variable")] {
        let receiver = receiver(200)?;
        let lab = lab(&receiver, changes.clone());
        let lab = value.into_iter().fold(lab, |lab, value| lab.environment(VARIABLE, value));
        let error = lab.start().await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("notify.path_env: ") && error.contains(why), "{error}");
        assert!(!error.contains("T1/B2"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn the_self_test_proves_the_way_to_the_webhook() -> Result<()> {
    let receiver = receiver(200)?;
    let lab = lab(&receiver, json!({"notify": notify("/hook"), "self_test": true})).start().await?;
    assert_eq!(lab.ask("192.0.2.254".parse()?).send().await?.status.as_u16(), 403);
    let message = &receiver.wait_for("/hook", 1).await?[0];
    assert_eq!(peers(message)?, ["192.0.2.254"]);
    assert_eq!(lab.fake.calls().len(), 0);
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_security_event_is_told_once_for_all_workers() -> Result<()> {
    let receiver = receiver(200)?;
    let changes = json!({"notify": notify("/hook"), "journal": {"entries": 1024}});
    let lab = lab(&receiver, changes).control().workers(3).start().await?;
    // The main thread is one of them.
    lab.wait_for_workers(4).await?;
    for peer in [peer::TOR, peer::ATTACK, peer::CLEAN].repeat(10) {
        lab.ask(peer).send().await?;
    }
    let id = lab.hand_in(json!({"type": "other", "note": "a \"quoted\" note"})).await?;
    let mut event = lab.wait_until_done(&id).await?;
    lab.wait_for_metric("criminalip_notifications_total;outcome=delivered", 1).await?;
    let messages = receiver.fetched("/hook");
    let body: Value = serde_json::from_slice(&messages.last().context("no message")?.body)?;
    let mut told = body["notifications"][0].clone();
    assert_eq!(told["event"], "event");
    // Otherwise it is what the control listener says, but for the destinations.
    for (of, key) in [(&mut told, "event"), (&mut event, "found")] {
        of.as_object_mut().context("an object")?.remove(key);
    }
    assert_eq!(told, event);
    // A second event is another.
    let second = lab.hand_in(json!({"type": "other"})).await?;
    lab.wait_until_done(&second).await?;
    lab.wait_for_metric("criminalip_notifications_total;outcome=delivered", 2).await?;
    assert_eq!(receiver.fetched("/hook").len(), 2);
    Ok(())
}
