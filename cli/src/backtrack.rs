//! `portcullis backtrack`: from an alert back through a log, to whoever was talked to just before it.

mod seen;
mod show;

use crate::ask::{self, Desk, NoFacts, Origin};
use crate::exit::{Exit, Failure};
use crate::export::{Blocked, Export, Target};
use crate::judge::{Before, Judge, Site};
use crate::logs;
use crate::term;
use evaluator::{Action, Connection, Direction, Examination, Profile, Timestamp};
use ipnet::IpNet;
use seen::{Contact, Seen};
use show::Row;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What to look back at.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    logs: logs::Args,
    /// The time of the alert, such as 2026-03-30T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = crate::check::parse_time)]
    at: Timestamp,
    /// How far back the connections count
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = crate::check::parse_duration)]
    window: Duration,
    /// Only connections from this address or network; may be repeated
    #[arg(long, value_name = "NETWORK", value_parser = crate::check::parse_network)]
    source: Vec<IpNet>,
    /// Judge by this configuration: its rules, lists, scope and selection
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Judge by this profile
    #[arg(long, default_value = "pipeline", value_parser = crate::check::profiles(), conflicts_with = "config")]
    profile: Profile,
    /// Look at clients (ingress) or at destinations (egress) [default: as the profile or the configuration says]
    #[arg(long, value_parser = crate::check::directions(), conflicts_with = "config")]
    direction: Option<Direction>,
    /// Make at most so many calls, for the peers nearest to the alert first; what is in the cache costs none
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    credits: u32,
    /// Make no calls: judge by what is in the cache
    #[arg(long)]
    offline: bool,
    /// Write what is denied for FORM to FILE: nftables, iptables, ipset, envoy-rbac, portcullis-list, aws-wafv2-ipset, stix or
    /// csv; without FILE to standard output, and the timeline to standard error; may be repeated
    #[arg(long, value_name = "FORM[=FILE]", value_parser = Target::parse)]
    export: Vec<Target>,
    /// Print the timeline as JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ask: ask::Args,
}

/// What is known about a peer.
enum Known {
    /// What the report says, without the report: there may be many, and large ones.
    Facts(Box<Examination>, Origin),
    None(NoFacts),
}

/// Looks back.
///
/// # Errors
/// A log that cannot be read, no key, an export that cannot be written.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.export.iter().filter(|target| target.is_standard_output()).count() > 1 {
        let message = "--export: only one form can go to standard output; give the others a FILE";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let site = match &args.config {
        Some(file) => Site::read(file, &args.ask.treat_as_public)?,
        None => Site::of_profile(args.profile, args.direction, &args.ask.treat_as_public),
    };
    let clock = crate::check::now();
    let ttl = site.config.cache.ttl;
    let desk = if args.offline {
        Desk::offline(&args.ask, ttl, 0, clock)
    } else {
        Desk::new(&args.ask, ttl, args.credits, clock)?
    };
    let mut seen = Seen::new(site.judge.direction);
    let end = i64::from(args.at.unix());
    let start = end.saturating_sub(i64::try_from(args.window.as_secs()).unwrap_or(i64::MAX));
    let scan = logs::read(&args.logs, |record| {
        if (start..=end).contains(&record.time) {
            let from = |source: IpAddr| args.source.iter().any(|network| network.contains(&source));
            if args.source.is_empty() || record.source.is_some_and(from) {
                seen.add(record);
            }
        }
        Ok(())
    })?;
    scan.report();
    seen.report();
    let mut summary = show::Summary { lines: scan.lines, connections: seen.connections, ..show::Summary::default() };
    let contacts = seen.contacts();
    let (rows, exit) = judge(&site, &desk, &contacts, clock, &mut summary);
    let export = export(&site, &rows, clock);
    summary.blocked = export.blocked.len();
    // Before anything is printed: whoever reads only the start of the timeline wants the files all the same.
    let (printed, files): (Vec<&Target>, Vec<&Target>) = args.export.iter().partition(|to| to.is_standard_output());
    for target in files.into_iter().chain(printed) {
        target.write(&export)?;
    }
    print(args, &site, &rows)?;
    summary.print(&desk);
    Ok(exit)
}

