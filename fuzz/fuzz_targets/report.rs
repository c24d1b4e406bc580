//! Any bytes as the answer to a lookup.
//!
//! `cargo xtask fuzz`, or with cargo-fuzz `cargo +nightly fuzz run report fuzz/corpus/report evaluator/tests/fixtures`
#![no_main]

use evaluator::{Finding, Findings, Timestamp, examine, read_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for now in ["2022-12-08", "2024-03-25"].into_iter().filter_map(Timestamp::parse) {
        let short = read_answer(200, body, now);
        let full = examine(200, body, now);
        assert_eq!(short, full.clone().map(|full| full.reading));

        let Ok(full) = full else { continue };
        let facts = full.reading.assessment;
        let all = |details: Vec<evaluator::Detail>| {
            details.iter().fold(Findings::EMPTY, |mut all, detail| {
                all.insert(detail.finding);
                all
            })
        };
        assert_eq!((all(full.current), all(full.published)), (facts.findings, facts.published));
        assert!(facts.score.highest().is_some());
        assert!(
            facts.findings.contains(Finding::Reputation) || facts.score.highest().map(|level| level as u8) < Some(80)
        );
        assert!(body.windows(3).any(|part| part == b"200" || part == b"\\u0"), "no fact without a status of 200");
        assert!(read_answer(500, body, now).is_err());
    }
});
