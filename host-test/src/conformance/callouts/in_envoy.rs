//! The cases in a real Envoy.

use super::{CASES, Case, guest::guest, of_stream};
use crate::{
    conformance::in_envoy::{configuration, servers::Servers, start},
    envoy::Envoy,
    eventually,
};
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The calls of each case.
///
/// # Errors
/// When there is no Envoy, or a stream does not end in it.
pub async fn calls() -> Result<Vec<Vec<String>>> {
    let (folder, servers) = (TempDir::new()?, Servers::start()?);
    let mut modules = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let path = folder.path().join(format!("{number}.wasm"));
        std::fs::write(&path, wat::parse_str(guest(case)).with_context(|| case.name)?)?;
        modules.push((number.to_string(), path));
    }
    let envoy = start(&configuration::callout_bootstrap(&servers, &modules), folder).await?;
    let addresses = envoy.listeners().await?;
    envoy.set_log_level("wasm", "trace").await?;
    let mut all = Vec::new();
    for ((name, _), case) in modules.iter().zip(CASES) {
        let before = envoy.log().len();
        request(&envoy, *addresses.get(name).context("no listener")?, case, before).await.context(case.name)?;
        logs(&envoy, before, &format!("[host<-vm] proxy_on_{} return", case.last)).await.context(case.name)?;
        all.push(of_stream(envoy.log().into_iter().skip(before).filter_map(|line| call(&line))));
    }
    Ok(all)
}

async fn request(envoy: &Envoy, to: SocketAddr, case: &Case, before: usize) -> Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
    if case.leaves {
        return logs(envoy, before, "[host<-vm] proxy_on_request_headers return").await;
    }
    let mut answer = Vec::new();
    tokio::time::timeout(crate::PATIENCE, stream.read_to_end(&mut answer)).await??;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
    Ok(())
}

/// Waits until there is such a line among those after the first.
async fn logs(envoy: &Envoy, first: usize, line: &str) -> Result<()> {
    eventually(async || {
        let log = envoy.log();
        let new = log.get(first..).unwrap_or_default();
        ensure!(new.iter().any(|other| other.contains(line)), "no {line} in {new:#?}");
        Ok(())
    })
    .await
}

/// A line as the simulation has it.
fn call(line: &str) -> Option<String> {
    if let Some((_, message)) = line.split_once("wasm log") {
        return Some(format!("wasm log: {}", message.split_once(": ").map_or("", |(_, message)| message)));
    }
    let marks = ["[host->vm] ", "[host<-vm] ", "[vm->host] ", "[vm<-host] "];
    marks.iter().find_map(|mark| Some(line[line.find(mark)?..].to_owned()))
}
