//! Shows the filter at work: a real Envoy, real requests from several peers, and a table of what became of them.
//! `cargo xtask demo` builds what it needs and runs it.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "this program speaks to people")]

mod event;
mod rows;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures_util::future::try_join_all;
use host_test::{
    client::Ask,
    envoy::{
        Envoy, Start,
        demo::{self, Api},
    },
    eventually,
    fake::{Fake, KEY, Options, Rule},
    lab,
    upstream::Upstream,
};
use rows::{Answer, Outcome, Row};
use std::{env, net::SocketAddr, path::PathBuf, process::ExitCode};
use tempfile::TempDir;

/// Starts Envoy with the filter, sends requests for several peers, and prints what became of them. Asks the real
/// Criminal IP when CRIMINALIP_API_KEY is set, else a stand-in.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The Envoy to run.
    #[arg(long)]
    envoy: PathBuf,
    /// The built module.
    #[arg(long)]
    wasm: PathBuf,
    /// Go on serving after the table, until Ctrl-C.
    #[arg(long)]
    serve: bool,
}

const KEY_VARIABLE: &str = "CRIMINALIP_API_KEY";

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // Envoy and the servers stop when they are dropped, whatever ends first.
    let (stage, as_expected) = tokio::select! {
        shown = show(&arguments) => shown?,
        stopped = tokio::signal::ctrl_c() => {
            stopped?;
            eprintln!("Stopped.");
            return Ok(ExitCode::from(130));
        }
    };
    if arguments.serve {
        println!("Serving until Ctrl-C; Envoy's admin interface: http://{}/", stage.envoy.admin_address());
        tokio::signal::ctrl_c().await?;
    }
    stage.envoy.stop().await?;
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays all rows and prints the table. Returns whether every row was as expected.
async fn show(arguments: &Arguments) -> Result<(Stage, bool)> {
    let key = env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty());
    let stage = Stage::set(arguments, key.as_deref()).await?;
    let rows = if key.is_some() { rows::real() } else { rows::stand_in() };
    let mut outcomes = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let outcome = stage.play(index, row).await.with_context(|| format!("{} ({})", row.peer, row.what))?;
        outcomes.push(outcome);
    }
    println!("{}", rows::table(&rows, &outcomes));
    let event = stage.look_back().await.context("the event")?;
    println!("{}", event.report());
    println!("By hand: curl -i -H 'X-Forwarded-For: {}' http://{}/", rows[1].peer, stage.listener);
    println!(
        "This listener takes the last address of X-Forwarded-For for the client, as behind one trusted proxy{}.",
        if arguments.serve { "" } else { "; `cargo xtask demo --serve` keeps it running" }
    );
    println!(
        "Status, peers and overrides: curl -H 'Authorization: Bearer {}' http://{}/v1/status",
        demo::TOKEN,
        stage.control
    );
    println!("The same as a page, where this token signs in: http://{}/", stage.control);
    let mut mistakes: Vec<_> = rows.iter().zip(&outcomes).filter_map(|(row, outcome)| row.mistake(outcome)).collect();
    mistakes.extend(event.mistake(key.is_none()));
    for mistake in &mistakes {
        eprintln!("Not as expected: {mistake}");
    }
    Ok((stage, mistakes.is_empty()))
}

/// What the demo plays on.
struct Stage {
    envoy: Envoy,
    listener: SocketAddr,
    egress: SocketAddr,
    control: SocketAddr,
    /// Kept running.
    _upstream: Upstream,
    /// The stand-in, where it is not the real Criminal IP that is asked.
    fake: Option<Fake>,
}

