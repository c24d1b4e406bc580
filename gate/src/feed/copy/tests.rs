use super::*;
use proptest::prelude::*;

const FEED: u64 = 7;

fn network(text: &str) -> Network {
    super::super::network::parse(text.as_bytes()).unwrap()
}

fn pack(entries: &Entries, before: Option<Rc<FeedCopy>>, step: usize) -> Packed {
    let v4 = entries.iter().filter(|(network, _)| !network.is_v6()).count();
    let mut packing = Packing::new(FEED, entries.clone(), v4, before);
    let room = packing.bytes.capacity();
    while !packing.step(step) {}
    assert_eq!((packing.bytes.len(), packing.bytes.capacity()), (room, room), "it never grew");
    packing.finish()
}

fn copy(entries: &[(&str, u32)]) -> FeedCopy {
    pack(&entries.iter().map(|(text, until)| (network(text), *until)).collect(), None, 100).copy
}

#[test]
fn the_longest_prefix_that_counts_is_found() {
    let copy = copy(&[
        ("8.0.0.0/8", FOR_EVER),
        ("8.8.0.0/16", 300),
        ("8.8.8.8", 100),
        ("8.8.8.128/25", 400),
        ("9.9.9.9", FOR_EVER),
        ("2a00::/16", 50),
        ("2a00:1::/32", 40),
    ]);
    assert_eq!(copy.len(), 7);
    for (ip, now, found) in [
        ("8.8.8.8", 99, Some("8.8.8.8/32")),
        ("8.8.8.8", 100, Some("8.8.0.0/16")),
        ("8.8.8.8", 300, Some("8.0.0.0/8")),
        ("8.8.8.200", 350, Some("8.8.8.128/25")),
        ("8.255.255.255", 0, Some("8.0.0.0/8")),
        ("9.9.9.9", 0, Some("9.9.9.9/32")),
        ("::ffff:9.9.9.9", 0, Some("9.9.9.9/32")),
        ("9.9.9.10", 0, None),
        ("7.255.255.255", 0, None),
        ("2a00:1::1", 0, Some("2a00:1::/32")),
        ("2a00:1::1", 40, Some("2a00::/16")),
        ("2a00:1::1", 50, None),
        ("::808:808", 0, None),
    ] {
        let hit = copy.find(ip.parse().unwrap(), Timestamp::from_unix(now));
        assert_eq!(hit.map(|hit| hit.network.to_ip_net().to_string()).as_deref(), found, "{ip} at {now}");
    }
}

#[test]
fn a_copy_of_another_feed_or_of_a_wrong_length_is_none() {
    let bytes = copy(&[("8.8.8.8", 1), ("2a00::/16", 2)]).bytes;
    assert_eq!(bytes.len(), HEAD + 13 + 25);
    assert!(FeedCopy::from_bytes(FEED, bytes.clone()).is_some_and(|copy| copy.len() == 2));
    assert!(FeedCopy::from_bytes(FEED + 1, bytes.clone()).is_none());
    for length in 0..bytes.len() {
        let cut = FeedCopy::from_bytes(FEED, bytes[..length].to_vec());
        // Without its last entry it would be a copy again, but the count of IPv4 entries tells.
        assert!(cut.is_none_or(|_| length == HEAD + 13), "{length}");
    }
}

#[test]
fn no_step_packs_more_than_it_may() {
    let entries: Entries = (0..10_000).map(|n| (Network::new(false, n << 8, 32), FOR_EVER)).collect();
    let mut packing = Packing::new(FEED, entries, 10_000, None);
    let (mut steps, mut before) = (0, packing.bytes.len());
    loop {
        let done = packing.step(64);
        steps += 1;
        assert!(packing.bytes.len() - before <= 64 * size_of::<V4>());
        before = packing.bytes.len();
        if done {
            break;
        }
    }
    assert_eq!(steps, 10_000_usize.div_ceil(64));
}

/// Few enough bits that networks nest and addresses hit.
fn networks() -> impl Strategy<Value = Network> {
    let byte = || prop::sample::select(vec![0u8, 1, 127, 128, 255]);
    let v4 = (prop::array::uniform4(byte()), 0..=32u8)
        .prop_map(|(octets, length)| Network::new(false, u32::from_be_bytes(octets).into(), length));
    let v6 = (prop::array::uniform16(byte()), 0..=128u8)
        .prop_map(|(octets, length)| Network::new(true, u128::from_be_bytes(octets), length));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn a_search_finds_what_a_linear_scan_finds(
        entries in prop::collection::btree_map(networks(), 0..4u32, 0..60),
        others in prop::collection::vec(networks(), 1..30),
        now in 0..4u32,
    ) {
        let packed = pack(&entries.clone().into_iter().collect(), None, 3);
        let copy = FeedCopy::from_bytes(FEED, packed.copy.bytes().to_vec()).unwrap();
        prop_assert_eq!((copy.len(), packed.added, packed.removed), (entries.len(), entries.len(), 0));
        for host in entries.keys().chain(&others) {
            let ip = host.to_ip_net().addr();
            let expected = entries
                .iter()
                .filter(|(network, until)| network.holds(Network::host(ip)) && now < **until)
                .max_by_key(|(network, _)| network.length())
                .map(|(network, until)| Hit { network: *network, until: *until });
            // An IPv4 address in the form of IPv6 is looked for as IPv4.
            if Network::host(ip).is_v6() == host.is_v6() {
                prop_assert_eq!(copy.find(ip, Timestamp::from_unix(now.into())), expected, "{}", ip);
            }
        }
    }

    #[test]
    fn what_came_and_went_is_counted(
        before in prop::collection::btree_set(networks(), 0..40),
        after in prop::collection::btree_set(networks(), 0..40),
    ) {
        let entries = |networks: &std::collections::BTreeSet<Network>| -> Entries {
            networks.iter().map(|network| (*network, FOR_EVER)).collect()
        };
        let old = Rc::new(pack(&entries(&before), None, 5).copy);
        let packed = pack(&entries(&after), Some(old), 5);
        prop_assert_eq!(packed.added, after.difference(&before).count());
        prop_assert_eq!(packed.removed, before.difference(&after).count());
    }

    #[test]
    fn any_bytes_can_be_searched(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        ips in prop::collection::vec(any::<u128>(), 1..20),
        count in 0..20u32,
    ) {
        if let Some(head) = bytes.get_mut(..HEAD) {
            head[..8].copy_from_slice(&FEED.to_le_bytes());
            head[8..].copy_from_slice(&count.to_le_bytes());
        }
        // Only a whole number of entries is a copy.
        let whole = HEAD + 13 * count as usize;
        let rest = bytes.len().saturating_sub(whole) % 25;
        bytes.truncate(bytes.len() - rest);
        if let Some(copy) = FeedCopy::from_bytes(FEED, bytes) {
            for bits in ips {
                let v6 = std::net::Ipv6Addr::from_bits(bits);
                let v4 = std::net::Ipv4Addr::from_bits(bits as u32);
                let _ = (copy.find(v6.into(), Timestamp::from_unix(1)), copy.find(v4.into(), Timestamp::from_unix(1)));
            }
        }
    }
}
