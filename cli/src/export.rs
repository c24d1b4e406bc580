//! What was found bad, in the forms that firewalls and others take.

mod aside;
mod envoy;
mod firewall;
mod lists;
mod stix;

use crate::exit::Failure;
use crate::term;
use evaluator::Direction;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A peer to block, and why.
#[derive(Clone, Debug)]
pub(crate) struct Blocked {
    pub(crate) ip: IpAddr,
    /// The rule or list that says so.
    pub(crate) rule: String,
    pub(crate) score: Option<u8>,
    pub(crate) findings: Vec<&'static str>,
    /// Its first and its last connection, in seconds since 1970.
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) connections: u64,
    /// Ports and sources of the connections, the first few of them.
    pub(crate) ports: Vec<u16>,
    pub(crate) sources: Vec<IpAddr>,
}

impl Blocked {
    /// Why, in one line without anything that a file format would take for its own.
    fn reason(&self) -> String {
        let mut parts = vec![self.rule.clone()];
        parts.extend(self.score.map(|score| format!("score {score}")));
        if !self.findings.is_empty() {
            parts.push(self.findings.join(" "));
        }
        let text = parts.join(", ");
        text.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\' | '\'')).take(160).collect()
    }
}

/// Everything to export.
pub(crate) struct Export {
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) direction: Direction,
    /// When the blocks begin, in seconds since 1970, and how long they last.
    pub(crate) now: i64,
    pub(crate) ttl: Duration,
}

impl Export {
    fn of_family(&self, v6: bool) -> Vec<&Blocked> {
        self.blocked.iter().filter(|blocked| blocked.ip.is_ipv6() == v6).collect()
    }

    /// When the blocks end.
    fn until(&self) -> i64 {
        self.now.saturating_add(i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX))
    }
}

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Nftables,
    Iptables,
    Ipset,
    EnvoyRbac,
    PortcullisList,
    AwsWafv2Ipset,
    Stix,
    Csv,
}

/// A form, and the file that gets it; standard output without one.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    form: Form,
    file: Option<PathBuf>,
}

impl Target {
    /// Reads `nftables=block.nft` or `nftables`.
    pub(crate) fn parse(text: &str) -> Result<Target, String> {
        let (name, file) = match text.split_once('=') {
            Some((_, "" | "-")) | None => (text.split('=').next().unwrap_or(text), None),
            Some((name, file)) => (name, Some(PathBuf::from(file))),
        };
        let form = <Form as clap::ValueEnum>::from_str(name, false).map_err(|_| {
            "write FORM or FORM=FILE, where FORM is one of nftables, iptables, ipset, envoy-rbac, portcullis-list, \
             aws-wafv2-ipset, stix, csv"
                .to_owned()
        })?;
        Ok(Target { form, file })
    }

    /// Whether it goes to standard output.
    pub(crate) fn is_standard_output(&self) -> bool {
        self.file.is_none()
    }

    /// Writes the export: whole, or not at all.
    ///
    /// # Errors
    /// [`crate::exit::Exit::Output`], with the file as it was before.
    pub(crate) fn write(&self, export: &Export) -> Result<(), Failure> {
        let parts = match self.form {
            Form::Nftables => vec![firewall::nftables(export)],
            Form::Iptables => vec![firewall::iptables(export)],
            Form::Ipset => vec![firewall::ipset(export)],
            Form::EnvoyRbac => vec![envoy::rbac(export)],
            Form::PortcullisList => vec![lists::portcullis(export)],
            Form::AwsWafv2Ipset => lists::aws(export),
            Form::Stix => vec![stix::bundle(export)],
            Form::Csv => vec![lists::csv(export)],
        };
        let Some(file) = &self.file else { return term::print_bytes(parts.concat().as_bytes()) };
        let files: Vec<_> = parts.into_iter().enumerate().map(|(index, part)| (numbered(file, index), part)).collect();
        aside::write(&files)
    }
}

/// `block.json`, then `block.2.json` and so on.
fn numbered(file: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return file.to_owned();
    }
    let number = index + 1;
    match file.extension() {
        Some(extension) => file.with_extension(format!("{number}.{}", extension.to_string_lossy())),
        None => file.with_added_extension(number.to_string()),
    }
}

/// Seconds since 1970 as `2026-03-30T09:00:00Z`.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
