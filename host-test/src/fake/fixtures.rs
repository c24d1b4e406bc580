//! What the stand-in knows: chosen documentation addresses (RFC 5737, RFC 3849) that each show one thing, and for every
//! other address a report derived from the address itself.

use super::{
    clock::Clock,
    json::{Json, object},
    report::{Certificate, Port, Report, category, domain, vpn, whois},
    synthetic,
};
use std::net::IpAddr;

macro_rules! fixtures {
    ($($(#[doc = $about:literal])+ $host:literal $name:ident => $build:expr;)+) => {
        /// The chosen addresses, by what each shows.
        pub mod peer {
            $(
                $(#[doc = $about])+
                pub const $name: std::net::IpAddr =
                    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, $host));
            )+

            /// The IPv6 address that shows the same as one of the IPv4 addresses: `2001:db8::20` for 192.0.2.20.
            ///
            /// # Panics
            /// When given an IPv6 address.
            pub fn v6(peer: std::net::IpAddr) -> std::net::IpAddr {
                let std::net::IpAddr::V4(peer) = peer else { panic!("{peer} is IPv6 already") };
                // Written alike, so the last octet's decimal digits become hexadecimal ones.
                let digits = u16::from_str_radix(&peer.octets()[3].to_string(), 16).expect("three digits at most");
                std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, digits).into()
            }
        }

        fn chosen(ip: IpAddr, number: u16, clock: Clock) -> Option<Report> {
            let build: fn(IpAddr, Clock) -> Report = match number {
                $($host => $build,)+
                _ => return None,
            };
            Some(build(ip, clock))
        }
    };
}

fixtures! {
    /// Nothing known, and safe.
    10 CLEAN => |ip, _| Report::new(ip, "Safe", "Safe");
    /// A Tor exit of moderate risk that is also a proxy.
    20 TOR => |ip, clock| Report::new(ip, "Moderate", "Low").issues(&["tor", "proxy"])
        .block("ip_category", vec![category("tor", clock.days_ago(1))]);
    /// A host that scans others, of low risk otherwise.
    30 SCANNER => |ip, clock| Report::new(ip, "Low", "Safe").issues(&["scanner"])
        .block("ip_category", vec![category("scanner", clock.days_ago(3))]);
    /// A command-and-control server, as the API rates them: safe to be called by, critical to call.
    40 C2 => |ip, clock| Report::new(ip, "Low", "Critical")
        .block("port", vec![Port::new(7443, "HTTPS", "Unknown", "Unknown").tags(&["c2_mythic", "C2"]).seen(clock, 2)]);
    /// Critical by reputation alone, with every block empty.
    50 CRITICAL => |ip, _| Report::new(ip, "Critical", "Moderate").issues(&["tor", "scanner", "snort"]);
    /// OpenSSH on an unusual port.
    60 OPENSSH => |ip, clock| Report::new(ip, "Safe", "Safe").issues(&["hosting"])
        .block("port", vec![Port::new(2222, "SSH", "OpenSSH", "9.6p1").seen(clock, 4)]);
    /// A certificate that its own subject issued.
    70 SELF_SIGNED => |ip, clock| {
        let own = Certificate { issuer: Certificate::GOOD.subject, self_signed: Some(true), ..Certificate::GOOD };
        with_certificate(ip, own, clock)
    };
    /// A certificate that ended ten days before the scan.
    71 EXPIRED => |ip, clock| with_certificate(ip, Certificate { days_left: -12, ..Certificate::GOOD }, clock);
    /// A good certificate, printed with `Self Signed: False`.
    72 GOOD_CERTIFICATE => |ip, clock| {
        with_certificate(ip, Certificate { self_signed: Some(false), ..Certificate::GOOD }, clock)
    };
    /// A cloud provider's resolver, with ISO 8601 times and an upper-case country.
    80 RESOLVER => |ip, clock| Report::new(ip, "Safe", "Safe").issues(&["cloud"])
        .block("whois", vec![whois(clock, 64_500, "EXAMPLE-DNS", "US")])
        .block("ip_category", vec![category("cloud service", clock.iso_days_ago(1))])
        .block("port", vec![Port { socket: "udp", ..Port::new(53, "DNS", "dnsdist", "1.9") }.seen(clock, 1)]);
    /// Safe, with categories from years ago and a history of the same few ports.
    81 OLD_CATEGORIES => |ip, clock| Report::new(ip, "Safe", "Safe")
        .block("ip_category", vec![category("attack (High)", clock.days_ago(900)), category("MISP", clock.days_ago(1300))])
        .block("port", (0..46).map(|scan| Port::new(443, "HTTPS", "dnsdist", "1.9")
            .certificate(Certificate::GOOD.text(clock)).seen(clock, 1 + 30 * scan)).collect());
    /// The older `/v1/ip/data` form: `tags` for issues, levels as integers.
    90 OLD_NAMES => |ip, clock| {
        let report = Report::new(ip, "Safe", "Low").issues(&["vpn"]).block("vpn", vec![vpn(clock, "examplevpn", 5)]);
        Report { old_names: true, ..report }
    };
    /// A VPN exit.
    100 VPN => |ip, clock| Report::new(ip, "Moderate", "Safe").issues(&["vpn", "anonymous_vpn"])
        .block("vpn", vec![vpn(clock, "examplevpn", 1)]).block("anonymous_vpn", vec![vpn(clock, "hiddenvpn", 1)]);
    /// Was a VPN exit three months ago; the flag says it is none now.
    101 FORMER_VPN => |ip, clock| Report::new(ip, "Safe", "Safe").block("vpn", vec![vpn(clock, "examplevpn", 92)]);
    /// Every block filled.
    110 EVERYTHING => everything;
    /// A report of about 700 kB.
    120 LARGE => |ip, clock| sized(ip, 700_000, clock);
    /// A report of about 3.5 MB, just inside the default limit of the filter.
    121 HUGE => |ip, clock| sized(ip, 3_500_000, clock);
    /// A report of about 6 MB.
    122 TOO_LARGE => |ip, clock| sized(ip, 6_000_000, clock);
    /// Hosts phishing.
    130 PHISHING => |ip, clock| Report::new(ip, "Low", "Dangerous")
        .block("ip_category", vec![category("phishing", clock.days_ago(1))]);
    /// Mines crypto-currency.
    131 MINING => |ip, clock| Report::new(ip, "Low", "Low")
        .block("port", vec![Port::new(3333, "", "Unknown", "Unknown").tags(&["Mining"]).seen(clock, 1)]);
    /// Attacks others.
    132 ATTACK => |ip, clock| Report::new(ip, "Moderate", "Low")
        .block("ip_category", vec![category("attack (High)", clock.days_ago(1))]);
    /// Lists its directories.
    133 DIRECTORY_LISTING => |ip, clock| Report::new(ip, "Safe", "Safe")
        .block("port", vec![Port::new(80, "HTTP", "nginx", "1.18.0").tags(&["directory listing"]).seen(clock, 2)]);
    /// Seen on the dark web, by an intrusion detection rule and by a honeypot.
    134 DARKWEB => |ip, clock| Report::new(ip, "Moderate", "Low").issues(&["darkweb", "snort"])
        .block("ids", vec![ids(clock)]).block("honeypot", vec![honeypot(clock)]);
}

