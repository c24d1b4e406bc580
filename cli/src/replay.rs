//! `portcullis replay`: an access log through a policy, without anything being refused.

mod show;
mod side;

use crate::ask::{self, Desk};
use crate::exit::Exit;
use crate::judge::Site;
use crate::logs::{self, Record};
use crate::term::{self, say};
use evaluator::{Action, Assessment, Timestamp};
use side::{Fate, Side, Times};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

/// What to replay, and through what.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    logs: logs::Args,
    /// The configuration to try out: JSON, or an Envoy or Istio file that has one in it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Another one to compare it with
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Make at most so many calls, for the peers in the order of the log; what is in the cache costs none
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    credits: u32,
    /// Make no calls: judge by what is in the cache
    #[arg(long)]
    offline: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ask: ask::Args,
}

/// Peers that are remembered; the requests of others are counted as ones without facts.
const MOST_PEERS: usize = 500_000;

/// What is known about a peer.
struct Peer {
    /// `None` where there are no facts.
    facts: Option<Assessment>,
    /// Whether facts were asked for.
    asked: bool,
    times: [Times; 2],
}

/// Requests that two configurations judge differently.
#[derive(Default)]
struct Changes {
    counts: BTreeMap<(Fate, Fate), u64>,
    /// Some peers of each.
    peers: BTreeMap<(Fate, Fate), Vec<IpAddr>>,
}

/// Replays and prints.
///
/// # Errors
/// A configuration with mistakes, a log that cannot be read, no key.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let files: Vec<&PathBuf> = std::iter::once(&args.config).chain(&args.against).collect();
    let sites: Vec<Site> =
        files.iter().map(|file| Site::read(file, &args.ask.treat_as_public)).collect::<Result<_, _>>()?;
    let mut sides: Vec<Side<'_>> =
        sites.iter().zip(&files).map(|(site, file)| Side::new(crate::check::name(file), site)).collect();
    let clock = crate::check::now();
    let ttl = sites[0].config.cache.ttl;
    let desk = if args.offline {
        Desk::offline(&args.ask, ttl, 0, clock)
    } else {
        Desk::new(&args.ask, ttl, args.credits, clock)?
    };
    let mut replay = Replay { desk, clock, peers: HashMap::new(), changes: Changes::default(), exit: Exit::Done };
    let scan = logs::read(&args.logs, |record| {
        replay.request(record, &mut sides);
        Ok(())
    })?;
    scan.report();
    sides.iter().for_each(warn);
    let Replay { desk, changes, exit, .. } = replay;
    let text = if args.json { show::json(&sides, &changes)? } else { show::text(&sides, &changes) };
    term::print(&text)?;
    say!("{} lines, {} requests; {} calls made", scan.lines, scan.records, desk.spent());
    Ok(exit)
}

/// Says what of the routes could not be taken into account.
fn warn(side: &Side<'_>) {
    let (name, site) = (&side.name, side.site);
    for (_, wrong) in &site.routes {
        if let Err(mistakes) = wrong {
            say!(
                "portcullis: warning: the metadata of a route has a mistake and does not count:\n{}",
                mistakes.trim_end()
            );
        }
    }
    if site.config.route_metadata.is_some() && site.routes.is_empty() {
        say!(
            "portcullis: warning: {name}: route_metadata is set, and there are no routes in the file: what their metadata \
             changes is left out; --config takes the proxy's own file"
        );
    } else if !site.routes.is_empty() && side.unrouted > 0 {
        say!(
            "portcullis: warning: {name}: {} requests name no route, so that no metadata changes anything for them; \
             --field route=NAME says where the log has it",
            side.unrouted
        );
    }
}

struct Replay {
    desk: Desk,
    clock: Timestamp,
    peers: HashMap<IpAddr, Peer>,
    changes: Changes,
    exit: Exit,
}

impl Replay {
    fn request(&mut self, record: &Record<'_>, sides: &mut [Side<'_>]) {
        let mut fates = [Fate::NoAddress; 2];
        let mut address = None;
        for (index, side) in sides.iter_mut().enumerate() {
            let ip = side.peer(record);
            fates[index] = match ip {
                Some(ip) => self.judge(ip, index, record, side),
                None => Fate::NoAddress,
            };
            side.count(fates[index], record);
            address = address.or(ip);
        }
        if sides.len() == 2 && fates[0] != fates[1] {
            let (key, change) = ((fates[0], fates[1]), &mut self.changes);
            *change.counts.entry(key).or_default() += 1;
            let peers = change.peers.entry(key).or_default();
            if let Some(ip) = address.filter(|ip| peers.len() < 3 && !peers.contains(ip)) {
                peers.push(ip);
            }
        }
    }

    fn judge(&mut self, ip: IpAddr, index: usize, record: &Record<'_>, side: &mut Side<'_>) -> Fate {
        let connection = side.connection(ip, record);
        if let Some(fate) = side.before(ip, &connection) {
            return fate;
        }
        if self.peers.len() >= MOST_PEERS && !self.peers.contains_key(&ip) {
            side.credits.forgotten += 1;
            return Fate::NoFacts;
        }
        let peer = self.peers.entry(ip).or_insert(Peer { facts: None, asked: false, times: Default::default() });
        let lifetime = side.lifetime(peer.facts.as_ref(), &connection);
        if !side.spend(ip, record.time, lifetime, &mut peer.times[index], &connection) {
            return Fate::NotSelected;
        }
        if !peer.asked {
            peer.asked = true;
            match self.desk.look_up(ip, self.clock) {
                Ok(facts) => peer.facts = Some(facts.report.examination.reading.assessment),
                Err(error) if self.exit == Exit::Done => self.exit = error.exit(),
                Err(_) => {}
            }
        }
        match &peer.facts {
            Some(assessment) => side.verdict(assessment, &connection),
            None => Fate::NoFacts,
        }
    }
}

/// What a verdict is called in tables.
const fn fate_of(action: Action) -> Fate {
    match action {
        Action::Allow => Fate::Allow,
        Action::Tag => Fate::Tag,
        Action::Deny => Fate::Deny,
    }
}
