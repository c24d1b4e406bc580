//! Notifications: a webhook is told of peers as soon as something bad is learned about them.
//!
//! The worker whose lookup learned it tells, so that it is told once for the whole proxy. What is to be told waits in a
//! bounded queue, goes out in batches, and is tried again when it does not arrive; nothing else waits for that.

mod message;
mod outbox;
mod signature;
#[cfg(test)]
mod tests;

pub use signature::{WebhookSecret, sign_webhook};

use crate::metrics::Counters;
use crate::{Counter, Effects, Moment, Notify, RootId, Subject};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Assessment, Class, Direction};
use message::PeerNotice;
pub(crate) use message::{Ended, Notice};
use outbox::Outbox;

/// Why a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryError {
    /// The proxy did not send it: the cluster is unknown, has no host, or its circuit breaker is open.
    NotSent,
    /// No answer in time.
    TimedOut,
    /// No connection.
    Connection,
    /// The connection broke in the middle of the answer.
    Reset,
    /// The receiver cannot take it now: status 408, 425, 429, or one of 500 and above.
    Busy,
    /// The receiver does not want it: any other status but those of 200 to 299. It is not tried again.
    Refused,
}

impl DeliveryError {
    /// Every reason.
    pub const ALL: [DeliveryError; 6] = [
        DeliveryError::NotSent,
        DeliveryError::TimedOut,
        DeliveryError::Connection,
        DeliveryError::Reset,
        DeliveryError::Busy,
        DeliveryError::Refused,
    ];

    /// What an HTTP status says about a message.
    ///
    /// # Errors
    /// Every status but those of success.
    pub const fn of_status(status: u16) -> Result<(), DeliveryError> {
        match status {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500.. => Err(DeliveryError::Busy),
            _ => Err(DeliveryError::Refused),
        }
    }

    /// The stable code, as metrics and logs write it.
    pub const fn code(self) -> &'static str {
        match self {
            DeliveryError::NotSent => "not_sent",
            DeliveryError::TimedOut => "timeout",
            DeliveryError::Connection => "connection",
            DeliveryError::Reset => "reset",
            DeliveryError::Busy => "busy",
            DeliveryError::Refused => "refused",
        }
    }
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver did not want it.
    Refused,
    /// It was tried again for an hour.
    GivenUp,
    /// It had to make room for newer ones.
    Overflow,
    /// No configuration wants it told any more.
    Abandoned,
}

impl Fate {
    /// Every fate.
    pub const ALL: [Fate; 5] = [Fate::Delivered, Fate::Refused, Fate::GivenUp, Fate::Overflow, Fate::Abandoned];

    /// The stable code, as metrics write it.
    pub const fn code(self) -> &'static str {
        match self {
            Fate::Delivered => "delivered",
            Fate::Refused => "refused",
            Fate::GivenUp => "given_up",
            Fate::Overflow => "overflow",
            Fate::Abandoned => "abandoned",
        }
    }
}

/// Names one try to deliver a message within a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryId(u32);

/// A message to send now.
#[derive(Debug)]
pub struct Delivery {
    /// To be handed back with the outcome.
    pub id: DeliveryId,
    /// Where to.
    pub to: Arc<Notify>,
    /// What the receiver knows it by: the same at each try.
    pub message_id: Box<str>,
    /// What it says, as JSON.
    pub body: Rc<str>,
}

/// How a try to deliver a message ended.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// Whether it arrived.
    pub outcome: Result<(), DeliveryError>,
    /// How long the receiver asks callers to wait.
    pub retry_after: Option<Duration>,
}

/// What one worker has to tell.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    joined: Vec<Joined>,
    outboxes: Vec<Outbox>,
    next_id: u32,
}

/// What one configuration wants to be told.
#[derive(Debug)]
struct Joined {
    root: RootId,
    direction: Direction,
    to: Arc<Notify>,
}

/// What notices read and write beside themselves.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Moment,
    /// Random.
    pub(crate) random: u64,
    pub(crate) counters: &'a mut Counters,
    pub(crate) effects: &'a mut Effects,
}

