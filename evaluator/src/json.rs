//! Reading JSON (RFC 8259) front to back, without a tree of it in memory.
//!
//! There is no generic code here: a library that decodes into types is copied for each of them, and would be the largest part
//! of the module.

use crate::{filled, how_many, octets};
use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt;

/// JSON that is being read. After an error it must not be read on.
pub struct JsonReader<'t> {
    text: &'t str,
    /// The place of the next byte.
    at: usize,
    /// What the value that is stepped over is nested in, outermost first.
    nesting: Vec<u8>,
}

/// What stands where something else should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    wanted: &'static str,
    line: usize,
    column: usize,
}

impl JsonError {
    /// In words, which name the line and column and quote nothing of the text.
    pub fn message(&self) -> String {
        filled("expected {} at line {} column {}", &[self.wanted, &how_many(self.line), &how_many(self.column)])
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

/// What [`JsonReader`] hands each member or item to, which must read it.
type Each<'e, 't> = &'e mut dyn FnMut(&mut JsonReader<'t>, &'t str) -> Result<(), JsonError>;

impl<'t> JsonReader<'t> {
    /// Reads this text.
    pub const fn new(text: &'t str) -> JsonReader<'t> {
        JsonReader { text, at: 0, nesting: Vec::new() }
    }

    /// Reads these bytes.
    ///
    /// # Errors
    /// Where they are not UTF-8.
    pub fn from_bytes(bytes: &'t [u8]) -> Result<JsonReader<'t>, JsonError> {
        core::str::from_utf8(bytes).map(JsonReader::new).map_err(|error| {
            let valid = bytes.get(..error.valid_up_to()).and_then(|valid| core::str::from_utf8(valid).ok());
            let text = valid.unwrap_or_default();
            JsonReader { at: text.len(), ..JsonReader::new(text) }.expected("UTF-8")
        })
    }

    /// The first byte of what comes next, white space apart; zero at the end.
    #[inline(always)]
    pub fn peek(&mut self) -> u8 {
        match self.byte() {
            Some(byte @ b'!'..) => byte,
            _ => self.peek_beyond(),
        }
    }

    fn peek_beyond(&mut self) -> u8 {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.step();
        }
        self.byte().unwrap_or_default()
    }

    /// Steps over one value, and returns it raw.
    ///
    /// # Errors
    /// Where there is no whole value.
    pub fn value(&mut self) -> Result<&'t str, JsonError> {
        self.peek();
        let start = self.at;
        self.nesting.clear();
        loop {
            match self.peek() {
                open @ (b'{' | b'[') => {
                    self.step();
                    if self.peek() != close_of(open) {
                        self.nesting.push(open);
                        self.key_in(open)?;
                        continue;
                    }
                    self.step();
                }
                _ => self.scalar()?,
            }
            // A value has ended, and with it perhaps what it is nested in.
            loop {
                let Some(open) = self.nesting.last().copied() else {
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                };
                if self.goes_on(open)? {
                    self.key_in(open)?;
                    break;
                }
                self.nesting.pop();
            }
        }
    }

    /// Reads an object, each member by its raw key.
    ///
    /// # Errors
    /// Where it is not one, or not whole; and those of `each`.
    pub fn object(&mut self, each: Each<'_, 't>) -> Result<(), JsonError> {
        self.nested(b'{', each)
    }

    /// Reads a list, each item with an empty key.
    ///
    /// # Errors
    /// Where it is not one, or not whole; and those of `each`.
    pub fn list(&mut self, each: Each<'_, 't>) -> Result<(), JsonError> {
        self.nested(b'[', each)
    }

    fn nested(&mut self, open: u8, each: Each<'_, 't>) -> Result<(), JsonError> {
        self.token(open, if open == b'{' { "an object" } else { "a list" })?;
        if self.peek() == close_of(open) {
            self.step();
            return Ok(());
        }
        loop {
            let key = self.key_in(open)?;
            each(self, key)?;
            if !self.goes_on(open)? {
                return Ok(());
            }
        }
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// Where something does.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// The error that something else is wanted here.
    #[cold]
    pub fn expected(&self, wanted: &'static str) -> JsonError {
        let before = self.text.as_bytes().get(..self.at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
        JsonError { wanted, line, column }
    }

    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    #[inline(always)]
    fn token(&mut self, token: u8, name: &'static str) -> Result<(), JsonError> {
        if self.peek() != token {
            return Err(self.expected(name));
        }
        self.step();
        Ok(())
    }

    /// The raw key before a member of an object; before an item of a list there is none.
    fn key_in(&mut self, open: u8) -> Result<&'t str, JsonError> {
        if open == b'[' {
            return Ok("");
        }
        if self.peek() != b'"' {
            return Err(self.expected("a key in quotes"));
        }
        let start = self.at;
        self.string()?;
        let key = self.text.get(start..self.at).unwrap_or_default();
        self.token(b':', "`:`")?;
        Ok(key)
    }

    /// Whether another member or item follows; if none does, the end is stepped over.
    #[inline(always)]
    fn goes_on(&mut self, open: u8) -> Result<bool, JsonError> {
        match self.peek() {
            b',' => {
                self.step();
                Ok(true)
            }
            close if close == close_of(open) => {
                self.step();
                Ok(false)
            }
            _ => Err(self.expected(if open == b'{' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    fn scalar(&mut self) -> Result<(), JsonError> {
        match self.byte() {
            Some(b'"') => self.string(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.expected("a value"));
        }
        self.at = self.at.saturating_add(word.len());
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let bytes = self.text.as_bytes();
        self.step();
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let special = octets::find_or_below(rest, b'"', b'\\', b' ');
            self.at = self.at.wrapping_add(special.unwrap_or(rest.len()));
            let next = bytes.get(self.at.wrapping_add(1));
            match self.byte() {
                Some(b'"') => {
                    self.step();
                    return Ok(());
                }
                // The escapes of line ends and quotes are nearly all there are.
                Some(b'\\') if matches!(next, Some(b'n' | b'r' | b'"')) => self.at = self.at.wrapping_add(2),
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.expected("an escape in the place of a control character")),
                None => return Err(self.expected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.step();
        let digits = match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return Err(self.expected("an escape")),
        };
        self.step();
        for _ in 0..digits {
            if !self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return Err(self.expected("a hexadecimal digit"));
            }
            self.step();
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.byte() == Some(b'-') {
            self.step();
        }
        match self.byte() {
            Some(b'0') => self.step(),
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.step();
            if let Some(b'+' | b'-') = self.byte() {
                self.step();
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.step();
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }
}

#[inline(always)]
const fn close_of(open: u8) -> u8 {
    if open == b'{' { b'}' } else { b']' }
}

/// A raw string without its quotes, escapes and all.
#[inline(always)]
pub(crate) fn unquoted(raw: &str) -> &str {
    match raw.as_bytes() {
        [b'"', inner @ .., b'"'] => raw.get(1..inner.len().wrapping_add(1)).unwrap_or_default(),
        _ => raw,
    }
}

/// The text of a raw string. Halves of surrogate pairs, which JSON can write and Rust cannot, are replaced by U+FFFD.
pub fn unescaped(raw: &str) -> Cow<'_, str> {
    let inner = unquoted(raw);
    if octets::find(inner.as_bytes(), b'\\').is_none() {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    decode(inner, &mut |letter, _| text.push(letter));
    Cow::Owned(text)
}

/// Raw JSON in which no letter is hidden in an escape that need not be one.
pub(crate) fn without_needless_escapes(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    decode(raw, &mut |letter, escape| match letter {
        '"' | '\\' | '\0'..=' ' => text.push_str(escape),
        letter => text.push(letter),
    });
    text
}

/// Hands on each letter, and what it is written as.
fn decode<'t>(raw: &'t str, each: &mut dyn FnMut(char, &'t str)) {
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let (letter, length) = match first {
            '\\' => escape(rest),
            letter => (letter, letter.len_utf8()),
        };
        let Some((written, after)) = rest.split_at_checked(length) else { return };
        each(letter, written);
        rest = after;
    }
}

/// The letter of the escape that the text begins with, and the length of the escape.
fn escape(text: &str) -> (char, usize) {
    let letter = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = |at: usize| {
                let digits = text.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
                Some(digits.chars().fold(0, |unit, digit| unit << 4 | digit.to_digit(16).unwrap_or_default()))
            };
            let (number, length) = match (unit(0).unwrap_or_default(), unit(6).unwrap_or_default()) {
                (high @ 0xd800..0xdc00, low @ 0xdc00..0xe000) => {
                    (((high & 0x3ff) << 10 | low & 0x3ff).wrapping_add(0x1_0000), 12)
                }
                (unit, _) => (unit, 6),
            };
            return (char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER), length);
        }
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (letter, 2)
}

#[cfg(test)]
mod tests;
