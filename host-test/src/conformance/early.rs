//! Host calls before the first callback, and while the module makes room for the host: which of them are a trap. For each
//! there is a module of its own, which a proxy loads or not.

use super::matrix::{Answers, Cell};
use crate::host::{
    Module,
    abi::AbiVersion,
    table::{HostFunction, Returns, TABLE},
};
use crate::sim::{Config, Sim};
use std::fmt::Write;

/// What a proxy makes of a module.
const ALLOWED: &str = "allowed";
const TRAP: &str = "a trap";

/// The moments.
pub const PHASES: &[&str] = &["start", "allocator"];

/// The calls, as the matrix has them.
pub fn calls() -> impl Iterator<Item = String> {
    TABLE.iter().map(|function| format!("{}.{}", function.modules[0], function.name))
}

/// A module that makes a call at one of the moments.
pub struct Probe {
    cell: Cell,
    /// The module, as text.
    pub module: String,
}

/// All of them.
pub fn probes() -> Vec<Probe> {
    let probes = TABLE.iter().zip(calls()).flat_map(|(function, call)| {
        PHASES.iter().map(move |phase| Probe {
            cell: Cell { call: call.clone(), subject: "vm".to_owned(), phase: (*phase).to_owned() },
            module: module(function, phase),
        })
    });
    probes.collect()
}

/// What a proxy that loads some of the modules answers.
pub fn answers(mut loads: impl FnMut(usize, &Probe) -> bool) -> Answers {
    let answer = |loaded| if loaded { ALLOWED } else { TRAP }.to_owned();
    probes().iter().enumerate().map(|(number, probe)| (probe.cell.clone(), answer(loads(number, probe)))).collect()
}

/// The answers of the simulation.
pub fn in_sim() -> Answers {
    answers(|_, probe| {
        let Ok(module) = Module::load(probe.module.as_bytes()) else { return false };
        let config = Config::of(module, super::CONFIGURATION).plugin(|plugin| plugin.name = super::NAME.to_owned());
        Sim::start(config).is_ok()
    })
}

fn module(function: &HostFunction, phase: &str) -> String {
    let version =
        function.versions.iter().max_by_key(|version| version.marker()).copied().unwrap_or(AbiVersion::V0_2_1);
    let types: Vec<_> =
        function.parameters.iter().map(|name| if name.starts_with("i64:") { "i64" } else { "i32" }).collect();
    let returns = function.returns != Returns::Nothing;
    let result = if returns { "(result i32)" } else { "" };
    let mut call = String::from("call $call");
    for ty in types.iter().rev() {
        call.insert_str(0, &format!("{ty}.const 0 "));
    }
    if returns {
        call += " drop";
    }
    let (start, allocator) = if phase == "start" { (call.as_str(), "") } else { ("", call.as_str()) };
    let mut text = String::new();
    let _ = write!(
        text,
        r#"(module
        (import "{}" "{}" (func $call (param {}) {result}))
        (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 100) "plugin_name")
        (func (export "{}"))
        (func (export "_initialize") {start})
        (func (export "malloc") (param i32) (result i32) {allocator} i32.const 4096)
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (i32.eqz (call $property (i32.const 100) (i32.const 11) (i32.const 8) (i32.const 12)))))"#,
        function.modules[0],
        function.name,
        types.join(" "),
        version.marker(),
    );
    text
}
