//! The event loops of all threads as one queue in virtual time.
//!
//! Each thread handles its events in their order. Which thread is next, among those that have something to do at the same
//! moment, is the seed's choice: that is how the workers of a proxy interleave.

use crate::host::Random;
use std::collections::BTreeMap;

/// What a thread is to do.
#[derive(Debug)]
pub(crate) enum Task {
    Tick {
        vm: usize,
        context: u32,
        generation: u64,
    },
    QueueReady {
        vm: usize,
        context: u32,
        token: u32,
    },
    Callout(usize),
    /// A stream of the simulation goes on: what is due is in the stream.
    Stream {
        stream: usize,
        step: Step,
    },
}

/// What is due in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A request or connection comes in.
    Begin,
    /// A piece of the request's body, or bytes from a TCP client.
    Data { bytes: Vec<u8>, end: bool },
    /// The trailers of the request.
    Trailers,
    /// The upstream answers.
    Answer,
    /// Bytes from a TCP upstream.
    UpstreamData { bytes: Vec<u8>, end: bool },
    /// The client leaves.
    Leave,
    /// The proxy has waited long enough for the stream to end.
    Timeout,
}

/// The tasks of all threads.
#[derive(Debug)]
pub(crate) struct Tasks {
    threads: Vec<BTreeMap<(u64, u64), Task>>,
    count: u64,
}

impl Tasks {
    pub(crate) fn new(threads: usize) -> Tasks {
        Tasks { threads: (0..threads).map(|_| BTreeMap::new()).collect(), count: 0 }
    }

    pub(crate) fn add(&mut self, thread: usize, at: u64, task: Task) {
        self.count += 1;
        self.threads[thread].insert((at, self.count), task);
    }

    /// When the next task is due.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.threads.iter().filter_map(|tasks| tasks.first_key_value()).map(|((at, _), _)| *at).min()
    }

    /// Whether all that there is to do, ever, is ticks.
    pub(crate) fn only_ticks(&self) -> bool {
        self.threads.iter().flat_map(BTreeMap::values).all(|task| matches!(task, Task::Tick { .. }))
    }

    /// Takes the next task, with its thread and time.
    pub(crate) fn take(&mut self, random: &mut Random) -> Option<(usize, u64, Task)> {
        let at = self.next_at()?;
        let due =
            |tasks: &BTreeMap<(u64, u64), Task>| tasks.first_key_value().is_some_and(|((first, _), _)| *first == at);
        let count = self.threads.iter().filter(|tasks| due(tasks)).count();
        let chosen = if count > 1 { random.below(count as u64) as usize } else { 0 };
        let (thread, tasks) = self.threads.iter_mut().enumerate().filter(|(_, tasks)| due(tasks)).nth(chosen)?;
        let (_, task) = tasks.pop_first()?;
        Some((thread, at, task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        let mut tasks = Tasks::new(3);
        for number in 0..6 {
            tasks.add(number % 3, 5, Task::Callout(number));
        }
        tasks.add(0, 1, Task::Callout(99));
        tasks
    }

    fn order(seed: u64) -> Vec<usize> {
        let (mut tasks, mut random) = (tasks(), Random::new(seed));
        std::iter::from_fn(|| tasks.take(&mut random))
            .map(|(_, _, task)| match task {
                Task::Callout(number) => number,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn tasks_come_in_the_order_of_time_and_each_thread_keeps_its_own() {
        for seed in 0..50 {
            let order = order(seed);
            assert_eq!(order[0], 99, "the earliest is first");
            let place = |number| order.iter().position(|other| *other == number).unwrap();
            for thread in 0..3 {
                assert!(place(thread) < place(thread + 3), "seed {seed}: {order:?}");
            }
        }
    }

    #[test]
    fn the_seed_chooses_which_thread_is_next() {
        assert_eq!(order(1), order(1));
        let orders: std::collections::BTreeSet<_> = (0..20).map(order).collect();
        assert!(orders.len() > 5);
    }
}
