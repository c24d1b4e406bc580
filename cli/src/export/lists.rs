//! Lists: Portcullis' own, AWS WAF's, and CSV.

use super::{Export, time};
use crate::judge::link;
use serde_json::json;

/// Entries for `lists.deny` of the filter's configuration.
pub(super) fn portcullis(export: &Export) -> String {
    let until = time(export.until());
    let entries = export.blocked.iter().map(|blocked| {
        let reason = blocked.reason();
        json!({"cidr": blocked.ip.to_string(), "owner": "portcullis backtrack", "reason": reason, "until": until})
    });
    format!("{:#}\n", json!(entries.collect::<Vec<_>>()))
}

/// The most addresses in one of AWS WAF's sets,
/// <https://docs.aws.amazon.com/waf/latest/APIReference/API_IPSet.html>.
const SET: usize = 10_000;

/// Input for `aws wafv2 create-ip-set --cli-input-json`: a set has addresses of one family, 10,000 at most. There is a set of
/// each family even where nothing is in it, so that what an earlier export wrote is never left beside a newer one.
pub(super) fn aws(export: &Export) -> Vec<String> {
    let mut sets = Vec::new();
    for (v6, family, bits) in [(false, "IPV4", 32), (true, "IPV6", 128)] {
        let addresses: Vec<_> = export.of_family(v6).iter().map(|blocked| format!("{}/{bits}", blocked.ip)).collect();
        let chunks = if addresses.is_empty() { vec![&addresses[..]] } else { addresses.chunks(SET).collect() };
        for (index, addresses) in chunks.into_iter().enumerate() {
            let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
            let set = json!({
                "Name": format!("portcullis-{}{number}", family.to_lowercase()),
                "Scope": "REGIONAL",
                "IPAddressVersion": family,
                "Description": format!("portcullis backtrack, {}", time(export.now)),
                "Addresses": addresses,
            });
            sets.push(format!("{set:#}\n"));
        }
    }
    sets
}

/// One line an address.
pub(super) fn csv(export: &Export) -> String {
    let mut out = csv::Writer::from_writer(Vec::new());
    let headings =
        ["ip", "rule", "score", "findings", "first", "last", "connections", "ports", "sources", "until", "report"];
    let mut rows = vec![headings.map(String::from)];
    for blocked in &export.blocked {
        let words = |words: Vec<String>| words.join(" ");
        rows.push([
            blocked.ip.to_string(),
            blocked.rule.clone(),
            blocked.score.map(|score| score.to_string()).unwrap_or_default(),
            blocked.findings.join(" "),
            time(blocked.first),
            time(blocked.last),
            blocked.connections.to_string(),
            words(blocked.ports.iter().map(u16::to_string).collect()),
            words(blocked.sources.iter().map(ToString::to_string).collect()),
            time(export.until()),
            link(blocked.ip),
        ]);
    }
    for row in rows {
        // Writing to memory cannot fail.
        let _ = out.write_record(row);
    }
    String::from_utf8(out.into_inner().unwrap_or_default()).unwrap_or_default()
}
