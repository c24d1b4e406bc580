//! What all contexts of one VM share: the gate, the time, and the ways to wake a root.

use crate::host::{self, Level, MetricKind, SharedData};
use crate::upstream::Resolved;
use crate::vm::{self, Own};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Source, Verdict, decimal, filled, hexadecimal};
use gate::{
    Decision, Gate, Histogram, Metric, Mode, Moment, Proxy, Release, RootId, Sample, Sorted, StreamId, SubjectId,
};

/// The state of one worker's VM.
pub(crate) struct Worker {
    pub(crate) gate: Gate,
    /// The time of the last tick or callback that asked for it: exact enough for lifetimes, free on the warm path.
    pub(crate) now: Moment,
    /// The tag that was written last.
    pub(crate) tag: Tag,
    /// Tags for responses, where `tag.response_header` asks for them.
    pub(crate) response_tags: Sorted<StreamId, Vec<u8>>,
    /// Connections that are held, or whose release is still to be carried out.
    pub(crate) paused: Sorted<StreamId, ()>,
    /// Roots about whose place the log has been told.
    pub(crate) misplaced: Vec<RootId>,
    /// Streams whose response is held until the address of their upstream is judged.
    pub(crate) resolved: VecDeque<Resolved>,
    /// Those of whom the proxy would not let the address be judged, to be tried again with the next tick.
    pub(crate) undecided: Vec<Resolved>,
    /// Streams whose response is held for a lookup, and the name that they asked for.
    pub(crate) answers: Sorted<StreamId, Option<Rc<str>>>,
    /// Requests to the control listener whose bodies are still to come, and until when they may.
    pub(crate) bodies: Sorted<StreamId, Moment>,
    /// Streams whose wait is over, and which are to be told.
    pub(crate) releases: VecDeque<Release>,
    /// Those whom the proxy would not let be told, to be tried again with the next tick.
    pub(crate) unfinished: Vec<Release>,
    /// Tells the queues of this VM from those of others in the proxy.
    nonce: u64,
    /// Those of live roots.
    wakers: Vec<Waker>,
    metrics: Sorted<Metric, u32>,
}

/// The message by which a worker wakes its own root. Others name a peer.
const WAKE: &[u8] = &[];

/// The message by which workers tell each other to look for changes.
const LOOK: &[u8] = &[0];

/// Tells the worker with this queue to look for changes.
pub(crate) fn tell_to_look(queue: u32) {
    // It looks by itself before long, should the message not reach it.
    let _ = host::put_into_queue(queue, LOOK);
}

/// Whether there may be a request to the control listener whose body is still to come, or a journal that counts bytes.
pub(crate) fn wants_bodies() -> bool {
    WORKER.with(|worker| !worker.bodies.is_empty() || worker.gate.keeps_journal()).unwrap_or(true)
}

/// Tells the worker with this queue that the lookup of this peer ended.
pub(crate) fn tell(queue: u32, peer: SubjectId) {
    // The worker looks again by itself before long, should the message not reach it.
    let _ = host::put_into_queue(queue, &peer.to_bytes());
}

/// A tag, and what it says: neighbouring requests often have the same, and it is not written anew for them.
#[derive(Default)]
pub(crate) struct Tag {
    text: Vec<u8>,
    says: Option<(Verdict, Source, Mode)>,
}

impl Tag {
    /// Writes the tag of this decision.
    pub(crate) fn write(&mut self, decision: &Decision, mode: Mode) {
        let says = Some((decision.verdict, decision.source, mode));
        if self.says != says {
            self.says = says;
            self.text.clear();
            evaluator::write_tag(&mut self.text, &decision.verdict, decision.source, mode == Mode::Shadow);
        }
    }

    /// As it was written last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }
}

struct Waker {
    /// In its queue's name. Numbers are used again, since queues cannot be deleted.
    slot: u32,
    root: RootId,
    queue: u32,
    /// A message is under way.
    rung: bool,
}

static WORKER: Own<Worker> = Own::new();

impl Default for Worker {
    fn default() -> Worker {
        // Where there is no entropy, the time is not the same in every proxy either.
        let now = host::now().unwrap_or_default();
        let entropy = || vm::entropy().unwrap_or(now.millis().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Worker {
            gate: Gate::new(entropy(), &SharedData),
            now,
            tag: Tag::default(),
            response_tags: Sorted::default(),
            paused: Sorted::default(),
            misplaced: Vec::new(),
            resolved: VecDeque::new(),
            undecided: Vec::new(),
            answers: Sorted::default(),
            bodies: Sorted::default(),
            releases: VecDeque::new(),
            unfinished: Vec::new(),
            nonce: entropy(),
            wakers: Vec::new(),
            metrics: Sorted::default(),
        }
    }
}

/// Gives the worker to `use_it`. `None` if it is in use further up the stack, which no callback of the proxy causes:
/// resuming and replying take effect after the callback.
pub(crate) fn with<R>(use_it: impl FnOnce(&mut Worker) -> R) -> Option<R> {
    let used = WORKER.with(use_it);
    if used.is_none() {
        host::log(Level::Error, "portcullis: the worker's state is in use; please report this");
    }
    used
}

impl Worker {
    /// Reads the clock.
    pub(crate) fn refresh(&mut self) -> Moment {
        if let Some(now) = host::now() {
            self.now = now;
        }
        self.now
    }

