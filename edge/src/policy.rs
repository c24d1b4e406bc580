//! Judging reports that somebody else has fetched.

use crate::assessment::{self, write_found};
use crate::mistakes::described;
use crate::{moment, object};
use alloc::string::String;
use core::{iter, num::NonZeroU32};
use evaluator::{
    Action, AnswerError, Assessment, Connection, Country, Direction, Evidence, Finding, Findings, Level, Profile,
    REPORT_PAGES, Score, examine, found_in, ip_text, parse_ip, report_link,
};
use gate::{Judging, Writer};
use wasm_bindgen::prelude::wasm_bindgen;

/// The rules of a configuration.
#[wasm_bindgen]
pub struct Policy(Judging);

/// In what [`Policy::decide`] returns: the connection shows something, which [`Policy::found`] tells.
const SHOWS: u32 = 1 << 29;

#[wasm_bindgen]
impl Policy {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The mistakes, as JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(document: &[u8]) -> Result<Policy, String> {
        Judging::parse(document).map(Policy).map_err(|mistakes| described(&mistakes))
    }

    /// The words in which a policy judges, and which numbers stand for them in what [`Policy::decide`] takes and returns, as JSON.
    pub fn terms(&self) -> String {
        let Judging { policy, profile, direction } = &self.0;
        object(|json| {
            json.text("direction", direction.name());
            json.text_or_null("profile", profile.map(Profile::name));
            // The field of an assessment that has the findings which the rules look at.
            json.text(
                "evidence",
                match policy.evidence {
                    Evidence::Current => "findings",
                    Evidence::Published => "published",
                },
            );
            // Whether what was decided for findings, levels, a direction and a port may be remembered.
            json.flag("repeatable", policy.is_repeatable());
            // What happens where no rule matches, then the names of the rules and what they do.
            json.list("rules");
            let rules = policy.rules.iter().map(|rule| (Some(&*rule.name), rule.then));
            for (name, action) in iter::once((None, Action::Allow)).chain(rules) {
                json.open('[');
                json.item_or_null(name);
                json.item(action.name());
                json.close(']');
            }
            json.close(']');
            // The codes of all findings, in the order of their bits.
            json.list("findings");
            Finding::ALL.iter().for_each(|finding| json.item(finding.code()));
            json.close(']');
            // The codes of answers that are no report.
            json.list("failures");
            AnswerError::ALL.iter().for_each(|error| json.item(error.code()));
            json.close(']');
            // What the link to the page of an address begins with.
            json.text("pages", REPORT_PAGES);
        })
    }

    /// Judges a connection by what was learned about its address: the place of the rule that decides in [`Policy::terms`],
    /// with `SHOWS`.
    ///
    /// `findings` has the bits of those that the rules look at, `country` its letters, the first lowest. Of what is unknown,
    /// the port is -1, and the others zero. What else could be wrong is looked at before: a result that may be an error costs
    /// JavaScript a list.
    #[expect(clippy::too_many_arguments, reason = "one for each thing that rules may ask about")]
    pub fn decide(
        &self,
        findings: u32,
        inbound: u8,
        outbound: u8,
        asn: u32,
        country: u32,
        egress: bool,
        port: i32,
        now: f64,
        product: Option<String>,
        path: Option<String>,
        method: Option<String>,
        host: Option<String>,
    ) -> u32 {
        let now = moment(now).timestamp();
        let set = Findings::from_bits(findings);
        let [first, second, ..] = country.to_le_bytes();
        let assessment = Assessment {
            learned: now,
            findings: set,
            published: set,
            asn: NonZeroU32::new(asn),
            country: str::from_utf8(&[first, second]).ok().and_then(Country::parse),
            score: Score { inbound: level(inbound), outbound: level(outbound) },
        };
        let connection = Connection {
            path: path.as_deref().map(str::as_bytes),
            method: method.as_deref().map(str::as_bytes),
            host: host.as_deref().map(str::as_bytes),
            ..shown(egress, port, product.as_deref(), now)
        };
        let verdict = self.0.policy.evaluate(&assessment, &connection);
        let decided = verdict.rule.map_or(0, |rule| u32::from(rule).saturating_add(1));
        let shows = !self.0.policy.found_in(&connection).is_empty();
        decided | if shows { SHOWS } else { 0 }
    }

    /// What the connection itself shows, as findings in JSON.
    pub fn found(&self, egress: bool, port: i32, product: Option<String>) -> String {
        let connection = shown(egress, port, product.as_deref(), moment(0.0).timestamp());
        let mut json = Writer::default();
        json.open('[');
        for found in found_in(&connection, &self.0.policy) {
            write_found(&mut json, found.code, found.detail.as_deref());
        }
        json.close(']');
        json.into_line()
    }
}

/// Reads the answer of Criminal IP to a lookup: the status of HTTP, and the body. The answer is JSON.
#[wasm_bindgen]
pub fn assess(http_status: u16, body: &[u8], now: f64) -> String {
    assessment::write(&examine(http_status, body, moment(now).timestamp()))
}

/// Whether a judgement writes an address that was read from this text as it stands there, in the link as well. IPv4 addresses
/// have one form.
#[wasm_bindgen(js_name = isAsJudged)]
pub fn is_as_judged(text: &str) -> bool {
    parse_ip(text).is_some_and(|ip| ip.is_ipv4() || (ip.to_canonical() == ip && ip_text(ip) == text))
}

/// The address as judgements write it, and Criminal IP's page about it, as JSON.
///
/// # Errors
/// Where it is none.
#[wasm_bindgen]
pub fn address(ip: &str, path: &str) -> Result<String, String> {
    let ip = parse_ip(ip).ok_or_else(|| [path, ": \"", ip, "\" is no address"].concat())?;
    Ok(object(|json| {
        json.text("ip", &ip_text(ip));
        json.text("link", &report_link(ip));
    }))
}

/// A connection of which this is known.
fn shown(egress: bool, port: i32, product: Option<&str>, now: evaluator::Timestamp) -> Connection<'_> {
    let direction = if egress { Direction::Egress } else { Direction::Ingress };
    Connection { port: u16::try_from(port).ok(), product, ..Connection::new(direction, now) }
}

fn level(number: u8) -> Option<Level> {
    use Level::{Critical, Dangerous, Low, Moderate, Safe};
    [Safe, Low, Moderate, Dangerous, Critical].into_iter().find(|level| *level as u8 == number)
}

#[cfg(test)]
mod tests;