/// The report about an address, as of now: `None` for the addresses that the API refuses to look up.
///
/// All of 198.51.100.0/24 is clean, for tests that need many such peers.
pub(crate) fn report(ip: IpAddr, clock: Clock) -> Option<Report> {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            let refused = v4.is_private() || v4.is_loopback() || v4.is_link_local() || a == 0;
            match [a, b, c] {
                _ if refused => None,
                [192, 0, 2] => Some(chosen(ip, d.into(), clock).unwrap_or_else(|| synthetic::report(ip, clock))),
                [198, 51, 100] => Some(Report::new(ip, "Safe", "Safe")),
                _ => Some(synthetic::report(ip, clock)),
            }
        }
        IpAddr::V6(v6) => {
            let [0x2001, 0xdb8, 0, 0, 0, 0, 0, last] = v6.segments() else { return Some(synthetic::report(ip, clock)) };
            let number = format!("{last:x}").parse().ok();
            let chosen = number.and_then(|number| chosen(ip, number, clock));
            Some(chosen.unwrap_or_else(|| synthetic::report(ip, clock)))
        }
    }
}

fn with_certificate(ip: IpAddr, certificate: Certificate, clock: Clock) -> Report {
    let port = Port::new(8443, "HTTPS", "httpd", "Unknown").certificate(certificate.text(clock)).seen(clock, 2);
    Report::new(ip, "Safe", "Safe").block("port", vec![port])
}

/// A clean report of about so many bytes: the certificates make it large, as they do in life.
fn sized(ip: IpAddr, bytes: usize, clock: Clock) -> Report {
    let port = Port::new(443, "HTTPS", "nginx", "1.26.1")
        .certificate(Certificate { signature: 3_600, ..Certificate::GOOD }.text(clock));
    let mut one = Vec::new();
    port.seen(clock, 1).write(&mut one);
    let records = (0_i64..).take(bytes / one.len()).map(|scan| port.seen(clock, 1 + scan % 300)).collect();
    Report::new(ip, "Safe", "Safe").issues(&["cloud", "hosting"]).block("port", records)
}

