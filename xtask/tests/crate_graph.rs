//! The crate graph is a rule: who may depend on whom, and what the crates inside the proxy must never reach.
//!
//! `docs/ARCHITECTURE.md` carries the same table for people, and must say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Each crate of the workspace and the others of the workspace that it may depend on, for tests too.
const ARROWS: [(&str, &[&str]); 10] = [
    ("evaluator", &[]),
    ("gate", &["evaluator"]),
    ("filter", &["evaluator", "gate"]),
    ("cli", &["evaluator", "gate"]),
    ("edge", &["evaluator", "gate"]),
    ("edge-bindgen", &[]),
    ("host-test", &[]),
    ("noop", &[]),
    ("conformance", &[]),
    ("xtask", &[]),
];

/// What must never be among the dependencies of a crate, however far down. Dependencies of tests do not count.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    (
        "evaluator",
        &["proxy-wasm", "wasm-bindgen", "js-sys", "wasmtime", "tokio", "mio", "socket2", "getrandom", "rand", "libc"],
    ),
    (
        "gate",
        &["proxy-wasm", "wasm-bindgen", "js-sys", "wasmtime", "tokio", "mio", "socket2", "getrandom", "rand", "libc"],
    ),
    (
        "filter",
        &["proxy-wasm", "wasm-bindgen", "js-sys", "wasmtime", "tokio", "mio", "socket2", "getrandom", "rand", "libc"],
    ),
    ("edge", &["proxy-wasm", "js-sys", "wasmtime", "tokio", "mio", "socket2", "getrandom", "rand", "libc"]),
    ("host-test", &["proxy-wasm"]),
];

fn root() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("..")
}

fn metadata(target: &str) -> Metadata {
    let filter = ["--locked".to_owned(), "--filter-platform".to_owned(), target.to_owned()];
    MetadataCommand::new().current_dir(root()).other_options(filter).exec().unwrap()
}

/// The arrows between crates of the workspace, as the manifests have them.
fn arrows(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let inside = |package: &&cargo_metadata::Package| {
        let names = package.dependencies.iter().map(|dependency| dependency.name.clone());
        (package.name.to_string(), names.filter(|name| members.contains(name.as_str())).collect())
    };
    metadata.workspace_packages().iter().map(inside).collect()
}

/// Everything that a crate links, by name, without what only its tests or its build need.
fn reach(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let root = metadata.packages.iter().find(|package| package.name == name).unwrap();
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    let mut open = vec![&root.id];
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node.id == *id).unwrap();
        for dependency in &node.deps {
            let linked = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if linked && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

/// The table below the heading "Crate graph" of the document: first column the crate, second the crates it may use.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let document = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let section = document.split("\n## ").find(|section| section.starts_with("Crate graph")).expect("a section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        (code(cells[1]).next().unwrap().to_owned(), code(cells[2]).map(str::to_owned).collect())
    };
    rows.map(row).collect()
}

/// What stands between back quotes.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn no_crate_has_an_arrow_that_the_table_forbids() {
    let found = arrows(&metadata("wasm32-wasip1"));
    let table: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for (name, targets) in &found {
        let allowed = table.get(name.as_str()).unwrap_or_else(|| panic!("the crate {name} is not in the table"));
        for target in targets {
            assert!(allowed.contains(&target.as_str()), "{name} must not depend on {target}");
        }
    }
    for name in table.keys() {
        assert!(found.contains_key(*name), "the table names {name}, which is no crate of the workspace");
    }
}

#[test]
fn the_crates_inside_the_proxy_never_reach_for_what_it_does_not_offer() {
    let metadata = metadata("wasm32-wasip1");
    assert!(reach(&metadata, "noop").contains("proxy-wasm"), "the walk follows dependencies");
    for (name, forbidden) in FORBIDDEN {
        let reached = reach(&metadata, name);
        for other in forbidden {
            assert!(
                !reached.contains(*other),
                "{name} reaches {other}: see `cargo tree --package {name} --invert {other}`"
            );
        }
    }
}

#[test]
fn the_document_has_the_same_table() {
    let enforced = ARROWS.into_iter();
    let enforced = enforced.map(|(name, targets)| (name.to_owned(), targets.iter().map(|&t| t.to_owned()).collect()));
    assert_eq!(documented(), enforced.collect());
}
