//! Writes JSON piece by piece: much smaller than one serializer for each answer. Nothing here is in a hurry, so it is in the
//! module but once.

use std::fmt::Display;

/// JSON in the making.
#[derive(Default)]
pub(crate) struct Writer {
    text: String,
    /// Whether something stands before the next value.
    follows: bool,
}

impl Writer {
    /// Begins an object, `{`, or a list, `[`, as an item.
    #[inline(never)]
    pub(crate) fn open(&mut self, bracket: char) {
        self.separate();
        self.text.push(bracket);
        self.follows = false;
    }

    /// Ends it.
    #[inline(never)]
    pub(crate) fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.follows = true;
    }

    /// Begins an object as a member.
    #[inline(never)]
    pub(crate) fn object(&mut self, name: &str) {
        self.name(name);
        self.open('{');
    }

    /// Begins a list as a member.
    #[inline(never)]
    pub(crate) fn list(&mut self, name: &str) {
        self.name(name);
        self.open('[');
    }

    /// A member with a string.
    #[inline(never)]
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.item(value);
    }

    /// A member with a whole number.
    #[inline(never)]
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    /// A member with what is shown as a string, or null.
    #[inline(never)]
    pub(crate) fn shown(&mut self, name: &str, value: Option<&dyn Display>) {
        match value {
            Some(value) => self.text(name, &value.to_string()),
            None => self.null(name),
        }
    }

    /// A member with a whole number, or null.
    #[inline(never)]
    pub(crate) fn number_or_null(&mut self, name: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => self.null(name),
        }
    }

    /// A member with a string, or null.
    #[inline(never)]
    pub(crate) fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    #[inline(never)]
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    #[inline(never)]
    pub(crate) fn null(&mut self, name: &str) {
        self.raw(name, "null");
    }

    /// A string as an item.
    #[inline(never)]
    pub(crate) fn item(&mut self, value: &str) {
        self.separate();
        // A string always serializes.
        self.text.push_str(&serde_json::to_string(value).unwrap_or_default());
        self.follows = true;
    }

    #[inline(never)]
    pub(crate) fn into_text(mut self) -> String {
        self.text.push('\n');
        self.text
    }

    #[inline(never)]
    fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.separate();
        self.text.push_str(value);
        self.follows = true;
    }

    #[inline(never)]
    fn name(&mut self, name: &str) {
        self.item(name);
        self.text.push(':');
        self.follows = false;
    }

    #[inline(never)]
    fn separate(&mut self) {
        if self.follows {
            self.text.push(',');
        }
    }
}
