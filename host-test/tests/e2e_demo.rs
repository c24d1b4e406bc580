//! The demo shows what it says it shows.

use anyhow::Result;
use host_test::envoy;
use std::process::Command;

#[test]
fn every_row_of_the_demo_is_as_expected() -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--envoy")
        .arg(envoy::find()?)
        .arg("--wasm")
        .arg(envoy::module()?)
        .env_remove("CRIMINALIP_API_KEY")
        .output()?;
    let (table, mistakes) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{table}\n{mistakes}");
    for shown in
        ["clean", "Tor exit", "scanner", "C2 server", "unknown at first", "private", "50 x 403 deny", "2 denied"]
    {
        assert!(table.contains(shown), "{shown} is not in\n{table}");
    }
    Ok(())
}
