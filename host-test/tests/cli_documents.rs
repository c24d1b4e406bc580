//! Runs the examples of the documents about the command, against the stand-in.

use anyhow::Result;
use host_test::command::Desk;

#[test]
fn every_example_prints_what_the_document_says() -> Result<()> {
    for document in ["docs/cli.md", "cli/tests/output.md"] {
        let count = Desk::new()?.transcript(document)?;
        assert!(count > 5, "the examples of {document} have gone");
    }
    Ok(())
}
