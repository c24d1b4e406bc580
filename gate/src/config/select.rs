//! `select`: what is looked up.

use super::Select;
use super::form::Flag;
use super::keys::Keys;

pub(super) fn select(keys: &mut Keys<'_>) -> Option<Select> {
    let domains = keys.or("domains", Flag, false);
    Some(Select { domains: domains? })
}
