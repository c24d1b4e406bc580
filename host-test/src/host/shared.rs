//! What all VMs of a proxy share: data by key, queues, metrics. Kept per VM id where Envoy keeps it so.

use super::abi::{MetricType, Status};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Values by key, each with the number of its last write.
type Values = BTreeMap<Vec<u8>, (Vec<u8>, u32)>;

/// Values by VM id and key.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: BTreeMap<Vec<u8>, Values>,
    writes: u32,
}

impl SharedData {
    /// The value and its number.
    pub(crate) fn read(&self, vm_id: &[u8], key: &[u8]) -> Option<(&[u8], u32)> {
        self.values.get(vm_id)?.get(key).map(|(value, number)| (value.as_slice(), *number))
    }

    /// Writes. With a number other than 0, a value that is there must still have it; one that is not there may be written
    /// with any number.
    pub(crate) fn write(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], number: u32) -> Result<(), Status> {
        let values = self.values.entry(vm_id.to_vec()).or_default();
        if let Some((_, current)) = values.get(key)
            && number != 0
            && number != *current
        {
            return Err(Status::CasMismatch);
        }
        self.writes = self.writes.wrapping_add(1).max(1);
        values.insert(key.to_vec(), (value.to_vec(), self.writes));
        Ok(())
    }

    /// How many keys a VM id has.
    pub(crate) fn keys(&self, vm_id: &[u8]) -> usize {
        self.values.get(vm_id).map_or(0, BTreeMap::len)
    }
}

/// Who is told that a queue is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueOwner {
    pub(crate) worker: usize,
    pub(crate) vm: usize,
    pub(crate) context: u32,
}

#[derive(Debug)]
struct Queue {
    vm_id: Vec<u8>,
    name: Vec<u8>,
    messages: VecDeque<Vec<u8>>,
    owner: QueueOwner,
}

/// Queues by number. Zero is none.
#[derive(Debug, Default)]
pub(crate) struct Queues(Vec<Queue>);

impl Queues {
    /// The queue of this name, made if there is none; from now on its owner is this one.
    pub(crate) fn register(&mut self, vm_id: &[u8], name: &[u8], owner: QueueOwner) -> u32 {
        match self.resolve(vm_id, name) {
            Some(token) => {
                self.0[token as usize - 1].owner = owner;
                token
            }
            None => {
                self.0.push(Queue { vm_id: vm_id.to_vec(), name: name.to_vec(), messages: VecDeque::new(), owner });
                u32::try_from(self.0.len()).unwrap_or(u32::MAX)
            }
        }
    }

    /// The number of the queue of this name.
    pub(crate) fn resolve(&self, vm_id: &[u8], name: &[u8]) -> Option<u32> {
        let place = self.0.iter().position(|queue| queue.vm_id == vm_id && queue.name == name)?;
        u32::try_from(place + 1).ok()
    }

    /// Adds a message; tells whom to wake.
    pub(crate) fn enqueue(&mut self, token: u32, message: &[u8]) -> Result<QueueOwner, Status> {
        let queue = self.queue(token)?;
        queue.messages.push_back(message.to_vec());
        Ok(queue.owner)
    }

    /// Takes the oldest message.
    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        self.queue(token)?.messages.pop_front().ok_or(Status::Empty)
    }

    /// How many messages wait in all queues.
    pub(crate) fn waiting(&self) -> usize {
        self.0.iter().map(|queue| queue.messages.len()).sum()
    }

    fn queue(&mut self, token: u32) -> Result<&mut Queue, Status> {
        (token as usize).checked_sub(1).and_then(|place| self.0.get_mut(place)).ok_or(Status::NotFound)
    }
}

/// A metric of the proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Its sum.
    Counter(u64),
    /// Its level.
    Gauge(u64),
    /// All values, in order.
    Histogram(Vec<u64>),
}

/// Metrics by kind and name. Envoy shows them as `wasmcustom.` and the name.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Vec<(Vec<u8>, Metric)>);