    /// Gives a root a queue of its own by which it can be woken. Call it from the root's callback.
    pub(crate) fn add_root(&mut self, root: RootId) {
        if self.wakers.iter().any(|waker| waker.root == root) {
            return;
        }
        let Some(slot) = (0..u32::MAX).find(|slot| self.wakers.iter().all(|waker| waker.slot != *slot)) else { return };
        match host::register_queue(&["portcullis/wake/", &hexadecimal(self.nonce), "/", &decimal(slot.into())].concat())
        {
            Ok(queue) => {
                self.wakers.push(Waker { slot, root, queue, rung: false });
            }
            // The tick wakes the root as well, only later.
            Err(status) => {
                host::log(Level::Warn, &["portcullis: no queue to wake the root by: ", &status.text()].concat())
            }
        }
    }

    /// Forgets a root that is gone.
    pub(crate) fn remove_root(&mut self, root: RootId) {
        self.wakers.retain(|waker| waker.root != root);
        self.misplaced.retain(|other| *other != root);
    }

    /// Has the root called back within a turn of the proxy's event loop, to send its lookups.
    pub(crate) fn wake(&mut self, root: RootId) {
        if let Some(waker) = self.wakers.iter_mut().find(|waker| waker.root == root)
            && !waker.rung
        {
            waker.rung = host::put_into_queue(waker.queue, WAKE).is_ok();
        }
    }

    /// Takes the messages that woke this root: the peers whose lookups by other workers ended, and whether it is to look for
    /// changes.
    pub(crate) fn woken(&mut self, root: RootId) -> (Vec<SubjectId>, bool) {
        let (mut peers, mut look) = (Vec::new(), false);
        if let Some(waker) = self.wakers.iter_mut().find(|waker| waker.root == root) {
            waker.rung = false;
            while let Ok(message) = host::take_from_queue(waker.queue) {
                look |= message == LOOK;
                peers.extend(<[u8; 16]>::try_from(message).map(SubjectId::from_bytes));
            }
        }
        (peers, look)
    }

    /// The queue by which other workers reach this root.
    pub(crate) fn queue(&self, root: RootId) -> u32 {
        self.wakers.iter().find(|waker| waker.root == root).map_or(0, |waker| waker.queue)
    }

    /// The time and the store, for the gate.
    pub(crate) fn proxy(&mut self) -> Proxy<'static> {
        Proxy { now: self.refresh(), store: &SharedData }
    }

    /// Hands what was counted and measured to the proxy.
    pub(crate) fn flush_metrics(&mut self, took: &[(Histogram, Duration)]) {
        let Worker { gate, metrics, .. } = self;
        let proxy = Proxy { now: self.now, store: &SharedData };
        gate.measure(proxy, &mut |metric, sample| report(metrics, metric, sample));
        for (histogram, time) in took {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            report(metrics, Metric::Histogram(*histogram), Sample::Record(millis));
        }
    }

    /// Takes this VM's part out of the proxy's gauges if no root is left.
    pub(crate) fn leave_gauges(&mut self) {
        if self.wakers.is_empty() {
            let Worker { gate, metrics, .. } = self;
            gate.measure_no_more(&mut |metric, sample| report(metrics, metric, sample));
        }
    }
}

fn report(metrics: &mut Sorted<Metric, u32>, metric: Metric, sample: Sample) {
    let kind = match metric {
        Metric::Counter(_) => MetricKind::Counter,
        Metric::Gauge(_) => MetricKind::Gauge,
        Metric::Histogram(_) => MetricKind::Histogram,
    };
    let id = match metrics.get(&metric) {
        Some(id) => Ok(*id),
        // Once a metric and VM: every definition of a name takes memory of the proxy.
        None => host::define_metric(kind, &metric.name()).inspect(|id| {
            metrics.insert(metric, *id);
        }),
    };
    let reported = id.and_then(|id| match sample {
        Sample::Add(more) => host::add_to_metric(id, more),
        Sample::Record(value) => host::record_metric(id, value),
    });
    if let Err(status) = reported {
        host::log(Level::Warn, &filled("portcullis: cannot report {}: {}", &[&metric.name(), &status.text()]));
    }
}
