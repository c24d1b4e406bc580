//! One call to Criminal IP, or to a gateway that speaks the same API.

use super::key::ApiKey;
use evaluator::{AnswerError, Examination, Timestamp};
use gate::LookupError;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use ureq::http::header::RETRY_AFTER;

/// The longest answer that is read, in bytes. Whole reports have a few kilobytes to a few megabytes.
const MAX_BODY: u64 = 32 << 20;

/// Where to ask: scheme, host, port and what stands before `/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    text: String,
    host: String,
}

impl BaseUrl {
    /// Reads `https://api.criminalip.io`.
    ///
    /// # Errors
    /// What would be right.
    pub(crate) fn parse(text: &str) -> Result<BaseUrl, &'static str> {
        const RIGHT: &str = "not a base URL; right would be https://api.criminalip.io or http://gateway.internal:8080";
        let uri: ureq::http::Uri = text.parse().map_err(|_| RIGHT)?;
        let known = matches!(uri.scheme_str(), Some("https" | "http"));
        let authority = uri.authority().filter(|authority| known && !authority.as_str().contains('@')).ok_or(RIGHT)?;
        if uri.query().is_some() {
            return Err(RIGHT);
        }
        Ok(BaseUrl { host: authority.to_string(), text: text.trim_end_matches('/').to_owned() })
    }

    /// Host and port, as the name of what was learned there.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the key would travel over a network for everybody to read.
    pub(crate) fn shows_the_key(&self) -> bool {
        let local = ["localhost", "127.", "[::1]"].iter().any(|start| self.host.starts_with(start));
        self.text.starts_with("http:") && !local
    }
}

/// A report as it came.
#[derive(Debug)]
pub(crate) struct Report {
    /// The body, byte for byte.
    pub(crate) body: Vec<u8>,
    /// When it was learned.
    pub(crate) learned: Timestamp,
    /// What it says.
    pub(crate) examination: Examination,
}

/// A call that brought no report.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: LookupError,
    /// How long Criminal IP asks callers to wait.
    pub(crate) retry_after: Option<Duration>,
    /// What else is known of the cause, in one line.
    cause: Option<String>,
}

impl Refusal {
    fn new(error: LookupError) -> Refusal {
        Refusal { error, retry_after: None, cause: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::exit::describe(self.error))?;
        if let Some(cause) = &self.cause {
            write!(f, " ({cause})")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, "; it asks callers to wait for {} s", wait.as_secs())?;
        }
        Ok(())
    }
}

/// Asks, one call at a time; threads may share it.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    base: BaseUrl,
    key: ApiKey,
}

impl Client {
    pub(super) fn new(base: BaseUrl, key: ApiKey, timeout: Duration) -> Client {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect would carry the key to whoever it names.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build())
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        Client { agent: agent.into(), base, key }
    }

    /// Asks about one address, as of `now`.
    pub(super) fn ask(&self, ip: IpAddr, now: Timestamp) -> Result<Report, Refusal> {
        let url = format!("{}/v1/asset/ip/report?ip={ip}&full=true", self.base.text);
        let answer = self.agent.get(&url).header("x-api-key", self.key.expose()).call();
        let mut answer = answer.map_err(|error| refusal(error, LookupError::Connection))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = answer.body_mut().with_config().limit(MAX_BODY).read_to_vec();
        let body = body.map_err(|error| refusal(error, LookupError::Reset))?;
        let examination = evaluator::examine(status, &body, now).map_err(|error| Refusal {
            retry_after: retry_after.map(Duration::from_secs),
            cause: (status != 200).then(|| format!("HTTP status {status}")),
            ..Refusal::new(LookupError::Answer(error))
        })?;
        // A report that names no address counts for the one that was asked about, as in the filter.
        match examination.reading.subject {
            Some(subject) if subject != ip => {
                Err(Refusal { cause: Some(subject.to_string()), ..Refusal::new(LookupError::OtherAddress) })
            }
            _ => Ok(Report { body, learned: now, examination }),
        }
    }
}

/// What kind of failure it is; `broken` where the connection ended without saying more.
fn refusal(error: ureq::Error, broken: LookupError) -> Refusal {
    let kind = match &error {
        ureq::Error::Timeout(_) => LookupError::TimedOut,
        ureq::Error::BodyExceedsLimit(_) => return Refusal::new(LookupError::TooLarge),
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::TimedOut => LookupError::TimedOut,
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                LookupError::Reset
            }
            _ => broken,
        },
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            LookupError::Connection
        }
        // What answers there does not speak HTTP.
        ureq::Error::Protocol(_) | ureq::Error::Decompress(..) => LookupError::Answer(AnswerError::Malformed),
        _ => LookupError::NotSent,
    };
    let cause = error.to_string().replace(char::is_control, " ");
    Refusal { cause: Some(cause), ..Refusal::new(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_has_a_scheme_and_a_host() {
        for (text, host) in [
            ("https://api.criminalip.io", Some("api.criminalip.io")),
            ("https://api.criminalip.io/", Some("api.criminalip.io")),
            ("http://gateway.internal:8080/criminalip", Some("gateway.internal:8080")),
            ("http://[::1]:9", Some("[::1]:9")),
            ("api.criminalip.io", None),
            ("ftp://api.criminalip.io", None),
            ("https://", None),
            ("https://user:secret@gateway", None),
            ("https://gateway?x=y", None),
            ("", None),
        ] {
            assert_eq!(BaseUrl::parse(text).ok().map(|base| base.host), host.map(String::from), "{text}");
        }
    }

    #[test]
    fn only_plain_http_to_others_shows_the_key() {
        for (text, shows) in [
            ("https://api.criminalip.io", false),
            ("http://127.0.0.1:8080", false),
            ("http://localhost", false),
            ("http://[::1]:9", false),
            ("http://gateway.internal:8080", true),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().shows_the_key(), shows, "{text}");
        }
    }
}
