//! A report for any address, derived from the address: always the same one, in a mix that resembles life.

use super::{
    clock::Clock,
    report::{Certificate, Port, Report, category, domain, whois},
};
use std::net::IpAddr;

/// The report about an address that no fixture describes.
pub(crate) fn report(ip: IpAddr, clock: Clock) -> Report {
    let mut dice = Dice::new(ip);
    let mut report = kind(ip, dice.below(1_000), clock);
    // Most reports are small, a few are huge.
    let scans = match dice.below(1_000) {
        0..500 => 0,
        500..800 => 1 + dice.below(6),
        800..950 => 5 + dice.below(40),
        950..995 => 40 + dice.below(60),
        _ => 200 + dice.below(300),
    };
    if report.blocks.iter().all(|(name, _)| *name != "port") {
        report.blocks.push(("port", Vec::new()));
    }
    if let Some((_, ports)) = report.blocks.iter_mut().find(|(name, _)| *name == "port") {
        let web = Port::new(443, "HTTPS", "nginx", "1.26.1")
            .certificate(Certificate { signature: 3_600, ..Certificate::GOOD }.text(clock));
        let plain = Port::new(80, "HTTP", "nginx", "1.26.1");
        ports.extend((0..scans).map(|scan| if scan % 3 == 0 { &plain } else { &web }.seen(clock, 1 + 7 * scan)));
    }
    if scans > 0 {
        report = report
            .block("whois", vec![whois(clock, 64_496 + dice.below(15), "EXAMPLE-NET", "kr")])
            .block("domain", (0..).take(dice.below(40).unsigned_abs() as usize).map(|i| domain(clock, i)).collect());
    }
    report
}

/// What the address is, by a number of 0 to 999.
fn kind(ip: IpAddr, number: i64, clock: Clock) -> Report {
    let clean = Report::new(ip, "Safe", "Safe");
    let with_port = |report: Report, port: Port| report.block("port", vec![port.seen(clock, 3)]);
    match number {
        0..700 => clean,
        700..800 => Report { score: ("Low", "Safe"), ..clean }.issues(&["hosting"]),
        800..840 => clean.issues(&["mobile"]),
        840..880 => with_port(clean.issues(&["hosting", "cloud"]), Port::new(22, "SSH", "OpenSSH", "8.9p1")),
        880..900 => Report::new(ip, "Moderate", "Low").issues(&["tor"]),
        900..920 => Report::new(ip, "Moderate", "Safe").issues(&["vpn"]),
        920..945 => Report::new(ip, "Dangerous", "Low")
            .issues(&["scanner"])
            .block("ip_category", vec![category("scanner", clock.days_ago(2))]),
        945..955 => with_port(
            Report::new(ip, "Low", "Critical"),
            Port::new(8443, "HTTPS", "Unknown", "Unknown").tags(&["c2_sliver"]),
        ),
        955..975 => {
            let own = Certificate { issuer: Certificate::GOOD.subject, self_signed: Some(true), ..Certificate::GOOD };
            with_port(clean, Port::new(9443, "HTTPS", "httpd", "Unknown").certificate(own.text(clock)))
        }
        975..990 => {
            let ended = Certificate { days_left: -30, ..Certificate::GOOD };
            with_port(clean, Port::new(9443, "HTTPS", "httpd", "Unknown").certificate(ended.text(clock)))
        }
        _ => Report::new(ip, "Critical", "Critical")
            .issues(&["darkweb"])
            .block("ip_category", vec![category("attack (High)", clock.days_ago(1))]),
    }
}

/// Numbers that follow from an address (SplitMix64, <https://doi.org/10.1145/2714064.2660195>).
struct Dice(u64);

impl Dice {
    fn new(ip: IpAddr) -> Dice {
        let bits = match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let mut dice = Dice(bits as u64);
        dice.0 = dice.next() ^ (bits >> 64) as u64;
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including `bound`.
    fn below(&mut self, bound: u32) -> i64 {
        i64::from(self.next() as u32 % bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NOW: Clock = Clock(1_790_000_000);

    #[test]
    fn an_address_always_has_the_same_report() {
        let ip: IpAddr = "203.0.113.77".parse().unwrap();
        assert_eq!(report(ip, NOW).body(true), report(ip, NOW).body(true));
    }

    #[test]
    fn the_mix_resembles_life() {
        let reports: Vec<_> =
            (0..1_000).map(|n| report(Ipv4Addr::from_bits(0x0808_0000 + n * 13).into(), NOW)).collect();
        let share = |holds: fn(&Report) -> bool| reports.iter().filter(|report| holds(report)).count();
        for (what, count, low, high) in [
            ("safe inbound", share(|r| r.score.0 == "Safe"), 700, 900),
            ("tor", share(|r| r.issues.contains(&"tor")), 10, 35),
            ("scanner", share(|r| r.issues.contains(&"scanner")), 12, 40),
            ("critical", share(|r| r.score.1 == "Critical"), 8, 35),
        ] {
            assert!((low..high).contains(&count), "{what}: {count} of 1000");
        }
        let mut sizes: Vec<_> = reports.iter().map(|report| report.body(true).len()).collect();
        sizes.sort_unstable();
        assert!(sizes[0] < 700, "smallest {}", sizes[0]);
        assert!(sizes[500] < 10_000, "median {}", sizes[500]);
        assert!(sizes[999] > 2_000_000, "largest {}", sizes[999]);
    }
}