impl Metrics {
    /// The place of a metric, made if there is none of this kind and name.
    pub(crate) fn define(&mut self, kind: MetricType, name: &[u8]) -> usize {
        let metric = match kind {
            MetricType::Counter => Metric::Counter(0),
            MetricType::Gauge => Metric::Gauge(0),
            MetricType::Histogram => Metric::Histogram(Vec::new()),
        };
        let same = |(other, old): &(Vec<u8>, Metric)| {
            other == name && std::mem::discriminant(old) == std::mem::discriminant(&metric)
        };
        self.0.iter().position(same).unwrap_or_else(|| {
            self.0.push((name.to_vec(), metric));
            self.0.len() - 1
        })
    }

    /// Adds to a counter, which only grows, or a gauge.
    pub(crate) fn increment(&mut self, place: usize, offset: i64) -> Result<(), Status> {
        match &mut self.0[place].1 {
            Metric::Counter(value) if offset > 0 => *value = value.wrapping_add_signed(offset),
            Metric::Gauge(value) => *value = value.wrapping_add_signed(offset),
            _ => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// Adds to a counter, sets a gauge, or gives a histogram one more value.
    pub(crate) fn record(&mut self, place: usize, value: u64) {
        match &mut self.0[place].1 {
            Metric::Counter(sum) => *sum = sum.wrapping_add(value),
            Metric::Gauge(level) => *level = value,
            Metric::Histogram(values) => values.push(value),
        }
    }

    /// The value of a counter or gauge.
    pub(crate) fn read(&self, place: usize) -> Result<u64, Status> {
        match self.0[place].1 {
            Metric::Counter(value) | Metric::Gauge(value) => Ok(value),
            Metric::Histogram(_) => Err(Status::BadArgument),
        }
    }

    /// All of them with their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &Metric)> {
        self.0.iter().map(|(name, metric)| (name.as_slice(), metric))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: QueueOwner = QueueOwner { worker: 0, vm: 0, context: 1 };

    #[test]
    fn a_write_without_a_number_is_unconditional_and_one_with_a_number_needs_it() {
        let mut data = SharedData::default();
        assert_eq!(data.write(b"vm", b"key", b"first", 99), Ok(()), "what is not there has no number to match");
        let (_, number) = data.read(b"vm", b"key").unwrap();
        assert_eq!(data.write(b"vm", b"key", b"second", number), Ok(()));
        assert_eq!(data.write(b"vm", b"key", b"late", number), Err(Status::CasMismatch));
        assert_eq!(data.write(b"vm", b"key", b"blind", 0), Ok(()));
        assert_eq!(data.read(b"vm", b"key").unwrap().0, b"blind");
        assert_eq!(data.read(b"other vm", b"key"), None);
    }

    #[test]
    fn the_last_to_register_a_queue_owns_it_and_its_messages() {
        let mut queues = Queues::default();
        let token = queues.register(b"vm", b"q", OWNER);
        assert_eq!(queues.enqueue(token, b"m"), Ok(OWNER));
        let new = QueueOwner { worker: 1, ..OWNER };
        assert_eq!(queues.register(b"vm", b"q", new), token);
        assert_eq!(queues.enqueue(token, b"n"), Ok(new));
        assert_eq!((queues.dequeue(token), queues.dequeue(token)), (Ok(b"m".to_vec()), Ok(b"n".to_vec())));
        assert_eq!(queues.dequeue(token), Err(Status::Empty));
        assert_eq!(queues.dequeue(0), Err(Status::NotFound));
        assert_eq!(queues.resolve(b"other", b"q"), None);
    }

    #[test]
    fn counters_only_grow_and_histograms_are_only_recorded() {
        let mut metrics = Metrics::default();
        let counter = metrics.define(MetricType::Counter, b"a");
        assert_eq!(metrics.define(MetricType::Counter, b"a"), counter);
        let gauge = metrics.define(MetricType::Gauge, b"a");
        let histogram = metrics.define(MetricType::Histogram, b"a");
        assert_eq!(metrics.increment(counter, 2), Ok(()));
        assert_eq!(metrics.increment(counter, 0), Err(Status::BadArgument));
        assert_eq!(metrics.increment(gauge, -1), Ok(()));
        assert_eq!(metrics.increment(histogram, 1), Err(Status::BadArgument));
        metrics.record(histogram, 7);
        metrics.record(gauge, 7);
        assert_eq!((metrics.read(counter), metrics.read(gauge)), (Ok(2), Ok(7)));
        assert_eq!(metrics.read(histogram), Err(Status::BadArgument));
    }
}
