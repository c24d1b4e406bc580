//! The catalogue of scenarios, with the built module. `host-test test host-test/scenarios --wasm FILE` runs it too.

use host_test::{
    envoy,
    host::Module,
    scenario::{self, Scenario},
};
use std::{fs, path::Path};

#[test]
fn every_scenario_of_the_catalogue_passes() {
    let module = Module::read(&envoy::module().unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut failed = String::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let scenario = Scenario::read(&entry.unwrap().path()).unwrap();
        let report = scenario::run(&scenario, &module).unwrap();
        count += 1;
        for mismatch in report.mismatches {
            failed.push_str(&format!("{}: {mismatch}\n", scenario.name));
        }
    }
    assert!(count > 5, "only {count} scenarios found");
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn random_worlds_end_all_their_streams_and_repeat_to_the_byte() {
    let module = Module::read(&envoy::module().unwrap()).unwrap();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/first_request.toml");
    let base = Scenario { workers: 3, ..Scenario::read(&base).unwrap() };
    for seed in 0..40 {
        let scenario = scenario::random(&base, seed, false);
        let report = scenario::run(&scenario, &module).unwrap();
        assert!(report.passed(), "seed {seed}: {:#?}", report.mismatches);
        if seed % 10 == 0 {
            let again = scenario::run(&scenario, &module).unwrap();
            assert!(report.trace == again.trace, "seed {seed} is not repeated to the byte");
        }
    }
}
