//! Logs of connections, line by line, in many formats and in memory that does not grow with them.

mod clock;
mod fields;
mod input;
mod json;
mod table;
mod words;

use crate::exit::{Exit, Failure};
use crate::term;
use clock::Clock;
use fields::Columns;
use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;

pub(crate) use fields::Slot;

/// Which logs are read, and how.
#[derive(clap::Args)]
#[command(next_help_heading = "The log")]
#[group(skip)]
pub(crate) struct Args {
    /// A log, compressed with gzip or Zstandard or not at all; - for standard input; may be repeated
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    log: Vec<PathBuf>,
    /// What the lines look like
    #[arg(long, value_enum)]
    format: Format,
    /// Where to find something under another name than usual, such as time=received or destination=dst.ip; for json, csv and
    /// envoy-json; may be repeated
    #[arg(long, value_name = "WHAT=NAME", value_parser = fields::parse)]
    field: Vec<(Slot, String)>,
    /// The time zone of times that have none, such as Asia/Seoul [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = clock::zone)]
    log_zone: Option<jiff::tz::TimeZone>,
    /// Give up when more lines than this cannot be read [default: never]
    #[arg(long, value_name = "NUMBER")]
    max_unknown: Option<u64>,
}

/// What the lines of a log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Envoy's access log with a json_format
    EnvoyJson,
    /// Envoy's access log in Envoy's or Istio's own text format
    EnvoyText,
    /// Columns with a line of headings
    Csv,
    /// Any JSON, an object a line
    Json,
    /// Zeek's conn.log, with tabs or as JSON
    Zeek,
    /// Suricata's eve.json
    SuricataEve,
    /// FortiGate's traffic log
    Fortinet,
    /// Palo Alto Networks' traffic log
    Paloalto,
}

/// One connection or request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Seconds since 1970.
    pub(crate) time: i64,
    /// Who opened the connection.
    pub(crate) source: Option<IpAddr>,
    /// Where it went.
    pub(crate) destination: Option<IpAddr>,
    /// The destination port.
    pub(crate) port: Option<u16>,
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) path: Option<Cow<'a, str>>,
    pub(crate) host: Option<Cow<'a, str>>,
    pub(crate) route: Option<Cow<'a, str>>,
}

/// What a line says.
type Line<'a> = Result<Option<Record<'a>>, Unknown>;

/// Why a line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    NotTheFormat,
    NoTime,
    NoHeadings,
    TooLong,
}

impl Unknown {
    fn text(self) -> &'static str {
        match self {
            Unknown::NotTheFormat => "not of this format",
            Unknown::NoTime => "no time, or none that can be read",
            Unknown::NoHeadings => "before the line that names the fields",
            Unknown::TooLong => "longer than 1 MiB",
        }
    }
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) lines: u64,
    pub(crate) records: u64,
    unknown: u64,
    /// The first few lines that could not be read.
    samples: Vec<String>,
}

impl Scan {
    /// Says on standard error what could not be read.
    pub(crate) fn report(&self) {
        if self.unknown > 0 {
            term::say!("portcullis: warning: {} of {} lines could not be read:", self.unknown, self.lines);
            for sample in &self.samples {
                term::say!("  {sample}");
            }
        }
    }

    fn note(&mut self, file: &str, number: u64, line: &[u8], unknown: Unknown) {
        self.unknown += 1;
        if self.samples.len() < 3 {
            let start: String = String::from_utf8_lossy(line).chars().take(60).collect();
            let start = term::plain(start.trim_end());
            self.samples.push(format!("{file} line {number}: {}: {start}", unknown.text()));
        }
    }
}

/// Reads every line of every log, and hands on what it says.
///
/// # Errors
/// A file that cannot be read to its end or is no text, too many unknown lines, or what `each` fails with.
pub(crate) fn read(args: &Args, mut each: impl FnMut(&Record<'_>) -> anyhow::Result<()>) -> anyhow::Result<Scan> {
    let clock = Clock::new(args.log_zone.clone());
    let mut scan = Scan::default();
    let bar = term::progress(None, "lines");
    let shown = !bar.is_hidden();
    for path in &args.log {
        let file = crate::check::name(path);
        let mut reader = Reader::new(args.format, &args.field, &clock);
        let mut lines = input::open(path)?;
        let mut number = 0;
        while let Some(line) = lines.next(&file)? {
            number += 1;
            scan.lines += 1;
            if shown {
                bar.inc(1);
            }
            let said = match line {
                input::Text::Whole(line) => reader.read(line).map_err(|unknown| (unknown, line)),
                input::Text::TooLong(start) => Err((Unknown::TooLong, start)),
            };
            match said {
                Ok(Some(record)) => {
                    scan.records += 1;
                    each(&record)?;
                }
                Ok(None) => {}
                Err((unknown, line)) => {
                    scan.note(&file, number, line, unknown);
                    if args.max_unknown.is_some_and(|most| scan.unknown > most) {
                        bar.finish_and_clear();
                        scan.report();
                        let message = format!("more than {} lines could not be read", scan.unknown - 1);
                        return Err(Failure::new(Exit::UnknownLines, message).into());
                    }
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok(scan)
}

/// Reads the lines of one file.
enum Reader<'c> {
    Json(json::Objects, &'c Clock),
    Zeek { tabs: table::Zeek, json: json::Objects, clock: &'c Clock },
    EnvoyText(&'c Clock),
    Csv(table::Csv, &'c Clock),
    Fortinet(&'c Clock),
    Paloalto(&'c Clock),
}

impl<'c> Reader<'c> {
    fn new(format: Format, own: &[(Slot, String)], clock: &'c Clock) -> Reader<'c> {
        let objects = |names| json::Objects::new(Columns::new(names, own));
        match format {
            Format::EnvoyJson => Reader::Json(objects(fields::ENVOY), clock),
            Format::Json => Reader::Json(objects(fields::ANY), clock),
            Format::SuricataEve => Reader::Json(objects(fields::SURICATA), clock),
            Format::Zeek => Reader::Zeek { tabs: table::Zeek::default(), json: objects(fields::ZEEK), clock },
            Format::EnvoyText => Reader::EnvoyText(clock),
            Format::Csv => Reader::Csv(table::Csv::new(Columns::new(fields::ANY, own)), clock),
            Format::Fortinet => Reader::Fortinet(clock),
            Format::Paloalto => Reader::Paloalto(clock),
        }
    }

    fn read<'l>(&mut self, line: &'l [u8]) -> Line<'l> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        match self {
            Reader::Json(objects, clock) => objects.read(line, clock),
            Reader::Zeek { json, clock, .. } if line.starts_with(b"{") => json.read(line, clock),
            Reader::Zeek { tabs, clock, .. } => tabs.read(line, clock),
            Reader::EnvoyText(clock) => words::envoy(line, clock),
            Reader::Csv(csv, clock) => csv.read(line, clock),
            Reader::Fortinet(clock) => words::fortinet(line, clock),
            Reader::Paloalto(clock) => table::palo_alto(line, clock),
        }
    }
}

#[cfg(test)]
mod tests;
