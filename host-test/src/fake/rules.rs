//! What the stand-in has been told to do, by library calls or over its control API.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use std::{net::IpAddr, time::Duration};

/// How a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the report.
    Report,
    /// HTTP 200, body status 403: all credits used up.
    NoCredit,
    /// HTTP 200, body status 403: another call is in flight.
    ConcurrencyRefused,
    /// HTTP 200, body status 401.
    BadKey,
    /// HTTP 200, body status 400.
    InvalidAddress,
    /// HTTP 200, body status 500.
    ServerError,
    /// HTTP 429, with `Retry-After` in seconds where given.
    RateLimited(Option<u32>),
    /// HTTP 502 with a page of HTML.
    BadGateway,
    /// HTTP 200 with an empty body.
    Empty,
    /// HTTP 200 with bytes that are no text, let alone JSON.
    Garbage,
    /// The first half of the report, as if it were whole.
    Truncated,
    /// The first half of the report; then the connection is closed, although more was announced.
    Cut,
    /// The report, followed by as many spaces as it takes to reach this many bytes.
    Padded(usize),
    /// The connection is closed without an answer.
    Close,
    /// No answer, ever.
    Silence,
    /// This status and body.
    Raw(u16, Vec<u8>),
}

type Named = (&'static str, fn(u32) -> Answer);

/// The answers that the control API knows by name; those with a number take it after a colon: `padded:5000000`.
const NAMED: [Named; 16] = [
    ("report", |_| Answer::Report),
    ("no_credit", |_| Answer::NoCredit),
    ("concurrency_refused", |_| Answer::ConcurrencyRefused),
    ("bad_key", |_| Answer::BadKey),
    ("invalid_address", |_| Answer::InvalidAddress),
    ("server_error", |_| Answer::ServerError),
    ("rate_limited", |seconds| Answer::RateLimited((seconds > 0).then_some(seconds))),
    ("bad_gateway", |_| Answer::BadGateway),
    ("empty", |_| Answer::Empty),
    ("garbage", |_| Answer::Garbage),
    ("truncated", |_| Answer::Truncated),
    ("cut", |_| Answer::Cut),
    ("padded", |bytes| Answer::Padded(bytes as usize)),
    ("close", |_| Answer::Close),
    ("silence", |_| Answer::Silence),
    ("status", |status| Answer::Raw(u16::try_from(status).unwrap_or(500), Vec::new())),
];

impl Answer {
    /// Reads a name such as `no_credit`, `rate_limited:30`, `status:503`.
    ///
    /// # Errors
    /// When there is no such answer; the message lists those there are.
    pub fn from_name(name: &str) -> Result<Answer> {
        let (name, number) = name.split_once(':').unwrap_or((name, "0"));
        let Some((_, answer)) = NAMED.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = NAMED.iter().map(|(known, _)| *known).collect();
            bail!("no answer is called {name:?}; there are {}", known.join(", "));
        };
        Ok(answer(number.parse()?))
    }

    /// The name under which the journal records this answer.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Report => "report",
            Answer::NoCredit => "no_credit",
            Answer::ConcurrencyRefused => "concurrency_refused",
            Answer::BadKey => "bad_key",
            Answer::InvalidAddress => "invalid_address",
            Answer::ServerError => "server_error",
            Answer::RateLimited(_) => "rate_limited",
            Answer::BadGateway => "bad_gateway",
            Answer::Empty => "empty",
            Answer::Garbage => "garbage",
            Answer::Truncated => "truncated",
            Answer::Cut => "cut",
            Answer::Padded(_) => "padded",
            Answer::Close => "close",
            Answer::Silence => "silence",
            Answer::Raw(..) => "status",
        }
    }
}

impl Answer {
    /// Status and body of an answer that comes as a whole, given the report; `None` for one that does not.
    pub(super) fn message(&self, report: &[u8]) -> Option<(u16, Vec<u8>)> {
        let failure = |status: u16, message: &str| {
            Some((200, format!("{}\n", json!({"status": status, "message": message})).into_bytes()))
        };
        match self {
            Answer::Report => Some((200, report.to_vec())),
            Answer::NoCredit => failure(403, "limit exceeded"),
            Answer::ConcurrencyRefused => failure(403, "unable to call api at the same time"),
            Answer::BadKey => failure(401, "invalid api key"),
            Answer::InvalidAddress => failure(400, "Invalid IP Address."),
            Answer::ServerError => failure(500, "An unexpected error occured"),
            Answer::RateLimited(_) => Some((429, Vec::new())),
            Answer::BadGateway => Some((502, b"<html><body><h1>502 Bad Gateway</h1></body></html>\n".to_vec())),
            Answer::Empty => Some((200, Vec::new())),
            Answer::Garbage => Some((200, [0xff, 0x00, 0xfe, b'{', 0x80, b'"', 0xc3].repeat(40))),
            Answer::Truncated => Some((200, report[..report.len() / 2].to_vec())),
            Answer::Padded(bytes) => {
                let mut body = report.to_vec();
                body.resize(body.len().max(*bytes), b' ');
                Some((200, body))
            }
            Answer::Raw(status, body) => Some((*status, body.clone())),
            Answer::Cut | Answer::Close | Answer::Silence => None,
        }
    }
}

