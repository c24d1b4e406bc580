//! Steps of a task: each says what it does, how long it took, and which one failed.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps of a task as they happen, and the summary at the end.
pub(crate) struct Steps {
    task: &'static str,
    started: Instant,
    done: Vec<(&'static str, Duration)>,
    skipped: Vec<(&'static str, String)>,
}

impl Steps {
    /// Starts a task.
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, started: Instant::now(), done: Vec::new(), skipped: Vec::new() }
    }

    /// Runs one step. When it fails, the error carries its name, and `hint` says what to do.
    pub(crate) fn run<T>(&mut self, name: &'static str, hint: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        self.done.push((name, took));
        if outcome.is_ok() {
            println!("   {name}: done in {}\n", seconds(took));
        } else {
            let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
            println!("   {name}: FAILED after {}{hint}\n", seconds(took));
            println!("{}: FAILED at `{name}`, {}", self.task, self.times());
        }
        outcome.with_context(|| format!("step `{name}` failed"))
    }

    /// Notes a step that cannot run here, and why.
    pub(crate) fn skip(&mut self, name: &'static str, why: impl Into<String>) {
        let why = why.into();
        println!("== {name}\n   skipped: {why}\n");
        self.skipped.push((name, why));
    }

    /// Prints the summary. Nothing that matters is printed after it.
    pub(crate) fn finish(self) {
        println!("{}: ok, {}", self.task, self.times());
    }

    fn times(&self) -> String {
        let mut line = format!("{} in all:", seconds(self.started.elapsed()));
        for (index, (name, took)) in self.done.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(line, "{comma} {name} {}", seconds(*took));
        }
        for (name, why) in &self.skipped {
            let _ = write!(line, "; {name} skipped ({why})");
        }
        line
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failure_names_its_step_and_cause() {
        let mut steps = Steps::new("test");
        steps.run("first", "", || Ok(())).unwrap();
        let error = steps.run("second", "turn it off and on", || -> Result<()> { bail!("broken") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "step `second` failed: broken");
        assert!(steps.times().contains(" second "), "a failed step is timed as well");
    }

    #[test]
    fn the_summary_names_what_ran_and_what_did_not() {
        let mut steps = Steps::new("test");
        steps.run("first", "", || Ok(())).unwrap();
        steps.skip("second", "no such tool");
        let summary = steps.times();
        assert!(summary.contains(" first 0.0 s"), "{summary}");
        assert!(summary.ends_with("; second skipped (no such tool)"), "{summary}");
    }
}
