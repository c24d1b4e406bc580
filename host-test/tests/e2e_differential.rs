//! The catalogue of scenarios in a real Envoy, beside the simulation.

use futures_util::{StreamExt, stream};
use host_test::{
    differential::{Verdict, compare},
    envoy,
    host::Module,
    scenario::{self, Scenario},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Those that only a simulation can live through, as `host-test test --envoy` says with the reason.
const ONLY_SIMULATED: [&str; 5] = ["clock_set_back", "crash", "crowd", "outage", "refusing_proxy"];

/// How many Envoys run at a time.
const AT_A_TIME: usize = 3;

async fn verdict(path: &Path, module: &Module, wasm: &Path, envoy: &Path) -> Verdict {
    let scenario = Scenario::read(path).unwrap();
    let report = scenario::run(&scenario, module).unwrap();
    assert!(report.passed(), "{}: {:#?}", scenario.name, report.mismatches);
    compare(&scenario, &report, wasm, envoy).await.unwrap()
}

#[tokio::test]
async fn every_scenario_that_a_real_envoy_can_live_through_goes_there_as_in_the_simulation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (wasm, envoy) = (envoy::module().unwrap(), envoy::find().unwrap());
    let module = Module::read(&wasm).unwrap();
    let verdicts: Vec<_> = stream::iter(&files)
        .map(async |path| (path.file_stem().unwrap().to_string_lossy(), verdict(path, &module, &wasm, &envoy).await))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let (mut differ, mut only_simulated) = (String::new(), Vec::new());
    for (name, verdict) in verdicts {
        match verdict {
            Verdict::Same => {}
            Verdict::Differs(lines) => differ.push_str(&format!("{name}:\n  {}\n", lines.join("\n  "))),
            Verdict::SimulationOnly(_) => only_simulated.push(name.into_owned()),
        }
    }
    assert!(differ.is_empty(), "{differ}");
    only_simulated.sort();
    assert_eq!(only_simulated, ONLY_SIMULATED);
}
