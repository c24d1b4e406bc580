//! Judging reports that somebody else has fetched.

use crate::mistakes::described;
use crate::{assessment, json, moment};
use evaluator::{Connection, Direction, Judgement, Profile, examine};
use gate::Config;
use serde::Deserialize;
use std::borrow::Cow;
use std::net::IpAddr;
use wasm_bindgen::prelude::wasm_bindgen;

/// The rules of a configuration.
#[wasm_bindgen]
pub struct Policy(Config);

/// What is known of a connection; everything may be left out, and then asks or says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given<'a> {
    ip: Option<IpAddr>,
    port: Option<u16>,
    #[serde(borrow)]
    product: Option<Cow<'a, str>>,
    #[serde(borrow)]
    direction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow)]
    route: Option<Cow<'a, str>>,
    client: Option<IpAddr>,
}

#[wasm_bindgen]
impl Policy {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The mistakes, as JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(document: &[u8]) -> Result<Policy, String> {
        Config::parse_policy(document).map(Policy).map_err(|mistakes| described(&mistakes))
    }

    /// Judges a connection by an assessment, or by the failure that took its place; both are JSON, and so is the answer.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn decide(&self, assessment: &str, connection: &str, now: f64) -> Result<String, String> {
        let examined = assessment::read(assessment)?;
        let given: Given<'_> = serde_json::from_str(connection).map_err(|error| format!("connection: {error}"))?;
        let subject = examined.as_ref().ok().and_then(|examination| examination.reading.subject);
        let Some(ip) = given.ip.or(subject) else {
            return Err("connection.ip: the report names no address, so the connection has to".into());
        };
        let direction = match given.direction.as_deref() {
            None => self.0.direction,
            Some("ingress") => Direction::Ingress,
            Some("egress") => Direction::Egress,
            Some(other) => return Err(format!("connection.direction: {other:?} is neither ingress nor egress")),
        };
        let connection = Connection {
            direction,
            port: given.port,
            product: given.product.as_deref(),
            path: given.path.as_deref().map(str::as_bytes),
            method: given.method.as_deref().map(str::as_bytes),
            host: given.host.as_deref().map(str::as_bytes),
            route: given.route.as_deref().map(str::as_bytes),
            client: given.client,
            now: moment(now).timestamp(),
        };
        let profile = self.0.profile.map(Profile::name);
        let examined = examined.as_ref().map_err(|error| *error);
        Ok(json(&Judgement::new(ip, examined, &self.0.policy, profile, &connection)))
    }
}

/// Reads the answer of Criminal IP to a lookup: the status of HTTP, and the body. The answer is JSON.
#[wasm_bindgen]
pub fn assess(http_status: u16, body: &[u8], now: f64) -> String {
    assessment::write(&examine(http_status, body, moment(now).timestamp()))
}

#[cfg(test)]
mod tests;