fn print(args: &Args, site: &Site, rows: &[Row<'_>]) -> anyhow::Result<()> {
    for row in rows {
        let text = if args.json { show::json(site, row)? } else { show::line(row) };
        if args.export.iter().any(Target::is_standard_output) {
            crate::term::say!("{}", text.trim_end());
        } else {
            term::print(&text)?;
        }
    }
    Ok(())
}

/// Looks up the peers of these contacts, those nearest to the alert first, and judges each contact, in the order of time.
fn judge<'c>(
    site: &Site,
    desk: &Desk,
    contacts: &'c [Contact],
    clock: Timestamp,
    summary: &mut show::Summary,
) -> (Vec<Row<'c>>, Exit) {
    let mut nearest: Vec<&Contact> = contacts.iter().collect();
    nearest.sort_by_key(|contact| std::cmp::Reverse(contact.last));
    let mut known: HashMap<IpAddr, Known> = HashMap::new();
    let mut exit = Exit::Done;
    let bar = term::progress(Some(nearest.len() as u64), "contacts");
    for contact in nearest {
        bar.inc(1);
        if known.contains_key(&contact.peer) {
            continue;
        }
        let connection = connection(&site.judge, contact);
        let wanted = matches!(site.before(contact.peer, &connection), Before::Wanted);
        if wanted && site.selects_after_event(contact.peer, &connection) {
            let facts = desk.look_up(contact.peer, clock);
            if let (Err(error), Exit::Done) = (&facts, exit) {
                exit = error.exit();
            }
            let facts = facts.map(|facts| Known::Facts(Box::new(facts.report.examination), facts.from));
            known.insert(contact.peer, facts.unwrap_or_else(Known::None));
        }
    }
    bar.finish_and_clear();
    let mut rows = Vec::new();
    for contact in contacts {
        let connection = connection(&site.judge, contact);
        let fate = match site.before(contact.peer, &connection) {
            Before::NotPublic => {
                summary.not_public += contact.count;
                continue;
            }
            Before::Listed(action, entry) => show::Fate::Listed(action, entry.clone()),
            Before::Wanted => match known.get(&contact.peer) {
                Some(Known::Facts(examination, from)) => {
                    show::Fate::of(&site.judge.judge(contact.peer, examination, &connection), *from)
                }
                Some(Known::None(error)) => show::Fate::NotAssessed(error.code(), error.to_string()),
                None => show::Fate::NotSelected,
            },
        };
        rows.push(Row { contact, fate });
    }
    (rows, exit)
}

fn connection(judge: &Judge, contact: &Contact) -> Connection<'static> {
    let time = Timestamp::from_unix(contact.last);
    let client = if judge.direction == Direction::Ingress { Some(contact.peer) } else { contact.source };
    Connection { port: contact.port, client, ..Connection::new(judge.direction, time) }
}

/// What is denied, an entry an address, in the order in which it was first seen.
fn export(site: &Site, rows: &[Row<'_>], clock: Timestamp) -> Export {
    const FEW: usize = 10;
    let mut blocked: Vec<Blocked> = Vec::new();
    let mut places: HashMap<IpAddr, usize> = HashMap::new();
    for Row { contact, fate } in rows.iter().filter(|row| row.fate.action() == Some(Action::Deny)) {
        let place = *places.entry(contact.peer).or_insert_with(|| {
            blocked.push(fate.blocked(contact));
            blocked.len() - 1
        });
        let entry = &mut blocked[place];
        entry.first = entry.first.min(contact.first);
        entry.last = entry.last.max(contact.last);
        entry.connections += contact.count;
        if let Some(port) = contact.port.filter(|port| !entry.ports.contains(port) && entry.ports.len() < FEW) {
            entry.ports.push(port);
        }
        let source = contact.source.filter(|source| !entry.sources.contains(source) && entry.sources.len() < FEW);
        entry.sources.extend(source);
    }
    Export { blocked, direction: site.judge.direction, now: clock.unix().into(), ttl: site.config.block.ttl }
}
