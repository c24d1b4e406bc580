//! Callouts, and calls and streams of gRPC, in a real Envoy and in the simulated proxy.

use host_test::conformance::callouts::{CASES, in_envoy, in_sim};
use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

/// The cases that the list of differences names, with a reason.
fn listed() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/host-differences.md");
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix("- ")?.split_once(": ")?.0.to_owned())).collect()
}

#[tokio::test]
async fn a_guest_hears_of_its_callouts_what_it_hears_in_envoy_or_the_difference_is_listed() {
    let (envoy, here) = (in_envoy::calls().await.unwrap(), in_sim::calls().unwrap());
    let (mut different, mut story) = (BTreeSet::new(), String::new());
    for ((case, envoy), here) in CASES.iter().zip(&envoy).zip(&here) {
        if envoy != here {
            different.insert(case.name.to_owned());
            let (envoy, here) = (envoy.join("\n"), here.join("\n"));
            writeln!(story, "{}\n\nin Envoy:\n{envoy}\n\nhere:\n{here}\n", case.name).unwrap();
        }
    }
    assert!(different == listed(), "docs/host-differences.md lists {:?}\n\n{story}", listed());
}
