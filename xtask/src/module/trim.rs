//! Takes out of a module the callbacks that the filter leaves to the SDK.
//!
//! The SDK exports every callback that there is. The proxy calls what is exported, and each such call costs thousands of
//! instructions a request, for nothing; and what is not there cannot panic. The linker knows no way to leave them out.
//! Where the filter has a callback of its own in the place of the SDK's, that one gets the name by which the proxy calls it.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use wasm_encoder::{ExportSection, Module, RawSection};
use wasmparser::{Parser, Payload};

const PREFIX: &str = "proxy_on_";

/// How the filter's own callbacks are called that stand in for the SDK's.
const OWN_PREFIX: &str = "portcullis_on_";

/// The filter's own callbacks, without their prefix.
const OWN: [&str; 5] = ["done", "http_call_response", "new_connection", "request_body", "request_headers"];

/// The callbacks that stay, without their common prefix: those that the filter implements, the one by which the
/// SDK makes contexts, and the allocator.
const KEPT: [&str; 14] = [
    "configure",
    "context_create",
    "done",
    "downstream_data",
    "http_call_response",
    "memory_allocate",
    "new_connection",
    "queue_ready",
    "request_body",
    "request_headers",
    "request_trailers",
    "response_headers",
    "tick",
    "vm_start",
];

/// The module with no other callbacks than those that stay.
///
/// # Errors
/// When the bytes are no module, or one of the callbacks is not there to stay.
pub(crate) fn trim(module: &[u8]) -> Result<Vec<u8>> {
    let mut trimmed = Module::new();
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::ExportSection(section) = &payload {
            let mut kept = ExportSection::new();
            for export in section.clone() {
                let export = export?;
                if let Some(name) = name_in_trimmed(export.name) {
                    found.extend(name.strip_prefix(PREFIX).map(str::to_owned));
                    kept.export(&name, export.kind.into(), export.index);
                }
            }
            trimmed.section(&kept);
        } else if let Some((id, range)) = payload.as_section() {
            let data =
                module.get(range.start as usize..range.end as usize).context("a section ends outside the module")?;
            trimmed.section(&RawSection { id, data });
        }
    }
    if let Some(missing) = KEPT.into_iter().find(|name| !found.iter().any(|found| found == name)) {
        bail!("the module does not export {PREFIX}{missing}");
    }
    Ok(trimmed.finish())
}

/// Under which name an export stays; `None` where it does not.
fn name_in_trimmed(export: &str) -> Option<Cow<'_, str>> {
    if let Some(own) = export.strip_prefix(OWN_PREFIX) {
        return Some(format!("{PREFIX}{own}").into());
    }
    let stays = export.strip_prefix(PREFIX).is_none_or(|callback| KEPT.contains(&callback) && !OWN.contains(&callback));
    stays.then_some(export.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace;

    /// A module that exports one function under these names.
    fn module<'a>(names: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
        let exports = names.into_iter().map(|(prefix, name)| format!(r#"(export "{prefix}{name}" (func $f))"#));
        let (exports, body) = (exports.collect::<String>(), "i32.const 1 drop ".repeat(100));
        wat::parse_str(format!(r#"(module (func $f {body}) (memory (export "memory") 1) {exports} (data "kept"))"#))
            .unwrap()
    }

    /// The callbacks that stay, as the linker leaves them.
    fn linked() -> impl Iterator<Item = (&'static str, &'static str)> {
        KEPT.into_iter().map(|name| (if OWN.contains(&name) { OWN_PREFIX } else { PREFIX }, name))
    }

    #[test]
    fn callbacks_that_do_not_stay_are_taken_out_and_the_rest_is_left_as_it_is() {
        let sdk = OWN.into_iter().chain(["log", "response_body", "grpc_close", "delete"]).map(|name| (PREFIX, name));
        let trimmed = module(KEPT.map(|name| (PREFIX, name)));
        assert_eq!(trim(&module(linked().chain(sdk))).unwrap(), trimmed);
        assert_eq!(trim(&module(linked())).unwrap(), trimmed);
    }

    #[test]
    fn a_callback_that_is_not_there_to_stay_is_named() {
        for missing in ["configure", "done"] {
            let error = trim(&module(linked().filter(|(_, name)| *name != missing))).unwrap_err();
            assert_eq!(error.to_string(), format!("the module does not export proxy_on_{missing}"));
        }
    }

    /// A callback that the filter implements and that is taken out would never be called.
    #[test]
    fn every_callback_that_the_filter_implements_stays() {
        let mut implemented = 0;
        let entries = fs::read_dir(workspace::root().join("filter/src")).unwrap();
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let Some((name, _)) = line.trim().strip_prefix("fn on_").and_then(|rest| rest.split_once('(')) else {
                    continue;
                };
                // The traits of the SDK say `on_http_request_headers` for `proxy_on_request_headers`.
                let callback = if name == "http_call_response" { name } else { name.trim_start_matches("http_") };
                assert!(KEPT.contains(&callback), "{} implements {name}: keep {callback}", path.display());
                implemented += 1;
            }
        }
        assert!(implemented > 0, "the filter's callbacks were not found");
    }
}
