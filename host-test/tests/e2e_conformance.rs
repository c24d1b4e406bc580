//! Every host call in every phase in a real Envoy: as it is written down in `docs/host-matrix.md`.

use host_test::conformance::{in_envoy, matrix};
use std::{fs, path::Path};

#[tokio::test]
async fn every_call_in_every_phase_is_answered_as_it_is_written_down() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/host-matrix.md");
    if std::env::var_os("UPDATE").is_some() {
        let answers = in_envoy::answers(&matrix::Answers::new()).await.unwrap();
        fs::write(&path, matrix::document(&answers)).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    let known = matrix::read(&written).unwrap();
    let answers = in_envoy::answers(&known).await.unwrap();
    let changed: Vec<_> = answers.iter().filter(|(cell, answer)| known.get(cell) != Some(answer)).collect();
    assert!(changed.is_empty(), "answered otherwise than written down: {changed:#?}");
    assert!(written == matrix::document(&answers), "UPDATE=1 writes docs/host-matrix.md anew");
}
