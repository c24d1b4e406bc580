//! `portcullis check`: one address, one saved report, one verdict.

mod show;

use anyhow::{Context, anyhow};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use evaluator::{Connection, Direction, Judgement, Profile, Timestamp};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What to judge, and by what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The address to judge
    #[arg(long, value_parser = parse_ip)]
    ip: IpAddr,
    /// The destination port of the connection
    #[arg(long)]
    port: Option<u16>,
    /// What is said to listen there, such as OpenSSH; counts only with a --port other than 22
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// The saved answer of /v1/asset/ip/report; - for standard input
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// The rules to judge by
    #[arg(long, default_value = "pipeline", value_parser = profiles())]
    profile: Profile,
    /// Which way the traffic goes, seen from the proxy's own side [default: ingress for the profile ingress, else egress]
    #[arg(long, value_parser = directions())]
    direction: Option<Direction>,
    /// Judge the report as of this time instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<Timestamp>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Judges and prints.
///
/// # Errors
/// Where there is no verdict: the report cannot be read, or is none. With `--json` the latter prints its object as well.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let body = read(&args.report)?;
    let now = args.at.unwrap_or_else(now);
    let policy = args.profile.policy();
    let direction = args.direction.unwrap_or(match args.profile {
        Profile::Ingress => Direction::Ingress,
        Profile::Egress | Profile::Pipeline => Direction::Egress,
    });
    let connection =
        Connection { port: args.port, product: args.product.as_deref(), ..Connection::new(direction, now) };
    let examined = evaluator::examine(200, &body, now);
    let profile = Some(args.profile.name());
    let judgement = Judgement::new(args.ip, examined.as_ref().map_err(|error| *error), &policy, profile, &connection);
    let text = if args.json {
        show::json(&judgement)?
    } else {
        examined.as_ref().map_or_else(|_| String::new(), |examined| show::text(&judgement, examined))
    };
    std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
    let examined = examined.map_err(|error| {
        anyhow!("{}: {error}; a report is a JSON object with \"status\": 200 and a \"score\"", name(&args.report))
    })?;
    match examined.reading.subject {
        Some(subject) if subject != args.ip.to_canonical() => {
            eprintln!(
                "portcullis: warning: {} is about {subject}, and was judged as if about {}",
                name(&args.report),
                args.ip
            );
        }
        _ => {}
    }
    Ok(())
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

/// What messages call the report.
fn name(report: &Path) -> String {
    if report == Path::new("-") { "standard input".into() } else { report.display().to_string() }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn parse_ip(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "not an IP address; right would be 203.0.113.9 or 2001:db8::9")
}

fn parse_time(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("not a time; right would be 2026-03-30 or 2026-03-30T09:00:00Z")
}

fn profiles() -> impl TypedValueParser<Value = Profile> {
    let names = Profile::ALL.iter().map(|profile| profile.name());
    PossibleValuesParser::new(names).map(|name| Profile::from_name(&name).unwrap_or(Profile::Pipeline))
}

fn directions() -> impl TypedValueParser<Value = Direction> {
    PossibleValuesParser::new(["ingress", "egress"])
        .map(|name| if name == "ingress" { Direction::Ingress } else { Direction::Egress })
}
