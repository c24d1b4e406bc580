//! What the words of a report mean as findings: flags, port tags, categories and intrusion detection messages.

use crate::Finding;

/// The flags of `issues`.
pub(super) const FLAGS: [&str; 10] = [
    "is_vpn",
    "is_anonymous_vpn",
    "is_tor",
    "is_proxy",
    "is_hosting",
    "is_cloud",
    "is_mobile",
    "is_darkweb",
    "is_scanner",
    "is_snort",
];

/// The finding that each of [`FLAGS`] stands for, in the same order.
pub(super) const FLAGGED: [Finding; 10] = [
    Finding::Vpn,
    Finding::AnonymousVpn,
    Finding::Tor,
    Finding::Proxy,
    Finding::Hosting,
    Finding::Cloud,
    Finding::Mobile,
    Finding::Darkweb,
    Finding::Scanner,
    Finding::Ids,
];

/// Whether the published pipeline looks for this finding in a report. It knows none of the others.
pub(super) const fn is_published(finding: Finding) -> bool {
    matches!(
        finding,
        Finding::Reputation
            | Finding::TlsSelfSigned
            | Finding::TlsExpired
            | Finding::DirectoryListing
            | Finding::Mining
            | Finding::Vpn
            | Finding::AnonymousVpn
            | Finding::Tor
            | Finding::Proxy
            | Finding::Openssh
    )
}

/// What a tag of a port record stands for, in any case.
///
/// `Malicious` is the vendor's own word for a host that serves malware. `Compromised` says that somebody broke in, not
/// what the host does to others, and counts for nothing, as do `Simbox`, `Data Leak` and the names of products.
pub(super) fn tag(tag: &str) -> Option<Finding> {
    let is = |word: &str| tag.eq_ignore_ascii_case(word);
    if is("directory listing") || is("directory-listing") {
        Some(Finding::DirectoryListing)
    } else if is("mining") {
        Some(Finding::Mining)
    } else if is("c2") || is("cobalt strike") || after(tag, "c2_").is_some() {
        Some(Finding::C2)
    } else if is("malicious") {
        Some(Finding::Malware)
    } else {
        None
    }
}

/// What a category stands for as the published pipeline reads it: these words and nothing around them.
pub(super) fn exact_category(category: &str) -> Option<Finding> {
    ANONYMITY.iter().find(|(word, _)| category.eq_ignore_ascii_case(word)).map(|(_, finding)| *finding)
}

/// What a category stands for: free text that begins with one of these words, such as `attack (High)`.
///
/// `MISP` and `reputation` say only that some list has the address, not what for, and lists keep resolvers that malware
/// merely asked; they count for nothing.
pub(super) fn category(category: &str) -> Option<Finding> {
    let begins = |word: &str| {
        after(category, word).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    };
    ANONYMITY.iter().chain(OTHER).find(|(word, _)| begins(word)).map(|(_, finding)| *finding)
}

const ANONYMITY: &[(&str, Finding)] = &[
    ("proxy", Finding::Proxy),
    ("vpn", Finding::Vpn),
    ("tor", Finding::Tor),
    ("anonymous_vpn", Finding::AnonymousVpn),
    ("anonymous vpn", Finding::AnonymousVpn),
];

const OTHER: &[(&str, Finding)] = &[
    ("attack", Finding::Attack),
    ("ddos", Finding::Attack),
    ("phishing", Finding::Phishing),
    ("malware", Finding::Malware),
    ("scanner", Finding::Scanner),
    ("snort", Finding::Ids),
    ("cloud service", Finding::Cloud),
    ("hosting", Finding::Hosting),
];

/// Whether an intrusion detection record names the address as a command-and-control server: rules of the class
/// `botcc` do, and messages such as `ET CNC ... Reported CnC Server`.
pub(super) fn is_command_and_control(classification: Option<&str>, message: Option<&str>) -> bool {
    classification.is_some_and(|class| class.eq_ignore_ascii_case("botcc"))
        || message.is_some_and(|message| contains(message.as_bytes(), "cnc server"))
}

/// Whether the text contains the word, which is in lower case, in any case of ASCII letters.
pub(super) fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// What comes after the word, which the text begins with in any case.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_count_in_any_case() {
        for (text, finding) in [
            ("directory listing", Some(Finding::DirectoryListing)),
            ("Directory-Listing", Some(Finding::DirectoryListing)),
            ("directory_listing", None),
            ("Mining", Some(Finding::Mining)),
            ("data mining", None),
            ("C2", Some(Finding::C2)),
            ("c2_sliver", Some(Finding::C2)),
            ("C2_Havoc", Some(Finding::C2)),
            ("c20", None),
            ("Cobalt Strike", Some(Finding::C2)),
            ("Malicious", Some(Finding::Malware)),
            ("Compromised", None),
            ("", None),
        ] {
            assert_eq!(tag(text), finding, "{text}");
        }
    }

    #[test]
    fn categories_count_by_their_first_words() {
        for (text, finding, exact) in [
            ("tor", Some(Finding::Tor), Some(Finding::Tor)),
            ("Tor exit", Some(Finding::Tor), None),
            ("torrent", None, None),
            ("PROXY", Some(Finding::Proxy), Some(Finding::Proxy)),
            ("Anonymous VPN", Some(Finding::AnonymousVpn), Some(Finding::AnonymousVpn)),
            ("vpn (High)", Some(Finding::Vpn), None),
            ("attack (High)", Some(Finding::Attack), None),
            ("ddos (Medium)", Some(Finding::Attack), None),
            ("phishing", Some(Finding::Phishing), None),
            ("scanner", Some(Finding::Scanner), None),
            ("Snort", Some(Finding::Ids), None),
            ("cloud service", Some(Finding::Cloud), None),
            ("MISP", None, None),
            ("reputation", None, None),
            ("Twitter", None, None),
            ("é", None, None),
        ] {
            assert_eq!((category(text), exact_category(text)), (finding, exact), "{text}");
        }
    }

    #[test]
    fn only_some_detection_rules_speak_of_command_and_control() {
        let feodo = Some("ET CNC Feodo Tracker Reported CnC Server UDP group 3");
        assert!(is_command_and_control(Some("botcc"), None));
        assert!(is_command_and_control(Some("misc-attack"), feodo));
        assert!(!is_command_and_control(Some("misc-attack"), Some("ET SCAN Zmap User-Agent")));
        assert!(!is_command_and_control(None, None));
    }
}
