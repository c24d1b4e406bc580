//! The building blocks of a report: what `/v1/asset/ip/report` answers about an address.

use super::{
    clock::Clock,
    json::{Json, object},
};
use std::net::IpAddr;

/// A report, before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) ip: IpAddr,
    /// The issues that are true, without `is_`: `tor`.
    pub(crate) issues: Vec<&'static str>,
    /// The inbound and outbound level.
    pub(crate) score: (&'static str, &'static str),
    /// The blocks that are not empty, with all their entries.
    pub(crate) blocks: Vec<(&'static str, Vec<Json>)>,
    /// Whether to write the names and numbers of the older `/v1/ip/data`.
    pub(crate) old_names: bool,
}

const ISSUES: [&str; 9] = ["vpn", "cloud", "tor", "proxy", "hosting", "mobile", "darkweb", "scanner", "snort"];
const BLOCKS: [&str; 12] = [
    "domain",
    "whois",
    "hostname",
    "ids",
    "vpn",
    "webcam",
    "honeypot",
    "ip_category",
    "port",
    "vulnerability",
    "mobile",
    // Seen in the documentation only; written when there is something in them.
    "anonymous_vpn",
];
/// The levels in ascending order: the older form writes their place, counted from 1.
const LEVELS: [&str; 5] = ["Safe", "Low", "Moderate", "Dangerous", "Critical"];
/// Entries of a block that an answer without `full=true` gives.
const ENTRIES_WITHOUT_FULL: usize = 20;

impl Report {
    /// A report that knows nothing but the levels.
    pub(crate) fn new(ip: IpAddr, inbound: &'static str, outbound: &'static str) -> Report {
        Report { ip, issues: vec![], score: (inbound, outbound), blocks: vec![], old_names: false }
    }

    pub(crate) fn issues(mut self, issues: &[&'static str]) -> Report {
        self.issues.extend_from_slice(issues);
        self
    }

    pub(crate) fn block(mut self, name: &'static str, entries: Vec<Json>) -> Report {
        self.blocks.push((name, entries));
        self
    }

    /// The body: minified, `status` last, and a newline.
    pub(crate) fn body(&self, full: bool) -> Vec<u8> {
        let mut members = vec![
            ("ip", self.ip.to_string().into()),
            (if self.old_names { "tags" } else { "issues" }, self.issue_flags()),
            ("score", object! {"inbound": self.level(self.score.0), "outbound": self.level(self.score.1)}),
            ("user_search_count", 0_i64.into()),
        ];
        for name in BLOCKS {
            let entries = self.blocks.iter().find(|(block, _)| *block == name).map(|(_, entries)| entries.as_slice());
            if entries.is_none() && name == "anonymous_vpn" {
                continue;
            }
            let entries = entries.unwrap_or_default();
            let given = if full { entries.len() } else { entries.len().min(ENTRIES_WITHOUT_FULL) };
            members.push((name, object! {"count": entries.len(), "data": entries[..given].to_vec()}));
        }
        members.push(("status", 200_i64.into()));
        let mut body = Vec::new();
        Json::Object(members).write(&mut body);
        body.push(b'\n');
        body
    }

    fn issue_flags(&self) -> Json {
        const KEYS: [&str; 9] = [
            "is_vpn",
            "is_cloud",
            "is_tor",
            "is_proxy",
            "is_hosting",
            "is_mobile",
            "is_darkweb",
            "is_scanner",
            "is_snort",
        ];
        let mut flags: Vec<_> =
            KEYS.iter().zip(ISSUES).map(|(key, issue)| (*key, self.issues.contains(&issue).into())).collect();
        if self.issues.contains(&"anonymous_vpn") {
            flags.push(("is_anonymous_vpn", true.into()));
        }
        Json::Object(flags)
    }

    fn level(&self, level: &'static str) -> Json {
        if !self.old_names {
            return level.into();
        }
        LEVELS.iter().position(|other| *other == level).map(|place| place + 1).into()
    }
}

pub(crate) fn whois(clock: Clock, as_no: i64, as_name: &str, country: &str) -> Json {
    object! {
        "as_name": as_name, "as_no": as_no, "city": None::<String>, "region": None::<String>, "org_name": as_name,
        "postal_code": None::<String>, "longitude": 127.0, "latitude": 37.5, "org_country_code": country,
        "confirmed_time": clock.days_ago(2),
    }
}

pub(crate) fn category(kind: &str, confirmed: String) -> Json {
    object! {"detect_source": "", "type": kind, "detect_info": Json::Object(vec![]), "confirmed_time": confirmed}
}

pub(crate) fn vpn(clock: Clock, name: &str, days_ago: i64) -> Json {
    object! {
        "vpn_name": name, "vpn_url": "exit.vpn.example", "vpn_source_url": "", "socket_type": "udp",
        "confirmed_time": clock.days_ago(days_ago),
    }
}

pub(crate) fn domain(clock: Clock, number: usize) -> Json {
    object! {
        "domain": format!("site-{number}.example"), "ip_type": "Unknown", "registrar": "Example Registrar",
        "create_date": clock.days_ago(900), "confirmed_time": clock.days_ago(30), "email": "owner@example.com",
    }
}

/// One record of the port block.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) socket: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) app: &'static str,
    pub(crate) version: &'static str,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) banner: String,
    pub(crate) certificate: Option<String>,
    pub(crate) vulnerable: bool,
}

