//! What is wrong with a configuration or a list.

use alloc::string::String;
use gate::{Mistake, Writer};

/// One thing to say about a key.
pub(crate) struct Remark<'a> {
    pub(crate) path: &'a str,
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
    listed(mistakes.iter().map(Remark::from))
}

/// These remarks in the same form.
pub(crate) fn listed<'a>(remarks: impl Iterator<Item = Remark<'a>>) -> String {
    let mut json = Writer::default();
    write_remarks(&mut json, remarks);
    json.into_line()
}

/// Writes a list of remarks as an item.
pub(crate) fn write_remarks<'a>(json: &mut Writer, remarks: impl Iterator<Item = Remark<'a>>) {
    json.open('[');
    for Remark { path, code, message } in remarks {
        json.open('{');
        json.text("path", path);
        if let Some(code) = code {
            json.text("code", code);
        }
        json.text("message", message);
        json.close('}');
    }
    json.close(']');
}
