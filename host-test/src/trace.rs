//! Everything that was observed in a run, as typed events: for assertions, for the lints, and to be read as Envoy's own
//! trace log or as JSON lines.

pub mod envoy;
pub mod lint;

use crate::host::{
    HeaderMap,
    abi::{LogLevel, StreamType},
};
use serde::{Deserialize, Serialize};

/// What happened, when and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Virtual nanoseconds since the start of the run.
    pub at: u64,
    /// The thread: 0 is the proxy's main thread, then come its workers.
    pub worker: usize,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen. Numbers of streams, connections and callouts are the simulation's and never used again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A VM came into being.
    VmCreated {
        /// Its number among those of the proxy.
        vm: usize,
        /// What for: `base`, `canary`, `main`, `worker` or `reload`.
        purpose: String,
    },
    /// The proxy called the module.
    Enter {
        /// The export.
        function: String,
        /// Its arguments.
        arguments: Vec<u64>,
    },
    /// The module returned.
    Leave {
        /// The export.
        function: String,
        /// What it returned; `None` for nothing.
        result: Option<u64>,
    },
    /// The module called the proxy.
    Call {
        /// Module and name of the import.
        function: String,
        /// Its arguments.
        arguments: Vec<u64>,
        /// The context on which the call acts.
        context: u32,
    },
    /// The proxy returned.
    Return {
        /// Module and name of the import.
        function: String,
        /// What it returned; `None` for nothing.
        result: Option<u64>,
    },
    /// A line for the proxy's log.
    Log {
        /// Its level.
        level: LogLevel,
        /// Its text.
        message: String,
    },
    /// A VM failed and is not called again.
    VmFailed {
        /// Its number.
        vm: usize,
        /// Why.
        reason: String,
    },
    /// A plugin refused its configuration.
    ConfigurationRefused {
        /// The plugin.
        plugin: String,
    },
    /// A request or connection came in.
    StreamStarted {
        /// Its number.
        stream: usize,
        /// The contexts of its filters.
        contexts: Vec<u32>,
    },
    /// A filter stopped a stream.
    Paused {
        /// The stream.
        stream: usize,
        /// The filter's context.
        context: u32,
        /// In which callback.
        callback: String,
    },
    /// A filter let a stream go on.
    Resumed {
        /// The stream.
        stream: usize,
        /// The filter's context.
        context: u32,
        /// Which way.
        which: StreamType,
        /// Whether that filter had stopped it.
        was_paused: bool,
    },
    /// A filter answered in the place of the upstream.
    Replied {
        /// The stream.
        stream: usize,
        /// The filter's context.
        context: u32,
        /// The status.
        status: u32,
        /// What `%RESPONSE_CODE_DETAILS%` shows.
        details: String,
    },
    /// A filter closed a stream.
    Closed {
        /// The stream.
        stream: usize,
        /// The filter's context.
        context: u32,
        /// Which side.
        which: StreamType,
    },
    /// A request or bytes passed all filters.
    Forwarded {
        /// The stream.
        stream: usize,
        /// The headers, if it is a request.
        headers: Option<HeaderMap>,
    },
    /// The client got its answer.
    Answered {
        /// The stream.
        stream: usize,
        /// The status.
        status: u32,
    },
    /// The client left.
    ClientLeft {
        /// The stream.
        stream: usize,
    },
    /// A stream is over: its contexts are gone.
    StreamEnded {
        /// The stream.
        stream: usize,
    },
    /// A module sent a callout.
    CalloutSent {
        /// Its number.
        callout: usize,
        /// The number by which the module knows it.
        token: u32,
        /// The context that owns it.
        context: u32,
        /// Where it goes.
        cluster: String,
        /// What it says.
        headers: HeaderMap,
    },
    /// A callout was refused at once.
    CalloutRefused {
        /// Where it would have gone.
        cluster: String,
        /// The status that the module got.
        status: u32,
    },
    /// A callout ended and its owner is told.
    CalloutEnded {
        /// Its number.
        callout: usize,
        /// How: a status, or `reset`.
        outcome: String,
        /// What the script calls the answer that the upstream had for it; empty where it has no name.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        answer: String,
    },
    /// A callout's owner is gone, so nobody is told.
    CalloutCancelled {
        /// Its number.
        callout: usize,
    },
    /// The simulation did what it was told to.
    Fault {
        /// What it did.
        what: String,
    },
    /// The run is over.
    Finished,
}

/// How much is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing: for speed.
    Off,
    /// What happens to streams, callouts and VMs, and log lines.
    Events,
    /// Every call across the border as well.
    #[default]
    Calls,
}

/// The entries of a run.
#[derive(Debug, Default)]
pub struct Trace {
    level: Level,
    entries: Vec<Entry>,
}

impl Trace {
    pub(crate) fn new(level: Level) -> Trace {
        Trace { level, entries: Vec::new() }
    }

    /// How much is recorded.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What was recorded.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    /// Whether this is recorded: ask before making an event that costs.
    pub(crate) fn records(&self, level: Level) -> bool {
        self.level >= level
    }

    pub(crate) fn push(&mut self, at: u64, worker: usize, event: Event) {
        self.entries.push(Entry { at, worker, event });
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// One JSON object a line.
    pub fn to_json_lines(&self) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            // Everything in it has a form in JSON.
            if let Ok(line) = serde_json::to_string(entry) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}
