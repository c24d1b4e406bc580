//! Overrides: networks that operators allow or deny while the proxy runs. One shared value, changed by compare-and-swap;
//! each worker has a copy of it to search.

use crate::record;
use crate::store::{self, Store};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;
use evaluator::{Action, Entry, List, Timestamp};
use ipnet::IpNet;

/// The number is the layout's: a module that writes another layout uses another key.
const KEY: &str = "portcullis/overrides/2";
/// How many overrides a proxy has.
pub(crate) const LIMIT: usize = 1024;

/// One network that is allowed or denied, whatever deny lists, feeds and evidence say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Override {
    /// The network's address, without bits of the host, and the length of its prefix.
    pub(crate) address: IpAddr,
    pub(crate) length: u8,
    pub(crate) denies: bool,
    /// Who answers for it.
    pub(crate) owner: Box<str>,
    pub(crate) reason: Box<str>,
    /// The first moment at which it no longer counts; `None` for never.
    pub(crate) until: Option<Timestamp>,
    pub(crate) created: Timestamp,
    /// Who put it there.
    pub(crate) by: Box<str>,
}

record::fields!(Override: address, length, denies, owner, reason, until, created, by);

impl Override {
    /// One for this network, whose other fields are still to be set.
    pub(crate) fn new(net: IpNet, denies: bool, created: Timestamp) -> Override {
        let (owner, reason, by) = Default::default();
        Override { address: net.network(), length: net.prefix_len(), denies, owner, reason, until: None, created, by }
    }

    /// The network, without bits of the host.
    pub(crate) fn net(&self) -> IpNet {
        IpNet::new(self.address, self.length).unwrap_or_else(|_| self.address.into())
    }

    /// What it does.
    pub(crate) fn action(&self) -> Action {
        if self.denies { Action::Deny } else { Action::Allow }
    }

    fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What came of putting an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is new.
    Added,
    /// It is in the place of another.
    Replaced,
    /// There are [`LIMIT`] others.
    Full,
    /// Other workers were always faster.
    Busy,
}

/// Puts an override, in the place of the one for the same network if there is one.
pub(crate) fn put(store: &dyn Store, new: &Override) -> Put {
    let put = store::change(store, KEY, |value| {
        let mut all = decode(value);
        let before = all.len();
        all.retain(|other| other.net() != new.net());
        let put = if all.len() < before { Put::Replaced } else { Put::Added };
        if all.len() >= LIMIT {
            return (None, Put::Full);
        }
        all.insert(0, new.clone());
        (Some(record::encode(&all)), put)
    });
    put.unwrap_or(Put::Busy)
}

/// Takes the override for exactly this network away. `None` where the workers were always faster, `Some(None)` where there
/// is none.
pub(crate) fn take(store: &dyn Store, net: IpNet) -> Option<Option<Override>> {
    store::change(store, KEY, |value| {
        let mut all = decode(value);
        let Some(place) = all.iter().position(|other| other.net() == net) else { return (None, None) };
        let taken = all.remove(place);
        (Some(record::encode(&all)), Some(taken))
    })
}

/// Takes away those that count no longer, and returns them.
pub(crate) fn expire(store: &dyn Store, now: Timestamp) -> Vec<Override> {
    let expired = store::change(store, KEY, |value| {
        let (left, expired): (Vec<_>, Vec<_>) = decode(value).into_iter().partition(|one| one.counts(now));
        let encoded = if expired.is_empty() { None } else { Some(record::encode(&left)) };
        (encoded, expired)
    });
    expired.unwrap_or_default()
}

/// All overrides, newest first.
pub(crate) fn read(store: &dyn Store) -> Vec<Override> {
    store.read(KEY).map(|(value, _)| decode(Some(&value))).unwrap_or_default()
}

/// What cannot be read is none: nothing is denied that nobody can see.
fn decode(value: Option<&[u8]>) -> Vec<Override> {
    let mut all: Vec<Override> = value.and_then(record::decode).unwrap_or_default();
    all.truncate(LIMIT);
    all
}

/// One worker's copy.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    allow: List,
    deny: List,
}

