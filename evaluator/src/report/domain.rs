//! Reading an answer of the quick domain look-up, `/v1/domain/quick/malicious/view`.
//!
//! ```json
//! {"data": {"call_count": 1, "domain": "example.com", "reg_dtime": "2026-01-01 00:00:00", "result": "malicious",
//!  "type": "phishing"}, "message": "api success", "status": 200}
//! ```
//! Criminal IP answers from its list of malicious domains. Its clients know the results `malicious`, `safe` and `unknown`
//! (<https://github.com/demisto/content/tree/master/Packs/CriminalIP>); any other, or none, is no answer.

use super::answer::{self, AnswerError};
use super::json::{Fields, Scalar};
use super::meaning;
use crate::json::JsonReader;
use crate::{Assessment, Finding, Findings, Host, Score, Timestamp, parse_host};
use alloc::boxed::Box;

/// What the answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainReading {
    /// The facts: no score, since the API gives none, and `domain.malicious` where it is listed, with what the `type` of the
    /// entry says beside it.
    pub assessment: Assessment,
    /// The domain that the answer names, normalised; `None` where it names none.
    pub subject: Option<Box<str>>,
}

/// Reads the answer to a quick domain look-up: the status of HTTP and the body, both from outside. Total.
///
/// `now` dates the assessment. The error says what kind of answer it was instead; none of them says anything about the
/// domain.
///
/// ```
/// use evaluator::{AnswerError, Finding, Timestamp, read_domain_answer};
///
/// let now = Timestamp::from_unix(1_711_324_800);
/// let body = br#"{"data":{"domain":"bad.example","result":"malicious"},"message":"api success","status":200}"#;
/// assert!(read_domain_answer(200, body, now)?.assessment.findings.contains(Finding::Domain));
///
/// let refusal = br#"{"status":403,"message":"limit exceeded"}"#;
/// assert_eq!(read_domain_answer(200, refusal, now), Err(AnswerError::NoCredit));
/// # Ok::<(), AnswerError>(())
/// ```
pub fn read_domain_answer(http_status: u16, body: &[u8], now: Timestamp) -> Result<DomainReading, AnswerError> {
    let unreadable = || answer::unreadable(http_status, body);
    let text = core::str::from_utf8(body).map_err(|_| unreadable())?;
    let mut json = JsonReader::new(text);
    let members = Fields(["status", "message", "data"]).read_next(&mut json).map_err(|_| unreadable())?;
    json.end().map_err(|_| unreadable())?;
    let [status, message, data] = members.ok_or_else(unreadable)?;

    let status = Scalar::read(status);
    let data = data.and_then(|data| Fields(["domain", "result", "type"]).read(data)).unwrap_or_default();
    let [domain, result, kind] = data.map(Scalar::read);
    let listed = result.text().and_then(is_listed);
    let Some(listed) = listed.filter(|_| http_status == 200 && status.integer() == Some(200)) else {
        return Err(answer::refused(http_status, &status, Scalar::read(message).text()));
    };
    let mut findings = Findings::EMPTY;
    if listed {
        findings.insert(Finding::Domain);
        if let Some(kind) = kind.text().and_then(meaning::category) {
            findings.insert(kind);
        }
    }
    let subject = match domain.text().map(|domain| parse_host(domain.as_bytes())) {
        Some(Ok(Host::Name { name, .. })) => Some(name),
        _ => None,
    };
    let assessment = Assessment {
        learned: now,
        findings,
        published: Findings::EMPTY,
        asn: None,
        country: None,
        score: Score::default(),
    };
    Ok(DomainReading { assessment, subject })
}

/// Whether the domain is on the list; `None` for a result that nobody knows.
fn is_listed(result: &str) -> Option<bool> {
    let is = |word: &str| result.eq_ignore_ascii_case(word);
    if is("malicious") {
        Some(true)
    } else if is("safe") || is("unknown") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::vec::Vec;

    fn now() -> Timestamp {
        Timestamp::from_unix(1_790_000_000)
    }

    fn read(data: &str) -> Result<DomainReading, AnswerError> {
        let body = format!(r#"{{"data":{data},"message":"api success","status":200}}"#);
        read_domain_answer(200, body.as_bytes(), now())
    }

    #[test]
    fn a_listed_domain_is_a_finding_with_what_its_type_says() {
        for (data, findings) in [
            (
                r#"{"domain":"a.example","result":"malicious","type":"phishing"}"#,
                &[Finding::Domain, Finding::Phishing][..],
            ),
            (
                r#"{"domain":"a.example","result":"Malicious","type":"malware (High)"}"#,
                &[Finding::Domain, Finding::Malware],
            ),
            (r#"{"domain":"a.example","result":"malicious","type":7}"#, &[Finding::Domain]),
            (r#"{"result":" malicious "}"#, &[Finding::Domain]),
            (r#"{"domain":"a.example","result":"safe","type":"phishing"}"#, &[]),
            (r#"{"domain":"a.example","result":"unknown"}"#, &[]),
        ] {
            let assessment = read(data).unwrap().assessment;
            assert_eq!(assessment.findings, Findings::of(findings), "{data}");
            assert_eq!((assessment.score, assessment.published), (Score::default(), Findings::EMPTY), "{data}");
        }
        assert_eq!(read(r#"{"domain":"A.Example.","result":"safe"}"#).unwrap().subject.as_deref(), Some("a.example"));
    }

    #[test]
    fn whatever_does_not_say_it_is_no_answer() {
        use AnswerError::*;
        for (http, body, error) in [
            (200, &br#"{"status":200,"message":"api success"}"#[..], Malformed),
            (200, br#"{"status":200,"data":{}}"#, Malformed),
            (200, br#"{"status":200,"data":[]}"#, Malformed),
            (200, br#"{"status":200,"data":{"result":"perhaps"}}"#, Malformed),
            (200, br#"{"status":200,"data":{"result":true}}"#, Malformed),
            (200, br#"{"data":{"result":"safe"}}"#, Malformed),
            (200, br#"{"status":403,"message":"limit exceeded","data":{"result":"safe"}}"#, NoCredit),
            (200, br#"{"status":401,"message":"invalid api key"}"#, BadKey),
            (200, br#"{"status":403,"message":"unable to call api at the same time"}"#, ConcurrencyRefused),
            (200, br#"{"status":500,"message":"An unexpected error occured"}"#, ServerError),
            (200, br#"{"status":412,"message":"Missing Parameter"}"#, Unknown),
            (503, br#"{"status":200,"data":{"result":"safe"}}"#, ServerError),
            (429, b"", RateLimited),
            (502, b"<html>", ServerError),
            (200, b"", Malformed),
            (200, br#"{"status":200,"data":{"result":"safe"}"#, Malformed),
            (200, br#"{"status":200,"data":{"result":"safe"}} {}"#, Malformed),
            (200, br#"["safe"]"#, Malformed),
            (200, b"\xff", Malformed),
        ] {
            assert_eq!(read_domain_answer(http, body, now()), Err(error), "{http} {}", body.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(status: u16, bytes: Vec<u8>) {
            let _ = read_domain_answer(status, &bytes, now());
        }
    }
}
