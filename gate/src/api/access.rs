//! Who may read, and who may write.

use crate::{Control, Credentials};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What a request shows of who made it.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The value of `authorization`.
    pub authorization: Option<Vec<u8>>,
    /// The names in the client's certificate, where the proxy has verified it.
    pub names: Vec<Vec<u8>>,
    /// What there is to compare with for reading.
    pub read: Credential,
    /// What there is to compare with for reading and writing.
    pub write: Credential,
}

/// The tokens of one right, where there are any.
#[derive(Clone, Default)]
pub struct Credential {
    /// From the environment.
    pub from_environment: Option<Vec<u8>>,
    /// From the header into which the proxy writes it.
    pub from_header: Option<Vec<u8>>,
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

/// The shortest token: 16 characters, 96 bits if they are random ones of base64.
pub const SHORTEST_TOKEN: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Write,
}

/// What this caller may do, and what it is called. `None` for a stranger.
pub(super) fn rights(control: &Control, caller: &Caller) -> Option<(Right, Box<str>)> {
    let shown = caller.authorization.as_deref().and_then(bearer);
    for (right, credentials, expected) in
        [(Right::Write, &control.write, &caller.write), (Right::Read, &control.read, &caller.read)]
    {
        if let Some(name) = named(credentials, caller) {
            return Some((right, name.into()));
        }
        if shown.is_some_and(|shown| expected.is(shown)) {
            return Some((right, if right == Right::Write { "write token" } else { "read token" }.into()));
        }
    }
    None
}

impl Credential {
    /// Whether this is one of the tokens. None that is too short is taken.
    fn is(&self, shown: &[u8]) -> bool {
        let tokens = [&self.from_environment, &self.from_header].into_iter().flatten();
        // Both are compared, whatever comes of the first.
        tokens.fold(false, |found, token| found | (token.len() >= SHORTEST_TOKEN && same(token, shown)))
    }
}

fn named<'c>(credentials: &'c Credentials, caller: &Caller) -> Option<&'c str> {
    let mut names = credentials.certificates.iter().map(|name| &**name);
    names.find(|name| caller.names.iter().any(|shown| shown == name.as_bytes()))
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// Compares in a time that depends on the lengths alone, so that nobody can guess a token byte by byte.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (one, other)| core::hint::black_box(all | (one ^ other)));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &[u8] = b"read-0123456789abcdef";
    const WRITE: &[u8] = b"write-0123456789abcdef";

    fn caller(authorization: &str) -> Caller {
        let token = |token: &[u8]| Credential { from_environment: Some(token.into()), from_header: None };
        let authorization = (!authorization.is_empty()).then(|| authorization.into());
        Caller { authorization, names: Vec::new(), read: token(READ), write: token(WRITE) }
    }

    fn found(caller: &Caller) -> Option<(Right, Box<str>)> {
        let certificates = vec!["spiffe://example.org/soc".into()];
        let control = Control { write: Credentials { certificates, ..Credentials::default() }, ..Control::default() };
        rights(&control, caller)
    }

    #[test]
    fn each_token_gives_its_right_and_nothing_else_does() {
        for (authorization, right) in [
            ("Bearer read-0123456789abcdef", Some(Right::Read)),
            ("bearer  write-0123456789abcdef ", Some(Right::Write)),
            ("Bearer write-0123456789abcde", None),
            ("Bearer write-0123456789abcdefg", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic read-0123456789abcdef", None),
            ("read-0123456789abcdef", None),
            ("", None),
        ] {
            assert_eq!(found(&caller(authorization)).map(|(right, _)| right), right, "{authorization:?}");
        }
    }

    #[test]
    fn a_token_that_is_too_short_or_empty_opens_nothing() {
        for short in ["", "short", "fifteen-letters"] {
            let mut caller = caller(&format!("Bearer {short}"));
            caller.write.from_environment = Some(short.into());
            caller.read.from_header = Some(short.into());
            assert_eq!(found(&caller), None, "{short:?}");
        }
    }

    #[test]
    fn a_token_of_a_header_counts_beside_that_of_the_environment() {
        let mut caller = caller("Bearer another-0123456789");
        caller.read.from_header = Some(b"another-0123456789".to_vec());
        assert_eq!(found(&caller).map(|(right, _)| right), Some(Right::Read));
    }

    #[test]
    fn a_name_in_a_verified_certificate_gives_its_right() {
        let mut caller = caller("");
        caller.names = vec![b"spiffe://example.org/other".to_vec()];
        assert_eq!(found(&caller), None);
        caller.names.push(b"spiffe://example.org/soc".to_vec());
        assert_eq!(found(&caller), Some((Right::Write, "spiffe://example.org/soc".into())));
    }
}
