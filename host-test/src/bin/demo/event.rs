//! The demo's security event: malware is found on a machine, and where it connected is looked into.

use crate::Stage;
use anyhow::{Context, Result, ensure};
use host_test::{client::Ask, envoy::demo::TOKEN, eventually, fake::peer};
use serde_json::{Value, json};
use std::net::IpAddr;

/// The machine.
const LAPTOP: &str = "10.20.0.7";
/// Where it connected, before anybody knew.
const DESTINATIONS: [IpAddr; 3] = [peer::CLEAN, peer::PHISHING, peer::MINING];

/// What came of it.
pub(crate) struct Event {
    /// What the control listener says.
    event: Value,
    /// The statuses of requests to each destination, before and after.
    before: Vec<u16>,
    after: Vec<u16>,
}

impl Stage {
    /// Connects to a few destinations from one machine, hands in an alert for it, and connects again.
    pub(crate) async fn look_back(&self) -> Result<Event> {
        // Whoever is not there yet would not look back.
        eventually(async || {
            let status = self.operate("/v1/status", None).await?;
            ensure!(status["workers"].as_array().map_or(0, Vec::len) >= 2, "{status}");
            Ok(())
        })
        .await?;
        let before = self.connect().await?;
        let alert = json!({"type": "malware", "source": LAPTOP, "note": "the demo"});
        let posted = self.operate("/v1/events", Some(alert)).await?;
        let path = format!("/v1/events/{}", posted["id"].as_str().context("no id")?);
        let event = eventually(async || {
            let event = self.operate(&path, None).await?;
            ensure!(event["state"] == "done", "{event}");
            Ok(event)
        })
        .await?;
        Ok(Event { event, before, after: self.connect().await? })
    }

    async fn connect(&self) -> Result<Vec<u16>> {
        let mut statuses = Vec::new();
        for destination in DESTINATIONS {
            let ask = Ask::new(self.egress, None).header("x-forwarded-for", LAPTOP);
            statuses.push(ask.header("host", destination.to_string()).send().await?.status.as_u16());
        }
        Ok(statuses)
    }

    async fn operate(&self, path: &str, body: Option<Value>) -> Result<Value> {
        let mut ask = Ask::new(self.control, None).path(path).header("authorization", format!("Bearer {TOKEN}"));
        if let Some(body) = body {
            ask = ask.header("content-type", "application/json").post(body.to_string());
        }
        let reply = ask.send().await?;
        ensure!(reply.status.is_success(), "{path}: {} {}", reply.status, reply.text());
        Ok(serde_json::from_slice(&reply.body)?)
    }
}

impl Event {
    /// A few lines for people.
    pub(crate) fn report(&self) -> String {
        let Event { event, before, after } = self;
        let mut lines = format!(
            "An alert, malware on {LAPTOP}, looks five minutes back: {} destinations, {} lookups, {} denied.\n",
            event["destinations"], event["credits"], event["denied"]
        );
        for ((destination, before), after) in DESTINATIONS.iter().zip(before).zip(after) {
            let found = event["found"].as_array().into_iter().flatten();
            let found = found.filter(|found| found["peer"] == destination.to_string()).map(|found| {
                let findings = found["findings"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let findings = findings.collect::<Vec<_>>().join(" ");
                format!("{}, findings ({findings})", found["verdict"].as_str().unwrap_or("no verdict"))
            });
            let found: String = found.collect();
            lines.push_str(&format!("  {LAPTOP} to {destination}: {before} before, {after} after; {found}\n"));
        }
        lines
    }

    /// What is not as expected, where the stand-in answers.
    pub(crate) fn mistake(&self, stands_in: bool) -> Option<String> {
        let expected = (vec![200, 200, 200], vec![200, 403, 403]);
        let is_expected = (&self.before, &self.after) == (&expected.0, &expected.1) && self.event["denied"] == 2;
        (stands_in && !is_expected).then(|| format!("the event: {:?}, {:?}, {}", self.before, self.after, self.event))
    }
}
