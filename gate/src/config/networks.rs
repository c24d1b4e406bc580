//! `scope` and `lists`.

use super::feeds::feeds;
use super::form::Form;
use super::json::Json;
use super::keys::{Keys, Many, Section, any_number_of};
use super::mistake::{At, MistakeKind, Mistakes};
use super::text::{MOMENT, NAME, NETWORK, NETWORK_OR_NAME, NetworkOrName, REMARK};
use super::{Lists, Mistake};
use evaluator::{Entry, HostEntry, HostList, HostScope, List, Scope};
use ipnet::IpNet;
use std::net::IpAddr;

pub(super) fn scope(keys: &mut Keys<'_>) -> Option<(Scope, HostScope)> {
    let mut read = |name| {
        let (mut networks, mut hosts) = (Vec::new(), HostList::default());
        for item in keys.or(name, any_number_of(NETWORK_OR_NAME), Json::Array(Vec::new()))? {
            match item {
                NetworkOrName::Network(network) => networks.push(network),
                // As with networks, one that is there twice changes nothing.
                NetworkOrName::Name(host) => {
                    hosts.add(HostEntry { host, owner: None, reason: None, until: None });
                }
            }
        }
        Some((networks, hosts))
    };
    let (skip, treat_as_public) = (read("skip"), read("treat_as_public"));
    let ((skip, skip_hosts), (public, public_hosts)) = (skip?, treat_as_public?);
    Some((Scope::new(skip, public), HostScope::new(skip_hosts, public_hosts)))
}

pub(super) fn read_list(bytes: &[u8]) -> Result<List, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let entries = match Json::parse(bytes) {
        Ok(list) => {
            let form = Many { identity: Some(network), ..any_number_of(Section(entry)) };
            form.read(&list, &At::Document, &mut mistakes)
        }
        Err(error) => mistakes.add(&At::Document, MistakeKind::NotJson, format!("the list is not JSON: {error}")),
    };
    match (entries.and_then(|entries| List::new(entries).ok()), mistakes.into_vec()) {
        (Some(list), mistakes) if mistakes.is_empty() => Ok(list),
        (_, mistakes) => Err(mistakes),
    }
}

pub(super) fn lists(keys: &mut Keys<'_>) -> Option<Lists> {
    let mut list = |name| {
        let entries = Many { identity: Some(network), ..any_number_of(Section(entry)) };
        List::new(keys.or(name, entries, Json::Array(Vec::new()))?).ok()
    };
    let (allow, deny) = (list("allow"), list("deny"));
    let mut hosts = |name| {
        let entries = Many { identity: Some(host), ..any_number_of(Section(host_entry)) };
        HostList::new(keys.or(name, entries, Json::Array(Vec::new()))?).ok()
    };
    let (allow_hosts, deny_hosts) = (hosts("allow_hosts"), hosts("deny_hosts"));
    let feeds = feeds(keys);
    Some(Lists { allow: allow?, allow_hosts: allow_hosts?, deny: deny?, deny_hosts: deny_hosts?, feeds: feeds? })
}

fn host_entry(keys: &mut Keys<'_>) -> Option<HostEntry> {
    let host = keys.required("host", NAME);
    let owner = keys.optional("owner", REMARK);
    let reason = keys.optional("reason", REMARK);
    let until = keys.optional("until", MOMENT);
    Some(HostEntry { host: host?, owner, reason, until })
}

/// The host of an entry, written in the one way that each has.
fn host(entry: &Json) -> Option<String> {
    let host = entry.member("host")?.text()?;
    Some(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
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
