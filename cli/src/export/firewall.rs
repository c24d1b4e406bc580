//! Linux firewalls.

use super::{Blocked, Export, time};
use evaluator::Direction;
use std::fmt::Write;

/// A script for `nft -f`: a table of its own, replaced as a whole and at once.
pub(super) fn nftables(export: &Export) -> String {
    let seconds = export.ttl.as_secs();
    let set = |name: &str, kind: &str, blocked: Vec<&Blocked>| {
        let mut set = format!("\tset {name} {{\n\t\ttype {kind}\n\t\tflags timeout\n");
        if !blocked.is_empty() {
            set += "\t\telements = {\n";
            for blocked in blocked {
                let _ = writeln!(set, "\t\t\t{} timeout {seconds}s comment \"{}\",", blocked.ip, short(blocked));
            }
            set += "\t\t}\n";
        }
        set + "\t}\n"
    };
    let (end, hooks) = match export.direction {
        Direction::Ingress => ("saddr", ["input", "forward"]),
        Direction::Egress => ("daddr", ["output", "forward"]),
    };
    let chain = |hook: &str| {
        format!(
            "\tchain {hook} {{\n\t\ttype filter hook {hook} priority filter - 10; policy accept;\n\t\tip {end} @blocked4 \
             counter drop\n\t\tip6 {end} @blocked6 counter drop\n\t}}\n"
        )
    };
    format!(
        "# {}\n# nft -f FILE replaces the table; nft delete table inet portcullis takes it away.\ntable inet portcullis\n\
         delete table inet portcullis\ntable inet portcullis {{\n{}{}{}}}\n",
        title(export),
        set("blocked4", "ipv4_addr", export.of_family(false)),
        set("blocked6", "ipv6_addr", export.of_family(true)),
        hooks.map(chain).concat(),
    )
}

/// Rules for `iptables-restore --noflush` and `ip6tables-restore --noflush`, each of which takes its own.
pub(super) fn iptables(export: &Export) -> String {
    let (end, chain) = match export.direction {
        Direction::Ingress => ("-s", "INPUT"),
        Direction::Egress => ("-d", "OUTPUT"),
    };
    let mut out = format!(
        "# {}\n# iptables-restore --noflush FILE and ip6tables-restore --noflush FILE replace the chain.\n# Once: iptables -I \
         {chain} -j PORTCULLIS; ip6tables -I {chain} -j PORTCULLIS\n*filter\n:PORTCULLIS - [0:0]\n",
        title(export)
    );
    for blocked in &export.blocked {
        let (family, bits) = if blocked.ip.is_ipv6() { ("-6", 128) } else { ("-4", 32) };
        let (ip, reason) = (blocked.ip, blocked.reason());
        let _ = writeln!(out, "{family} -A PORTCULLIS {end} {ip}/{bits} -m comment --comment \"{reason}\" -j DROP");
    }
    out + "COMMIT\n"
}

/// Commands for `ipset restore`: two sets, each swapped for the one that was there.
pub(super) fn ipset(export: &Export) -> String {
    let mut out = format!("# {}\n", title(export));
    for (v6, name, family) in [(false, "portcullis4", "inet"), (true, "portcullis6", "inet6")] {
        let kind = format!("hash:ip family {family} maxelem 1048576 timeout 0 comment");
        let _ = writeln!(out, "create {name}-new {kind}");
        for blocked in export.of_family(v6) {
            let (ip, seconds) = (blocked.ip, export.ttl.as_secs().clamp(1, 2_147_483));
            let _ = writeln!(out, "add {name}-new {ip} timeout {seconds} comment \"{}\"", blocked.reason());
        }
        let _ = writeln!(out, "create -exist {name} {kind}\nswap {name}-new {name}\ndestroy {name}-new");
    }
    out
}

fn title(export: &Export) -> String {
    let count = export.blocked.len();
    let (now, until) = (time(export.now), time(export.until()));
    format!("portcullis backtrack, {now}: {count} addresses until {until}")
}

/// A reason of at most 120 bytes: the longest comment that nft takes has 128.
fn short(blocked: &Blocked) -> String {
    blocked.reason().chars().filter(char::is_ascii).take(120).collect()
}
