//! Many addresses: one call at a time unless more are allowed, within a credit limit.

use super::input::{self, Unread};
use super::resume::Resume;
use super::show::{self, Outcome, Subject};
use super::{connection, purpose};
use crate::ask::{Desk, Facts, NoFacts, Origin};
use crate::exit::Exit;
use crate::judge::Judge;
use crate::term::{self, DIM, ODD, styled};
use evaluator::{Peer, Scope, Timestamp};
use indicatif::ProgressBar;
use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

/// How many addresses are judged.
#[derive(clap::Args)]
#[command(next_help_heading = "Many addresses")]
#[group(skip)]
pub(crate) struct Args {
    /// Take the addresses of --batch from this column of a CSV file: its heading, or its number from 1
    #[arg(long, value_name = "COLUMN", conflicts_with = "ip")]
    column: Option<String>,
    /// Make at most so many calls; what is in the cache costs none
    #[arg(long, value_name = "NUMBER", default_value_t = 100, conflicts_with = "ip")]
    credits: u32,
    /// Make so many calls at a time, as many as the plan of the API key allows
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "ip")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// Keep the results in FILE as well, and leave out what FILE has a verdict on: a batch that was broken off goes on
    #[arg(long, value_name = "FILE", conflicts_with = "ip")]
    resume: Option<PathBuf>,
}

/// What became of the addresses.
#[derive(Default)]
struct Tally {
    suspicious: u64,
    ok: u64,
    before: u64,
    not_public: u64,
    repeated: u64,
    unread: u64,
    not_assessed: u64,
    cached: u64,
    /// How the first failure wants the command to end.
    failure: Option<Exit>,
}

/// One address of the batch, and what is known about it.
enum Item {
    Unread(Unread),
    Repeated,
    Before,
    NotPublic(Peer),
    Facts(Peer, Result<Box<Facts>, NoFacts>),
    Broken(anyhow::Error),
}

