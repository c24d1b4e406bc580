//! CSV (RFC 4180): the column that the configuration names has the addresses, or the first if it names none. Lines that
//! start with `#` are comments.

use super::{FOR_EVER, Found, Refusal};
use alloc::boxed::Box;
use csv_core::{ReadFieldResult, ReaderBuilder};

/// The longest name and the longest address that are read; what is longer is neither.
const LONGEST: usize = 256;

pub(super) struct Csv {
    reader: csv_core::Reader,
    name: Box<[u8]>,
    /// Which column it is, once the line of names was read.
    column: Option<usize>,
    in_names: bool,
    /// The column of the field that is being read, and its start.
    field: usize,
    text: [u8; LONGEST],
    length: usize,
    /// The field is longer than what is read of it.
    is_cut: bool,
}

impl core::fmt::Debug for Csv {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Csv").field("column", &self.column).finish_non_exhaustive()
    }
}

impl Csv {
    pub(super) fn new(name: Option<&str>) -> Csv {
        Csv {
            reader: ReaderBuilder::new().comment(Some(b'#')).build(),
            name: name.unwrap_or_default().as_bytes().into(),
            column: if name.is_none() { Some(0) } else { None },
            in_names: name.is_some(),
            field: 0,
            text: [0; LONGEST],
            length: 0,
            is_cut: false,
        }
    }

    /// Reads this part. Returns how many bytes were read: all, or nothing more is to be found.
    pub(super) fn read(&mut self, part: &[u8], is_last: bool, found: &mut Found) -> usize {
        let mut rest = part;
        // The reader takes an empty input for the end.
        while is_last || !rest.is_empty() {
            let room = self.text.get_mut(self.length..).unwrap_or_default();
            let (result, read, written) = self.reader.read_field(rest, room);
            rest = rest.get(read..).unwrap_or_default();
            self.length = self.length.saturating_add(written);
            match result {
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::End => break,
                ReadFieldResult::OutputFull => {
                    self.is_cut = true;
                    self.length = 0;
                }
                ReadFieldResult::Field { record_end } => self.end_field(record_end, found),
            }
        }
        part.len()
    }

    fn end_field(&mut self, record_end: bool, found: &mut Found) {
        let text = self.text.get(..self.length).unwrap_or_default().trim_ascii();
        let text = if self.is_cut { &[][..] } else { text };
        if self.in_names {
            if self.column.is_none() && *text == *self.name {
                self.column = Some(self.field);
                found.has_place = true;
            }
        } else if self.column == Some(self.field) {
            found.take(text, FOR_EVER);
        } else if record_end && self.column.is_some_and(|column| self.field < column) {
            // The row ends before its address.
            found.refuse(Refusal::Malformed);
        }
        (self.length, self.is_cut) = (0, false);
        self.field = if record_end { 0 } else { self.field.saturating_add(1) };
        self.in_names &= !record_end;
    }
}