fn everything(ip: IpAddr, clock: Clock) -> Report {
    let web = Port { vulnerable: true, ..Port::new(80, "HTTP", "nginx", "1.14.0") }.tags(&["Data Leak", "DevOps"]);
    let ports = vec![web.seen(clock, 1), Port::new(3389, "RDP", "ms-wbt-server", "N/A").seen(clock, 40)];
    Report::new(ip, "Dangerous", "Moderate")
        .issues(&["vpn", "cloud", "tor", "proxy", "hosting", "mobile", "darkweb", "scanner", "snort", "anonymous_vpn"])
        .block("domain", (0..57).map(|number| domain(clock, number)).collect())
        .block("whois", vec![whois(clock, 64_501, "EXAMPLE-AS", "kr")])
        .block("hostname", vec![object! {
            "domain_name_rep": "host.example", "domain_name_full": "a.host.example", "confirmed_time": clock.days_ago(9),
        }])
        .block("ids", vec![ids(clock)])
        .block("vpn", vec![vpn(clock, "examplevpn", 3)])
        .block("anonymous_vpn", vec![vpn(clock, "hiddenvpn", 3)])
        .block("webcam", vec![object! {
            "image_path": "", "cam_url": "http://cam.example:8081/", "country": "sg", "city": "Singapore",
            "open_port_no": 8081_i64, "manufacturer": "Example Cam", "confirmed_time": clock.days_ago(12),
        }])
        .block("honeypot", vec![honeypot(clock)])
        .block("ip_category", vec![
            category("cloud service", clock.days_ago(3)),
            category("MISP", clock.days_ago(5)),
            category("malware", clock.days_ago(5)),
        ])
        .block("port", ports)
        .block("vulnerability", vec![vulnerability(clock)])
        .block("mobile", vec![object! {"broadband": "LTE", "organization": "Example Mobile"}])
}

fn ids(clock: Clock) -> Json {
    object! {
        "classification": "botcc", "url": "", "message": "Example command server on the list",
        "confirmed_time": clock.days_ago(6), "source_system": "example-rules",
    }
}

fn honeypot(clock: Clock) -> Json {
    object! {
        "ip_address": "198.51.100.99", "log_date": clock.date_days_ago(7), "dst_port": 22_i64,
        "message": "SSH-2.0-example", "user_agent": "-", "protocol_type": "tcp", "confirmed_time": clock.date_days_ago(7),
    }
}

fn vulnerability(clock: Clock) -> Json {
    object! {
        "cve_id": "CVE-2021-23017", "cve_description": "An off-by-one in the resolver.", "cvssv2_vector": "NETWORK",
        "cvssv2_score": 6.8, "cvssv3_vector": "NETWORK", "cvssv3_score": 7.7,
        "list_cwe": vec![object! {"cve_id": "CVE-2021-23017", "cwe_id": 193_i64, "cwe_name": "Off-by-one Error",
            "cwe_description": ""}],
        "list_edb": Vec::<Json>::new(), "app_name": "nginx", "app_version": "1.14.0",
        "open_port_no_list": object! {"TCP": vec![Json::from(80_i64)], "UDP": Vec::<Json>::new()},
        "have_more_ports": false, "open_port_no": vec![object! {"port": 80_i64, "socket": "tcp"}],
        "list_child": Vec::<Json>::new(), "vendor": "nginx", "type": "a", "is_vuln": "True", "target_hw": "",
        "target_sw": "", "update": "", "edition": "", "confirmed_time": clock.days_ago(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const NOW: Clock = Clock(1_790_000_000);

    fn body(ip: &str, full: bool) -> String {
        String::from_utf8(report(ip.parse().unwrap(), NOW).unwrap().body(full)).unwrap()
    }

    #[test]
    fn a_body_is_minified_json_with_status_last_and_a_newline() {
        for ip in ["192.0.2.10", "192.0.2.110", "192.0.2.90", "203.0.113.9", "2001:db8::110"] {
            let body = body(ip, true);
            assert!(body.ends_with(",\"status\":200}\n"), "{ip}: {body}");
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["ip"], ip);
        }
    }

    #[test]
    fn an_empty_report_takes_as_many_bytes_as_the_apis() {
        // The API took 624 for an address that is four characters longer.
        assert_eq!(body("192.0.2.50", true).len(), 620);
    }

    #[test]
    fn blocks_are_cut_at_twenty_entries_without_full_and_keep_their_count() {
        for (full, expected) in [(true, 46), (false, 20)] {
            let body: Value = serde_json::from_str(&body("192.0.2.81", full)).unwrap();
            assert_eq!(body["port"]["count"], 46);
            assert_eq!(body["port"]["data"].as_array().unwrap().len(), expected);
        }
    }

    #[test]
    fn large_reports_are_about_as_large_as_they_say() {
        for (ip, bytes) in [("192.0.2.120", 700_000), ("192.0.2.121", 3_500_000), ("192.0.2.122", 6_000_000)] {
            let length = body(ip, true).len();
            assert!(length.abs_diff(bytes) < bytes / 50, "{ip}: {length}");
        }
    }

    #[test]
    fn private_addresses_are_refused() {
        for ip in ["10.0.0.1", "172.16.9.9", "192.168.0.1", "127.0.0.1", "169.254.0.1", "0.1.2.3"] {
            assert!(report(ip.parse().unwrap(), NOW).is_none(), "{ip}");
        }
    }

    #[test]
    fn the_ipv6_twin_of_a_peer_shows_the_same() {
        assert_eq!(peer::v6(peer::TOR), "2001:db8::20".parse::<IpAddr>().unwrap());
        assert_eq!(peer::v6(peer::EVERYTHING), "2001:db8::110".parse::<IpAddr>().unwrap());
        let twin = report(peer::v6(peer::TOR), NOW).unwrap();
        assert_eq!(twin.issues, report(peer::TOR, NOW).unwrap().issues);
    }
}
