//! Mistakes that a trace shows, whatever the module is meant to do.

use super::{Entry, Event};
use crate::host::abi::{Status, StreamType};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A mistake, and where it is in the trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// Which.
    pub kind: Kind,
    /// The place of the entry that shows it.
    pub entry: usize,
    /// Virtual nanoseconds since the start.
    pub at: u64,
    /// The thread.
    pub worker: usize,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.at / 1_000_000;
        write!(out, "{} at {milliseconds} ms on thread {}: {}", self.kind, self.worker, self.what)
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $code:literal,)*) => {
        /// The mistakes that are looked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),*];

            /// The name in reports and scenarios.
            pub fn code(self) -> &'static str {
                match self { $(Kind::$kind => $code,)* }
            }
        }
    };
}

kinds! {
    /// A stream was let go on a second time.
    ResumedTwice "resumed-twice",
    /// A stream was let go on that this filter had not stopped.
    ResumedUnpaused "resumed-unpaused",
    /// A stream was answered, then let go on: it reaches the upstream all the same.
    RepliedAndResumed "replied-and-resumed",
    /// A stream was answered twice; the first answer is lost or the second cut off.
    RepliedTwice "replied-twice",
    /// A stream was stopped and, when the run was over, had not gone on.
    PausedForEver "paused-for-ever",
    /// A callout was under way when the run was over.
    CalloutLeaked "callout-leaked",
    /// A callout's owner ended before the answer, so nobody was told.
    CalloutLost "callout-lost",
    /// A host call failed, and the module did and said nothing about it in that callback.
    StatusIgnored "status-ignored",
    /// A header was written in a phase in which that map is not there.
    WrongPhase "wrong-phase",
    /// A context was used after its end.
    UsedAfterEnd "used-after-end",
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// Every mistake in a trace of a run that is over, in the order in which they show.
pub fn lints(entries: &[Entry]) -> Vec<Lint> {
    let mut reader = Reader::default();
    for (place, entry) in entries.iter().enumerate() {
        reader.read(place, entry);
    }
    reader.finish(entries.len())
}

/// A filter in a stream.
type InStream = (usize, u32);

#[derive(Default)]
struct Reader {
    found: Vec<Lint>,
    paused: BTreeMap<InStream, (u64, usize, String)>,
    resumed: BTreeSet<(usize, u32, StreamType)>,
    replied: BTreeSet<InStream>,
    callouts: BTreeMap<usize, (u64, usize, String)>,
    /// Contexts that were deleted, by thread.
    deleted: BTreeSet<(usize, u64)>,
    /// The calls that are running, by thread: export, first argument, and the last call that failed.
    running: BTreeMap<usize, Vec<Running>>,
    /// The host call that is running, by thread.
    calling: BTreeMap<usize, (String, Vec<u64>, u32)>,
}

#[derive(Default)]
struct Running {
    function: String,
    argument: u64,
    failed: Option<(usize, String)>,
}

impl Reader {
    fn lint(&mut self, kind: Kind, place: usize, entry: &Entry, what: String) {
        self.found.push(Lint { kind, entry: place, at: entry.at, worker: entry.worker, what });
    }

    fn read(&mut self, place: usize, entry: &Entry) {
        match &entry.event {
            Event::Paused { stream, context, callback } => {
                self.paused.insert((*stream, *context), (entry.at, entry.worker, callback.clone()));
            }
            Event::Resumed { stream, context, which, was_paused } => {
                let again = !self.resumed.insert((*stream, *context, *which));
                let what = format!("stream {stream}, context {context}, {which:?}");
                if self.replied.contains(&(*stream, *context)) && *which == StreamType::Request {
                    self.lint(Kind::RepliedAndResumed, place, entry, what);
                } else if !was_paused {
                    let kind = if again { Kind::ResumedTwice } else { Kind::ResumedUnpaused };
                    self.lint(kind, place, entry, what);
                }
                self.paused.remove(&(*stream, *context));
            }
            Event::Replied { stream, context, status, .. } => {
                if !self.replied.insert((*stream, *context)) {
                    self.lint(
                        Kind::RepliedTwice,
                        place,
                        entry,
                        format!("stream {stream}, context {context}, with {status}"),
                    );
                }
                self.paused.remove(&(*stream, *context));
            }
            Event::StreamEnded { stream } => self.paused.retain(|(other, _), _| other != stream),
            Event::CalloutSent { callout, cluster, context, .. } => {
                let what = format!("callout {callout} of context {context} to {cluster}");
                self.callouts.insert(*callout, (entry.at, entry.worker, what));
            }
            Event::CalloutEnded { callout, .. } => {
                self.callouts.remove(callout);
            }
            Event::CalloutCancelled { callout } => {
                if let Some((_, _, what)) = self.callouts.remove(callout) {
                    self.lint(Kind::CalloutLost, place, entry, what);
                }
            }
            Event::Log { .. } => self.noticed(entry.worker),
            // Callbacks of a VM that failed do not return.
            Event::VmFailed { .. } => self.running.entry(entry.worker).or_default().clear(),
            Event::Enter { function, arguments } => {
                let argument = arguments.first().copied().unwrap_or(0);
                // Numbers of contexts are never used again, but a new VM starts from the beginning.
                if function == "_initialize" || function == "_start" {
                    self.deleted.retain(|(worker, _)| *worker != entry.worker);
                }
                let running = Running { function: function.clone(), argument, failed: None };
                self.running.entry(entry.worker).or_default().push(running);
            }
            Event::Leave { function, result } => self.leave(entry, function, *result),
            Event::Call { function, arguments, context } => {
                self.call(place, entry, function, arguments);
                self.calling.insert(entry.worker, (function.clone(), arguments.clone(), *context));
            }
            Event::Return { function, result } => self.returned(place, entry, function, *result),
            _ => {}
        }
    }

    /// The module did or said something after a failure.
    fn noticed(&mut self, worker: usize) {
        if let Some(running) = self.running.entry(worker).or_default().last_mut() {
            running.failed = None;
        }
    }

    fn leave(&mut self, entry: &Entry, function: &str, result: Option<u64>) {
        let Some(running) = self.running.entry(entry.worker).or_default().pop() else { return };
        if running.function != function {
            return;
        }
        // A context that is done is deleted next, whether the module has a callback for that or not.
        if function == "proxy_on_delete" || (function == "proxy_on_done" && result != Some(0)) {
            self.deleted.insert((entry.worker, running.argument));
        }
        if let Some((place, what)) = running.failed {
            self.lint(Kind::StatusIgnored, place, entry, format!("{what} in {function}"));
        }
    }

    fn call(&mut self, place: usize, entry: &Entry, function: &str, arguments: &[u64]) {
        self.noticed(entry.worker);
        let context = arguments.first().copied().unwrap_or(0);
        if function == "env.proxy_set_effective_context" && self.deleted.contains(&(entry.worker, context)) {
            self.lint(Kind::UsedAfterEnd, place, entry, format!("context {context} is gone"));
        }
    }

    fn returned(&mut self, place: usize, entry: &Entry, function: &str, result: Option<u64>) {
        let called = self.calling.remove(&entry.worker);
        let status = result.and_then(|result| Status::from_number(u32::try_from(result).ok()?));
        if !function.starts_with("env.proxy_") {
            return;
        }
        const WRITES: [&str; 4] = [
            "env.proxy_add_header_map_value",
            "env.proxy_replace_header_map_value",
            "env.proxy_remove_header_map_value",
            "env.proxy_set_header_map_pairs",
        ];
        let (map, context) =
            called.map_or((0, 0), |(_, arguments, context)| (arguments.first().copied().unwrap_or(0), context));
        if WRITES.contains(&function) && status == Some(Status::BadArgument) {
            return self.lint(Kind::WrongPhase, place, entry, format!("{function} on map {map}, context {context}"));
        }
        // What is answered in the course of things is no failure.
        let tells_of_a_mistake = matches!(
            status,
            Some(Status::BadArgument | Status::InvalidMemoryAccess | Status::InternalFailure | Status::Unimplemented)
        );
        if tells_of_a_mistake && let Some(running) = self.running.entry(entry.worker).or_default().last_mut() {
            running.failed = Some((place, format!("{function} returned {}", result.unwrap_or(0))));
        }
    }

    fn finish(mut self, place: usize) -> Vec<Lint> {
        for ((stream, context), (at, worker, callback)) in std::mem::take(&mut self.paused) {
            let what = format!("stream {stream}, context {context}, stopped in {callback}");
            self.found.push(Lint { kind: Kind::PausedForEver, entry: place, at, worker, what });
        }
        for (at, worker, what) in std::mem::take(&mut self.callouts).into_values() {
            self.found.push(Lint { kind: Kind::CalloutLeaked, entry: place, at, worker, what });
        }
        self.found
    }
}

#[cfg(test)]
mod tests;
