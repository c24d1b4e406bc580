//! Lists of networks, and the question whether an address is public.

use crate::mistakes::described;
use crate::{json, moment};
use alloc::string::{String, ToString};
use evaluator::{Entry, parse_peer, special_purpose};
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;

/// A list of networks.
#[wasm_bindgen]
pub struct List(evaluator::List);

#[derive(Serialize)]
struct Listed<'a> {
    cidr: String,
    owner: Option<&'a str>,
    reason: Option<&'a str>,
    /// Seconds since the start of 1970.
    until: Option<u32>,
}

#[wasm_bindgen]
impl List {
    /// Reads a list as it stands under `lists.allow`.
    ///
    /// # Errors
    /// The mistakes, as JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(entries: &[u8]) -> Result<List, String> {
        gate::parse_list(entries).map(List).map_err(|mistakes| described(&mistakes))
    }

    /// The entry with the longest prefix around this address among those that count at this time, as JSON.
    ///
    /// # Errors
    /// What is wrong with the address.
    #[wasm_bindgen(js_name = "match")]
    pub fn find(&self, address: &str, now: f64) -> Result<Option<String>, String> {
        let peer = parse_peer(address.as_bytes()).map_err(|error| error.to_string())?;
        let listed = |entry: &Entry| {
            let (owner, reason) = (entry.owner.as_deref(), entry.reason.as_deref());
            json(&Listed { cidr: entry.net.to_string(), owner, reason, until: entry.until.map(|until| until.unix()) })
        };
        Ok(self.0.find(peer.ip, moment(now).timestamp()).map(listed))
    }

    /// How many entries it has.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

/// Whether the address belongs to no special-purpose range.
///
/// # Errors
/// What is wrong with the address.
#[wasm_bindgen(js_name = isPublic)]
pub fn is_public(address: &str) -> Result<bool, String> {
    let peer = parse_peer(address.as_bytes()).map_err(|error| error.to_string())?;
    Ok(special_purpose(peer.ip).is_none())
}
