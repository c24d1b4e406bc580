//! What a remembered peer costs: the bytes that a worker's memory grows by, all included.
#![allow(clippy::disallowed_macros, reason = "a test shows what it measured")]

use evaluator::{Assessment, Connection, Direction, Findings, Level, Score};
use gate::{
    Admitted, Answer, Config, Conflict, Consulted, Effects, Gate, Moment, Proxy, RootId, Site, Store, StreamId,
    Subject, Version,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// As `cache.entries` is by default, and one more than the index of a cache has room for before it doubles.
const PEERS: [u32; 2] = [100_000, 114_689];
/// The goal.
const BYTES_PER_PEER: isize = 100;

/// The system's allocator, and how much of it is in use.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(layout: Layout) -> isize {
    isize::try_from(layout.size()).expect("no layout is larger")
}

#[allow(unsafe_code, reason = "the standard library has no safe way to count; every call goes to the system as it is")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(count(layout), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(count(layout), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Keeps nothing, so that only the worker's own memory is counted.
struct Forgetful;

impl Store for Forgetful {
    fn read(&self, _: &str) -> Option<(Vec<u8>, Version)> {
        None
    }

    fn write(&self, _: &str, _: &[u8], _: Option<Version>) -> Result<(), Conflict> {
        Ok(())
    }
}

const NOW: Moment = Moment::from_millis(1_800_000_000_000);
const PROXY: Proxy<'_> = Proxy { now: NOW, store: &Forgetful };

/// Public addresses, each another.
fn peers(count: u32) -> impl Iterator<Item = IpAddr> {
    let first = u32::from(Ipv4Addr::new(11, 0, 0, 0));
    (first..).take(count as usize).map(|address| Ipv4Addr::from(address).into())
}

fn connection() -> Connection<'static> {
    Connection::new(Direction::Ingress, NOW.timestamp())
}

/// Everything that a peer goes through: unknown, looked up, remembered.
fn learn(gate: &mut Gate, site: &Rc<Site>, peer: IpAddr) {
    assert_eq!(gate.consult(site, &peer.into(), &connection(), NOW.timestamp()), Consulted::Unknown);
    let admitted = gate.admit(site, StreamId(1), &peer.into(), &connection(), PROXY);
    assert!(matches!(admitted, Admitted::Decided(_)), "nothing is held");
    let mut effects = Effects::default();
    let lookup = gate.next_lookup(site.root, 1, PROXY, &mut effects).expect("a lane");
    assert_eq!(lookup.subject, Subject::Address(peer));
    let assessment = Assessment {
        learned: NOW.timestamp(),
        findings: Findings::default(),
        published: Findings::default(),
        asn: None,
        country: None,
        score: Score { inbound: Some(Level::Safe), outbound: Some(Level::Safe) },
    };
    gate.answer(lookup.id, &Answer { facts: Ok(assessment), retry_after: None }, PROXY, &mut effects);
}

#[test]
fn a_remembered_peer_takes_at_most_100_bytes_all_included() {
    PEERS.into_iter().for_each(check);
}

fn check(count: u32) {
    let document = format!(
        r#"{{"api": {{"cluster": "criminalip"}}, "first_look": {{"hold": "0s"}}, "cache": {{"entries": {count}}}}}"#
    );
    let config = Config::parse(document.as_bytes()).expect("a good configuration");
    let site = Rc::new(Site::new(RootId(1), config));
    let mut gate = Gate::new(1, &Forgetful);
    gate.configure(&site.config, &Forgetful);

    let empty = IN_USE.load(Relaxed);
    for peer in peers(count) {
        learn(&mut gate, &site, peer);
    }
    let full = IN_USE.load(Relaxed) - empty;
    assert_eq!(gate.remembered(), count as usize);
    let each = full / count as isize;
    println!("{count} peers take {full} bytes: {each} bytes each");
    assert!(each <= BYTES_PER_PEER, "{each} bytes a peer");

    // As many again: whatever comes in has to take the place of something else.
    for peer in peers(2 * count).skip(count as usize) {
        learn(&mut gate, &site, peer);
    }
    assert_eq!(gate.remembered(), count as usize);
    let later = (IN_USE.load(Relaxed) - empty) / count as isize;
    println!("after another {count} peers: {later} bytes each");
    assert!(later <= BYTES_PER_PEER, "{later} bytes a peer after another {count}");
}
