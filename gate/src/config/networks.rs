//! `scope` and `lists`.

use super::Lists;
use super::json::Json;
use super::keys::{Keys, Many, Section, any_number_of};
use super::text::{MOMENT, NETWORK, REMARK};
use evaluator::{Entry, List, Scope};
use ipnet::IpNet;
use std::net::IpAddr;

pub(super) fn scope(keys: &mut Keys<'_>) -> Option<Scope> {
    let skip = keys.or("skip", any_number_of(NETWORK), Json::Array(Vec::new()));
    let treat_as_public = keys.or("treat_as_public", any_number_of(NETWORK), Json::Array(Vec::new()));
    Some(Scope::new(skip?, treat_as_public?))
}

pub(super) fn lists(keys: &mut Keys<'_>) -> Option<Lists> {
    let mut list = |name| {
        let entries = Many { identity: Some(network), ..any_number_of(Section(entry)) };
        List::new(keys.or(name, entries, Json::Array(Vec::new()))?).ok()
    };
    let (allow, deny) = (list("allow"), list("deny"));
    Some(Lists { allow: allow?, deny: deny? })
}

fn entry(keys: &mut Keys<'_>) -> Option<Entry> {
    let net = keys.required("cidr", NETWORK);
    let owner = keys.optional("owner", REMARK);
    let reason = keys.optional("reason", REMARK);
    let until = keys.optional("until", MOMENT);
    Some(Entry { net: net?, owner, reason, until })
}

/// The network of an entry, written in the one way that each network has.
fn network(entry: &Json) -> Option<String> {
    let text = entry.member("cidr")?.text()?;
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(net.trunc().to_string())
}
