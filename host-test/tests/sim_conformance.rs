//! Every host call in every phase in the simulated proxy: as a real Envoy answers it, but for what is listed.

use host_test::{
    conformance::{self, differences, in_sim, matrix},
    host::Module,
};
use std::{fs, path::Path};

#[test]
fn every_call_in_every_phase_is_answered_as_by_envoy_or_the_difference_is_listed() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let read = |name: &str| fs::read_to_string(documents.join(name)).unwrap();
    let envoy = matrix::read(&read("host-matrix.md")).unwrap();
    let here = in_sim::answers(&Module::read(&conformance::guest().unwrap()).unwrap()).unwrap();
    let complaints = differences::complaints(&read("host-differences.md"), &envoy, &here).unwrap();
    assert!(complaints.is_empty(), "docs/host-differences.md:\n{complaints}");
}
