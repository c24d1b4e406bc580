//! The control listener of a lab.

use super::{CONTROL, Lab, WRITE_TOKEN};
use crate::{
    client::Ask,
    eventually,
    fake::{Answer, Rule},
};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::IpAddr;

impl Lab {
    /// A request to the control listener with the token for writing.
    pub fn control(&self, path: &str) -> Ask {
        self.ask_at(CONTROL, None).path(path).header("authorization", format!("Bearer {WRITE_TOKEN}"))
    }

    /// What the control listener answers to a request with this body; null stands for none.
    ///
    /// # Errors
    /// When it has another status, or is no JSON.
    pub async fn operate(&self, method: &str, path: &str, body: Value, status: u16) -> Result<Value> {
        let mut ask = self.control(path);
        if !body.is_null() {
            ask = ask.header("content-type", "application/json").post(body.to_string());
        }
        let reply = ask.method(method.parse()?).send().await?;
        if reply.status.as_u16() != status {
            bail!("{method} {path}: {} {}", reply.status, reply.text());
        }
        Ok(if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body)? })
    }

    /// Waits until so many workers, the main thread among them, have said that they are there.
    ///
    /// # Errors
    /// When there are fewer after [`crate::PATIENCE`].
    pub async fn wait_for_workers(&self, workers: usize) -> Result<()> {
        eventually(async || {
            let status = self.operate("GET", "/v1/status", Value::Null, 200).await?;
            ensure!(status["workers"].as_array().map_or(0, Vec::len) >= workers, "{status}");
            Ok(())
        })
        .await
    }

    /// Hands a security event in, and gives its name.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn hand_in(&self, event: Value) -> Result<String> {
        let posted = self.operate("POST", "/v1/events", event, 202).await?;
        Ok(posted["id"].as_str().context("no id")?.to_owned())
    }

    /// Waits until all that an event found is settled, and gives what came of it.
    ///
    /// # Errors
    /// When something is not after [`crate::PATIENCE`].
    pub async fn wait_until_done(&self, id: &str) -> Result<Value> {
        let path = format!("/v1/events/{id}");
        eventually(async || {
            let event = self.operate("GET", &path, Value::Null, 200).await?;
            ensure!(event["state"] == "done", "{event}");
            Ok(event)
        })
        .await
    }

    /// Has the stand-in say of these destinations that they are safe to connect to, but for the bad ones, which are critical.
    pub fn tell_outbound(&self, destinations: impl Iterator<Item = IpAddr>, bad: &[IpAddr]) {
        for ip in destinations {
            self.fake.tell(outbound(ip, bad.contains(&ip)));
        }
    }
}

/// How the stand-in says of a destination that it is critical to connect to, or safe.
pub fn outbound(ip: IpAddr, bad: bool) -> Rule {
    let outbound = if bad { "Critical" } else { "Safe" };
    let report = json!({"ip": ip, "score": {"inbound": "Safe", "outbound": outbound}, "status": 200});
    Rule::answer(Answer::Raw(200, report.to_string().into())).only(ip)
}