impl Overrides {
    pub(crate) fn new(all: &[Override]) -> Overrides {
        let list = |denies| {
            let chosen = all.iter().filter(|one| one.denies == denies);
            let entries = chosen.map(|one| Entry {
                net: one.net(),
                owner: Some(one.owner.clone()),
                reason: Some(one.reason.clone()),
                until: one.until,
            });
            // A network is there but once.
            List::new(entries.collect()).unwrap_or_default()
        };
        Overrides { allow: list(false), deny: list(true) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// The one with the longest prefix around this address, among those that count at `now`.
    pub(crate) fn find(&self, ip: IpAddr, now: Timestamp) -> Option<(Action, &Entry)> {
        let found = |list: &'_ List| list.find(ip, now).map(|entry| entry.net.prefix_len());
        match (found(&self.allow), found(&self.deny)) {
            (Some(allow), deny) if deny.is_none_or(|deny| allow > deny) => {
                self.allow.find(ip, now).map(|entry| (Action::Allow, entry))
            }
            (_, Some(_)) => self.deny.find(ip, now).map(|entry| (Action::Deny, entry)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn one(net: &str, denies: bool, until: Option<i64>) -> Override {
        let new = Override::new(net.parse().unwrap(), denies, at(1));
        Override { owner: "soc".into(), reason: net.into(), by: "token".into(), until: until.map(at), ..new }
    }

    #[test]
    fn the_longest_prefix_decides_and_what_has_expired_does_not_count() {
        let all = [
            one("192.0.2.0/24", true, None),
            one("192.0.2.128/25", false, Some(100)),
            one("192.0.2.129/32", true, Some(200)),
            one("2001:db8::/32", true, None),
        ];
        let overrides = Overrides::new(&all);
        for (ip, now, found) in [
            ("192.0.2.1", 0, Some(Action::Deny)),
            ("192.0.2.130", 0, Some(Action::Allow)),
            ("192.0.2.130", 100, Some(Action::Deny)),
            ("192.0.2.129", 0, Some(Action::Deny)),
            ("2001:db8::1", 0, Some(Action::Deny)),
            ("192.0.3.1", 0, None),
        ] {
            let action = overrides.find(ip.parse().unwrap(), at(now)).map(|(action, _)| action);
            assert_eq!(action, found, "{ip} at {now}");
        }
    }

    #[test]
    fn an_override_is_put_replaced_taken_and_expires() {
        let store = Memory::default();
        assert_eq!(put(&store, &one("192.0.2.0/24", true, Some(50))), Put::Added);
        assert_eq!(put(&store, &one("192.0.2.0/24", false, Some(60))), Put::Replaced);
        assert_eq!(put(&store, &one("192.0.2.1/32", true, None)), Put::Added);
        assert_eq!(
            read(&store).iter().map(|one| one.net().to_string()).collect::<Vec<_>>(),
            ["192.0.2.1/32", "192.0.2.0/24"]
        );
        assert_eq!(expire(&store, at(59)), []);
        assert_eq!(expire(&store, at(60)), [one("192.0.2.0/24", false, Some(60))]);
        assert_eq!(take(&store, "192.0.2.0/24".parse().unwrap()), Some(None));
        assert_eq!(take(&store, "192.0.2.1/32".parse().unwrap()), Some(Some(one("192.0.2.1/32", true, None))));
        assert_eq!(read(&store), []);
    }

    #[test]
    fn invariant_6_there_are_so_many_overrides_and_no_more() {
        let store = Memory::default();
        for number in 0..u16::try_from(LIMIT).unwrap() {
            let [high, low] = number.to_be_bytes();
            assert_eq!(put(&store, &one(&format!("10.1.{high}.{low}/32"), true, None)), Put::Added);
        }
        assert_eq!(put(&store, &one("192.0.2.1/32", true, None)), Put::Full);
        assert_eq!(put(&store, &one("10.1.0.7/32", false, None)), Put::Replaced);
        assert_eq!((read(&store).len(), store.keys()), (LIMIT, 1));
    }

    #[test]
    fn what_cannot_be_read_is_no_override_and_can_be_written() {
        let store = Memory::default();
        store.write(KEY, b"\xff\xff\xff\xff garbage", None).unwrap();
        assert_eq!(read(&store), []);
        assert_eq!(put(&store, &one("192.0.2.1/32", true, None)), Put::Added);
    }
}
