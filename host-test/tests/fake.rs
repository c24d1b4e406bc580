//! The stand-in for Criminal IP answers and fails as it is told, and says what it saw.

use anyhow::Result;
use host_test::{
    client::{Ask, Reply},
    fake::{Answer, Fake, KEY, Options, Rule, host, peer},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};

fn ask(fake: &Fake, ip: IpAddr) -> Ask {
    Ask::new(fake.address(), None).path(&format!("/v1/asset/ip/report?ip={ip}&full=true")).header("x-api-key", KEY)
}

async fn lookup(fake: &Fake, ip: IpAddr) -> Result<Reply> {
    ask(fake, ip).send().await
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_report_comes_with_http_200_and_status_200() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    for ip in [peer::TOR, peer::v6(peer::TOR)] {
        let reply = lookup(&fake, ip).await?;
        assert_eq!((reply.status.as_u16(), body(&reply)["status"].as_i64()), (200, Some(200)), "{ip}");
        assert_eq!(body(&reply)["issues"]["is_tor"], true, "{ip}");
    }
    assert_eq!(fake.calls()[0].outcome, Some("report"));
    assert_eq!(fake.calls()[0].header("x-api-key"), Some(KEY));
    Ok(())
}

#[tokio::test]
async fn the_old_path_and_percent_encoded_colons_are_understood() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    let path = "/v1/ip/data?full=true&ip=2001%3Adb8%3A%3A20";
    let reply = Ask::new(fake.address(), None).path(path).header("x-api-key", KEY).send().await?;
    assert_eq!(body(&reply)["ip"], "2001:db8::20");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_refused_in_the_body() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    let get = |path: &str, key: &str| Ask::new(fake.address(), None).path(path).header("x-api-key", key);
    for (path, key, status, message) in [
        ("/v1/asset/ip/report?ip=10.1.2.3", KEY, 400, "Invalid IP Address."),
        ("/v1/asset/ip/report?ip=localhost", KEY, 400, "Invalid IP Address."),
        ("/v1/asset/ip/report?ip=192.0.2.10", "another", 401, "invalid api key"),
        ("/v1/asset/ip/report", KEY, 412, "Missing Parameter"),
    ] {
        let reply = get(path, key).send().await?;
        assert_eq!(reply.status.as_u16(), 200, "{path}");
        assert_eq!(body(&reply), json!({"status": status, "message": message}), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn each_failure_is_told_apart_on_the_wire() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    for (answer, http, in_body) in [
        (Answer::NoCredit, 200, "\"limit exceeded\""),
        (Answer::ConcurrencyRefused, 200, "unable to call api at the same time"),
        (Answer::BadKey, 200, "\"status\":401"),
        (Answer::InvalidAddress, 200, "\"status\":400"),
        (Answer::ServerError, 200, "\"status\":500"),
        (Answer::RateLimited(Some(7)), 429, ""),
        (Answer::BadGateway, 502, "<html>"),
        (Answer::Empty, 200, ""),
        (Answer::Garbage, 200, "{"),
        (Answer::Truncated, 200, "{\"ip\":\"192.0.2.10\""),
        (Answer::Raw(503, b"away".into()), 503, "away"),
    ] {
        let name = answer.name();
        fake.tell(Rule::answer(answer).times(1));
        let reply = lookup(&fake, peer::CLEAN).await?;
        assert_eq!(reply.status.as_u16(), http, "{name}");
        assert!(reply.text().contains(in_body), "{name}: {}", reply.text());
        assert_eq!(fake.calls().last().and_then(|call| call.outcome), Some(name));
    }
    fake.tell(Rule::answer(Answer::RateLimited(Some(7))));
    assert_eq!(lookup(&fake, peer::CLEAN).await?.header("retry-after"), Some("7"));
    fake.forget_rules();
    assert_eq!(body(&lookup(&fake, peer::CLEAN).await?)["status"], 200);
    Ok(())
}

#[tokio::test]
async fn connections_are_closed_before_or_within_the_answer() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    for answer in [Answer::Close, Answer::Cut] {
        fake.tell(Rule::answer(answer.clone()).times(1));
        assert!(lookup(&fake, peer::LARGE).await.is_err(), "{}", answer.name());
    }
    assert_eq!(lookup(&fake, peer::LARGE).await?.status.as_u16(), 200);
    Ok(())
}

#[tokio::test]
async fn closed_doors_refuse_connections_until_they_are_opened() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    fake.close_doors().await?;
    let error = lookup(&fake, peer::CLEAN).await.expect_err("doors are closed");
    assert!(format!("{error:#}").contains("refused"), "{error:#}");
    fake.open_doors().await?;
    assert_eq!(lookup(&fake, peer::CLEAN).await?.status.as_u16(), 200);
    Ok(())
}

