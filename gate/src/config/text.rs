//! The forms of text: names, headers, networks and the like.

use super::form::{Form, refuse_type, wrong_type};
use super::json::Json;
use super::mistake::{MistakeKind, Mistakes, meant, nearest, quoted};
use super::secret::Secret;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::{
    Country, Host, Profile, TimeWindow, TimeZone, Timestamp, WindowError, filled, how_many, network_text, parse_host,
    parse_ip, parse_network, parse_number,
};
use ipnet::IpNet;

/// A string of a certain form.
pub(super) struct Text<T> {
    kind: Kind,
    /// Reads a string of allowed length.
    read: fn(&str) -> Result<T, Fault>,
}

/// What can be said of a string without knowing what it becomes.
struct Kind {
    /// What the string is, without article.
    what: &'static str,
    /// The most characters; the fewest is one.
    longest: usize,
    /// A string that is right.
    example: &'static str,
    /// Whether mistakes must not quote the value.
    secret: bool,
}

/// What is wrong with a string, and what would be right.
type Fault = (MistakeKind, String);

const fn text<T>(
    what: &'static str,
    longest: usize,
    example: &'static str,
    read: fn(&str) -> Result<T, Fault>,
) -> Text<T> {
    Text { kind: Kind { what, longest, example, secret: false }, read }
}

/// The same, of which mistakes quote nothing.
const fn secret<T>(Text { kind, read }: Text<T>) -> Text<T> {
    Text { kind: Kind { secret: true, ..kind }, read }
}

impl<T> Text<T> {
    /// Reads a string that does not stand in the configuration.
    pub(super) fn parse(&self, text: &str) -> Option<T> {
        (1..=self.kind.longest).contains(&text.chars().count()).then(|| (self.read)(text).ok()).flatten()
    }
}

impl<T> Form for Text<T> {
    type Value = T;

    #[inline(never)]
    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> T {
        let mut text = self.kind.text_of_length(found, mistakes);
        loop {
            match (self.read)(text) {
                Ok(value) => return value,
                Err(fault) => text = self.kind.refuse(text, fault, mistakes),
            }
        }
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let Kind { what, longest, example, .. } = self.kind;
        assert!(self.parse(example).is_some(), "{what}: the example counts for what is wrong, so it must be right");
        serde_json::json!({
            "type": "string", "minLength": 1, "maxLength": longest, "examples": [example],
            "description": format!("{what}, up to {longest} characters"),
        })
    }
}

impl Kind {
    /// The string, or the example where it is none of an allowed length.
    fn text_of_length<'j>(&self, found: &'j Json, mistakes: &mut Mistakes) -> &'j str {
        let (what, longest) = (self.what, self.longest);
        let wanted = || filled("a string ({})", &[what]);
        match found.text().map(|text| (text, text.chars().count())) {
            Some((text, length)) if (1..=longest).contains(&length) => return text,
            Some((_, length)) => {
                let message =
                    filled("has {} characters; the {} has 1 to {}", &[&how_many(length), what, &how_many(longest)]);
                mistakes.note(MistakeKind::OutOfRange, message);
            }
            None if self.secret => refuse_type(found, mistakes, ["must be ", &wanted()].concat()),
            None => wrong_type(found, mistakes, &wanted()),
        }
        self.example
    }

    /// Notes what is wrong. The example is to be read instead.
    fn refuse(&self, text: &str, (kind, right): Fault, mistakes: &mut Mistakes) -> &'static str {
        let what = self.what;
        let message = match kind {
            _ if self.secret => filled("the value is no {}: {}", &[what, &right]),
            MistakeKind::Malformed => filled("{} is no {}: {}", &[&quoted(text), what, &right]),
            _ => [&*quoted(text), ": ", &right].concat(),
        };
        mistakes.note(kind, message);
        self.example
    }
}

fn malformed<T>(right: impl Into<String>) -> Result<T, Fault> {
    Err((MistakeKind::Malformed, right.into()))
}

/// The text itself if `fits` holds; else `right` says what would be.
fn checked(text: &str, fits: bool, right: &str) -> Result<Box<str>, Fault> {
    if fits { Ok(text.into()) } else { malformed(right) }
}

/// Any text at all.
pub(super) const MESSAGE: Text<Box<str>> = text("text", 1024, "Access denied", |text| Ok(text.into()));

