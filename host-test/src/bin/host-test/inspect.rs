//! `host-test inspect`: what a module is.

use anyhow::{Context, Result};
use clap::Args;
use host_test::host::{self, Module, table::TABLE};
use std::{fs, path::PathBuf};

/// Shows what a module is, and whether Envoy would load it.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The module
    wasm: PathBuf,
}

impl Inspect {
    pub(super) fn run(&self) -> Result<bool> {
        let bytes = fs::read(&self.wasm).with_context(|| format!("cannot read {}", self.wasm.display()))?;
        let found = host::inspect(&bytes)?;
        println!("{} bytes", found.bytes);
        match found.abi {
            Some(abi) => println!("ABI {abi}"),
            None => println!("no ABI version: not a proxy-wasm module"),
        }
        println!("\nimports:");
        for (import, ty) in &found.imports {
            let known = TABLE.iter().any(|function| {
                let offered = found.abi.is_some_and(|abi| function.is_in(abi));
                offered && function.modules.iter().any(|module| *import == format!("{module}.{}", function.name))
            });
            println!("  {import}: {ty}{}", if known { "" } else { "   <- Envoy refuses this" });
        }
        println!("\nexports:");
        for export in &found.exports {
            println!("  {export}");
        }
        if let Some((pages, most)) = found.memory {
            let most = most.map_or_else(|| "no limit".to_owned(), |pages| format!("at most {} KiB", pages * 64));
            println!("\nmemory: {} KiB at the start, {most}", pages * 64);
        }
        println!("\nsections:");
        for (name, size) in &found.sections {
            println!("  {name}: {size} bytes");
        }
        match Module::load(&bytes) {
            Ok(module) => {
                println!("\nEnvoy would load it. Compiled in {:.2} s.", module.inspection().compiled_in.as_secs_f64());
                Ok(true)
            }
            Err(error) => {
                println!("\nEnvoy would not load it: {error}");
                Ok(false)
            }
        }
    }
}
