//! Lists of networks, and the question whether an address is public.

use crate::mistakes::described;
use crate::{moment, object};
use alloc::string::String;
use evaluator::{Entry, network_text, parse_peer, special_purpose};
use wasm_bindgen::prelude::wasm_bindgen;

/// A list of networks.
#[wasm_bindgen]
pub struct List(evaluator::List);

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
        let peer = parse_peer(address.as_bytes()).map_err(|error| String::from(error.message()))?;
        let listed = |Entry { net, owner, reason, until }: &Entry| {
            object(|json| {
                json.text("cidr", &network_text(*net));
                json.text_or_null("owner", owner.as_deref());
                json.text_or_null("reason", reason.as_deref());
                // Seconds since the start of 1970.
                json.number_or_null("until", until.map(|until| until.unix().into()));
            })
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
    let peer = parse_peer(address.as_bytes()).map_err(|error| String::from(error.message()))?;
    Ok(special_purpose(peer.ip).is_none())
}
