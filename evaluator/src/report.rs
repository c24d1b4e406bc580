//! Reading an answer of `/v1/asset/ip/report`, and of the older `/v1/ip/data` whose names differ a little.
//!
//! The body is read once, front to back, without a tree of it in memory. Reading is lenient and total: a value of an odd
//! type is skipped and counted as an anomaly; a body that is not whole JSON, not UTF-8, or that has one of its blocks
//! twice is [`AnswerError::Malformed`]. A body counts as a report only if HTTP and its own `status` both say 200 and
//! its score has at least one level; whatever else it holds, it never becomes an assessment otherwise. An error is told
//! by its message, else by its `status`, else by HTTP.
//!
//! Two readings are made of every report, side by side:
//!
//! * *current*, in [`Assessment::findings`]: of each port and socket the newest record, and of dated evidence only what
//!   is at most [`EVIDENCE_MAX_AGE`] old. A record whose `confirmed_time` cannot be read has no age and does not count.
//!   A certificate is expired if it ended before now.
//! * *published*, in [`Assessment::published`]: as the pipeline at
//!   <https://github.com/criminalip/threat-validation-pipeline> reads it, every record however old, its keywords
//!   included. Beyond that it has the certificate facts: of any record that the certificate was past its end when it was
//!   seen, and of the newest record of a port that it is now. `docs/pipeline.md` lists where the two differ and why.
//!
//! | finding | current reading |
//! |---|---|
//! | `reputation` | any level of the score is Dangerous or Critical |
//! | `anonymity.*`, `hosting`, `cloud`, `mobile`, `darkweb`, `scanner`, `ids` | flag of `issues` |
//! | `anonymity.*`, `attack`, `phishing`, `malware`, `scanner`, `ids`, `hosting`, `cloud` | category, dated, by its first words |
//! | `tls.*`, `ssh.openssh`, `exposure.directory_listing`, `mining`, `c2`, `malware`, `vulnerable` | newest record of a port |
//! | `c2`, `ids` | intrusion detection record, dated |
//! | `honeypot` | honeypot record, dated |
//! | `vulnerable` | `vulnerability` counts at least one; the block has no dates |
//!
//! The blocks `vpn`, `anonymous_vpn`, `protected_ip`, `mobile`, `domain`, `hostname` and `webcam` are not read: the flags
//! say what the first four are about, as of now, and the rest is no evidence about the peer.

mod answer;
mod domain;
mod json;
mod marks;
mod meaning;
mod port;

pub use answer::AnswerError;
pub use domain::{DomainReading, read_domain_answer};
pub use marks::Detail;

use crate::json::{JsonError, JsonReader};
use crate::{Assessment, Country, Finding, Level, Score, Timestamp, decimal, parse_ip};
use alloc::{string::String, vec::Vec};
use core::{net::IpAddr, num::NonZeroU32};
use json::{Fields, Scalar, Summary, place_of, read_block};
use marks::Marks;

/// How old dated evidence may be, in seconds, to count in the current reading: 60 days.
pub const EVIDENCE_MAX_AGE: u32 = 60 * 86_400;

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The facts.
    pub assessment: Assessment,
    /// The address that the report names, IPv4 unwrapped from its mapped form; `None` where it names none.
    pub subject: Option<IpAddr>,
    /// How many values were not of the form that the API documents, and were skipped.
    pub anomalies: u32,
}

/// A report with the evidence behind each finding, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// What the report says.
    pub reading: Reading,
    /// The evidence of the current reading, sorted, nothing twice.
    pub current: Vec<Detail>,
    /// The evidence of the published reading, sorted, nothing twice.
    pub published: Vec<Detail>,
}

/// Reads the answer to a lookup: the status of HTTP and the body, both from outside. Total.
///
/// `now` dates the assessment and sets the age of evidence. The error says what kind of answer it was instead; none of
/// them says anything about the address.
///
/// ```
/// use evaluator::{AnswerError, Finding, Level, Timestamp, read_answer};
///
/// let now = Timestamp::from_unix(1_711_324_800);
/// let body = br#"{"ip":"192.0.2.7","issues":{"is_tor":true},"score":{"inbound":"Low","outbound":"Safe"},"status":200}"#;
/// let facts = read_answer(200, body, now)?.assessment;
/// assert_eq!(facts.score.inbound, Some(Level::Low));
/// assert!(facts.findings.contains(Finding::Tor));
///
/// let refusal = br#"{"status":401,"message":"invalid api key"}"#;
/// assert_eq!(read_answer(200, refusal, now), Err(AnswerError::BadKey));
/// # Ok::<(), AnswerError>(())
/// ```
pub fn read_answer(http_status: u16, body: &[u8], now: Timestamp) -> Result<Reading, AnswerError> {
    read(http_status, body, Gathered::new(now, false)).map(|(reading, _)| reading)
}

