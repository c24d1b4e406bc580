//! What a process used while something happened: CPU time always, user-mode instructions and cycles where the machine
//! counts them.

use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    /// CPU time in nanoseconds, of user and kernel.
    pub(super) cpu_ns: u64,
    /// What the hardware counted.
    pub(super) counted: Option<Counted>,
}

/// What the hardware counted, in user mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) instructions: f64,
    pub(super) cycles: f64,
}

/// Reads CPU time and counters.
#[derive(Debug)]
pub(super) struct Meter {
    counters: bool,
    /// Where perf writes.
    file: PathBuf,
}

impl Meter {
    /// A meter that uses hardware counters if perf is there and the machine has them. perf writes to `file`.
    pub(super) fn new(file: PathBuf) -> Meter {
        let mut meter = Meter { counters: false, file };
        let trial = meter.perf().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        meter.counters = trial.is_ok_and(|status| status.success()) && meter.counted().is_ok();
        meter
    }

    /// Whether there are hardware counters.
    pub(super) fn counters(&self) -> bool {
        self.counters
    }

    /// Runs a command, given as its words, and returns what it wrote and what the process `id` used meanwhile.
    ///
    /// # Errors
    /// When the command fails, or the process cannot be observed.
    pub(super) fn watch(&self, id: u32, words: &[String]) -> Result<(String, Used)> {
        let mut command = if self.counters {
            let mut perf = self.perf();
            perf.args(["--pid", &id.to_string(), "--"]).args(words);
            perf
        } else {
            let (program, arguments) = words.split_first().context("no command")?;
            let mut command = Command::new(program);
            command.args(arguments);
            command
        };
        let before = cpu_time(id)?;
        let output = command.output().with_context(|| format!("cannot run {}", words.join(" ")))?;
        let cpu_ns = cpu_time(id)?.saturating_sub(before);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("{} failed: {text}{}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        let counted = if self.counters { Some(self.counted()?) } else { None };
        Ok((text, Used { cpu_ns, counted }))
    }

    fn perf(&self) -> Command {
        let mut perf = Command::new("perf");
        perf.args(["stat", "--field-separator", ",", "--event", "instructions:u,cycles:u", "--output"]);
        perf.arg(&self.file);
        perf
    }

    fn counted(&self) -> Result<Counted> {
        let text = fs::read_to_string(&self.file)?;
        read_counters(&text).with_context(|| format!("perf counted nothing: {text}"))
    }
}

/// The counters in what `perf stat` writes with a comma for a separator, a line for each event: value, unit, event, and
/// more. `None` unless both were counted.
fn read_counters(text: &str) -> Option<Counted> {
    // On a processor with two kinds of cores there is a line for each kind, and those of the kind that the process did
    // not run on hold no number.
    let sum = |event: &str| {
        let lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        lines
            .filter(|fields| fields.get(2).is_some_and(|name| name.contains(event)))
            .filter_map(|fields| fields.first()?.parse::<f64>().ok())
            .reduce(|one, other| one + other)
    };
    Some(Counted { instructions: sum("instructions")?, cycles: sum("cycles")? })
}

/// The CPU time that all threads of a process have used, in nanoseconds.
fn cpu_time(id: u32) -> Result<u64> {
    let mut sum = 0_u64;
    for task in fs::read_dir(format!("/proc/{id}/task")).context("Envoy is gone, or this is not Linux")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += read_schedstat(&text).with_context(|| format!("not a schedstat: {text:?}"))?;
    }
    Ok(sum)
}

/// The first of three numbers: time on the processor, time waiting for it, how often it ran.
fn read_schedstat(text: &str) -> Option<u64> {
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read() {
        let text = "\
# started on Mon Sep 14 09:12:03 2026

11580297442,,instructions:u,4012938571,100.00,2.62,insn per cycle
4419973308,,cycles:u,4012938571,100.00,,
";
        let expected = Counted { instructions: 11_580_297_442.0, cycles: 4_419_973_308.0 };
        assert_eq!(read_counters(text), Some(expected));
    }

    #[test]
    fn counters_of_both_kinds_of_cores_are_added() {
        let text = "\
120,,cpu_atom/instructions/u,10,1.00,,
<not counted>,,cpu_core/cycles/u,0,0.00,,
3000,,cpu_core/instructions/u,990,99.00,,
1000,,cpu_atom/cycles/u,10,1.00,,
";
        assert_eq!(read_counters(text), Some(Counted { instructions: 3120.0, cycles: 1000.0 }));
    }

    #[test]
    fn where_nothing_is_counted_there_are_no_counters() {
        let virtual_machine = "\
# started on Sun Nov 22 05:43:38 2026

<not supported>,,instructions:u,0,100.00,,
<not supported>,,cycles:u,0,100.00,,
";
        let half = "5,,instructions:u,10,100.00,,\n<not counted>,,cycles:u,0,0.00,,\n";
        for text in [virtual_machine, half, "", "Error:\nNo permission to enable instructions:u event.\n"] {
            assert_eq!(read_counters(text), None, "{text}");
        }
    }

    #[test]
    fn cpu_time_is_the_first_number() {
        assert_eq!(read_schedstat("8205339117 41650121 20511\n"), Some(8_205_339_117));
        assert_eq!(read_schedstat(""), None);
        assert!(cpu_time(std::process::id()).unwrap() > 0, "this process has used some");
    }

    #[test]
    fn a_command_that_fails_is_named_with_what_it_wrote() {
        let meter = Meter { counters: false, file: PathBuf::new() };
        let words = ["sh", "-c", "echo no luck; exit 3"].map(str::to_owned);
        let error = meter.watch(std::process::id(), &words).unwrap_err();
        assert_eq!(error.to_string(), "sh -c echo no luck; exit 3 failed: no luck\n");
    }
}
