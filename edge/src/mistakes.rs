//! What is wrong with a configuration or a list.

use crate::json;
use alloc::{string::String, vec::Vec};
use gate::Mistake;
use serde::Serialize;

/// One thing to say about a key.
#[derive(Serialize)]
pub(crate) struct Remark<'a> {
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'a str>,
    pub(crate) message: &'a str,
}

impl<'a> From<&'a Mistake> for Remark<'a> {
    fn from(mistake: &'a Mistake) -> Remark<'a> {
        Remark { path: &mistake.path, code: Some(mistake.kind.code()), message: &mistake.message }
    }
}

/// The mistakes as a list in JSON: `[{"path": ..., "code": ..., "message": ...}]`.
pub(crate) fn described(mistakes: &[Mistake]) -> String {
    json(&mistakes.iter().map(Remark::from).collect::<Vec<_>>())
}
