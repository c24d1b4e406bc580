//! `portcullis check`: what Criminal IP knows about an address, and the verdict that follows.

mod batch;
mod input;
mod resume;
mod show;

use crate::ask::{self, Desk, Facts, Origin, Report};
use crate::exit::{Exit, Failure};
use crate::judge::Judge;
use crate::term;
use anyhow::{Context, anyhow};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use evaluator::{Connection, Direction, Profile, Scope, Timestamp, special_purpose};
use gate::LookupError;
use ipnet::IpNet;
use show::{Outcome, Subject};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What to judge, and by what.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["ip", "batch"]))]
#[group(skip)]
pub(crate) struct Args {
    /// The address to judge
    #[arg(long, value_parser = parse_ip)]
    ip: Option<IpAddr>,
    /// Judge every address in FILE, one a line, with a port after a colon or without; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["report", "dump_json", "pretty"])]
    batch: Option<PathBuf>,
    /// The destination port of the connection
    #[arg(long)]
    port: Option<u16>,
    /// What is said to listen there, such as OpenSSH; counts only with a --port other than 22
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Judge a saved answer of /v1/asset/ip/report instead of asking; - for standard input
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The rules to judge by
    #[arg(long, default_value = "pipeline", value_parser = profiles())]
    profile: Profile,
    /// Which way the traffic goes, seen from the proxy's own side [default: ingress for the profile ingress, else egress]
    #[arg(long, value_parser = directions())]
    direction: Option<Direction>,
    /// Judge the report as of this time instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Timestamp>,
    /// Print one JSON object, with --batch one a line
    #[arg(long)]
    json: bool,
    /// Print the report itself, as it came, and no verdict
    #[arg(long, conflicts_with = "json")]
    dump_json: bool,
    /// Print the JSON object over several lines; without --json the output is for people anyway
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    batch_args: batch::Args,
    #[command(flatten)]
    ask: ask::Args,
}

/// Judges and prints.
///
/// # Errors
/// Where there is no verdict. With `--json` its object is printed all the same.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(file) = &args.batch {
        return batch::run(args, file);
    }
    let ip = args.ip.context("--ip is required")?;
    let now = args.at.unwrap_or_else(now);
    let judge = Judge::of_profile(args.profile, args.direction);
    let subject = Subject { ip, port: args.port, judge: &judge };
    let facts = match &args.report {
        Some(path) => saved(path, now),
        None => asked(args, ip, now),
    };
    let facts = match facts {
        Ok(facts) => facts,
        Err((outcome, error)) => {
            if let Some(outcome) = outcome.filter(|_| args.json) {
                term::print(&show::json(&subject, &Outcome::None(outcome), args.pretty)?)?;
            }
            return Err(error);
        }
    };
    if args.dump_json {
        term::print_bytes(&facts.report.body)?;
        return Ok(Exit::Done);
    }
    let connection = connection(args, &judge, args.port, now);
    let judged = judge.judge(ip, &facts.report.examination, &connection);
    let outcome = Outcome::Judged(&judged, &facts);
    let text = if args.json { show::json(&subject, &outcome, args.pretty)? } else { show::text(&subject, &judged) };
    term::print(&text)?;
    if let (Some(subject), Some(path)) = (judged.subject.filter(|subject| *subject != ip.to_canonical()), &args.report)
    {
        crate::term::say!("portcullis: warning: {} is about {subject}, and was judged as if about {ip}", name(path));
    }
    Ok(Exit::Done)
}

/// The outcome where there is something to say about the address, and the error itself.
type Without = (Option<&'static str>, anyhow::Error);

fn saved(path: &Path, now: Timestamp) -> Result<Facts, Without> {
    let body = read(path).map_err(|error| (None, error))?;
    match evaluator::examine(200, &body, now) {
        Ok(examination) => Ok(Facts { report: Report { body, learned: now, examination }, from: Origin::File }),
        Err(error) => {
            let message =
                format!("{}: {error}; a report is a JSON object with \"status\": 200 and a \"score\"", name(path));
            Err((Some(error.code()), Failure::new(Exit::Lookup(LookupError::Answer(error)), message).into()))
        }
    }
}

fn asked(args: &Args, ip: IpAddr, now: Timestamp) -> Result<Facts, Without> {
    let ip = ip.to_canonical();
    if !Scope::new(Vec::new(), args.ask.treat_as_public.clone()).is_public(ip) {
        let message = format!("{ip} is not public ({}): Criminal IP was not asked", purpose(ip));
        return Err((Some("not_public"), Failure::new(Exit::NotPublic, message).into()));
    }
    // Cached reports are dated by the clock; --at only moves the moment of judgement.
    let clock = self::now();
    let desk = Desk::new(&args.ask, crate::defaults().cache.ttl, 1, clock).map_err(|error| (None, error.into()))?;
    let mut facts = desk.look_up(ip, clock).map_err(|error| {
        (Some(error.code()), Failure::new(error.exit(), format!("{ip} was not assessed: {error}")).into())
    })?;
    if now != clock
        && let Ok(examination) = evaluator::examine(200, &facts.report.body, now)
    {
        facts.report.examination = examination;
    }
    Ok(facts)
}

/// What the block of an address is for that is not public.
fn purpose(ip: IpAddr) -> &'static str {
    special_purpose(ip).map_or("special purpose", |special| special.name)
}

fn connection<'a>(args: &'a Args, judge: &Judge, port: Option<u16>, now: Timestamp) -> Connection<'a> {
    Connection { port, product: args.product.as_deref(), ..Connection::new(judge.direction, now) }
}

fn read(report: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let read = if report == Path::new("-") {
        std::io::stdin().read_to_end(&mut body)
    } else {
        std::fs::File::open(report).and_then(|mut file| file.read_to_end(&mut body))
    };
    match read {
        Ok(_) => Ok(body),
        Err(error) => Err(anyhow!("{}: {error}; --report takes a saved report, or - for standard input", name(report))),
    }
}

/// What messages call a file.
pub(crate) fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn parse_ip(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "not an IP address; right would be 203.0.113.9 or 2001:db8::9")
}

pub(crate) fn parse_time(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("not a time; right would be 2026-03-30 or 2026-03-30T09:00:00Z")
}

/// Reads `20s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    match evaluator::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        Ok(_) => Err("at least 1ms".into()),
        Err(error) => Err(format!("{error}; right would be 20s")),
    }
}

/// Reads a network, or an address, which is a network of one.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let network =
        evaluator::parse_network(text).ok_or("not a network; right would be 10.0.0.0/8, 10.1.2.3 or 2001:db8::/32")?;
    // An address may be written in the form that has IPv4 in IPv6.
    Ok(if network.prefix_len() == network.max_prefix_len() { network.addr().to_canonical().into() } else { network })
}

pub(crate) fn profiles() -> impl TypedValueParser<Value = Profile> {
    let names = Profile::ALL.iter().map(|profile| profile.name());
    PossibleValuesParser::new(names).map(|name| Profile::from_name(&name).unwrap_or(Profile::Pipeline))
}

pub(crate) fn directions() -> impl TypedValueParser<Value = Direction> {
    PossibleValuesParser::new(["ingress", "egress"])
        .map(|name| if name == "ingress" { Direction::Ingress } else { Direction::Egress })
}
