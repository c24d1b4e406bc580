//! House rules that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file holds one concept. Beyond 400 lines it probably holds two; this is where that becomes an error.
const MAX_LINES: usize = 500;

/// What is built, fetched or found by fuzzing.
const NOT_OURS: [&str; 4] = ["target", "corpus", "artifacts", "node_modules"];

/// Paths of somebody's machine. The slashes are apart, so that this file does not hold what it looks for.
const MACHINE_PATHS: [[&str; 2]; 4] = [["/root", "/"], ["/home", "/"], ["/tmp", "/"], ["/Users", "/"]];

fn root() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("..")
}

/// Every text file of the project with its path from the root.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root(), "", &mut files);
    assert!(files.len() > 20, "only {} files found", files.len());
    files
}

fn collect(directory: &Path, inside: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
            if !hidden && !NOT_OURS.contains(&name.as_str()) {
                collect(&entry.path(), &path, files);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push((path, text));
        }
    }
}

fn rust_files() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs"))
}

fn architecture() -> String {
    fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap()
}

/// The names of all tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in rust_files() {
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some((before, rest)) = line.split_once("fn ") {
                if marked && (before.is_empty() || before == "async ") {
                    names.insert(rest.split(['(', '<']).next().unwrap().to_owned());
                }
                marked = false;
            }
        }
    }
    names
}

#[test]
fn no_rust_file_is_too_long() {
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines; what is its second concept?");
    }
}

#[test]
fn modules_are_named_after_their_file() {
    for (path, _) in rust_files() {
        assert!(!path.ends_with("mod.rs"), "{path}: a module x is x.rs, and its children are in x/");
    }
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let paths = MACHINE_PATHS.map(|parts| parts.concat());
    for (path, text) in files() {
        for (number, line) in text.lines().enumerate() {
            for machine in &paths {
                assert!(!line.contains(machine), "{path}:{}: {machine} exists on one machine only", number + 1);
            }
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in files().into_iter().filter(|(path, _)| path.ends_with(".md")) {
        let here = root().join(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(here.parent().unwrap().join(file).exists(), "{path} links to {target}, which does not exist");
            }
        }
    }
}

/// The document's list of invariants is numbered, and each names the tests that guard it as `Guarded by: ` and the names
/// between back quotes.
#[test]
fn every_invariant_is_guarded_by_tests_that_exist() {
    let document = architecture();
    let section = document.split("\n## ").find(|section| section.starts_with("Invariants")).expect("a section");
    let invariants: Vec<&str> = section.split("\n### ").skip(1).collect();
    assert_eq!(invariants.len(), 12);
    let tests = tests();
    for (index, text) in invariants.into_iter().enumerate() {
        let number = index + 1;
        assert!(text.starts_with(&format!("{number}. ")), "invariant {number} is out of order");
        let (_, guards) = text.split_once("Guarded by:").unwrap_or_else(|| panic!("invariant {number} has no guard"));
        let names: Vec<&str> = guards.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "invariant {number} names no test");
        for name in names {
            assert!(tests.contains(name), "invariant {number} names the test {name}, which does not exist");
        }
    }
}
