//! The `portcullis` command as a program, against the stand-in for Criminal IP.

use crate::fake::{Fake, KEY, Options};
use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder with the examples of the command, a stand-in, and a cache of its own.
#[derive(Debug)]
pub struct Desk {
    /// The stand-in that the command asks.
    pub fake: Fake,
    folder: TempDir,
    path: OsString,
}

/// What a run of the command printed, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
}

impl Desk {
    /// A desk with the examples in `cli/tests/examples`.
    ///
    /// # Errors
    /// When the command cannot be built, the examples cannot be copied, or the stand-in cannot start.
    pub fn new() -> Result<Desk> {
        let folder = tempfile::tempdir()?;
        let examples = workspace().join("cli/tests/examples");
        for file in fs::read_dir(&examples).with_context(|| examples.display().to_string())? {
            let file = file?;
            fs::copy(file.path(), folder.path().join(file.file_name()))?;
        }
        let programs = program()?.parent().context("a program is in a folder")?.to_owned();
        let others = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([programs].into_iter().chain(env::split_paths(&others)))?;
        Ok(Desk { fake: Fake::start(Options::default())?, folder, path })
    }

    /// The folder in which commands run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A line of the shell, to be run in the folder: it finds `portcullis`, the stand-in and the key.
    pub fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.folder.path()).stdin(Stdio::null());
        shell.env_clear().env("PATH", &self.path).env("LC_ALL", "C.UTF-8");
        shell.env("XDG_CACHE_HOME", self.folder.path().join("cache")).env("CRIMINALIP_API_KEY", KEY);
        shell.env("CRIMINALIP_API_URL", format!("http://{}", self.fake.address()));
        shell
    }

    /// Runs a line of the shell.
    ///
    /// # Errors
    /// When there is no shell, or what was printed is no text.
    pub fn run(&self, line: &str) -> Result<Printed> {
        let output = self.shell(line).output()?;
        let shown = |bytes| -> Result<String> {
            Ok(String::from_utf8(bytes)?.replace(&self.fake.address().to_string(), "STAND-IN"))
        };
        Ok(Printed { out: shown(output.stdout)?, err: shown(output.stderr)?, code: output.status.code() })
    }

    /// Runs the examples of a document, each a block that starts with "```console" and "$ ", and compares what they print:
    /// standard output, then standard error, then `? ` and the exit code if it is not 0. With `UPDATE` in the environment
    /// the document is written anew instead.
    ///
    /// # Errors
    /// The first example that prints something else.
    pub fn transcript(&self, document: &str) -> Result<usize> {
        let path = workspace().join(document);
        let text = fs::read_to_string(&path).with_context(|| document.to_owned())?;
        let mut parts = text.split("```console\n$ ");
        let mut written = parts.next().unwrap_or_default().to_owned();
        let mut count = 0;
        for part in parts {
            let (example, rest) =
                part.split_once("\n```").with_context(|| format!("{document}: an example has no end"))?;
            // A command goes on where a line ends with a backslash.
            let end = example.match_indices('\n').map(|(at, _)| at).find(|at| !example[..*at].ends_with('\\'));
            let (command, expected) = end.map_or((example, ""), |at| (&example[..at], &example[at + 1..]));
            let Printed { out, err, code } = self.run(command)?;
            let mut printed = out + &err;
            if code != Some(0) {
                printed += &format!("? {}\n", code.map_or("signal".into(), |code| code.to_string()));
            }
            let printed = printed.trim_end();
            if env::var_os("UPDATE").is_none() {
                ensure!(printed == expected, "{document}: {command}\nprints:\n{printed}\nwanted:\n{expected}");
            }
            let newline = if printed.is_empty() { "" } else { "\n" };
            written += &format!("```console\n$ {command}{newline}{printed}\n```{rest}");
            count += 1;
        }
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, written)?;
        }
        Ok(count)
    }
}

/// The command: the environment's `PORTCULLIS`, else it is built now.
fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    found.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    if let Some(given) = env::var_os("PORTCULLIS") {
        return fs::canonicalize(&given).context("the environment's PORTCULLIS");
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--quiet", "--package", "cli", "--message-format", "json"];
    let built = Command::new(cargo).args(arguments).current_dir(workspace()).stderr(Stdio::inherit()).output()?;
    ensure!(built.status.success(), "the command cannot be built");
    let messages = serde_json::Deserializer::from_slice(&built.stdout).into_iter::<serde_json::Value>();
    let mut programs = messages.flatten().filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next().context("cargo names no program")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
