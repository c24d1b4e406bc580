//! What a request costs Envoy, with and without us: the same load on Envoys that differ in one thing, the arm.
//!
//! In its turn an arm has an Envoy of its own with one worker, kept on one processor; the load comes from another. The
//! arms take turns, round by round, so that whatever else the machine does falls on all of them.

mod arm;
mod count;
mod load;
mod meter;
mod summary;

use crate::{
    client::{Ask, Reply},
    envoy::{self, Envoy, Start},
    eventually,
    fake::{Answer, Fake, KEY, Options as FakeOptions, Rule, peer},
};
use anyhow::{Context, Result, bail, ensure};
use arm::{ARMS, Arm, CALLS, LISTENER, NONE, Proof, SEEN_HEADER, SEEN_PATH, Setting};
use meter::Meter;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
};
use summary::{Sample, Summary};
use tempfile::TempDir;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often each arm takes its turn; at least 1.
    pub rounds: u32,
    /// How long a turn is, in seconds; at least 1.
    pub seconds: u32,
    /// The arms by name. `none` is measured in any case; no name at all stands for all arms.
    pub arms: Vec<String>,
    /// The module that does nothing.
    pub noop: PathBuf,
    /// Whether the instructions are counted by Valgrind as well.
    pub count: bool,
    /// Where the summary is written.
    pub summary: PathBuf,
}

/// The names of all arms.
pub fn arms() -> impl Iterator<Item = &'static str> {
    ARMS.iter().map(|arm| arm.name)
}

/// Measures, prints what came of it, and writes the summary.
///
/// # Errors
/// When something that it takes is missing, or an arm does not do its work: then there is nothing to compare.
pub async fn run(options: Options) -> Result<()> {
    let processors = Processors::ours()?;
    let arms: Vec<Arm> = ARMS.into_iter().filter(|arm| options.measures(arm.name)).collect();
    let fake = Fake::start(FakeOptions::default())?;
    know_ourselves(&fake).await?;
    let folder = TempDir::new()?;
    let calls = folder.path().join("calls.wasm");
    fs::write(&calls, wat::parse_str(CALLS)?)?;
    let (module, noop) = (envoy::module()?, options.noop);
    let setting = Setting { module, noop, calls, api: fake.address(), service: free_address()? };
    let meter = Meter::new(folder.path().join("perf"));
    if !meter.counters() {
        println!("no hardware counters here: CPU time only");
    }
    let mut samples: Vec<(&str, Vec<Sample>)> = arms.iter().map(|arm| (arm.name, Vec::new())).collect();
    for round in 0..options.rounds as usize {
        let mut line = format!("round {} of {}, CPU us:", round + 1, options.rounds);
        for turn in 0..arms.len() {
            // Nobody is always first.
            let index = (turn + round) % arms.len();
            let (Some(arm), Some((name, samples))) = (arms.get(index), samples.get_mut(index)) else { continue };
            let sample = measure(*arm, &setting, &meter, options.seconds, processors);
            let sample = sample.await.with_context(|| format!("arm {name}"))?;
            line.push_str(&format!("  {name} {:.1}", sample.cpu_us));
            samples.push(sample);
        }
        println!("{line}");
    }
    let mut instructions = Vec::new();
    for arm in arms.iter().filter(|_| options.count) {
        let counted = count::instructions(*arm, &setting, processors).await;
        let counted = counted.with_context(|| format!("arm {}, under Valgrind", arm.name))?;
        println!("{}: {counted:.0} instructions", arm.name);
        instructions.push((arm.name, counted));
    }
    let summary = Summary::new(meter.counters(), &samples, &instructions);
    println!("\n{}\n", summary.table());
    if let Some(goals) = summary.goals() {
        println!("{goals}\n");
    }
    if let Some(parent) = options.summary.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&options.summary, format!("{:#}\n", summary.json()))?;
    Ok(())
}

impl Options {
    fn measures(&self, arm: &str) -> bool {
        arm == NONE || self.arms.is_empty() || self.arms.iter().any(|name| name == arm)
    }
}

/// How long an Envoy is loaded before it is measured, in seconds: for compiled code, heaps and branch predictors.
const WARM_UP: u32 = 1;

/// One turn of an arm, on an Envoy that is started for it: processes of the same arm differ, by how their memory
/// happens to lie, and one process for all rounds would make a chance of its start the arm's figure.
async fn measure(arm: Arm, setting: &Setting, meter: &Meter, seconds: u32, processors: Processors) -> Result<Sample> {
    let (envoy, address) = start(arm, setting, envoy::find()?).await?;
    pin(envoy.id(), processors.proxy)?;
    let load = |seconds| meter.watch(envoy.id(), &load::words(address, seconds, processors.load));
    load::read(&load(WARM_UP)?.0)?;
    let (output, used) = load(seconds)?;
    Ok(Sample::new(load::read(&output)?, used))
}

