//! The workbench: a page for people, which asks this API. It says nothing by itself, so whoever asks gets it.

use super::Head;
use super::reply::{Reply, no_store};
use base64ct::{Base64, Encoding};

const PAGE: &str = include_str!("workbench.html");

impl Head {
    /// The page, where this asks for it.
    pub fn page(&self) -> Option<Reply> {
        let path = self.target.split(|byte| *byte == b'?').next();
        (self.method == b"GET" && path == Some(b"/")).then(page)
    }
}

#[inline(never)]
fn page() -> Reply {
    let (style, script) = (hash("<style>", "</style>"), hash("<script>", "</script>"));
    // Nothing but this script and this style runs or counts, nothing but this listener is asked, and no other page shows it.
    let policy = [
        "default-src 'none'; script-src '",
        &script,
        "'; style-src '",
        &style,
        "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ];
    let fixed = [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    let mut headers: Vec<(&'static str, String)> = fixed.map(|(name, value)| (name, value.into())).into();
    headers.extend([("content-security-policy", policy.concat()), no_store()]);
    Reply { status: 200, headers, body: PAGE.into() }
}

/// How a policy names what stands between these.
fn hash(start: &str, end: &str) -> String {
    let inside = PAGE.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inside, _)| inside);
    ["sha256-", &Base64::encode_string(&hmac_sha256::Hash::hash(inside.as_bytes()))].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str) -> Head {
        Head { method: method.into(), target: target.into(), ..Head::default() }
    }

    #[test]
    fn the_page_is_at_the_root_and_nowhere_else() {
        for (method, target, is_page) in [
            ("GET", "/", true),
            ("GET", "/?from=bookmark", true),
            ("POST", "/", false),
            ("GET", "/v1/status", false),
            ("GET", "/index.html", false),
            ("GET", "", false),
        ] {
            assert_eq!(head(method, target).page().is_some(), is_page, "{method} {target}");
        }
    }

    #[test]
    fn the_page_is_whole_small_and_asks_nobody_else() {
        assert!(PAGE.len() < 30_000, "{} bytes", PAGE.len());
        for part in ["<style>", "</style>", "<script>", "</script>"] {
            assert_eq!(PAGE.matches(part).count(), 1, "{part}");
        }
        for foreign in ["src=", "http://", "https://", "@import", "url(", " style=", "innerHTML", "eval("] {
            let found: Vec<_> = PAGE.match_indices(foreign).collect();
            // The name of SVG is no address.
            let names = usize::from(foreign == "http://");
            assert_eq!(found.len(), names, "{foreign}: {found:?}");
        }
    }
}
