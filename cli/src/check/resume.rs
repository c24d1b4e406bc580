//! The results of a batch in a file, so that one that was broken off goes on where it was.

use crate::exit::{Exit, Failure};
use anyhow::Context;
use evaluator::Profile;
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Results so far, and the file that more are added to.
pub(super) struct Resume {
    file: File,
    path: PathBuf,
    done: HashSet<(IpAddr, Option<u16>)>,
    pub(super) denied_or_tagged: u64,
    pub(super) allowed: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    ip: IpAddr,
    port: Option<u16>,
    suspicious: Option<bool>,
    profile: &'a str,
}

impl Resume {
    /// Reads the results in this file, if there is one. A last line that was not written to its end is taken away.
    pub(super) fn open(path: &Path, profile: Profile) -> anyhow::Result<Resume> {
        let open = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = open.with_context(|| format!("{}: --resume keeps results there", path.display()))?;
        let mut resume = Resume { file, path: path.into(), done: HashSet::new(), denied_or_tagged: 0, allowed: 0 };
        let mut reader = BufReader::new(resume.file.try_clone()?);
        let (mut whole, mut line, mut number) = (0, Vec::new(), 0);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).with_context(|| path.display().to_string())?;
            if !line.ends_with(b"\n") {
                break;
            }
            number += 1;
            whole += read as u64;
            let result: Line<'_> = serde_json::from_slice(&line).map_err(|_| {
                let what = "not a result of `portcullis check --json`; --resume takes a file of its own";
                Failure::new(Exit::Usage, format!("{} line {number}: {what}", path.display()))
            })?;
            if result.profile != profile.name() {
                let what = format!("judged by profile {}, and now it is {}", result.profile, profile.name());
                return Err(Failure::new(Exit::Usage, format!("{} line {number}: {what}", path.display())).into());
            }
            if let Some(suspicious) = result.suspicious
                && resume.done.insert((result.ip.to_canonical(), result.port))
            {
                *(if suspicious { &mut resume.denied_or_tagged } else { &mut resume.allowed }) += 1;
            }
        }
        resume.file.set_len(whole)?;
        resume.file.seek(SeekFrom::End(0))?;
        Ok(resume)
    }

    /// The peers that there was a verdict on before.
    pub(super) fn take_done(&mut self) -> HashSet<(IpAddr, Option<u16>)> {
        std::mem::take(&mut self.done)
    }

    /// Adds a result, which is in the file when this returns.
    pub(super) fn add(&mut self, line: &str) -> Result<(), Failure> {
        let failed = |error| Failure::new(Exit::Output, format!("{}: {error}", self.path.display()));
        self.file.write_all(line.as_bytes()).map_err(failed)
    }
}
