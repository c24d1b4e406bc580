//! The workbench: a page for people, which asks this API. It says nothing by itself, so whoever asks gets it.

use super::Head;
use super::reply::{Reply, no_store};
use alloc::string::String;
use alloc::vec::Vec;

/// The page as `workbench.html` has it, in gzip.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/workbench.html.gz"));

/// What the page may do: its Content-Security-Policy.
const POLICY: &str = include_str!(concat!(env!("OUT_DIR"), "/workbench.policy"));

impl Head {
    /// The page, where this asks for it.
    pub fn page(&self) -> Option<Reply> {
        let path = self.target.split(|byte| *byte == b'?').next();
        (self.method == b"GET" && path == Some(b"/")).then(page)
    }
}

#[inline(never)]
fn page() -> Reply {
    let fixed = [
        ("content-type", "text/html; charset=utf-8"),
        // For everyone: each browser takes it, and what does not say what it takes may be given it.
        ("content-encoding", "gzip"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("content-security-policy", POLICY),
    ];
    let mut headers: Vec<(&'static str, String)> = fixed.map(|(name, value)| (name, value.into())).into();
    headers.push(no_store());
    Reply { status: 200, headers, body: PACKED.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const PAGE: &str = include_str!("workbench.html");

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
    fn the_page_is_sent_as_it_is_written() {
        let page = head("GET", "/").page().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(page.body.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, PAGE);
        assert!(page.headers.contains(&("content-encoding", "gzip".into())));
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
