//! Any bytes as the address of a peer.
#![no_main]

use evaluator::{Scope, parse_peer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(peer) = parse_peer(bytes) else { return };
    assert_eq!(peer.ip, peer.ip.to_canonical());
    assert_eq!(parse_peer(peer.ip.to_string().as_bytes()).map(|again| again.ip), Ok(peer.ip));
    let _ = Scope::default().is_public(peer.ip);
});
