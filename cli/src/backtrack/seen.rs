//! Who talked to whom, gathered in bounded memory.

use crate::logs::Record;
use evaluator::Direction;
use std::collections::HashMap;
use std::net::IpAddr;

/// Contacts that are kept; more in one window is a flood, and what it is about is among these.
const MOST: usize = 200_000;

/// The connections between the same two at the same port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    /// Our own side.
    pub(super) source: Option<IpAddr>,
    pub(super) peer: IpAddr,
    pub(super) port: Option<u16>,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) count: u64,
}

/// Our own side, the peer and the port.
type Ends = (Option<IpAddr>, IpAddr, Option<u16>);

/// First, last, how many.
type Times = (i64, i64, u64);

/// Contacts so far.
pub(super) struct Seen {
    direction: Direction,
    contacts: HashMap<Ends, Times>,
    pub(super) connections: u64,
    without_peer: u64,
    dropped: u64,
}

impl Seen {
    pub(super) fn new(direction: Direction) -> Seen {
        Seen { direction, contacts: HashMap::new(), connections: 0, without_peer: 0, dropped: 0 }
    }

    pub(super) fn add(&mut self, record: &Record<'_>) {
        self.connections += 1;
        let (peer, source) = match self.direction {
            Direction::Ingress => (record.source, record.destination),
            Direction::Egress => (record.destination, record.source),
        };
        let Some(peer) = peer else {
            self.without_peer += 1;
            return;
        };
        let key = (source, peer, record.port);
        let full = self.contacts.len() >= MOST;
        match self.contacts.get_mut(&key) {
            Some((first, last, count)) => {
                *first = record.time.min(*first);
                *last = record.time.max(*last);
                *count += 1;
            }
            None if full => self.dropped += 1,
            None => {
                self.contacts.insert(key, (record.time, record.time, 1));
            }
        }
    }

    /// The contacts in the order of their first connection.
    pub(super) fn contacts(self) -> Vec<Contact> {
        let contacts = self.contacts.into_iter();
        let mut contacts: Vec<_> = contacts
            .map(|((source, peer, port), (first, last, count))| Contact { source, peer, port, first, last, count })
            .collect();
        contacts.sort_by_key(|contact| (contact.first, contact.peer, contact.port, contact.source));
        contacts
    }

    /// Says on standard error what is missing.
    pub(super) fn report(&self) {
        let side = if self.direction == Direction::Ingress { "source" } else { "destination" };
        if self.without_peer > 0 {
            crate::term::say!(
                "portcullis: warning: {} of {} connections in the window name no {side} address; --field says where it is, \
                 --direction which side counts",
                self.without_peer,
                self.connections
            );
        }
        if self.dropped > 0 {
            crate::term::say!(
                "portcullis: warning: {} connections are left out: there are more than {MOST} different ones in the window",
                self.dropped
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn contacts_beyond_the_most_are_counted_and_not_kept() {
        let mut seen = Seen::new(Direction::Egress);
        let peers = u32::try_from(MOST).unwrap() + 10;
        for number in 0..peers {
            let destination = Some(IpAddr::V4(Ipv4Addr::from_bits(number)));
            seen.add(&Record { time: number.into(), destination, ..Record::default() });
        }
        // One that is known still counts.
        seen.add(&Record { time: 9, destination: Some(Ipv4Addr::from_bits(0).into()), ..Record::default() });
        assert_eq!((seen.dropped, seen.connections), (10, u64::from(peers) + 1));
        let contacts = seen.contacts();
        assert_eq!(contacts.len(), MOST);
        assert_eq!((contacts[0].first, contacts[0].last, contacts[0].count), (0, 9, 2));
    }
}
