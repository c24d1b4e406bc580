//! What a module may ask of the proxy, and what the proxy needs of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use wasmparser::{ExternalKind, KnownCustom, Name, Parser, Payload, TypeRef};

/// The host functions of proxy-wasm 0.2.1 as Envoy registers them, without their common prefix `proxy_`. A module that
/// names any other is refused by Envoy when it loads.
const HOST_FUNCTIONS: [&str; 39] = [
    "add_header_map_value",
    "call_foreign_function",
    "close_stream",
    "continue_stream",
    "define_metric",
    "dequeue_shared_queue",
    "done",
    "enqueue_shared_queue",
    "get_buffer_bytes",
    "get_buffer_status",
    "get_current_time_nanoseconds",
    "get_header_map_pairs",
    "get_header_map_size",
    "get_header_map_value",
    "get_log_level",
    "get_metric",
    "get_property",
    "get_shared_data",
    "get_status",
    "grpc_call",
    "grpc_cancel",
    "grpc_close",
    "grpc_send",
    "grpc_stream",
    "http_call",
    "increment_metric",
    "log",
    "record_metric",
    "register_shared_queue",
    "remove_header_map_value",
    "replace_header_map_value",
    "resolve_shared_queue",
    "send_local_response",
    "set_buffer_bytes",
    "set_effective_context",
    "set_header_map_pairs",
    "set_property",
    "set_shared_data",
    "set_tick_period_milliseconds",
];

/// The functions of WASI that every proxy-wasm host offers. Files and sockets are not
/// among them.
const WASI_FUNCTIONS: [&str; 6] =
    ["clock_time_get", "environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];

/// What the proxy looks for in a module before the first callback. (It takes `malloc` as well, but we have this one.)
const NEEDED_EXPORTS: [&str; 4] = ["memory", "_initialize", "proxy_on_memory_allocate", ABI];

const ABI: &str = "proxy_abi_version_0_2_1";
const ABI_PREFIX: &str = "proxy_abi_version_";

/// Why a proxy could not run a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The bytes are no WebAssembly module.
    NotAModule(String),
    /// It asks for a function that the proxy does not offer, or that a filter has no business calling.
    Import(String),
    /// It asks for a memory, table, global or tag of the host.
    ImportKind(String),
    /// It lacks what the proxy looks for.
    MissingExport(&'static str),
    /// It says that it speaks another version of the ABI as well; the proxy takes whichever it finds first.
    OtherAbi(String),
    /// It holds a path of the machine that built it.
    Path(String),
    /// It has no name of a function. Envoy logs no backtrace of such a module when it traps.
    Nameless,
    /// It has more bytes than we allow ourselves.
    TooLarge { bytes: usize, most: usize },
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAModule(why) => write!(out, "this is no WebAssembly module: {why}"),
            Self::Import(name) => {
                write!(out, "it imports the function {name}, which is not on the list of what a filter may call")
            }
            Self::ImportKind(name) => write!(out, "it imports {name}, which is not a function"),
            Self::MissingExport(name) => write!(out, "it does not export {name}"),
            Self::OtherAbi(name) => write!(out, "it exports {name} beside {ABI}"),
            Self::Path(path) => write!(out, "it holds the path {path} of the machine that built it"),
            Self::Nameless => write!(out, "it has no name of any function, so Envoy would log no backtrace of it"),
            Self::TooLarge { bytes, most } => write!(out, "it has {bytes} bytes, and {most} are allowed"),
        }
    }
}

/// Everything that is wrong with a module. Empty: the proxy can load it, it says nothing of these private paths, and it has
/// at most so many bytes.
pub(crate) fn flaws(bytes: &[u8], private: &[&Path], most: usize) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for path in private {
        let needle = path.as_os_str().as_encoded_bytes();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            flaws.push(Flaw::Path(path.display().to_string()));
        }
    }
    if bytes.len() > most {
        flaws.push(Flaw::TooLarge { bytes: bytes.len(), most });
    }
    if let Err(error) = read(bytes, &mut flaws) {
        flaws.push(Flaw::NotAModule(error.to_string()));
    }
    flaws
}

