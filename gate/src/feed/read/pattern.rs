//! STIX patterns (STIX 2.1 section 9), as far as they say that a peer's address is one of these: comparisons of
//! `ipv4-addr:value` and `ipv6-addr:value`, joined by `OR`.

use alloc::vec::Vec;

/// The addresses and networks of which any one fulfils the pattern. `None` where more than an address is asked for, or the
/// pattern cannot be read: then no address alone fulfils it.
pub(super) fn addresses(pattern: &str) -> Option<Vec<&str>> {
    let mut rest = pattern;
    let mut addresses = Vec::new();
    loop {
        token(&mut rest, "[")?;
        comparison(&mut rest, &mut addresses)?;
        while word(&mut rest, "OR") {
            comparison(&mut rest, &mut addresses)?;
        }
        token(&mut rest, "]")?;
        if rest.trim_start().is_empty() {
            return Some(addresses);
        }
        word(&mut rest, "OR").then_some(())?;
    }
}

/// `ipv4-addr:value = '192.0.2.1'`, with `ISSUBSET` for `=`, or with `IN` and a list. Comparisons of other things are read
/// over: as alternatives they take nothing away.
fn comparison<'p>(rest: &mut &'p str, addresses: &mut Vec<&'p str>) -> Option<()> {
    let (path, after) =
        split(rest, |c: char| c.is_whitespace() || matches!(c, '=' | '!' | '<' | '>' | '[' | ']' | '(' | ')' | ','))?;
    *rest = after;
    let is_address = ["ipv4-addr:value", "ipv6-addr:value"].contains(&path);
    if word(rest, "IN") {
        token(rest, "(")?;
        loop {
            let literal = literal(rest)?;
            addresses.extend(is_address.then_some(literal));
            if token(rest, ",").is_none() {
                return token(rest, ")");
            }
        }
    }
    let is_equal = token(rest, "=").is_some() || word(rest, "ISSUBSET");
    if !is_equal {
        // Of another operator only the name is needed, and only beside addresses.
        (!is_address).then_some(())?;
        let (_, after) = split(rest, |c: char| c.is_whitespace() || matches!(c, '\'' | '[' | ']' | '(' | ')'))?;
        *rest = after;
    }
    let literal = literal(rest)?;
    addresses.extend(is_address.then_some(literal));
    Some(())
}

/// A text in quotes. One with an escape in it is no address.
fn literal<'p>(rest: &mut &'p str) -> Option<&'p str> {
    token(rest, "'")?;
    let (text, after) = rest.split_once('\'')?;
    if text.contains('\\') {
        return None;
    }
    *rest = after;
    Some(text)
}

fn token(rest: &mut &str, token: &str) -> Option<()> {
    *rest = rest.trim_start().strip_prefix(token)?;
    Some(())
}

/// Whether the next word is this one, which is then read.
fn word(rest: &mut &str, word: &str) -> bool {
    let after = rest.trim_start().strip_prefix(word);
    let after = after.filter(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    if let Some(after) = after {
        *rest = after;
    }
    after.is_some()
}

/// What stands before the first such character, if anything does, and what follows.
fn split(rest: &str, end: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    let text = rest.trim_start();
    let length = text.find(end).unwrap_or(text.len());
    text.split_at_checked(length).filter(|(before, _)| !before.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_found_where_one_of_them_is_enough() {
        for (pattern, expected) in [
            ("[ipv4-addr:value = '8.8.8.8']", Some(vec!["8.8.8.8"])),
            ("[ipv4-addr:value='8.8.8.8']", Some(vec!["8.8.8.8"])),
            (" [ ipv4-addr:value ISSUBSET '8.8.8.0/24' ] ", Some(vec!["8.8.8.0/24"])),
            ("[ipv6-addr:value = '2a00::1' OR ipv4-addr:value = '9.9.9.9']", Some(vec!["2a00::1", "9.9.9.9"])),
            ("[ipv4-addr:value = '8.8.8.8'] OR [ipv4-addr:value = '9.9.9.9']", Some(vec!["8.8.8.8", "9.9.9.9"])),
            ("[ipv4-addr:value IN ('8.8.8.8', '9.9.9.9')]", Some(vec!["8.8.8.8", "9.9.9.9"])),
            ("[domain-name:value = 'a.example' OR ipv4-addr:value = '8.8.8.8']", Some(vec!["8.8.8.8"])),
            ("[url:value LIKE 'http%' OR ipv4-addr:value = '8.8.8.8']", Some(vec!["8.8.8.8"])),
            ("[domain-name:value = 'a.example']", Some(vec![])),
            ("[file:hashes.'SHA-256' = 'aa' OR ipv4-addr:value = '8.8.8.8']", Some(vec!["8.8.8.8"])),
            ("[ipv4-addr:value = '8.8.8.8' AND domain-name:value = 'a.example']", None),
            ("[ipv4-addr:value = '8.8.8.8'] AND [ipv4-addr:value = '9.9.9.9']", None),
            ("[ipv4-addr:value = '8.8.8.8'] FOLLOWEDBY [ipv4-addr:value = '9.9.9.9']", None),
            ("[ipv4-addr:value = '8.8.8.8'] WITHIN 5 SECONDS", None),
            ("[ipv4-addr:value != '8.8.8.8']", None),
            ("[NOT ipv4-addr:value = '8.8.8.8']", None),
            ("[ipv4-addr:value NOT = '8.8.8.8']", None),
            ("[ipv4-addr:value LIKE '8.8.%']", None),
            ("[(ipv4-addr:value = '8.8.8.8')]", None),
            ("[ipv4-addr:value = '8.8.\\'8']", None),
            ("[ipv4-addr:value = '8.8.8.8'", None),
            ("[ipv4-addr:value = 8]", None),
            ("[ipv4-addr:value IN ('8.8.8.8',)]", None),
            ("[ipv4-addr:value = '8.8.8.8' ORipv4-addr:value = '9.9.9.9']", None),
            ("", None),
            ("[]", None),
        ] {
            assert_eq!(addresses(pattern), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_addresses_or_none(text: String, near in r"\[(ipv4-addr:value|[a-z:]+|=|'[0-9.]*'|OR|IN|NOT|[ (),\]])*") {
            let _ = (addresses(&text), addresses(&near));
        }
    }
}
