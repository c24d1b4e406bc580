//! Runs the examples of the documents about the command, against the stand-in.

use anyhow::Result;
use host_test::command::Desk;

#[test]
fn every_example_prints_what_the_document_says() -> Result<()> {
    let count = Desk::new()?.transcript("docs/cli.md")?;
    assert!(count > 5, "the examples have gone");
    Ok(())
}
