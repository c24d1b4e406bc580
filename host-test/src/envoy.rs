//! A real Envoy: found, started on free ports, watched, and stopped when dropped.

pub mod config;
pub mod demo;

use crate::{changes::Watched, client::Ask, eventually};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};
use tempfile::TempDir;

/// Where `cargo xtask` puts the Envoy that it installs, from the workspace's root.
const INSTALLED: &str = "target/tools/envoy/bin/envoy";
/// Where `cargo xtask build` puts the module, from the workspace's root.
const MODULE: &str = "target/portcullis.wasm";

/// The workspace's root.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The Envoy to use: the environment's `ENVOY`, else the one on `PATH`, else the one that `cargo xtask` installed.
///
/// # Errors
/// When there is none.
pub fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("ENVOY") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("envoy"))
        .chain([workspace().join(INSTALLED)])
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| anyhow!("no Envoy on PATH and none in {INSTALLED}: `cargo xtask test` installs one"))
}

/// The built module: the environment's `PORTCULLIS_WASM`, else the one that `cargo xtask build` made.
///
/// # Errors
/// When there is none.
pub fn module() -> Result<PathBuf> {
    let module = std::env::var_os("PORTCULLIS_WASM").map_or_else(|| workspace().join(MODULE), PathBuf::from);
    if !module.is_file() {
        bail!("no module at {}: run `cargo xtask build` first", module.display());
    }
    Ok(module)
}

/// What to start Envoy with.
#[derive(Debug)]
pub struct Start {
    /// The Envoy to run.
    pub envoy: PathBuf,
    /// The bootstrap configuration.
    pub bootstrap: String,
    /// Whether the bootstrap is JSON; else it is YAML.
    pub json: bool,
    /// Worker threads.
    pub concurrency: u16,
    /// How long connections of a replaced listener go on, in seconds.
    pub drain_seconds: u32,
    /// Environment variables on top of our own.
    pub environment: Vec<(String, String)>,
    /// The folder in which the bootstrap is written and Envoy runs.
    pub folder: TempDir,
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    folder: TempDir,
    output: Arc<Watched<Output>>,
    admin: SocketAddr,
}

/// What Envoy wrote.
#[derive(Debug, Default)]
struct Output {
    log: Vec<String>,
    access: Vec<String>,
    open: usize,
}

impl Output {
    fn tail(&self) -> String {
        let telling: Vec<_> = self.log.iter().filter(|line| !line.starts_with("info main")).cloned().collect();
        let from = telling.len().saturating_sub(40);
        format!("the log ended with\n  {}", telling.get(from..).unwrap_or_default().join("\n  "))
    }
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up; the message carries the end of its log.
    pub async fn start(start: Start) -> Result<Envoy> {
        let file = start.folder.path().join(if start.json { "bootstrap.json" } else { "bootstrap.yaml" });
        fs::write(&file, &start.bootstrap)?;
        let admin_file = start.folder.path().join("admin-address");
        let mut process = Command::new(&start.envoy)
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--concurrency", &start.concurrency.to_string(), "--disable-hot-restart"])
            .args(["--file-flush-interval-msec", "10"])
            .args(["--drain-time-s", &start.drain_seconds.to_string()])
            .args(["--parent-shutdown-time-s", &(start.drain_seconds + 1).to_string()])
            .args(["--log-level", "info", "--log-format", "%l %n %t %v"])
            .envs(start.environment)
            .current_dir(start.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", start.envoy.display()))?;
        let output = Arc::new(Watched::new(Output::default()));
        follow(process.stderr.take(), &output, |output| &mut output.log);
        follow(process.stdout.take(), &output, |output| &mut output.access);
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Envoy { process, folder: start.folder, output, admin: unspecified };
        envoy.wait_for_log("starting workers").await?;
        let admin = fs::read_to_string(admin_file)?;
        envoy.admin = admin.trim().parse().with_context(|| format!("not an address: {admin}"))?;
        Ok(envoy)
    }

    /// Has Envoy check a configuration without serving it.
    ///
    /// # Errors
    /// When Envoy refuses it; the message is Envoy's.
    pub fn validate(envoy: &Path, file: &Path, environment: &[(&str, &str)]) -> Result<()> {
        let output = Command::new(envoy)
            .args(["--mode", "validate", "--log-level", "warning", "--config-path"])
            .arg(file)
            .envs(environment.iter().copied())
            .output()?;
        if !output.status.success() {
            bail!("{} is refused: {}", file.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks the admin interface.
    ///
    /// # Errors
    /// When it does not answer with status 200.
    pub async fn admin(&self, path: &str) -> Result<String> {
        let reply = Ask::new(self.admin, None).path(path).send().await?;
        if !reply.status.is_success() {
            bail!("{path}: {} {}", reply.status, reply.text());
        }
        Ok(reply.text())
    }

    /// Sets the level of one of Envoy's loggers.
    ///
    /// # Errors
    /// When the admin interface does not take it.
    pub async fn set_log_level(&self, logger: &str, level: &str) -> Result<()> {
        let path = format!("/logging?{logger}={level}");
        let reply = Ask::new(self.admin, None).path(&path).post("").send().await?;
        if !reply.status.is_success() {
            bail!("{path}: {} {}", reply.status, reply.text());
        }
        Ok(())
    }

    /// The memory that its process has, in bytes (`VmRSS`).
    ///
    /// # Errors
    /// Where there is no `/proc` as Linux has it.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("odd: {line}"))?;
        Ok(kilobytes * 1024)
    }

    /// Where the admin interface listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where each listener listens, by name.
    ///
    /// # Errors
    /// When the admin interface does not say.
    pub async fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let json: Value = serde_json::from_str(&self.admin("/listeners?format=json").await?)?;
        let listeners = json["listener_statuses"].as_array().into_iter().flatten();
        listeners
            .map(|listener| {
                let address = &listener["local_address"]["socket_address"];
                let (ip, port) = (address["address"].as_str(), address["port_value"].as_u64());
                let (name, ip, port) = (listener["name"].as_str(), ip, port);
                let (Some(name), Some(ip), Some(port)) = (name, ip, port) else { bail!("odd listener: {listener}") };
                Ok((name.to_owned(), SocketAddr::new(ip.parse()?, u16::try_from(port)?)))
            })
            .collect()
    }

    /// All counters and gauges that are not zero, by name.
    ///
    /// # Errors
    /// When the admin interface does not say.
    pub async fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let text = self.admin("/stats?usedonly").await?;
        let stat = |line: &str| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(text.lines().filter_map(stat).collect())
    }

    /// The value of one counter or gauge; 0 when it was never used.
    ///
    /// # Errors
    /// When the admin interface does not say.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats().await?.get(name).copied().unwrap_or(0))
    }