/// Reads the answer to a lookup as [`read_answer`] does, and says what each finding rests on.
///
/// ```
/// use evaluator::{AnswerError, Timestamp, examine};
///
/// let body = br#"{"ip":"192.0.2.7","issues":{"is_tor":true},"score":{"inbound":"Low","outbound":"Safe"},"status":200}"#;
/// let examination = examine(200, body, Timestamp::from_unix(1_711_324_800))?;
/// assert_eq!(examination.current[0].detail.as_deref(), Some("is_tor"));
/// # Ok::<(), AnswerError>(())
/// ```
pub fn examine(http_status: u16, body: &[u8], now: Timestamp) -> Result<Examination, AnswerError> {
    let (reading, gathered) = read(http_status, body, Gathered::new(now, true))?;
    Ok(Examination { reading, current: gathered.current.sorted(), published: gathered.published.sorted() })
}

fn read(http_status: u16, body: &[u8], mut gathered: Gathered) -> Result<(Reading, Gathered), AnswerError> {
    let unreadable = || answer::unreadable(http_status, body);
    let text = core::str::from_utf8(body).map_err(|_| unreadable())?;
    let raw = read_members(text, &mut gathered).map_err(|_| unreadable())?;

    let status = Scalar::read(raw.status);
    let score = gathered.read_score(raw.score);
    if http_status != 200 || status.integer() != Some(200) || score == Score::default() {
        return Err(answer::refused(http_status, &status, Scalar::read(raw.message).text()));
    }
    gathered.read_flags(raw.issues);
    gathered.read_flags(raw.tags);
    let subject = Scalar::read(raw.ip);
    let subject = subject.text().and_then(parse_ip).map(|ip| ip.to_canonical());
    gathered.odd_if(subject.is_none());
    let assessment = Assessment {
        learned: gathered.now,
        findings: gathered.current.findings,
        published: gathered.published.findings,
        asn: gathered.asn,
        country: gathered.country,
        score,
    };
    Ok((Reading { assessment, subject, anomalies: gathered.anomalies }, gathered))
}

/// The members of a report that are short, raw.
#[derive(Default)]
struct Short<'t> {
    ip: Option<&'t str>,
    issues: Option<&'t str>,
    tags: Option<&'t str>,
    score: Option<&'t str>,
    status: Option<&'t str>,
    message: Option<&'t str>,
}

/// What was found so far.
struct Gathered {
    now: Timestamp,
    explain: bool,
    current: Marks,
    published: Marks,
    asn: Option<NonZeroU32>,
    country: Option<Country>,
    anomalies: u32,
}

impl Gathered {
    fn new(now: Timestamp, explain: bool) -> Gathered {
        Gathered {
            now,
            explain,
            current: Marks::new(explain),
            published: Marks::new(explain),
            asn: None,
            country: None,
            anomalies: 0,
        }
    }

    fn odd_if(&mut self, odd: bool) {
        self.anomalies = self.anomalies.saturating_add(u32::from(odd));
    }

    fn is_recent(&self, seen: Option<Timestamp>) -> bool {
        seen.is_some_and(|seen| self.now.seconds_since(seen) <= EVIDENCE_MAX_AGE)
    }

    /// Adds a finding to the current reading if the record that it comes from is recent.
    fn add_dated(&mut self, finding: Finding, seen: Option<Timestamp>, detail: &dyn Fn() -> String) {
        if self.is_recent(seen) {
            self.current.add(finding, &detail);
        }
    }

    /// Reads the score: a level for each direction, or one for both as `overall`, `total` or the score itself.
    fn read_score(&mut self, raw: Option<&str>) -> Score {
        let levels = match Scalar::read(raw) {
            Scalar::Nested(raw) => Fields(["inbound", "outbound", "overall", "total"]).read(raw).unwrap_or_default(),
            _ => [None, None, raw, None],
        };
        let [inbound, outbound, overall, total] = levels.map(|raw| {
            let value = Scalar::read(raw);
            let level = level(&value);
            self.odd_if(level.is_none() && value != Scalar::Null);
            level
        });
        let both = overall.max(total);
        if inbound.max(outbound).max(both) >= Some(Level::Dangerous) {
            for (name, level) in [("inbound", inbound), ("outbound", outbound), ("overall", both)] {
                let Some(level) = level.filter(|level| *level >= Level::Dangerous) else { continue };
                self.current.add(Finding::Reputation, &|| [name, " ", level.name()].concat());
                self.published.add(Finding::Reputation, &|| [name, " ", level.name()].concat());
            }
        }
        Score { inbound: inbound.or(both), outbound: outbound.or(both) }
    }

    fn read_flags(&mut self, raw: Option<&str>) {
        let Some(raw) = raw else { return };
        let Some(flags) = Fields(meaning::FLAGS).read(raw) else { return self.odd_if(true) };
        for (raw, (name, finding)) in flags.into_iter().zip(meaning::FLAGS.into_iter().zip(meaning::FLAGGED)) {
            let value = Scalar::read(raw);
            let flag = value.flag();
            self.odd_if(flag.is_none() && value != Scalar::Null);
            if flag == Some(true) {
                self.current.add(finding, &|| String::from(name));
                if meaning::is_published(finding) {
                    self.published.add(finding, &|| String::from(name));
                }
            }
        }
    }