#[tokio::test]
async fn a_second_call_in_flight_is_refused_unless_the_plan_allows_it() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    fake.tell(Rule::hold().only(peer::TOR));
    let held = tokio::spawn(ask(&fake, peer::TOR).send());
    fake.wait_for_calls(1).await?;
    assert_eq!(body(&lookup(&fake, peer::CLEAN).await?)["message"], "unable to call api at the same time");
    fake.set_concurrency(None);
    assert_eq!(body(&lookup(&fake, peer::CLEAN).await?)["status"], 200);
    fake.release();
    assert_eq!(body(&held.await??)["status"], 200);
    assert_eq!(fake.calls().iter().map(|call| call.overlapped).collect::<Vec<_>>(), [false, true, true]);
    Ok(())
}

#[tokio::test]
async fn a_caller_that_leaves_is_noticed() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    fake.tell(Rule::answer(Answer::Silence));
    let waiting = tokio::spawn(ask(&fake, peer::CLEAN).send());
    fake.wait_for_calls(1).await?;
    waiting.abort();
    fake.wait_until_idle().await?;
    assert_eq!(fake.calls()[0].outcome, Some("abandoned"));
    Ok(())
}

#[tokio::test]
async fn credits_run_out() -> Result<()> {
    let fake = Fake::start(Options { credits: Some(1), ..Options::default() })?;
    let mut messages = Vec::new();
    for _ in 0..2 {
        messages.push(body(&lookup(&fake, peer::CLEAN).await?)["message"].clone());
    }
    assert_eq!(messages, [Value::Null, json!("limit exceeded")]);
    fake.set_credits(None);
    assert_eq!(body(&lookup(&fake, peer::CLEAN).await?)["status"], 200);
    Ok(())
}

#[tokio::test]
async fn the_control_api_does_what_the_library_does() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    let control = |path: &str, body: Value| Ask::new(fake.address(), None).path(path).post(body.to_string());
    let told =
        control("/_control/rules", json!({"answer": "no_credit", "ip": "192.0.2.20", "times": 1})).send().await?;
    assert_eq!(told.status.as_u16(), 204, "{}", told.text());
    let refused = control("/_control/rules", json!({"answer": "nonsense"})).send().await?;
    assert_eq!(refused.status.as_u16(), 400);
    assert!(refused.text().contains("no answer is called \"nonsense\""), "{}", refused.text());
    assert_eq!(body(&lookup(&fake, peer::CLEAN).await?)["status"], 200);
    assert_eq!(body(&lookup(&fake, peer::TOR).await?)["message"], "limit exceeded");
    let calls = Ask::new(fake.address(), None).path("/_control/calls").send().await?;
    let outcomes: Vec<_> =
        body(&calls).as_array().unwrap().iter().map(|call| call["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes, ["report", "no_credit"]);
    Ok(())
}

#[tokio::test]
async fn a_delay_delays() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    fake.tell(Rule::delay(Duration::from_millis(60)));
    let start = tokio::time::Instant::now();
    lookup(&fake, peer::CLEAN).await?;
    assert!(start.elapsed() >= Duration::from_millis(60));
    Ok(())
}

#[tokio::test]
async fn the_program_says_where_it_listens_and_answers_there() -> Result<()> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-criminalip"))
        .args(["--key", "of-my-own", "--credits", "1"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(program.stdout.take().expect("piped")).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening on http://").expect(&line).parse()?;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let ask = Ask::new(address, None).path("/v1/asset/ip/report?ip=192.0.2.20").header("x-api-key", "of-my-own");
        statuses.push(ask.send().await.map(|reply| body(&reply)["status"].clone()));
    }
    program.kill()?;
    program.wait()?;
    let statuses: Vec<_> = statuses.into_iter().collect::<Result<_>>()?;
    assert_eq!(statuses, [200, 403], "one credit");
    Ok(())
}

#[tokio::test]
async fn the_quick_domain_look_up_answers_and_fails_like_the_report() -> Result<()> {
    let fake = Fake::start(Options::default())?;
    let get = |query: &str| {
        Ask::new(fake.address(), None)
            .path(&format!("/v1/domain/quick/malicious/view{query}"))
            .header("x-api-key", KEY)
            .send()
    };
    for (domain, result, kind) in [
        (host::SAFE, "safe", ""),
        (host::MALICIOUS, "malicious", ""),
        (host::PHISHING, "malicious", "phishing"),
        (host::UNKNOWN, "unknown", ""),
    ] {
        let body = body(&get(&format!("?domain={domain}")).await?);
        assert_eq!((&body["status"], &body["message"]), (&json!(200), &json!("api success")), "{domain}");
        let data = &body["data"];
        assert_eq!((&data["domain"], &data["result"], &data["type"]), (&json!(domain), &json!(result), &json!(kind)));
        assert_eq!(fake.calls_about_domain(domain).len(), 1);
    }
    assert_eq!(body(&get("?domain=nonsense").await?)["status"], 400);
    assert_eq!(body(&get("").await?)["status"], 412);
    fake.tell(Rule::answer(Answer::NoCredit).only_domain(host::SAFE));
    assert_eq!(body(&get(&format!("?domain={}", host::SAFE)).await?)["message"], "limit exceeded");
    assert_eq!(body(&get(&format!("?domain={}", host::UNKNOWN)).await?)["status"], 200);
    Ok(())
}
