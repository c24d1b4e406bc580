//! Any bytes as a feed, in each format.
#![no_main]

use evaluator::Timestamp;
use gate::{FeedFormat, read_feed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((format, body)) = input.split_first() else { return };
    let format = match format % 4 {
        0 => FeedFormat::Plain,
        1 => FeedFormat::Csv { column: Some("IP".into()) },
        2 => FeedFormat::Stix,
        _ => FeedFormat::Csv { column: None },
    };
    if let Ok(networks) = read_feed(&format, body.to_vec(), Timestamp::from_unix(1_800_000_000)) {
        assert!(!networks.is_empty() && networks.len() <= body.len());
        assert!(networks.is_sorted(), "what is searched by halving is sorted");
        for network in networks {
            assert!(network.prefix_len() >= if network.addr().is_ipv4() { 8 } else { 16 }, "{network}");
        }
    }
});
