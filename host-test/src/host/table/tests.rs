use super::*;
use std::fmt::Write;

#[test]
fn each_version_has_as_many_functions_as_envoy_registers() {
    let proxy = |version| TABLE.iter().filter(|f| f.returns == Returns::Status && f.is_in(version)).count();
    assert_eq!(AbiVersion::ALL.map(proxy), [40, 38, 39]);
    assert_eq!(TABLE.iter().filter(|f| f.modules == WASI).count(), 45);
}

#[test]
fn no_function_is_there_twice() {
    let mut names: Vec<_> = TABLE.iter().map(|function| function.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len());
}

fn document() -> String {
    let mut text = String::from(
        "# Host functions\n\nEvery function that a module may import, as Envoy 1.40 offers them. `host-test` links, traces and fails\n\
         them from this list. Numbers of 64 bits are marked; `out_` is a place to which the proxy writes.\n\n\
         | module | function | parameters | ABI | what it does |\n|---|---|---|---|---|\n",
    );
    for function in TABLE {
        let module = if function.modules == WASI { "WASI" } else { "env" };
        let versions: Vec<_> = function.versions.iter().map(ToString::to_string).collect();
        let versions = if function.versions == ALL { "all".to_owned() } else { versions.join(", ") };
        let parameters: Vec<_> = function.parameters.iter().map(|name| name.replace("i64:", "64 bits: ")).collect();
        let what = match function.run {
            Run::Errno(errno) if function.what.is_empty() => format!("fails with {errno}"),
            _ if function.what.is_empty() => "nothing, with success".to_owned(),
            _ => function.what.to_owned(),
        };
        let _ = writeln!(text, "| {module} | `{}` | {} | {versions} | {what} |", function.name, parameters.join(", "));
    }
    text.push_str("\nThose of WASI are imported from `wasi_snapshot_preview1` or `wasi_unstable`.\n");
    text
}

#[test]
fn the_document_lists_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/host-functions.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == document(), "UPDATE=1 cargo test -p host-test the_document_lists_the_table writes it anew");
}