    fn read_category(&mut self, [kind, seen]: json::Slots<'_, 2>) {
        let kind = Scalar::read(kind);
        let seen = timestamp(seen);
        self.odd_if(kind.text().is_none() || seen.is_none());
        let Some(kind) = kind.text() else { return };
        if let Some(finding) = meaning::exact_category(kind) {
            self.published.add(finding, &|| ["category ", kind].concat());
        }
        if let Some(finding) = meaning::category(kind) {
            self.add_dated(finding, seen, &|| ["category ", kind].concat());
        }
    }

    fn read_detection(&mut self, [classification, message, seen]: json::Slots<'_, 3>) {
        let (classification, message) = (Scalar::read(classification), Scalar::read(message));
        let seen = timestamp(seen);
        self.odd_if(seen.is_none());
        let detail = || String::from(message.text().or(classification.text()).unwrap_or("intrusion detection record"));
        self.add_dated(Finding::Ids, seen, &detail);
        if meaning::is_command_and_control(classification.text(), message.text()) {
            self.add_dated(Finding::C2, seen, &detail);
        }
    }

    fn read_honeypot(&mut self, [confirmed, logged]: json::Slots<'_, 2>) {
        let seen = timestamp(confirmed).or_else(|| timestamp(logged));
        self.odd_if(seen.is_none());
        self.add_dated(Finding::Honeypot, seen, &|| String::from("honeypot record"));
    }

    fn read_owner(&mut self, [number, country]: json::Slots<'_, 2>) {
        let number = Scalar::read(number).integer().and_then(|number| u32::try_from(number).ok());
        self.asn = self.asn.or(number.and_then(NonZeroU32::new));
        self.country = self.country.or(Scalar::read(country).text().and_then(Country::parse));
    }

    fn read_vulnerabilities(&mut self, summary: Summary<'_>) {
        let count = Scalar::read(summary.count).integer();
        let count = count.filter(|count| *count > 0).unwrap_or_else(|| i64::from(summary.records));
        if count > 0 {
            self.current
                .add(Finding::Vulnerable, &|| [&*decimal(count.unsigned_abs()), " known vulnerabilities"].concat());
        }
    }
}

fn level(value: &Scalar<'_>) -> Option<Level> {
    let is = |(level, number): &(Level, i64)| {
        value.text().is_some_and(|text| text.eq_ignore_ascii_case(level.name())) || value.integer() == Some(*number)
    };
    Level::ALL.into_iter().zip(1..).find(is).map(|(level, _)| level)
}

fn timestamp(raw: Option<&str>) -> Option<Timestamp> {
    Timestamp::parse(Scalar::read(raw).text()?)
}

/// Reads the members of a report, front to back.
fn read_members<'t>(text: &'t str, gathered: &mut Gathered) -> Result<Short<'t>, JsonError> {
    const NAMES: [&str; 12] = [
        "ip",
        "issues",
        "tags",
        "score",
        "status",
        "message",
        "whois",
        "ids",
        "honeypot",
        "ip_category",
        "port",
        "vulnerability",
    ];
    let mut short = Short::default();
    let mut ports = port::Ports::default();
    let mut seen = [false; NAMES.len()];
    let mut json = JsonReader::new(text);
    json.object(&mut |json, key| {
        let place = place_of(key, &NAMES);
        let name = place.and_then(|place| NAMES.get(place).copied()).unwrap_or_default();
        if let Some(seen) = place.and_then(|place| seen.get_mut(place))
            && core::mem::replace(seen, true)
        {
            return Err(json.expected("each member once"));
        }
        let summary = match name {
            "whois" => read_block(json, ["as_no", "org_country_code"], |slots| gathered.read_owner(slots))?,
            "ids" => read_block(json, ["classification", "message", "confirmed_time"], |slots| {
                gathered.read_detection(slots);
            })?,
            "honeypot" => read_block(json, ["confirmed_time", "log_date"], |slots| gathered.read_honeypot(slots))?,
            "ip_category" => read_block(json, ["type", "confirmed_time"], |slots| gathered.read_category(slots))?,
            "port" => read_block(json, port::NAMES, |slots| ports.read(slots, gathered))?,
            "vulnerability" => {
                let summary = read_block(json, [], |_| {})?;
                gathered.read_vulnerabilities(summary);
                summary
            }
            _ => {
                let value = Some(json.value()?);
                match name {
                    "ip" => short.ip = value,
                    "issues" => short.issues = value,
                    "tags" => short.tags = value,
                    "score" => short.score = value,
                    "status" => short.status = value,
                    "message" => short.message = value,
                    _ => {}
                }
                return Ok(());
            }
        };
        gathered.anomalies = gathered.anomalies.saturating_add(summary.odd);
        Ok(())
    })?;
    json.end()?;
    ports.finish(gathered);
    Ok(short)
}