fn read(bytes: &[u8], flaws: &mut Vec<Flaw>) -> wasmparser::Result<()> {
    let (mut exports, mut is_named) = (BTreeSet::new(), false);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let name = format!("{}.{}", import.module, import.name);
                    match import.ty {
                        TypeRef::Func(_) if offered(import.module, import.name) => {}
                        TypeRef::Func(_) => flaws.push(Flaw::Import(name)),
                        _ => flaws.push(Flaw::ImportKind(name)),
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if matches!(export.kind, ExternalKind::Func | ExternalKind::Memory) {
                        exports.insert(export.name);
                    }
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    for part in names {
                        is_named |= matches!(part?, Name::Function(_));
                    }
                }
            }
            _ => {}
        }
    }
    if !is_named {
        flaws.push(Flaw::Nameless);
    }
    for needed in NEEDED_EXPORTS.into_iter().filter(|needed| !exports.contains(needed)) {
        flaws.push(Flaw::MissingExport(needed));
    }
    for other in exports.into_iter().filter(|name| name.starts_with(ABI_PREFIX) && *name != ABI) {
        flaws.push(Flaw::OtherAbi(other.to_owned()));
    }
    Ok(())
}

fn offered(module: &str, name: &str) -> bool {
    match module {
        "env" => name.strip_prefix("proxy_").is_some_and(|name| HOST_FUNCTIONS.contains(&name)),
        "wasi_snapshot_preview1" => WASI_FUNCTIONS.contains(&name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1024;

    const NEEDED: &str = r#"
        (memory (export "memory") 1) (func $named (export "_initialize"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) local.get 0)
        (func (export "proxy_abi_version_0_2_1"))"#;

    fn check(text: &str, expected: &[Flaw]) {
        let bytes = wat::parse_str(format!("(module {text})")).unwrap();
        assert_eq!(flaws(&bytes, &[], MOST), expected, "{text}");
    }

    #[test]
    fn a_module_within_the_rules_has_no_flaw() {
        check(NEEDED, &[]);
        for function in HOST_FUNCTIONS {
            check(&format!(r#"(import "env" "proxy_{function}" (func)) {NEEDED}"#), &[]);
        }
        for function in WASI_FUNCTIONS {
            check(&format!(r#"(import "wasi_snapshot_preview1" "{function}" (func)) {NEEDED}"#), &[]);
        }
    }

    #[test]
    fn every_import_off_the_list_is_named() {
        let imports = r#"
            (import "env" "proxy_clear_route_cache" (func)) (import "env" "get_metric" (func))
            (import "wasi_snapshot_preview1" "fd_read" (func)) (import "wasi_unstable" "fd_write" (func))
            (import "env" "table" (table 1 funcref))"#;
        let expected = [
            Flaw::Import("env.proxy_clear_route_cache".to_owned()),
            Flaw::Import("env.get_metric".to_owned()),
            Flaw::Import("wasi_snapshot_preview1.fd_read".to_owned()),
            Flaw::Import("wasi_unstable.fd_write".to_owned()),
            Flaw::ImportKind("env.table".to_owned()),
        ];
        check(&format!("{imports} {NEEDED}"), &expected);
    }

    #[test]
    fn every_missing_export_is_named() {
        check("(func $named)", &NEEDED_EXPORTS.map(Flaw::MissingExport));
    }

    #[test]
    fn a_module_without_a_name_is_a_flaw() {
        check(&NEEDED.replace("$named", ""), &[Flaw::Nameless]);
    }

    #[test]
    fn a_second_version_of_the_abi_is_a_flaw() {
        let second = r#"(func (export "proxy_abi_version_0_1_0"))"#;
        check(&format!("{NEEDED} {second}"), &[Flaw::OtherAbi("proxy_abi_version_0_1_0".to_owned())]);
    }

    #[test]
    fn a_path_of_the_building_machine_is_a_flaw() {
        let bytes = wat::parse_str(format!(r#"(module {NEEDED} (data "at /builder/me/src/lib.rs"))"#)).unwrap();
        let [mine, other] = ["/builder/me", "/builder/you"];
        assert_eq!(flaws(&bytes, &[Path::new(mine), Path::new(other)], MOST), [Flaw::Path(mine.to_owned())]);
    }

    #[test]
    fn a_module_over_the_limit_is_a_flaw() {
        let padding = "x".repeat(MOST);
        let bytes = wat::parse_str(format!(r#"(module {NEEDED} (data "{padding}"))"#)).unwrap();
        assert_eq!(flaws(&bytes, &[], MOST), [Flaw::TooLarge { bytes: bytes.len(), most: MOST }]);
    }

    #[test]
    fn what_is_no_module_is_a_flaw() {
        assert!(matches!(flaws(b"not wasm", &[], MOST).as_slice(), [Flaw::NotAModule(_)]));
        let whole = wat::parse_str(format!("(module {NEEDED})")).unwrap();
        assert!(flaws(&whole[..whole.len() - 1], &[], MOST).iter().any(|flaw| matches!(flaw, Flaw::NotAModule(_))));
    }
}