/// A short remark, in one line.
pub(super) const REMARK: Text<Box<str>> =
    text("remark", 200, "netops", |text| checked(text, is_one_line(text), "it is one line without control characters"));

/// A remark of a few words, in one line.
pub(super) const SHORT_REMARK: Text<Box<str>> = text("remark", 64, "netops", REMARK.read);

/// The name of a rule. The profiles' rules keep theirs, so that a name in the log leads to one rule.
pub(super) const RULE_NAME: Text<Box<str>> = text("rule name", 64, "tor-login", |text| {
    for profile in Profile::ALL {
        if profile.policy().rules.iter().any(|rule| *rule.name == *text) {
            let right = filled("the profile {} has a rule of that name; choose another", &[profile.name()]);
            return Err((MistakeKind::Duplicate, right));
        }
    }
    checked(text, is_one_line(text), "it is one line without control characters")
});

/// The name of a cluster.
pub(super) const CLUSTER: Text<Box<str>> = text("cluster name", 255, "criminalip", |text| {
    checked(text, is_one_line(text), "it is one line without control characters")
});

/// A host with an optional port.
pub(super) const AUTHORITY: Text<Box<str>> =
    text("host name with an optional port", 255, "api.criminalip.io", |text| {
        let colon = text.bytes().rposition(|byte| byte == b':').unwrap_or(text.len());
        let host = match text.split_at_checked(colon) {
            Some((host, port)) if port.get(1..).and_then(parse_number).is_some_and(|port| port <= 65_535) => host,
            _ => text,
        };
        checked(text, is_host(host), "write the host, and the port if it is not the usual one, without scheme or path")
    });

/// The name of an environment variable. People paste the key itself here, so it is not quoted.
pub(super) const VARIABLE: Text<Box<str>> =
    secret(text("name of an environment variable", 128, "CRIMINALIP_API_KEY", |text| {
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !starts_with_digit(text);
        checked(text, fits, "it has letters, digits and _, and does not start with a digit")
    }));

/// The API key.
pub(super) const KEY: Text<Secret> = secret(text("API key", 512, "0123456789abcdef", |text| {
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
    checked(text, fits, "it has visible ASCII characters only, and no spaces").map(Secret::new)
}));

/// A name in a certificate, as the proxy reports it.
pub(super) const CERTIFICATE_NAME: Text<Box<str>> =
    text("URI or DNS name in a certificate", 255, "spiffe://example.org/soc", |text| {
        checked(text, text.bytes().all(|byte| byte.is_ascii_graphic()), "it has visible ASCII characters only")
    });

/// A header that a tag may take.
pub(super) const HEADER: Text<Box<str>> = text("header name in lower case", 64, "x-criminalip", |text| {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return malformed(["write ", &quoted(&text.to_ascii_lowercase())].concat());
    }
    if TAKEN.contains(&text) || text.starts_with("x-envoy-") {
        return malformed("the header has a meaning of its own; take one such as x-criminalip");
    }
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    checked(text, fits, "it has letters, digits and - only, such as x-criminalip")
});

