//! Columns: CSV with headings, Zeek's tabs, Palo Alto's fixed order.

use super::clock::Clock;
use super::fields::{Columns, Found, Slot, ZEEK};
use super::{Line, Unknown};
use std::borrow::Cow;

/// CSV, the first line of which has the headings.
pub(super) struct Csv {
    names: Columns,
    /// What each column is.
    columns: Option<Vec<Option<(Slot, u8)>>>,
}

impl Csv {
    pub(super) fn new(names: Columns) -> Csv {
        Csv { names, columns: None }
    }

    pub(super) fn read(&mut self, line: &[u8], clock: &Clock) -> Line<'static> {
        let cells = split(line)?;
        match &self.columns {
            Some(columns) => {
                let columns = columns.iter().enumerate().filter_map(|(index, column)| Some((index, (*column)?)));
                record(&cells, columns, clock)
            }
            None => {
                self.columns = Some(cells.iter().map(|cell| self.names.find_any_case(cell.trim())).collect());
                Ok(None)
            }
        }
    }
}

/// Zeek's own format: a header line says what the columns are.
#[derive(Default)]
pub(super) struct Zeek {
    columns: Vec<Option<(Slot, u8)>>,
}

impl Zeek {
    pub(super) fn read<'l>(&mut self, line: &'l [u8], clock: &Clock) -> Line<'l> {
        let text = str::from_utf8(line).map_err(|_| Unknown::NotTheFormat)?.trim_end_matches('\r');
        if let Some(header) = text.strip_prefix('#') {
            if let Some(names) = header.strip_prefix("fields\t") {
                let known = Columns::new(ZEEK, &[]);
                self.columns = names.split('\t').map(|name| known.find(name)).collect();
            }
            return Ok(None);
        }
        if self.columns.is_empty() {
            return Err(Unknown::NoHeadings);
        }
        let mut found = Found::new();
        for (cell, column) in text.split('\t').zip(&self.columns) {
            if let Some((slot, place)) = column {
                found.note(*slot, *place, Cow::Borrowed(cell));
            }
        }
        found.record(clock)
    }
}

/// The order of a traffic log,
/// <https://docs.paloaltonetworks.com/ngfw/administration/monitoring/use-syslog-for-monitoring/syslog-field-descriptions/traffic-log-fields>:
/// type, time generated, source and destination address, destination port.
const PALO_ALTO: [(usize, (Slot, u8)); 4] =
    [(6, (Slot::Time, 0)), (7, (Slot::Source, 0)), (8, (Slot::Destination, 0)), (25, (Slot::Port, 0))];

pub(super) fn palo_alto(line: &[u8], clock: &Clock) -> Line<'static> {
    let cells = split(line)?;
    match cells.get(3).map(|kind| &**kind) {
        Some("TRAFFIC") if cells.len() > 25 => record(&cells, PALO_ALTO.into_iter(), clock),
        // Logs of other kinds come in the same stream.
        Some(kind) if !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') => {
            Ok(None)
        }
        _ => Err(Unknown::NotTheFormat),
    }
}

fn record(cells: &[String], columns: impl Iterator<Item = (usize, (Slot, u8))>, clock: &Clock) -> Line<'static> {
    let mut found = Found::new();
    for (index, (slot, place)) in columns {
        let cell = cells.get(index).ok_or(Unknown::NotTheFormat)?;
        found.note(slot, place, Cow::Owned(cell.trim().to_owned()));
    }
    found.record(clock)
}

fn split(line: &[u8]) -> Result<Vec<String>, Unknown> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => Ok(record.iter().map(String::from).collect()),
        _ => Err(Unknown::NotTheFormat),
    }
}
