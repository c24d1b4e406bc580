//! Writes JSON piece by piece: much smaller than one serializer for each answer. Each piece is in the
//! module but once.

use alloc::string::String;
use core::net::IpAddr;
use evaluator::{Findings, push_number, report_link, signed_decimal};

/// JSON in the making.
pub struct Writer {
    text: String,
    /// Whether something stands before the next value.
    follows: bool,
}

impl Default for Writer {
    fn default() -> Writer {
        // Enough for a line of the log.
        Writer { text: String::with_capacity(512), follows: false }
    }
}

impl Writer {
    /// Begins an object, `{`, or a list, `[`, as an item.
    #[inline(never)]
    pub fn open(&mut self, bracket: char) {
        self.separate();
        self.text.push(bracket);
        self.follows = false;
    }

    /// Ends it.
    #[inline(never)]
    pub fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.follows = true;
    }

    /// Begins an object as a member.
    #[inline(never)]
    pub fn object(&mut self, name: &str) {
        self.name(name);
        self.open('{');
    }

    /// Begins a list as a member.
    #[inline(never)]
    pub fn list(&mut self, name: &str) {
        self.name(name);
        self.open('[');
    }

    /// A member with a string.
    #[inline(never)]
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.item(value);
    }

    /// A member with a whole number.
    #[inline(never)]
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.separate();
        push_number(&mut self.text, value, 10);
        self.follows = true;
    }

    /// A member with a whole number, which may be below zero.
    #[inline(never)]
    pub fn integer(&mut self, name: &str, value: i64) {
        self.raw(name, &signed_decimal(value));
    }

    /// A member with a whole number, or null.
    #[inline(never)]
    pub fn number_or_null(&mut self, name: &str, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => self.null(name),
        }
    }

    /// A member with a string, or null.
    #[inline(never)]
    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        self.name(name);
        self.item_or_null(value);
    }

    /// A string as an item, or null.
    #[inline(never)]
    pub fn item_or_null(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.item(value),
            None => self.written("null"),
        }
    }

    /// A member that is true or false.
    #[inline(never)]
    pub fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A member that is null.
    #[inline(never)]
    pub fn null(&mut self, name: &str) {
        self.raw(name, "null");
    }

    /// A string as an item.
    #[inline(never)]
    pub fn item(&mut self, value: &str) {
        self.separate();
        self.text.push('"');
        let mut rest = value;
        while let Some(place) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))
            && let Some((plain, special)) = rest.split_at_checked(place)
        {
            self.text.push_str(plain);
            let mut special = special.chars();
            self.escape(special.next().unwrap_or_default());
            rest = special.as_str();
        }
        self.text.push_str(rest);
        self.text.push('"');
        self.follows = true;
    }

    /// An item that is JSON already.
    #[inline(never)]
    pub fn written(&mut self, json: &str) {
        self.separate();
        self.text.push_str(json);
        self.follows = true;
    }

    /// A member with the codes of what was found.
    pub fn findings(&mut self, findings: Findings) {
        self.codes("findings", findings);
    }

    /// The same under another name.
    #[inline(never)]
    pub fn codes(&mut self, name: &str, findings: Findings) {
        self.list(name);
        for finding in findings.iter() {
            self.item(finding.code());
        }
        self.close(']');
    }

    /// A member with the link to the full report on this address, or null.
    #[inline(never)]
    pub fn report(&mut self, address: Option<IpAddr>) {
        self.text_or_null("report", address.map(report_link).as_deref());
    }

    /// One line, without its end.
    #[inline(never)]
    pub fn into_line(self) -> String {
        self.text
    }

    /// A text of one line, with its end.
    #[inline(never)]
    pub fn into_text(mut self) -> String {
        self.text.push('\n');
        self.text
    }

    #[cold]
    fn escape(&mut self, character: char) {
        self.text.push('\\');
        let last = match character {
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{c}' => 'f',
            '\r' => 'r',
            '"' | '\\' => character,
            other => {
                let number = u32::from(other);
                self.text.push_str(if number < 16 { "u000" } else { "u001" });
                char::from_digit(number & 15, 16).unwrap_or('0')
            }
        };
        self.text.push(last);
    }

    #[inline(never)]
    fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.written(value);
    }

    /// The name of a member, whose value comes next as an item.
    #[inline(never)]
    pub fn name(&mut self, name: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_string_is_escaped_as_others_escape_it(text in "[\\x00-\\x7f\u{7f}-\u{a0}é\u{2028}]*") {
            let mut writer = Writer::default();
            writer.item(&text);
            prop_assert_eq!(writer.into_line(), serde_json::to_string(&text).unwrap());
        }
    }
}
