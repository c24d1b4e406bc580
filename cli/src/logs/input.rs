//! The lines of a file, whatever it was compressed with, without ever holding more than one and a buffer.

use anyhow::{Context, bail};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The buffer; a line that is longer than it is no line of a log.
const BUFFER: usize = 1 << 20;

/// Where a byte of zero shows that a file is no text.
const START: usize = 1 << 16;

/// A line without its end.
pub(super) enum Text<'b> {
    Whole(&'b [u8]),
    /// The start of a line that is too long; the rest is passed over.
    TooLong(&'b [u8]),
}

/// The lines of one file.
pub(super) struct Lines {
    input: Box<dyn Read>,
    buffer: Box<[u8]>,
    /// What of the buffer is filled and not handed out yet.
    start: usize,
    end: usize,
    ended: bool,
    /// How much of the start was looked at for what no text has.
    looked: usize,
}

/// Opens a file, or standard input for -.
///
/// # Errors
/// It cannot be opened, or its compression cannot be read.
pub(super) fn open(path: &Path) -> anyhow::Result<Lines> {
    let name = crate::check::name(path);
    let mut input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).with_context(|| name.clone())?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            bail!("{name}: a folder; --log takes files");
        }
        Box::new(file)
    };
    let mut magic = [0; 4];
    let mut known = 0;
    while known < magic.len() {
        match input.read(&mut magic[known..]).with_context(|| name.clone())? {
            0 => break,
            read => known += read,
        }
    }
    let input = io::Cursor::new(magic).take(known as u64).chain(input);
    let input: Box<dyn Read> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, input))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(input).with_context(|| name.clone())?),
        _ => Box::new(input),
    };
    Ok(Lines::new(input, BUFFER))
}

impl Lines {
    fn new(input: Box<dyn Read>, buffer: usize) -> Lines {
        let buffer = vec![0; buffer].into_boxed_slice();
        Lines { input, buffer, start: 0, end: 0, ended: false, looked: 0 }
    }

    /// The next line.
    ///
    /// # Errors
    /// The file cannot be read any further, ends within its compression, or is not text.
    pub(super) fn next(&mut self, name: &str) -> anyhow::Result<Option<Text<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = self.start..searched + length;
                self.start = searched + length + 1;
                return Ok(Some(Text::Whole(&self.buffer[line])));
            }
            if self.ended {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok((!line.is_empty()).then(|| Text::Whole(&self.buffer[line])));
            }
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            searched = self.end;
            if self.end == self.buffer.len() {
                return self.pass_over(name).map(Some);
            }
            self.fill(name)?;
        }
    }

    fn fill(&mut self, name: &str) -> anyhow::Result<()> {
        let read = match self.input.read(&mut self.buffer[self.end..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                bail!("{name}: ends in the middle of its compression")
            }
            Err(error) => return Err(error).with_context(|| name.to_owned()),
        };
        let new = &self.buffer[self.end..self.end + read];
        if self.looked < START && memchr::memchr(0, new).is_some() {
            bail!("{name}: binary data; a log is text, or compressed with gzip or Zstandard");
        }
        self.looked = self.looked.saturating_add(read);
        self.ended = read == 0;
        self.end += read;
        Ok(())
    }

    /// Leaves out a line that fills the whole buffer.
    fn pass_over(&mut self, name: &str) -> anyhow::Result<Text<'_>> {
        const KEPT: usize = 100;
        loop {
            self.end = KEPT;
            self.fill(name)?;
            if self.ended {
                (self.start, self.end) = (0, 0);
                break;
            }
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[KEPT..self.end]) {
                self.start = KEPT + length + 1;
                break;
            }
        }
        Ok(Text::TooLong(&self.buffer[..KEPT]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out so many bytes at a time, in turn.
    struct Pieces(io::Cursor<Vec<u8>>, Vec<usize>, usize);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.2 += 1;
            let most = self.1[self.2 % self.1.len()].min(into.len());
            self.0.read(&mut into[..most])
        }
    }

    proptest! {
        #[test]
        fn every_line_comes_out_whole_however_it_is_read_and_one_beyond_the_buffer_as_its_start(
            text in "([a-c]{0,9}\n|[a-c]{100,600}\n){0,40}[a-c]{0,300}",
            pieces in prop::collection::vec(1..400_usize, 1..5),
        ) {
            const BUFFER: usize = 256;
            let mut lines = Lines::new(Box::new(Pieces(io::Cursor::new(text.clone().into()), pieces, 0)), BUFFER);
            let mut expected: Vec<&str> = text.split('\n').collect();
            expected.pop_if(|last| last.is_empty());
            for line in expected {
                let found = lines.next("log").unwrap();
                match found {
                    Some(Text::Whole(whole)) => {
                        prop_assert_eq!(whole, line.as_bytes());
                        prop_assert!(line.len() <= BUFFER);
                    }
                    Some(Text::TooLong(start)) => {
                        prop_assert_eq!(start, &line.as_bytes()[..start.len()]);
                        prop_assert!(line.len() >= BUFFER);
                    }
                    None => prop_assert!(false, "{line:?} is missing"),
                }
            }
            prop_assert!(lines.next("log").unwrap().is_none());
        }
    }
}
