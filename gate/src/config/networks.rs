//! `scope` and `lists`.

use super::document::parse_as;
use super::feeds::feeds;
use super::json::Json;
use super::keys::{Keys, Many, Section, any_number_of, set_of};
use super::text::{MOMENT, NAME, NETWORK, NETWORK_OR_NAME, NetworkOrName, REMARK, Text};
use super::{Feed, Lists, Mistake};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use evaluator::{Entry, HostEntry, HostList, HostScope, List, Scope, Timestamp, network_text, parse_network};
use ipnet::IpNet;

/// `scope` as it is written.
pub(super) struct WrittenScope {
    skip: Vec<NetworkOrName>,
    treat_as_public: Vec<NetworkOrName>,
}

pub(super) fn scope(keys: &mut Keys<'_>) -> WrittenScope {
    const ITEMS: Many<Text<NetworkOrName>> = any_number_of(NETWORK_OR_NAME);
    WrittenScope { skip: keys.or("skip", &ITEMS, "[]"), treat_as_public: keys.or("treat_as_public", &ITEMS, "[]") }
}

impl WrittenScope {
    pub(super) fn made(self) -> (Scope, HostScope) {
        let (skip, skip_hosts) = parted(self.skip);
        let (public, public_hosts) = parted(self.treat_as_public);
        (Scope::new(skip, public), HostScope::new(skip_hosts, public_hosts))
    }
}

fn parted(items: Vec<NetworkOrName>) -> (Vec<IpNet>, HostList) {
    let (mut networks, mut hosts) = (Vec::new(), HostList::default());
    for item in items {
        match item {
            NetworkOrName::Network(network) => networks.push(network),
            // As with networks, one that is there twice changes nothing.
            NetworkOrName::Name(host) => {
                hosts.add(HostEntry { host, owner: None, reason: None, until: None });
            }
        }
    }
    (networks, hosts)
}

const ENTRIES: Many<Section<Entry>> = set_of(Section(entry), usize::MAX, network);

pub(super) fn read_list(bytes: &[u8]) -> Result<List, Vec<Mistake>> {
    parse_as(&ENTRIES, bytes, "list").map(list_of)
}

/// `lists` as they are written.
pub(super) struct WrittenLists {
    allow: Vec<Entry>,
    deny: Vec<Entry>,
    allow_hosts: Vec<HostEntry>,
    deny_hosts: Vec<HostEntry>,
    feeds: Vec<Feed>,
}

pub(super) fn lists(keys: &mut Keys<'_>) -> WrittenLists {
    const HOSTS: Many<Section<HostEntry>> = set_of(Section(host_entry), usize::MAX, host);
    WrittenLists {
        allow: keys.or("allow", &ENTRIES, "[]"),
        deny: keys.or("deny", &ENTRIES, "[]"),
        allow_hosts: keys.or("allow_hosts", &HOSTS, "[]"),
        deny_hosts: keys.or("deny_hosts", &HOSTS, "[]"),
        feeds: feeds(keys),
    }
}

impl WrittenLists {
    pub(super) fn have_hosts(&self) -> bool {
        !self.allow_hosts.is_empty() || !self.deny_hosts.is_empty()
    }

    pub(super) fn made(self) -> Lists {
        let hosts_of = |entries| HostList::new(entries).unwrap_or_default();
        Lists {
            allow: list_of(self.allow),
            deny: list_of(self.deny),
            allow_hosts: hosts_of(self.allow_hosts),
            deny_hosts: hosts_of(self.deny_hosts),
            feeds: self.feeds.into_iter().map(|feed| Arc::new(feed.identified())).collect(),
        }
    }
}

/// The list of these entries, of which none is there twice.
fn list_of(entries: Vec<Entry>) -> List {
    List::new(entries).unwrap_or_default()
}

fn host_entry(keys: &mut Keys<'_>) -> HostEntry {
    let host = keys.required("host", &NAME);
    let (owner, reason, until) = remarks(keys);
    HostEntry { host, owner, reason, until }
}

/// The host of an entry, written in the one way that each has.
fn host(entry: &Json) -> Option<String> {
    let host = entry.member("host")?.text()?;
    Some(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}

fn entry(keys: &mut Keys<'_>) -> Entry {
    let net = keys.required("cidr", &NETWORK);
    let (owner, reason, until) = remarks(keys);
    Entry { net, owner, reason, until }
}

/// Who put an entry there, why and until when.
fn remarks(keys: &mut Keys<'_>) -> (Option<Box<str>>, Option<Box<str>>, Option<Timestamp>) {
    (keys.optional("owner", &REMARK), keys.optional("reason", &REMARK), keys.optional("until", &MOMENT))
}

/// The network of an entry, written in the one way that each network has.
fn network(entry: &Json) -> Option<String> {
    let text = entry.member("cidr")?.text()?;
    parse_network(text).map(|net| network_text(net.trunc()))
}
