//! Any bytes as the name of a destination, and as the answer of the quick domain look-up.
#![no_main]

use evaluator::{Findings, Host, Score, Timestamp, is_internal, parse_host, read_domain_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Host::Name { name, .. }) = parse_host(bytes) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        assert!(name.bytes().all(plain), "{name} goes into a path as it is");
        assert_eq!(parse_host(name.as_bytes()), Ok(Host::Name { name: name.clone(), port: None }));
        let _ = is_internal(&name);
    }
    if let Ok(reading) = read_domain_answer(200, bytes, Timestamp::from_unix(1_800_000_000)) {
        assert_eq!((reading.assessment.score, reading.assessment.published), (Score::default(), Findings::EMPTY));
    }
});