    /// Waits until a counter or gauge has this value.
    ///
    /// # Errors
    /// When it has another after [`crate::PATIENCE`]; the message names it.
    pub async fn wait_for_stat(&self, name: &str, expected: u64) -> Result<()> {
        eventually(async || match self.stat(name).await? {
            value if value == expected => Ok(()),
            value => bail!("{name} is {value}, not {expected}"),
        })
        .await
    }

    /// The log so far.
    pub fn log(&self) -> Vec<String> {
        self.output.read(|output| output.log.clone())
    }

    /// Waits for a line of the log that contains this text.
    ///
    /// # Errors
    /// When none came within [`crate::PATIENCE`], or Envoy ended.
    pub async fn wait_for_log(&self, text: &str) -> Result<String> {
        self.wait_for_line(text, |output| &output.log).await
    }

    /// The lines of the access log so far.
    pub fn access(&self) -> Vec<String> {
        self.output.read(|output| output.access.clone())
    }

    /// Waits for a line of the access log (its standard output) that contains this text.
    ///
    /// # Errors
    /// When none came within [`crate::PATIENCE`], or Envoy ended.
    pub async fn wait_for_access(&self, text: &str) -> Result<String> {
        self.wait_for_line(text, |output| &output.access).await
    }

    async fn wait_for_line(&self, text: &str, lines: fn(&Output) -> &Vec<String>) -> Result<String> {
        let reached = |output: &Output| match lines(output).iter().find(|line| line.contains(text)) {
            Some(line) => Some(Some(line.clone())),
            None if output.open == 0 => Some(None),
            None => None,
        };
        let line = self.output.reach_soon(&format!("{text:?}"), reached, Output::tail).await?;
        line.ok_or_else(|| anyhow!("Envoy ended without {text:?}; {}", self.output.read(Output::tail)))
    }

    /// Asks Envoy to end, and waits until it has.
    ///
    /// # Errors
    /// When it has not within [`crate::PATIENCE`], or did not end well.
    pub async fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").arg(self.process.id().to_string()).status()?;
        if !told.success() {
            bail!("cannot tell Envoy to end");
        }
        let ended = |output: &Output| (output.open == 0).then_some(());
        self.output.reach_soon("the end of Envoy", ended, Output::tail).await?;
        let status = self.process.wait()?;
        if !status.success() {
            bail!("Envoy ended with {status}; {}", self.output.read(Output::tail));
        }
        Ok(())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended already; then both do nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads a stream line by line into the output, on a thread that ends with it.
fn follow(
    stream: Option<impl Read + Send + 'static>,
    output: &Arc<Watched<Output>>,
    lines: fn(&mut Output) -> &mut Vec<String>,
) {
    let Some(stream) = stream else { return };
    output.change(|output| output.open += 1);
    let output = output.clone();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.change(|output| lines(output).push(text));
            line.clear();
        }
        output.change(|output| output.open -= 1);
    });
}