pub(super) fn run(args: &super::Args, file: &Path) -> anyhow::Result<Exit> {
    let own = &args.batch_args;
    let clock = super::now();
    let now = args.at.unwrap_or(clock);
    let judge = Judge::of_profile(args.profile, args.direction);
    let desk = Desk::new(&args.ask, crate::defaults().cache.ttl, own.credits, clock)?;
    let mut resume = own.resume.as_deref().map(|path| Resume::open(path, args.profile)).transpose()?;
    let mut tally = Tally::default();
    if let Some(resume) = &resume {
        (tally.suspicious, tally.ok) = (resume.denied_or_tagged, resume.allowed);
    }
    let mut items = input::open(file, own.column.as_deref())?;
    let scope = Scope::new(Vec::new(), args.ask.treat_as_public.clone());
    let mut seen = HashSet::new();
    // In the order of the input; only what is not settled here waits for an answer.
    let before = resume.as_mut().map(Resume::take_done).unwrap_or_default();
    let mut next = move || {
        Some(match items.next()? {
            Err(error) => Item::Broken(error),
            Ok(Err(unread)) => Item::Unread(unread),
            Ok(Ok(peer)) => {
                let peer = Peer { port: peer.port.or(args.port), ..peer };
                if !seen.insert((peer.ip, peer.port)) {
                    Item::Repeated
                } else if before.contains(&(peer.ip, peer.port)) {
                    Item::Before
                } else if !scope.is_public(peer.ip) {
                    Item::NotPublic(peer)
                } else {
                    Item::Facts(peer, Err(NoFacts::Offline))
                }
            }
        })
    };
    let queue = Mutex::new(&mut next);
    let stop = AtomicBool::new(false);
    let total = if std::io::stderr().is_terminal() { total(file, own.column.as_deref())? } else { None };
    let bar = term::progress(total, "addresses");
    let outcome = std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(64);
        for _ in 0..own.concurrency {
            let send = send.clone();
            let (queue, stop, desk) = (&queue, &stop, &desk);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let item = { (queue.lock().unwrap_or_else(PoisonError::into_inner))() };
                    let Some(item) = item else { return };
                    let result = match item {
                        Item::Facts(peer, _) => Item::Facts(peer, desk.look_up(peer.ip, clock).map(Box::new)),
                        other => other,
                    };
                    if send.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let outcome = receive.into_iter().try_for_each(|result| {
            bar.inc(1);
            settle(args, &judge, now, result, &mut tally, resume.as_mut(), &bar)
        });
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    bar.finish_and_clear();
    outcome?;
    summarise(&tally, &desk);
    Ok(match tally.failure {
        Some(exit) => exit,
        None if tally.unread > 0 => Exit::Usage,
        None => Exit::Done,
    })
}

/// How many lines there are to go through, where the file can be read twice.
fn total(file: &Path, column: Option<&str>) -> anyhow::Result<Option<u64>> {
    if !std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    Ok(Some(input::open(file, column)?.count() as u64))
}

/// Prints what became of one address, and counts it.
fn settle(
    args: &super::Args,
    judge: &Judge,
    now: Timestamp,
    result: Item,
    tally: &mut Tally,
    resume: Option<&mut Resume>,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let print = |text: &str| bar.suspend(|| term::print(text));
    let subject = |peer: Peer| Subject { ip: peer.ip, port: peer.port, judge };
    match result {
        Item::Broken(error) => return Err(error),
        Item::Repeated => tally.repeated += 1,
        Item::Before => tally.before += 1,
        Item::Unread(unread) => {
            tally.unread += 1;
            let line = unread.line;
            bar.suspend(|| crate::term::say!("portcullis: line {line}: no address: {:?}", unread.text));
        }
        Item::NotPublic(peer) => {
            tally.not_public += 1;
            let subject = subject(peer);
            let text = if args.json {
                show::json(&subject, &Outcome::None("not_public"), false)?
            } else {
                let peer_text = show::peer(peer.ip, peer.port);
                format!("{} {peer_text}  not public: {}\n", styled(DIM, "[SKIPPED]"), purpose(peer.ip))
            };
            print(&text)?;
        }
        Item::Facts(peer, Err(error)) => {
            tally.not_assessed += 1;
            tally.failure.get_or_insert(error.exit());
            let subject = subject(peer);
            let text = if args.json {
                show::json(&subject, &Outcome::None(error.code()), false)?
            } else {
                let mark = styled(ODD, "[NOT ASSESSED]");
                format!("{mark} {}  {}: {error}\n", show::peer(peer.ip, peer.port), error.code())
            };
            print(&text)?;
        }
        Item::Facts(peer, Ok(facts)) => {
            let subject = subject(peer);
            let mut facts = *facts;
            if args.at.is_some()
                && let Ok(examination) = evaluator::examine(200, &facts.report.body, now)
            {
                facts.report.examination = examination;
            }
            let connection = connection(args, judge, peer.port, now);
            let judged = judge.judge(peer.ip, &facts.report.examination, &connection);
            *(if judged.mark() == "OK" { &mut tally.ok } else { &mut tally.suspicious }) += 1;
            tally.cached += u64::from(facts.from == Origin::Cache);
            let json = show::json(&subject, &Outcome::Judged(&judged, &facts), false)?;
            if let Some(resume) = resume {
                resume.add(&json)?;
            }
            print(&if args.json { json } else { show::line(&subject, &judged) })?;
        }
    }
    Ok(())
}

/// The summary, on standard error, so that standard output has results only.
fn summarise(tally: &Tally, desk: &Desk) {
    let mut parts = vec![format!("{} suspicious", tally.suspicious), format!("{} ok", tally.ok)];
    for (count, what) in [
        (tally.not_assessed, "NOT ASSESSED"),
        (tally.not_public, "not public"),
        (tally.unread, "no addresses"),
        (tally.repeated, "repeated"),
        (tally.before, "done before"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    crate::term::say!("{}; {} calls made, {} from the cache", parts.join(", "), desk.spent(), tally.cached);
}
