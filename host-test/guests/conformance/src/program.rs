//! The program that a configuration gives: which calls to make in which phases.
//!
//! ```text
//! network                                            the streams are connections
//! root                                               what follows is the root's
//! configure proxy_get_buffer_status 7 @ @            phase, call, arguments
//! stream                                             what follows is the next stream's
//! * proxy_get_header_map_value 0 "x-a" *             in every phase
//! ```
//!
//! An argument is a number; a text in quotes or a map in braces, which become a pointer and a size; or a place for what
//! the call gives: `@` for a number that is shown, `_` for one that is not, `*` for bytes that are shown, `?` for bytes
//! of which is shown whether there are any.

#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) network: bool,
    root: Vec<Line>,
    streams: Vec<Vec<Line>>,
}

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) phase: String,
    pub(crate) call: Call,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
}

#[derive(Debug)]
pub(crate) enum Argument {
    Number(u64),
    Bytes(Vec<u8>),
    OutNumber { shown: bool },
    OutBytes { shown: bool },
}

impl Program {
    /// # Errors
    /// The first line that is none.
    pub(crate) fn parse(text: &str) -> Result<Program, String> {
        let mut program = Program::default();
        for text in text.lines() {
            match text {
                "network" => program.network = true,
                "root" => {}
                "stream" => program.streams.push(Vec::new()),
                _ => {
                    let line = line(text).ok_or_else(|| text.to_owned())?;
                    program.streams.last_mut().unwrap_or(&mut program.root).push(line);
                }
            }
        }
        Ok(program)
    }

    /// The lines of a stream, or of the root.
    pub(crate) fn of(&self, stream: Option<usize>) -> &[Line] {
        match stream {
            Some(number) => self.streams.get(number).map(Vec::as_slice).unwrap_or_default(),
            None => &self.root,
        }
    }
}

fn line(text: &str) -> Option<Line> {
    let mut words = text.split(' ');
    let (phase, name) = (words.next()?.to_owned(), words.next()?.to_owned());
    let arguments = words.map(argument).collect::<Option<_>>()?;
    Some(Line { phase, call: Call { name, arguments } })
}

fn argument(word: &str) -> Option<Argument> {
    if let Some(text) = word.strip_prefix('"') {
        return Some(Argument::Bytes(bytes(text.strip_suffix('"')?)?));
    }
    if let Some(text) = word.strip_prefix('{') {
        return Some(Argument::Bytes(map(text.strip_suffix('}')?)?));
    }
    Some(match word {
        "@" => Argument::OutNumber { shown: true },
        "_" => Argument::OutNumber { shown: false },
        "*" => Argument::OutBytes { shown: true },
        "?" => Argument::OutBytes { shown: false },
        number => Argument::Number(number.parse::<i64>().ok()?.cast_unsigned()),
    })
}

/// A text in which `\xNN` is a byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part.get(2..)?.as_bytes());
    }
    Some(bytes)
}

/// `name=value,name=value` as the ABI has maps.
fn map(text: &str) -> Option<Vec<u8>> {
    let pairs: Vec<_> =
        text.split(',').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
    let size = |size: usize| u32::try_from(size).ok().map(u32::to_le_bytes);
    let mut bytes = size(pairs.len())?.to_vec();
    for (name, value) in &pairs {
        bytes.extend(size(name.len())?);
        bytes.extend(size(value.len())?);
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(part.as_bytes());
        bytes.push(0);
    }
    Some(bytes)
}