/// What to do with the calls it fits. The newest rule that fits a call decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How to answer.
    pub answer: Answer,
    /// How long to wait before the answer.
    pub delay: Duration,
    /// Whether to wait, after that, for [`super::Fake::release`].
    pub held: bool,
    /// The only address it fits; `None` for all, and for domains.
    pub ip: Option<IpAddr>,
    /// The only domain it fits; `None` for all, and for addresses.
    pub domain: Option<String>,
    /// How many more calls it fits; `None` for no end.
    pub times: Option<u32>,
}

impl Rule {
    /// A rule that answers every call so, at once.
    pub fn answer(answer: Answer) -> Rule {
        Rule { answer, delay: Duration::ZERO, held: false, ip: None, domain: None, times: None }
    }

    /// A rule that withholds the reports until [`super::Fake::release`].
    pub fn hold() -> Rule {
        Rule { held: true, ..Rule::answer(Answer::Report) }
    }

    /// A rule that delays the reports.
    pub fn delay(delay: Duration) -> Rule {
        Rule { delay, ..Rule::answer(Answer::Report) }
    }

    /// The same for one address only.
    pub fn only(self, ip: IpAddr) -> Rule {
        Rule { ip: Some(ip), ..self }
    }

    /// The same for one domain only.
    pub fn only_domain(self, domain: &str) -> Rule {
        Rule { domain: Some(domain.into()), ..self }
    }

    /// The same for the next `times` calls only.
    pub fn times(self, times: u32) -> Rule {
        Rule { times: Some(times), ..self }
    }

    /// Reads the control API's form: `{"answer": "no_credit", "delay_ms": 100, "held": false, "ip": "192.0.2.1",
    /// "times": 3}`, everything but `answer` optional.
    ///
    /// # Errors
    /// When a key is unknown or a value cannot be read.
    pub fn from_json(json: &Value) -> Result<Rule> {
        let Value::Object(members) = json else { bail!("a rule is an object, not {json}") };
        let mut rule = Rule::answer(Answer::Report);
        ensure!(!members.is_empty(), "an empty rule does nothing");
        for (key, value) in members {
            let number = || value.as_u64().ok_or_else(|| anyhow::anyhow!("{key}: not a whole number: {value}"));
            let text = || value.as_str().ok_or_else(|| anyhow::anyhow!("{key}: not a string: {value}"));
            match key.as_str() {
                "answer" => rule.answer = Answer::from_name(text()?)?,
                "delay_ms" => rule.delay = Duration::from_millis(number()?),
                "held" => rule.held = value.as_bool().unwrap_or(false),
                "ip" => rule.ip = Some(text()?.parse()?),
                "domain" => rule.domain = Some(text()?.into()),
                "times" => rule.times = Some(u32::try_from(number()?)?),
                _ => bail!("a rule has no {key:?}; it has answer, delay_ms, held, ip, domain, times"),
            }
        }
        Ok(rule)
    }
}

/// The rules in force, and the rule for a call.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The rule for a call about this; counts it.
    pub(crate) fn take(&mut self, ip: Option<IpAddr>, domain: Option<&str>) -> Rule {
        let fits = |rule: &Rule| {
            (rule.ip.is_none() || rule.ip == ip)
                && (rule.domain.is_none() || rule.domain.as_deref() == domain)
                && rule.times != Some(0)
        };
        let Some(rule) = self.0.iter_mut().rev().find(|rule| fits(rule)) else { return Rule::answer(Answer::Report) };
        rule.times = rule.times.map(|times| times - 1);
        rule.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_answer_is_recorded_under_its_name() {
        for (name, _) in NAMED {
            assert_eq!(Answer::from_name(name).unwrap().name(), name);
        }
    }

    #[test]
    fn the_newest_rule_that_fits_decides_and_is_used_up() {
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let mut rules = Rules::default();
        rules.add(Rule::answer(Answer::Empty));
        rules.add(Rule::answer(Answer::Garbage).only(one.unwrap()).times(1));
        rules.add(Rule::answer(Answer::Cut).only_domain("bad.example"));
        assert_eq!(rules.take(other, None).answer, Answer::Empty);
        assert_eq!(rules.take(one, None).answer, Answer::Garbage);
        assert_eq!(rules.take(one, None).answer, Answer::Empty);
        assert_eq!(rules.take(None, Some("bad.example")).answer, Answer::Cut);
        assert_eq!(rules.take(None, Some("good.example")).answer, Answer::Empty);
    }

    #[test]
    fn rules_are_read_from_json_and_mistakes_are_named() {
        let json = json!({"answer": "rate_limited:7", "delay_ms": 20, "ip": "2001:db8::1", "times": 2});
        let expected = Rule { delay: Duration::from_millis(20), ..Rule::answer(Answer::RateLimited(Some(7))) };
        assert_eq!(Rule::from_json(&json).unwrap(), expected.only("2001:db8::1".parse().unwrap()).times(2));
        for (json, expected) in [
            (json!({"answer": "nocredit"}), "no answer is called \"nocredit\""),
            (json!({"anwser": "empty"}), "a rule has no \"anwser\""),
            (json!({"times": "3"}), "times: not a whole number"),
            (json!([]), "a rule is an object"),
        ] {
            let error = Rule::from_json(&json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
