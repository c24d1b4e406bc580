//! The addresses of a batch: lines, or a column of a CSV file, as they come.

use anyhow::{Context, bail};
use evaluator::{Peer, parse_peer};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// An address of a batch, or what stands in its place.
pub(super) type Item = anyhow::Result<Result<Peer, Unread>>;

/// What is no address.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) line: u64,
    pub(super) text: String,
}

/// The addresses in a file; - is standard input. With a column the file is CSV with a line of headings: the column has
/// that heading, or that number where none is called so.
///
/// # Errors
/// The file cannot be opened, or has no such column. The items have errors where it cannot be read any further.
pub(super) fn open(file: &Path, column: Option<&str>) -> anyhow::Result<Box<dyn Iterator<Item = Item> + Send>> {
    let name = super::name(file);
    let input: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("{name}: --batch takes a file of addresses"))?)
    };
    match column {
        Some(column) => of_column(input, &name, column),
        None => Ok(Box::new(of_lines(BufReader::new(input), name))),
    }
}

fn of_lines(mut input: impl BufRead, name: String) -> impl Iterator<Item = Item> {
    let (mut number, mut line) = (0, Vec::new());
    std::iter::from_fn(move || {
        loop {
            line.clear();
            number += 1;
            // No address is longer; what comes after is of the same line and no address either.
            match input.by_ref().take(4096).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error).context(name.clone())),
            }
            let text = line.trim_ascii();
            if !text.is_empty() && !text.starts_with(b"#") {
                return Some(Ok(peer(text, number)));
            }
        }
    })
}

fn of_column(
    input: Box<dyn Read + Send>,
    name: &str,
    column: &str,
) -> anyhow::Result<Box<dyn Iterator<Item = Item> + Send>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(input);
    let headings = reader.byte_headers().with_context(|| name.to_owned())?;
    let by_name = headings.iter().position(|heading| heading.eq_ignore_ascii_case(column.as_bytes()));
    let by_number = column.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).filter(|n| *n < headings.len());
    let Some(place) = by_name.or(by_number) else {
        let known: Vec<_> = headings.iter().map(String::from_utf8_lossy).collect();
        bail!("{name}: there is no column {column:?}; there are {}", crate::term::plain(&known.join(", ")));
    };
    let name = name.to_owned();
    Ok(Box::new(reader.into_byte_records().filter_map(move |record| match record {
        Ok(record) => {
            let text = record.get(place).unwrap_or_default();
            let line = record.position().map_or(0, csv::Position::line);
            (!text.is_empty()).then(|| Ok(peer(text, line)))
        }
        Err(error) => Some(Err(error).context(name.clone())),
    })))
}

fn peer(text: &[u8], line: u64) -> Result<Peer, Unread> {
    parse_peer(text).map_err(|_| {
        let shown: String = String::from_utf8_lossy(text).chars().take(60).collect();
        Unread { line, text: crate::term::plain(&shown) }
    })
}
