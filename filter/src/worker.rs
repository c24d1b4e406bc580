//! What all contexts of one VM share: the gate, the time, and the ways to wake a root.

use crate::host::{self, Level};
use gate::{Counter, Gate, Moment, RootId, StreamId};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The state of one worker's VM.
pub(crate) struct Worker {
    pub(crate) gate: Gate,
    /// The time of the last tick or callback that asked for it: exact enough for lifetimes, free on the warm path.
    pub(crate) now: Moment,
    /// Reused for every tag.
    pub(crate) tag: Vec<u8>,
    /// Tags for responses, where `tag.response_header` asks for them.
    pub(crate) response_tags: BTreeMap<StreamId, Vec<u8>>,
    /// Tells the queues of this VM from those of others in the proxy.
    nonce: u64,
    /// Live roots by the number of their queue's name. Numbers are used again, since queues cannot be deleted.
    wakers: BTreeMap<u32, Waker>,
    metrics: BTreeMap<Counter, u32>,
}

struct Waker {
    root: RootId,
    queue: u32,
    /// A message is under way.
    rung: bool,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::new(Worker {
        gate: Gate::new(host::entropy()),
        now: host::now().unwrap_or_default(),
        tag: Vec::new(),
        response_tags: BTreeMap::new(),
        nonce: host::entropy(),
        wakers: BTreeMap::new(),
        metrics: BTreeMap::new(),
    });
}

/// Gives the worker to `use_it`. `None` if it is in use further up the stack, which no callback of the proxy causes:
/// resuming and replying take effect after the callback.
pub(crate) fn with<R>(use_it: impl FnOnce(&mut Worker) -> R) -> Option<R> {
    WORKER.with(|worker| match worker.try_borrow_mut() {
        Ok(mut worker) => Some(use_it(&mut worker)),
        Err(_) => {
            host::log(Level::Error, "portcullis: the worker's state is in use; please report this");
            None
        }
    })
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
        if self.wakers.values().any(|waker| waker.root == root) {
            return;
        }
        let Some(slot) = (0..u32::MAX).find(|slot| !self.wakers.contains_key(slot)) else { return };
        match host::register_queue(&format!("portcullis/wake/{:016x}/{slot}", self.nonce)) {
            Ok(queue) => {
                self.wakers.insert(slot, Waker { root, queue, rung: false });
            }
            // The tick wakes the root as well, only later.
            Err(status) => host::log(Level::Warn, &format!("portcullis: no queue to wake the root by: {status}")),
        }
    }

    /// Forgets a root that is gone.
    pub(crate) fn remove_root(&mut self, root: RootId) {
        self.wakers.retain(|_, waker| waker.root != root);
    }

    /// Has the root called back within a turn of the proxy's event loop, to send its lookups.
    pub(crate) fn wake(&mut self, root: RootId) {
        if let Some(waker) = self.wakers.values_mut().find(|waker| waker.root == root)
            && !waker.rung
        {
            waker.rung = host::wake_queue(waker.queue).is_ok();
        }
    }

    /// Takes the messages that woke this root.
    pub(crate) fn woken(&mut self, root: RootId) {
        if let Some(waker) = self.wakers.values_mut().find(|waker| waker.root == root) {
            waker.rung = false;
            while host::take_from_queue(waker.queue).is_ok() {}
        }
    }

    /// Hands what was counted to the proxy.
    pub(crate) fn flush_counters(&mut self) {
        let metrics = &mut self.metrics;
        self.gate.counters.take(|counter, count| {
            let metric = match metrics.get(&counter) {
                Some(metric) => Ok(*metric),
                // Once a counter and VM: every definition of a name takes memory of the proxy.
                None => host::define_counter(&counter.name()).inspect(|metric| {
                    metrics.insert(counter, *metric);
                }),
            };
            if let Err(status) = metric.and_then(|metric| host::add_to_counter(metric, count)) {
                host::log(Level::Warn, &format!("portcullis: cannot count {}: {status}", counter.name()));
            }
        });
    }
}