impl Port {
    pub(crate) fn new(number: u16, protocol: &'static str, app: &'static str, version: &'static str) -> Port {
        Port {
            number,
            socket: "tcp",
            protocol,
            app,
            version,
            tags: vec![],
            banner: String::new(),
            certificate: None,
            vulnerable: false,
        }
    }

    pub(crate) fn tags(mut self, tags: &[&'static str]) -> Port {
        self.tags.extend_from_slice(tags);
        self
    }

    /// Serves TLS with this certificate, whose text the API repeats in the banner.
    pub(crate) fn certificate(mut self, text: String) -> Port {
        self.banner.push_str("HTTP/1.1\nStatus: 200 OK\n");
        self.banner.push_str(&text);
        self.certificate = Some(text);
        self
    }

    /// The record of a scan so many days ago.
    pub(crate) fn seen(&self, clock: Clock, days_ago: i64) -> Json {
        let name = self.certificate.as_ref().map(|_| "*.host.example");
        object! {
            "app_name": self.app, "banner": self.banner.as_str(), "app_version": self.version,
            "open_port_no": self.number, "port_status": "open", "protocol": self.protocol, "socket": self.socket,
            "tags": self.tags.iter().map(|tag| Json::from(*tag)).collect::<Vec<_>>(),
            "dns_names": name, "sdn_common_name": name,
            "jarm_hash": name.map(|_| "2ad2ad0002ad2ad00042d42d00000ad9bf51cc3f5a1e29eecb81d0c7b06eb"),
            "ssl_info_raw": self.certificate.as_deref(), "technologies": Vec::<Json>::new(),
            "is_vulnerability": self.vulnerable, "confirmed_time": clock.days_ago(days_ago),
        }
    }
}

/// What sets one certificate apart from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate {
    pub(crate) issuer: &'static str,
    pub(crate) subject: &'static str,
    /// `Self Signed: ...`; the API leaves the line out more often than not.
    pub(crate) self_signed: Option<bool>,
    /// Days from now until it ends; negative when it has ended.
    pub(crate) days_left: i64,
    /// Bytes of padding in the signature, to make a report large.
    pub(crate) signature: usize,
}

impl Certificate {
    pub(crate) const GOOD: Certificate = Certificate {
        issuer: "C=US, O=Example Trust, CN=Example Issuing CA",
        subject: "C=US, O=Example Hosting, CN=*.host.example",
        self_signed: None,
        days_left: 60,
        signature: 256,
    };

    /// The text of `ssl_info_raw`: the API prints a certificate, it does not quote it.
    pub(crate) fn text(self, clock: Clock) -> String {
        let flag = self
            .self_signed
            .map_or(String::new(), |flag| format!("\tSelf Signed: {}\n", if flag { "True" } else { "False" }));
        format!(
            "\n\nTLS Certificate\nVersion: 3\nSerial Number: 72057594037927936\nSignature Algorithm: \n\tName: SHA256-RSA\n\
             Issuer: \n\tOrganization: Example\nIssuer Dn: {issuer}\n\
             Validity: \n\tStart: {start}\n\tEnd: {end}\n\tLength: 31536000\n\
             Subject: \n\tOrganization: Example\nSubject Dn: {subject}\n\
             Extensions: \n\tKey Usage: \n\t\tDigital Signature: True\n\tBasic Constraints: \n\
             Signature: \n{flag}\tValue: {value}\n\tValid: True\nFingerprint Md5: d41d8cd98f00b204e9800998ecf8427e\n",
            issuer = self.issuer,
            subject = self.subject,
            start = clock.iso_days_ago(365 - self.days_left),
            end = clock.iso_days_ago(-self.days_left),
            value = "kX".repeat(self.signature / 2),
        )
    }
}