impl Notices {
    /// Takes in the webhook of a configuration.
    pub(crate) fn join(&mut self, root: RootId, direction: Direction, to: &Arc<Notify>) {
        self.joined.retain(|joined| joined.root != root);
        self.joined.push(Joined { root, direction, to: Arc::clone(to) });
        if self.outboxes.iter().all(|outbox| outbox.target() != to.id) {
            self.outboxes.push(Outbox::new(to.id));
        }
    }

    /// Forgets the webhook of a configuration that is gone. What its root has sent and not heard of, another sends again.
    pub(crate) fn leave(&mut self, root: RootId, now: Moment, counters: &mut Counters) {
        self.joined.retain(|joined| joined.root != root);
        let joined = &self.joined;
        self.outboxes.retain_mut(|outbox| {
            outbox.forget_sender(root, now);
            let wanted = joined.iter().any(|joined| joined.to.id == outbox.target());
            if !wanted {
                counters.add_many(Counter::Notification(Fate::Abandoned), outbox.len());
            }
            wanted
        });
    }

    /// Whether anybody wants to be told anything.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.joined.is_empty()
    }

    /// Has everybody told who wants to know of a peer of whom this was learned, and who did not know by what was known before.
    pub(crate) fn learn(
        &mut self,
        subject: &Subject,
        learned: &Assessment,
        before: Option<&Assessment>,
        around: &mut Surroundings<'_>,
    ) {
        for outbox in &mut self.outboxes {
            let mut joined = self.joined.iter().filter(|joined| joined.to.id == outbox.target());
            let news = joined.find(|joined| {
                let is_bad = |assessment: &Assessment| joined.wants(subject, assessment);
                is_bad(learned) && !before.is_some_and(is_bad)
            });
            if let Some(Joined { direction, .. }) = news {
                let peer = PeerNotice { subject: subject.clone(), direction: *direction, learned: *learned };
                outbox.add(Notice::Peer(peer), around.now, around.counters);
            }
        }
    }

    /// Has everybody told.
    pub(crate) fn tell(&mut self, notice: &Notice, now: Moment, counters: &mut Counters) {
        self.outboxes.iter_mut().for_each(|outbox| outbox.add(notice.clone(), now, counters));
    }

    /// The message that this root is to send now, if there is one.
    pub(crate) fn next(&mut self, root: RootId, around: &mut Surroundings<'_>) -> Option<Delivery> {
        let to = &self.joined.iter().find(|joined| joined.root == root)?.to;
        let outbox = self.outboxes.iter_mut().find(|outbox| outbox.target() == to.id)?;
        let id = DeliveryId(self.next_id);
        let (message_id, body) = outbox.send(id, root, to, around)?;
        self.next_id = self.next_id.wrapping_add(1);
        Some(Delivery { id, to: Arc::clone(to), message_id, body })
    }

    /// Takes the outcome of a try.
    pub(crate) fn delivered(&mut self, id: DeliveryId, receipt: &Receipt, around: &mut Surroundings<'_>) {
        if let Some(outbox) = self.outboxes.iter_mut().find(|outbox| outbox.awaits(id))
            && let Some(joined) = self.joined.iter().find(|joined| joined.to.id == outbox.target())
        {
            outbox.settle(receipt, &joined.to, around);
        }
    }

    /// A root that has a message to send now.
    pub(crate) fn next_root(&self, now: Moment) -> Option<RootId> {
        let due = self.outboxes.iter().find(|outbox| outbox.is_due(now))?;
        self.joined.iter().find(|joined| joined.to.id == due.target()).map(|joined| joined.root)
    }

    /// The next moment at which there is something to send.
    pub(crate) fn next_event(&self) -> Option<Moment> {
        self.outboxes.iter().filter_map(Outbox::next_event).min()
    }
}

impl Joined {
    /// Whether this is bad enough to be told. A domain has no score: it is on Criminal IP's list of malicious domains or not.
    fn wants(&self, subject: &Subject, assessment: &Assessment) -> bool {
        match subject {
            Subject::Address(_) => assessment.score.toward(self.direction) >= Some(self.to.min_score),
            Subject::Domain(_) => assessment.class() == Class::Malicious,
        }
    }
}