/// Headers that HTTP or the proxy itself works with, so that a tag in their place would break something.
const TAKEN: &[&str] = &[
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "grpc-message",
    "grpc-status",
    "host",
    "keep-alive",
    "location",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// A name in the filter state.
pub(super) const STATE_NAME: Text<Box<str>> = text("name in the filter state", 64, "criminalip", |text| {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    checked(text, fits, "it has letters, digits, _, - and . only")
});

/// A name in the metadata of routes.
pub(super) const NAMESPACE: Text<Box<str>> = text("name in the metadata of routes", 64, "criminalip", |text| {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    checked(text, fits, "it has letters, digits, _, - and . only")
});

/// The name of a route.
pub(super) const ROUTE_NAME: Text<Box<str>> = text("route name", 255, "admin", |text| {
    checked(text, is_one_line(text), "it is one line without control characters")
});

/// The start of a path.
pub(super) const PATH_PREFIX: Text<Box<str>> = text("start of a path", 1024, "/login", |text| {
    let fits = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    checked(text, fits, "it starts with / and is percent-encoded, as requests are")
});

/// A path with its query.
pub(super) const PATH: Text<Box<str>> = text("path", 1024, "/list.txt", path);

/// The path of a webhook. Some are secret, so it is not quoted.
pub(super) const WEBHOOK_PATH: Text<Secret> =
    secret(text("path", 1024, "/portcullis", |text| path(text).map(Secret::new)));

/// A method. Methods are compared exactly, so `get` would never match.
pub(super) const METHOD: Text<Box<str>> = text("method", 32, "POST", |text| {
    let fits = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    checked(text, fits, "methods are in upper case, such as GET or POST")
});

/// A host, or all below a domain.
pub(super) const HOST: Text<Box<str>> = text("host", 255, "*.example.com", |text| {
    let name = text.strip_prefix("*.").unwrap_or(text);
    checked(
        text,
        is_name(name) || is_v6_in_brackets(text),
        "write it without port, such as www.example.com, *.example.com or [2001:db8::1]",
    )
});

/// A country.
pub(super) const COUNTRY: Text<Country> = text("country code", 2, "KR", |text| {
    Country::parse(text).map_or_else(|| malformed("it is two letters, such as KR (ISO 3166-1)"), Ok)
});

/// A time zone that time windows know.
pub(super) const TIME_ZONE: Text<Box<str>> =
    text("time zone", 64, "Asia/Seoul", |text| match TimeWindow::parse(text, WITHIN.kind.example) {
        Ok(_) => Ok(text.into()),
        Err(WindowError::UnknownZone) => {
            let names: Vec<String> = TimeZone::names().collect();
            match nearest(text, names.iter().map(String::as_str)) {
                Some(name) => malformed(meant(name)),
                None => malformed(WindowError::UnknownZone.message()),
            }
        }
        Err(error) => malformed(error.message()),
    });

/// Days and times of the week.
pub(super) const WITHIN: Text<Box<str>> =
    text("time window", 1024, "Mon-Fri 09:00-18:00", |text| match TimeWindow::parse("UTC", text) {
        Ok(_) => Ok(text.into()),
        Err(error) => malformed(error.message()),
    });

/// A moment.
pub(super) const MOMENT: Text<Timestamp> = text("date and time", 40, "2027-01-01T00:00:00Z", |text| {
    let right = "write it as 2027-01-01T00:00:00Z or 2027-01-01T09:00:00+09:00";
    Timestamp::parse(text).map_or_else(|| malformed(right), Ok)
});

/// A network, or an address that stands for itself.
pub(super) const NETWORK: Text<IpNet> = text("network", 64, "203.0.113.0/24", |text| {
    let Some(net) = parse_network(text) else {
        return malformed("write a network such as 203.0.113.0/24 or 2001:db8::/32, or an address");
    };
    if net.trunc() != net {
        let right = ["bits are set beyond the prefix; the network is ", &network_text(net.trunc())].concat();
        return Err((MistakeKind::HostBits, right));
    }
    match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            malformed("peers are compared in their IPv4 form; write the IPv4 network")
        }
        net => Ok(net),
    }
});

/// Reads a network that does not stand in a document, and says what would be right.
pub(crate) fn read_network(text: &str) -> Result<IpNet, Fault> {
    (NETWORK.read)(text)
}

/// The name of a host, or of all below a domain. An address is none.
pub(super) const NAME: Text<Box<str>> = text("host name", 255, "*.example.com", |text| {
    let name = text.strip_prefix("*.").unwrap_or(text);
    match parse_host(name.as_bytes()) {
        Ok(Host::Name { port: None, .. }) => Ok(text.into()),
        Ok(Host::Address(_)) => malformed("it is an address; write it as \"cidr\""),
        _ => malformed("write it without port, such as www.example.com or *.example.com; other scripts as xn--..."),
    }
});

/// A network, or the name of a host or of all below a domain.
pub(super) enum NetworkOrName {
    Network(IpNet),
    Name(Box<str>),
}

/// A network or a host.
pub(super) const NETWORK_OR_NAME: Text<NetworkOrName> =
    text("network or host name", 255, "203.0.113.0/24", |text| match (NAME.read)(text) {
        Ok(name) => Ok(NetworkOrName::Name(name)),
        Err(_) => (NETWORK.read)(text).map(NetworkOrName::Network),
    });

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A name, or an address, which in IPv6 has brackets.
fn is_host(text: &str) -> bool {
    is_v6_in_brackets(text) || is_name(text)
}

fn is_v6_in_brackets(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.and_then(parse_ip).is_some_and(|ip| ip.is_ipv6())
}

fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.split('.').all(is_label)
}

fn path(text: &str) -> Result<Box<str>, Fault> {
    let fits = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    checked(text, fits, "it starts with / and is percent-encoded, as requests are")
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}
