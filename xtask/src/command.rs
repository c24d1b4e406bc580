//! Runs programs, shows what is run, and turns a failure into a sentence.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// A program that runs at the root of the workspace.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace::root());
    command
}

/// The `cargo` that runs this task, with the given arguments.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a command, its output going where ours goes. An error names the command and how it ended.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("   $ {shown}");
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns what it wrote to standard output, trimmed. Its standard error goes where ours goes.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let done = command.stderr(Stdio::inherit()).output().with_context(|| format!("`{shown}` could not be started"))?;
    if !done.status.success() {
        bail!("`{shown}` failed ({})", done.status);
    }
    let text = String::from_utf8(done.stdout).with_context(|| format!("`{shown}` wrote something other than text"))?;
    Ok(text.trim().to_owned())
}

/// Whether a command starts and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The command as one would type it: the program without its folder, paths from the root of the workspace.
fn shown(command: &Command) -> String {
    let root = format!("{}/", workspace::root().display());
    let program = command.get_program().to_string_lossy();
    let name = match program.strip_prefix(&root) {
        Some(inside) => inside.to_owned(),
        None => program.rsplit('/').next().unwrap_or(&program).to_owned(),
    };
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().replace(&root, ""));
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let error = run(program("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed (exit status: 3)");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut program("no-such-program-here")).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-here` could not be started");
    }

    #[test]
    fn output_is_trimmed() {
        assert_eq!(output(program("printf").arg("one\n")).unwrap(), "one");
    }

    #[test]
    fn paths_are_shown_from_the_root_of_the_workspace() {
        let inside = workspace::root().join("target/portcullis.wasm");
        assert_eq!(shown(program("/usr/bin/stat").arg(inside)), "stat target/portcullis.wasm");
    }
}
