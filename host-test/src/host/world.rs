//! The proxy around its VMs: clock, randomness, what VMs share, what was observed, and what they asked for.

use super::{
    abi::LogLevel,
    fault::Faults,
    random::Random,
    shared::{Metrics, QueueOwner, Queues, SharedData},
};
use crate::{
    sim::upstream::Upstreams,
    trace::{Event, Level, Trace},
};
use std::time::Duration;

/// What a VM asked of the proxy's event loop. The simulation takes these after each call.
#[derive(Debug)]
pub(crate) enum Post {
    /// Tell the owner of a queue that there is something in it.
    QueueReady { owner: QueueOwner, token: u32 },
    /// Call a root context this often; zero for never.
    TickEvery { worker: usize, vm: usize, context: u32, period: Duration },
    /// A callout is on its way.
    Callout(usize),
}

/// Everything outside the VMs that their host calls reach.
#[derive(Debug)]
pub(crate) struct World {
    /// Virtual nanoseconds since the start.
    pub(crate) now: u64,
    /// The time of day at the start, in Unix nanoseconds; moved when the clock is set.
    pub(crate) wall: i128,
    pub(crate) random: Random,
    pub(crate) data: SharedData,
    pub(crate) queues: Queues,
    pub(crate) metrics: Metrics,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    pub(crate) upstreams: Upstreams,
    pub(crate) posts: Vec<Post>,
    pub(crate) log_level: LogLevel,
    /// Host calls so far, by their place in the table.
    pub(crate) calls: Vec<u64>,
    /// Bytes that host calls carried into VMs and out of them.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl World {
    /// The time of day in Unix nanoseconds.
    pub(crate) fn time_of_day(&self) -> u64 {
        u64::try_from(self.wall + i128::from(self.now)).unwrap_or(0)
    }

    /// Records an event that is not a call.
    pub(crate) fn note(&mut self, worker: usize, event: impl FnOnce() -> Event) {
        if self.trace.records(Level::Events) {
            let event = event();
            self.trace.push(self.now, worker, event);
        }
    }

    /// Records a call across the border.
    pub(crate) fn note_call(&mut self, worker: usize, event: impl FnOnce() -> Event) {
        if self.trace.records(Level::Calls) {
            let event = event();
            self.trace.push(self.now, worker, event);
        }
    }
}