/// An Envoy that does the work of an arm, and where.
async fn start(arm: Arm, setting: &Setting, envoy: PathBuf) -> Result<(Envoy, SocketAddr)> {
    let envoy = Envoy::start(Start {
        envoy,
        bootstrap: (arm.bootstrap)(setting).to_string(),
        json: true,
        concurrency: 1,
        drain_seconds: 1,
        environment: Vec::new(),
        folder: TempDir::new()?,
    })
    .await?;
    let address = *envoy.listeners().await?.get(LISTENER).context("the listener is missing")?;
    eventually(async || prove(arm, &envoy, address).await).await?;
    Ok((envoy, address))
}

/// Whether the arm does its work.
async fn prove(arm: Arm, envoy: &Envoy, address: SocketAddr) -> Result<()> {
    let reply = Ask::new(address, None).path(SEEN_PATH).send().await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    let tag = reply.header(SEEN_HEADER).unwrap_or_default();
    match arm.proof {
        Proof::None => {}
        Proof::Tag(expected) => ensure!(tag.contains(expected), "the tag is {tag:?}, without {expected:?}"),
        Proof::Stat(name) => ensure!(envoy.stat(name).await? > 0, "{name} is 0"),
    }
    Ok(())
}

/// Has the stand-in answer for the load generator's address, which Criminal IP would refuse to look up, as it does for
/// a clean peer.
async fn know_ourselves(fake: &Fake) -> Result<()> {
    let path = format!("/v1/asset/ip/report?ip={}&full=true", peer::CLEAN);
    let Reply { status, body, .. } = Ask::new(fake.address(), None).path(&path).header("x-api-key", KEY).send().await?;
    ensure!(status == 200, "the stand-in answers {status}");
    let report = String::from_utf8_lossy(&body).replace(&peer::CLEAN.to_string(), &Ipv4Addr::LOCALHOST.to_string());
    fake.tell(Rule::answer(Answer::Raw(200, report.into_bytes())).only(Ipv4Addr::LOCALHOST.into()));
    Ok(())
}

/// An address that nobody listens on now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Keeps all threads of a process on one processor.
fn pin(id: u32, processor: usize) -> Result<()> {
    let status = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", &processor.to_string(), &id.to_string()])
        .stdout(Stdio::null())
        .status()
        .context("cannot run taskset, which is a part of util-linux")?;
    ensure!(status.success(), "taskset failed");
    Ok(())
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Processors {
    proxy: usize,
    load: usize,
}

impl Processors {
    fn ours() -> Result<Processors> {
        let status = fs::read_to_string("/proc/self/status").context("this needs Linux")?;
        Processors::among(&status)
    }

    /// The first and the last processor that this process may use, as Linux tells it in `/proc/self/status`.
    fn among(status: &str) -> Result<Processors> {
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim);
        let list = list.context("no Cpus_allowed_list")?;
        let mut numbers = list.split([',', '-']).map(str::parse);
        let first = numbers.next().context("no processor")??;
        let last = numbers.next_back().transpose()?.unwrap_or(first);
        if first == last {
            bail!("this needs two processors, one for Envoy and one for the load; there is only {list}");
        }
        Ok(Processors { proxy: first, load: last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_and_load_run_on_the_first_and_the_last_processor() {
        for (list, proxy, load) in [("0-1", 0, 1), ("2,4-7", 2, 7), ("0-3,8", 0, 8), ("1,5", 1, 5)] {
            let status = format!("Name:\tbench\nCpus_allowed:\t3\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n");
            assert_eq!(Processors::among(&status).unwrap(), Processors { proxy, load }, "{list}");
        }
        let error = Processors::among("Cpus_allowed_list:\t3\n").unwrap_err();
        assert_eq!(error.to_string(), "this needs two processors, one for Envoy and one for the load; there is only 3");
    }

    #[test]
    fn none_is_always_measured_and_no_name_stands_for_all() {
        let options = |arms: &[&str]| Options {
            rounds: 1,
            seconds: 1,
            arms: arms.iter().map(|&name| name.to_owned()).collect(),
            noop: PathBuf::new(),
            count: false,
            summary: PathBuf::new(),
        };
        let measured = |arms| self::arms().filter(|arm| options(arms).measures(arm)).collect::<Vec<_>>();
        assert_eq!(measured(&["lua", "noop"]), ["none", "noop", "lua"]);
        assert_eq!(measured(&[]), arms().collect::<Vec<_>>());
    }
}
