//! What the metadata of the current request's route changes.

use crate::host::{self, Level};
use crate::worker::Worker;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::filled;
use gate::{Metadata, Mistake, Site, quoted};

/// How deep values of metadata may lie in one another: `first_look.hold`.
const DEEPEST: u32 = 2;

/// The configuration for the current request's route, where the site's own says that routes may have something of theirs.
pub(crate) fn site(worker: &mut Worker, site: &Rc<Site>) -> Option<Rc<Site>> {
    own(worker, site, site.config.route_metadata.as_deref()?)
}

#[inline(never)]
fn own(worker: &mut Worker, site: &Rc<Site>, name: &str) -> Option<Rc<Site>> {
    let path = [&b"xds\0route_metadata\0filter_metadata\0"[..], name.as_bytes()].concat();
    let found = host::property(&path);
    if found.as_ref().is_err_and(|status| status.is_not_found()) {
        return None;
    }
    // All that cannot be handed over is the same: nothing tells it apart.
    let bytes = found.as_deref().unwrap_or_default();
    let read = || found.as_deref().ok().map(|bytes| metadata(bytes, DEEPEST)).ok_or_else(Mistake::unreadable);
    let mistakes = match worker.gate.for_route(site, bytes, read) {
        Ok(own) => return Some(own),
        Err(mistakes) => mistakes,
    };
    let route = host::property(b"xds\0route_name").unwrap_or_default();
    let (name, route) = (quoted(name), quoted(&String::from_utf8_lossy(&route)));
    for mistake in mistakes {
        let line = filled("portcullis: metadata {} of route {} does not count: {}", &[&name, &route, &mistake.line()]);
        host::log(Level::Error, &line);
    }
    None
}

/// A value as the proxy writes it. It does not say of what kind a value is: what can be read as values by their names is
/// that, anything else is text.
fn metadata(bytes: &[u8], deep: u32) -> Metadata {
    let found = if deep > 0 { values(bytes) } else { None };
    match found {
        Some(values) => {
            let deeper = deep.saturating_sub(1);
            Metadata::Map(values.into_iter().map(|(name, value)| (name.to_vec(), metadata(value, deeper))).collect())
        }
        None => Metadata::Text(bytes.to_vec()),
    }
}

/// Reads names and values in the ABI's form: their number, each one's lengths, then names and values, each ended by NUL.
fn values(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (number, rest) = number(bytes)?;
    let (lengths, mut rest) = rest.split_at_checked(number.checked_mul(8)?)?;
    let mut values = Vec::new();
    for lengths in lengths.chunks_exact(8) {
        let (name, more) = self::number(lengths)?;
        let (value, _) = self::number(more)?;
        let ended = |length: usize, rest: &'_ [u8]| -> Option<usize> {
            (rest.get(length) == Some(&0)).then_some(length)?.checked_add(1)
        };
        let (name, more) = rest.split_at_checked(ended(name, rest)?)?;
        let (value, more) = more.split_at_checked(ended(value, more)?)?;
        values.push((name.strip_suffix(b"\0")?, value.strip_suffix(b"\0")?));
        rest = more;
    }
    rest.is_empty().then_some(values)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}