impl Stage {
    async fn set(arguments: &Arguments, key: Option<&str>) -> Result<Stage> {
        let upstream = Upstream::start()?;
        let fake = if key.is_none() { Some(Fake::start(Options::default())?) } else { None };
        if let Some(fake) = &fake {
            fake.tell(Rule::hold().only(rows::SLOW));
        }
        let api = fake.as_ref().map_or(Api::Real, |fake| Api::StandIn(fake.address()));
        let start = Start {
            envoy: arguments.envoy.clone(),
            bootstrap: demo::bootstrap(&arguments.wasm.canonicalize()?, upstream.address(), api)?,
            json: false,
            concurrency: 1,
            drain_seconds: 1,
            environment: vec![(KEY_VARIABLE.into(), key.unwrap_or(KEY).into())],
            folder: TempDir::new()?,
        };
        let envoy = Envoy::start(start).await?;
        let listeners = envoy.listeners().await?;
        let address =
            |name| listeners.get(name).copied().with_context(|| format!("no listener {name} in {listeners:?}"));
        let (listener, egress, control) = (address("demo")?, address("egress")?, address("control")?);
        let who = if fake.is_some() { "a stand-in for Criminal IP" } else { "Criminal IP" };
        println!("Envoy listens on {listener} and asks {who}.\n");
        Ok(Stage { envoy, listener, egress, control, _upstream: upstream, fake })
    }

    /// Sends the first requests of a row, waits until what they asked for is known, and sends one more.
    async fn play(&self, index: usize, row: &Row) -> Result<Outcome> {
        let before = self.lookups().await?;
        let path = format!("/{index}/first");
        let firsts = try_join_all((0..row.at_once).map(|number| self.ask(row, format!("{path}/{number}")))).await?;
        // Whichever arrived first waited for the lookup; some may have come when it had ended.
        let waited = firsts.iter().find(|first| first.source != "cache").or(firsts.first());
        let first = waited.context("a row has one request at least")?.clone();
        if let Some(other) = firsts.iter().find(|other| other.code != first.code || other.verdict != first.verdict) {
            bail!("answered differently at once: {first:?} and {other:?}");
        }
        if let Some(fake) = &self.fake {
            // About a peer that nothing is known about in time it answers now.
            fake.release();
        }
        self.envoy.wait_for_stat("cluster.criminalip.upstream_rq_active", 0).await?;
        let mut attempts = 0;
        let later = eventually(async || {
            attempts += 1;
            let answer = self.ask(row, format!("/{index}/later/{attempts}")).await?;
            ensure!(answer.source != "first_look", "the lookup about {} has not ended", row.peer);
            Ok(answer)
        })
        .await?;
        let lookups = self.lookups().await?.saturating_sub(before);
        Ok(Outcome { first, later, why: self.why(row).await?, lookups })
    }

    /// One request, and what Envoy says about it in its access log.
    async fn ask(&self, row: &Row, path: String) -> Result<Answer> {
        let ask = Ask::new(self.listener, None).path(&path).header("x-forwarded-for", row.peer.to_string());
        let reply = ask.send().await?;
        let line = self.envoy.wait_for_access(&format!("\"path\":\"{path}\"")).await?;
        let entry: serde_json::Value = serde_json::from_str(&line)?;
        let tag = entry["tag"].as_str().unwrap_or("-");
        Ok(Answer::new(reply.status.as_u16(), tag))
    }

    /// The rule of the latest decision about the row's peer, or the reason why there were no facts.
    async fn why(&self, row: &Row) -> Result<String> {
        if row.is_private() {
            return Ok("not public".into());
        }
        let about = format!("\"peer\":\"{}\"", row.peer);
        self.envoy.wait_for_log(&about).await?;
        let lines = self.envoy.log();
        let decision = lines.iter().rev().filter(|line| line.contains(&about)).find_map(|line| lab::decision(line));
        let decision = decision.context("the decision is not in the log")?;
        let why = decision["rule"].as_str().or_else(|| decision["reason"].as_str());
        Ok(why.unwrap_or("no rule matches").into())
    }

    /// The lookups that Envoy has sent.
    async fn lookups(&self) -> Result<u64> {
        self.envoy.stat("cluster.criminalip.upstream_rq_total").await
    }
}
