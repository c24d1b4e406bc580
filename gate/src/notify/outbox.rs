//! What is to be told to one webhook: a queue, the batch that is being delivered, and when to try.

use super::message::{self, Notice};
use super::{DeliveryError, DeliveryId, Fate, Receipt, Surroundings};
use crate::backoff::backoff;
use crate::metrics::Counters;
use crate::{Counter, Moment, Notify, RootId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::decimal;

/// How many notices wait at most.
pub(super) const QUEUE: usize = 256;
/// How many one message has at most: Slack shows no more than 50 blocks.
pub(super) const BATCH: usize = 20;
/// How long notices wait for more, and messages for the one before: Slack takes one a second.
pub(super) const GATHER: Duration = Duration::from_secs(1);
/// How long the proxy waits for an answer, and some: then it has lost it.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(15);
/// The first pause before a message is tried again; twice as long each time after, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that a receiver can ask for.
const RETRY_AFTER: Duration = Duration::from_secs(300);
/// How long a message is tried.
pub(super) const GIVE_UP: Duration = Duration::from_secs(3_600);

/// What is to be told to one webhook.
#[derive(Debug)]
pub(super) struct Outbox {
    target: u64,
    queue: VecDeque<Notice>,
    /// How many had to make room since the last message was made.
    dropped: u32,
    /// What is being delivered.
    batch: Option<Batch>,
    /// Nothing is sent before.
    not_before: Moment,
    sent: Option<Sent>,
    /// How the last try failed, if it did.
    failing: Option<DeliveryError>,
}

#[derive(Debug)]
struct Batch {
    id: Box<str>,
    body: Rc<str>,
    count: u32,
    made: Moment,
    tries: u32,
}

/// A try whose outcome is to come.
#[derive(Debug)]
struct Sent {
    id: DeliveryId,
    root: RootId,
    lost_at: Moment,
}

impl Outbox {
    pub(super) fn new(target: u64) -> Outbox {
        Outbox {
            target,
            queue: VecDeque::new(),
            dropped: 0,
            batch: None,
            not_before: Moment::default(),
            sent: None,
            failing: None,
        }
    }

    /// The webhook.
    pub(super) fn target(&self) -> u64 {
        self.target
    }

    /// How many notices it has.
    pub(super) fn len(&self) -> u64 {
        let batch = self.batch.as_ref().map_or(0, |batch| u64::from(batch.count));
        u64::try_from(self.queue.len()).unwrap_or(u64::MAX).saturating_add(batch)
    }

    /// Takes a notice in.
    pub(super) fn add(&mut self, notice: Notice, now: Moment, counters: &mut Counters) {
        if self.queue.is_empty() && self.batch.is_none() {
            self.not_before = now.after(GATHER);
        }
        self.queue.push_back(notice);
        if self.queue.len() > QUEUE {
            self.queue.pop_front();
            self.dropped = self.dropped.saturating_add(1);
            counters.add(Counter::Notification(Fate::Overflow));
        }
    }

    /// The next moment at which there is something to do.
    pub(super) fn next_event(&self) -> Option<Moment> {
        match &self.sent {
            Some(sent) => Some(sent.lost_at),
            None => (self.batch.is_some() || !self.queue.is_empty()).then_some(self.not_before),
        }
    }

    /// Whether there is something to do now.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.next_event().is_some_and(|next| !next.is_ahead_of(now, RETRY_AFTER))
    }

    /// What is to be sent now, if anything is: the name of a message, and what it says.
    pub(super) fn send(
        &mut self,
        id: DeliveryId,
        root: RootId,
        to: &Notify,
        around: &mut Surroundings<'_>,
    ) -> Option<(Box<str>, Rc<str>)> {
        let now = around.now;
        if !self.is_due(now) {
            return None;
        }
        if self.sent.is_some() {
            let lost = Receipt { outcome: Err(DeliveryError::TimedOut), retry_after: None };
            self.settle(&lost, to, around);
            return None;
        }
        if self.batch.is_none() {
            let notices: Vec<_> = core::iter::from_fn(|| self.queue.pop_front()).take(BATCH).collect();
            let name = message::name(around.random);
            let body = message::write(to.format, &name, &notices, self.dropped, now.timestamp());
            let count = u32::try_from(notices.len()).unwrap_or(u32::MAX);
            self.dropped = 0;
            self.batch = Some(Batch { id: name, body: body.into(), count, made: now, tries: 0 });
        }
        let batch = self.batch.as_mut()?;
        batch.tries = batch.tries.saturating_add(1);
        self.sent = Some(Sent { id, root, lost_at: now.after(LOST_AFTER) });
        Some((batch.id.clone(), Rc::clone(&batch.body)))
    }

    /// Whether this try's outcome is to come.
    pub(super) fn awaits(&self, id: DeliveryId) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.id == id)
    }

    /// Sends again what this root has sent, since it will not hear of it.
    pub(super) fn forget_sender(&mut self, root: RootId, now: Moment) {
        if self.sent.as_ref().is_some_and(|sent| sent.root == root) {
            self.sent = None;
            self.not_before = now;
        }
    }

    /// Takes the outcome of the try.
    pub(super) fn settle(&mut self, receipt: &Receipt, to: &Notify, around: &mut Surroundings<'_>) {
        let Surroundings { now, random, counters, effects } = around;
        self.sent = None;
        self.not_before = now.after(GATHER);
        counters.add(Counter::Delivery(receipt.outcome));
        let Some(batch) = &self.batch else { return };
        let fate = match receipt.outcome {
            Ok(()) => Some(Fate::Delivered),
            Err(DeliveryError::Refused) => Some(Fate::Refused),
            Err(_) if batch.made.until(*now) >= GIVE_UP => Some(Fate::GivenUp),
            Err(_) => None,
        };
        let error = receipt.outcome.err();
        if error != self.failing || fate.is_some_and(|fate| fate != Fate::Delivered) {
            let outcome = fate.map_or(error.map_or("", DeliveryError::code), Fate::code);
            effects.say(error.is_some(), line(&to.authority, outcome, batch));
        }
        self.failing = error;
        match fate {
            Some(fate) => {
                counters.add_many(Counter::Notification(fate), batch.count.into());
                self.batch = None;
            }
            None => self.not_before = now.after(pause(batch.tries, receipt.retry_after, *random)),
        }
    }
}

/// How long to wait after so many tries.
fn pause(tries: u32, retry_after: Option<Duration>, random: u64) -> Duration {
    let pause = backoff(PAUSE, LONGEST_PAUSE, tries.saturating_sub(1), random);
    pause.max(retry_after.unwrap_or_default().min(RETRY_AFTER))
}

/// The log's line about deliveries that begin or cease to fail, and about what is dropped. Stable: other programs read it.
fn line(to: &str, outcome: &str, batch: &Batch) -> String {
    let (count, tries) = (decimal(batch.count.into()), decimal(batch.tries.into()));
    // A host and a code need no escaping.
    let start = ["{\"event\":\"notify\",\"to\":\"", to, "\",\"outcome\":\"", outcome].concat();
    [&start, "\",\"notifications\":", &count, ",\"tries\":", &tries, "}"].concat()
}
