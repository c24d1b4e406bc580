//! Instructions per request, counted by Valgrind's Callgrind: exact, on any machine and beside any other work. It runs Envoy
//! itself, instruction by instruction, in user mode; of cycles it knows nothing.

use super::{Arm, LISTENER, Processors, Setting, load, start};
use crate::{
    envoy::{self, Envoy},
    eventually,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// How long Envoy is loaded, in seconds: before anything is counted, and twice while it is. What the connections themselves
/// take is the same in both, so that the difference has nothing but requests.
const WARM_UP: u32 = 2;
const SHORT: u32 = 2;
const LONG: u32 = 12;

/// The instructions of an Envoy per request over connections that stay open.
///
/// # Errors
/// When Valgrind is missing, or the arm does not do its work.
pub(super) async fn instructions(arm: Arm, setting: &Setting, processors: Processors) -> Result<f64> {
    let folder = TempDir::new()?;
    let counts = folder.path().join("counts");
    let program = folder.path().join("envoy");
    fs::write(&program, script(&envoy::find()?, &counts)?)?;
    fs::set_permissions(&program, Permissions::from_mode(0o700))?;
    let (envoy, address) = start(arm, setting, program).await?;
    let load = |seconds| -> Result<()> {
        let words = load::words(address, seconds, processors.load);
        let (program, arguments) = words.split_first().context("no command")?;
        let output = Command::new(program).args(arguments).output()?;
        load::read(&String::from_utf8_lossy(&output.stdout)).map(drop)
    };
    load(WARM_UP)?;
    control(&envoy, &["instrumentation", "on"])?;
    let count = async |number, seconds| -> Result<Counted> {
        let before = served(&envoy).await?;
        control(&envoy, &["zero"])?;
        load(seconds)?;
        control(&envoy, &["dump"])?;
        let file = PathBuf::from(format!("{}.{number}", counts.display()));
        let instructions = eventually(async || total(&fs::read_to_string(&file)?)).await?;
        Ok(Counted { requests: served(&envoy).await?.saturating_sub(before), instructions })
    };
    per_request(count(1, SHORT).await?, count(2, LONG).await?)
}

/// A program that runs Envoy under Callgrind, which counts nothing until it is told to.
fn script(envoy: &Path, counts: &Path) -> Result<String> {
    let envoy = envoy.to_str().filter(|path| !path.contains('\''));
    let envoy = envoy.with_context(|| "the path of Envoy must be UTF-8 without single quotes")?;
    Ok(format!(
        "#!/bin/sh\n\
         exec valgrind --quiet --tool=callgrind --instr-atstart=no --trace-children=yes --smc-check=all-non-file \
         --callgrind-out-file='{}' '{envoy}' \"$@\"\n",
        counts.display()
    ))
}

/// Gives Callgrind a command.
fn control(envoy: &Envoy, words: &[&str]) -> Result<()> {
    let output = Command::new("vgdb").arg(format!("--pid={}", envoy.id())).args(words).output();
    let output = output.context("cannot run vgdb, which is a part of Valgrind")?;
    ensure!(output.status.success(), "vgdb {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// How many requests Envoy has counted.
async fn served(envoy: &Envoy) -> Result<u64> {
    envoy.stat(&format!("http.{LISTENER}.downstream_rq_total")).await
}

/// The instructions in a file of Callgrind's.
fn total(file: &str) -> Result<u64> {
    let total = file.lines().find_map(|line| line.strip_prefix("totals: ")).context("no totals yet")?;
    total.trim().parse().with_context(|| format!("odd totals: {total}"))
}

/// What a time under load came to.
#[derive(Clone, Copy, Debug)]
struct Counted {
    requests: u64,
    instructions: u64,
}

/// What a request took, as the difference between a long time and a short one.
#[allow(clippy::cast_precision_loss, reason = "neither comes near 2^52")]
fn per_request(short: Counted, long: Counted) -> Result<f64> {
    let requests = long.requests.checked_sub(short.requests).filter(|more| *more > 0);
    let instructions = long.instructions.checked_sub(short.instructions);
    let context = || format!("{LONG} seconds served no more than {SHORT}: {long:?}, {short:?}");
    Ok(instructions.with_context(context)? as f64 / requests.with_context(context)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_takes_is_free_of_what_its_connection_took() {
        let counted = |requests, instructions| Counted { requests, instructions };
        assert_eq!(per_request(counted(100, 5_000 + 70_000), counted(400, 5_000 + 280_000)).unwrap(), 700.0);
        let error = per_request(counted(9, 5), counted(9, 6)).unwrap_err().to_string();
        assert!(error.starts_with("12 seconds served no more than 2: "), "{error}");
    }

    #[test]
    fn the_total_is_read_once_it_is_written() {
        let file = "# callgrind format\nevents: Ir\n\nfn=(0)\n0 5\n";
        assert_eq!(total(file).unwrap_err().to_string(), "no totals yet");
        assert_eq!(total(&format!("{file}\ntotals: 469437241\n")).unwrap(), 469_437_241);
    }
}
