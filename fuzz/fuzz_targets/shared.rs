//! Any bytes as what the workers of a proxy share: facts about peers, the ledger of lookups, lists that others keep. Whatever
//! another build of the module, or a broken one, has left there, a gate goes on: it asks, remembers, and releases each stream
//! exactly once.
#![no_main]

use evaluator::{Connection, Direction};
use gate::{
    Admitted, Answer, Config, Conflict, Consulted, Effects, Gate, LookupError, Moment, Proxy, Remote, RootId, Site,
    Store, StreamId, Version,
};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

/// Every key has the same bytes until something is written.
struct Found<'f> {
    bytes: &'f [u8],
    written: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl Store for Found<'_> {
    fn read(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        let value = self.written.borrow().get(key).cloned();
        Some((value.unwrap_or_else(|| self.bytes.to_vec()), Version(1)))
    }

    fn write(&self, key: &str, value: &[u8], _: Option<Version>) -> Result<(), Conflict> {
        self.written.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let store = Found { bytes, written: RefCell::default() };
    let config = Config::parse(br#"{"api": {"cluster": "criminalip", "key": "k", "concurrency": 2}}"#).unwrap();
    let site = Rc::new(Site::new(RootId(1), config));
    let mut gate = Gate::new(7, &store);
    gate.configure(&site.config, &store);
    let start = 1_800_000_000_000;
    let mut effects = Effects::default();
    let (mut held, mut released) = (0, 0);
    for step in 0..8u32 {
        let proxy = Proxy { now: Moment::from_millis(start + u64::from(step) * 500), store: &store };
        let connection = Connection::new(Direction::Ingress, proxy.now.timestamp());
        let address = IpAddr::from(Ipv4Addr::from(0x0b00_0000 + step % 3));
        let remote = Remote { address: Some(address), host: None };
        if let Consulted::Unknown = gate.consult(&site, &remote, &connection, proxy.now.timestamp())
            && gate.admit(&site, StreamId(step), &remote, &connection, proxy) == Admitted::Held
        {
            held += 1;
        }
        while let Some(lookup) = gate.next_lookup(RootId(1), 1, proxy, &mut effects) {
            let answer = Answer { facts: Err(LookupError::Reset), retry_after: Some(Duration::from_secs(1)) };
            gate.answer(lookup.id, &answer, proxy, &mut effects);
        }
        gate.sweep(proxy, &mut effects);
        gate.measure(proxy, &mut |_, _| {});
    }
    gate.sweep(Proxy { now: Moment::from_millis(start + 100_000), store: &store }, &mut effects);
    released += effects.released.len();
    assert_eq!(held, released, "every stream is released once");
    assert!(gate.next_event().is_none_or(|next| next > Moment::default()));
});
