//! Makes the JavaScript side of the edge module: what the command `wasm-bindgen` does, by its library of the version that
//! the module is built with. A program of its own, so that nobody else has to build that library.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "this program runs outside the proxy")]

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;
use wasm_bindgen_cli_support::Bindgen;

/// Takes a module that was built with wasm-bindgen, and writes it anew with the JavaScript around it.
#[derive(Parser)]
struct Arguments {
    /// The module as the compiler made it.
    module: PathBuf,
    /// The folder for `NAME_bg.wasm`, `NAME_bg.js` and `NAME.js`.
    folder: PathBuf,
    /// The name of the files.
    #[arg(long)]
    name: String,
}

fn main() -> Result<()> {
    let Arguments { module, folder, name } = Arguments::parse();
    Bindgen::new()
        .input_path(module)
        .out_name(&name)
        .bundler(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
}
