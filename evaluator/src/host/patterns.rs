//! Hosts by pattern: lists that decide, and the scope of what is looked up.

use super::{Host, is_internal, parse_host};
use crate::list::Expiries;
use crate::{Runs, Timestamp};
use alloc::{boxed::Box, vec::Vec};
use core::fmt;

/// One host on a list, or all below a domain, and who put it there, why and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// The name, `www.example.com`; or with a leading `*.` every name below it, `*.example.com`, but not itself.
    pub host: Box<str>,
    /// Who answers for the entry.
    pub owner: Option<Box<str>>,
    /// Why it is there.
    pub reason: Option<Box<str>>,
    /// The first moment at which it no longer counts; `None` for never.
    pub until: Option<Timestamp>,
}

/// A list of hosts. The longest name that fits decides, and finding it takes about as long among many as among few.
#[derive(Clone, Debug, Default)]
pub struct HostList {
    exact: Runs<Box<str>, HostEntry>,
    /// By the domain that hosts are below.
    below: Runs<Box<str>, HostEntry>,
    expiries: Expiries,
}

impl HostList {
    /// The list of these entries.
    ///
    /// # Errors
    /// [`RepeatedHost`] names the first host that is there twice, or that no client can name.
    pub fn new(entries: Vec<HostEntry>) -> Result<HostList, RepeatedHost> {
        let expiries = Expiries::new(entries.iter().filter_map(|entry| entry.until));
        let mut list = HostList { expiries, ..HostList::default() };
        for entry in entries {
            let host = entry.host.clone();
            if !list.insert(entry) {
                return Err(RepeatedHost { host });
            }
        }
        Ok(list)
    }

    /// Adds an entry, in the place of one with the same host. Returns whether it is a host, and was not there.
    pub fn add(&mut self, entry: HostEntry) -> bool {
        self.expiries.add(entry.until);
        self.insert(entry)
    }

    fn insert(&mut self, entry: HostEntry) -> bool {
        let (map, name) = match entry.host.strip_prefix("*.") {
            Some(domain) => (&mut self.below, domain),
            None => (&mut self.exact, &*entry.host),
        };
        match parse_host(name.as_bytes()) {
            Ok(Host::Name { name, port: None }) => map.insert(name, entry),
            _ => false,
        }
    }

    /// The entry with the longest name that fits this one, which is normalised, among those that count at `now`.
    pub fn find(&self, name: &str, now: Timestamp) -> Option<&HostEntry> {
        let counts = |entry: &&HostEntry| entry.until.is_none_or(|until| now < until);
        if let Some(entry) = self.exact.get(name).filter(counts) {
            return Some(entry);
        }
        let mut rest = name;
        while !self.below.is_empty()
            && let Some((_, domain)) = rest.split_once('.')
        {
            if let Some(entry) = self.below.get(domain).filter(counts) {
                return Some(entry);
            }
            rest = domain;
        }
        None
    }

    /// When the next entry stops counting: later than `now`.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.expiries.next(now)
    }

    /// Whether the list has no entry.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }
}

/// A host that is on a list twice, so that it would be unclear which entry counts, or that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedHost {
    /// As it was written.
    pub host: Box<str>,
}

impl fmt::Display for RepeatedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is on the list twice, or is no host; keep one of the entries", self.host)
    }
}

impl core::error::Error for RepeatedHost {}

/// Which names are public, and so worth a look-up.
#[derive(Clone, Debug, Default)]
pub struct HostScope {
    skip: HostList,
    treat_as_public: HostList,
}

impl HostScope {
    /// A scope in which the hosts of `skip` are never public, and the other hosts of `treat_as_public` always are.
    pub fn new(skip: HostList, treat_as_public: HostList) -> HostScope {
        HostScope { skip, treat_as_public }
    }

    /// Whether the name, which is normalised, is public: `skip` decides first, then `treat_as_public`, then
    /// [`is_internal`].
    pub fn is_public(&self, name: &str, now: Timestamp) -> bool {
        self.skip.find(name, now).is_none() && (!is_internal(name) || self.treat_as_public.find(name, now).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn entry(host: &str, until: Option<i64>) -> HostEntry {
        HostEntry { host: host.into(), owner: None, reason: None, until: until.map(Timestamp::from_unix) }
    }

    #[test]
    fn the_longest_name_that_has_not_expired_decides() {
        let list = HostList::new(vec![
            entry("*.Example.com", None),
            entry("bad.example.com.", Some(100)),
            entry("*.bad.example.com", Some(200)),
            entry("example.net", None),
        ])
        .unwrap();
        assert!(!list.is_empty() && HostList::default().is_empty());
        for (name, now, found) in [
            ("www.example.com", 0, Some("*.Example.com")),
            ("a.b.example.com", 0, Some("*.Example.com")),
            ("example.com", 0, None),
            ("anexample.com", 0, None),
            ("bad.example.com", 99, Some("bad.example.com.")),
            ("bad.example.com", 100, Some("*.Example.com")),
            ("x.bad.example.com", 199, Some("*.bad.example.com")),
            ("x.bad.example.com", 200, Some("*.Example.com")),
            ("example.net", 0, Some("example.net")),
            ("www.example.net", 0, None),
            ("com", 0, None),
        ] {
            let entry = list.find(name, Timestamp::from_unix(now));
            assert_eq!(entry.map(|entry| &*entry.host), found, "{name} at {now}");
        }
    }

    #[test]
    fn a_host_may_be_there_only_once_and_must_be_one() {
        for (hosts, wrong) in [
            (&["example.com", "EXAMPLE.com."][..], "EXAMPLE.com."),
            (&["*.example.com", "*.example.com"], "*.example.com"),
            (&["203.0.113.7"], "203.0.113.7"),
            (&["example.com:443"], "example.com:443"),
            (&["*"], "*"),
        ] {
            let error = HostList::new(hosts.iter().map(|host| entry(host, None)).collect()).unwrap_err();
            assert_eq!(&*error.host, wrong, "{hosts:?}");
        }
        assert!(HostList::new(vec![entry("example.com", None), entry("*.example.com", None)]).is_ok());
    }

    #[test]
    fn skip_wins_over_treat_as_public_which_wins_over_what_is_internal() {
        let list = |hosts: &[&str]| HostList::new(hosts.iter().map(|host| entry(host, None)).collect()).unwrap();
        let scope =
            HostScope::new(list(&["*.corp.criminalip.io", "secret.example.com"]), list(&["*.example.com", "intranet"]));
        for (name, public) in [
            ("www.criminalip.io", true),
            ("hr.corp.criminalip.io", false),
            ("corp.criminalip.io", true),
            ("www.example.com", true),
            ("secret.example.com", false),
            ("example.com", false),
            ("intranet", true),
            ("extranet", false),
        ] {
            assert_eq!(scope.is_public(name, Timestamp::from_unix(0)), public, "{name}");
        }
    }
}
