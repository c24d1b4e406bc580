//! What the stand-in knows about domains: chosen names below the documentation domains (RFC 2606), and nothing about any
//! other.

use super::{clock::Clock, json::object};

/// The chosen domains, by what each shows.
pub mod host {
    /// Known as harmless.
    pub const SAFE: &str = "safe.example.net";
    /// On the list of malicious domains.
    pub const MALICIOUS: &str = "malicious.example.net";
    /// On the list of malicious domains, for phishing.
    pub const PHISHING: &str = "phishing.example.net";
    /// On no list.
    pub const UNKNOWN: &str = "www.example.net";
}

/// The answer about a domain, as of now: `None` for what the API does not take for one.
pub(crate) fn answer(domain: &str, clock: Clock) -> Option<Vec<u8>> {
    let is_name =
        domain.contains('.') && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        return None;
    }
    let (result, kind) = match domain {
        host::SAFE => ("safe", ""),
        host::MALICIOUS => ("malicious", ""),
        host::PHISHING => ("malicious", "phishing"),
        _ => ("unknown", ""),
    };
    let body = object! {
        "data": object! {
            "call_count": 1_i64, "domain": domain.to_owned(), "reg_dtime": clock.days_ago(30), "result": result, "type": kind,
        },
        "message": "api success", "status": 200_i64,
    };
    let mut bytes = Vec::new();
    body.write(&mut bytes);
    bytes.push(b'\n');
    Some(bytes)
}
