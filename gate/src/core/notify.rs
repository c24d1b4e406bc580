//! Notifications, as the proxy's callbacks drive them.

use super::Gate;
use super::outside::worth;
use crate::alert::{self, Alert};
use crate::cache::Fact;
use crate::hash::hash;
use crate::notify::{Notice, Surroundings};
use crate::{Config, Delivery, DeliveryId, Effects, Moment, Proxy, Receipt, RootId, Site, Subject};
use crate::{api, crew};
use core::time::Duration;

impl Gate {
    /// Takes in the webhook of a configuration that was loaded, if it has one.
    pub fn join_notify(&mut self, site: &Site) {
        if let Some(to) = &site.config.notify {
            self.notices.join(site.root, site.config.direction, to);
        }
    }

    /// Forgets the webhook of a configuration that is gone.
    pub fn leave_notify(&mut self, root: RootId, now: Moment) {
        self.notices.leave(root, now, &mut self.counters);
    }

    /// The message that this root is to send now, if there is one.
    pub fn next_delivery(&mut self, root: RootId, now: Moment, effects: &mut Effects) -> Option<Delivery> {
        self.notices.next_event()?;
        let random = self.random();
        let mut around = Surroundings { now, random, counters: &mut self.counters, effects };
        self.notices.next(root, &mut around)
    }

    /// A root that has a message to send now.
    pub fn next_notifier(&self, now: Moment) -> Option<RootId> {
        self.notices.next_root(now)
    }

    /// Takes the outcome of a try to deliver a message.
    pub fn delivered(&mut self, id: DeliveryId, receipt: &Receipt, now: Moment, effects: &mut Effects) {
        let random = self.random();
        let mut around = Surroundings { now, random, counters: &mut self.counters, effects };
        self.notices.delivered(id, receipt, &mut around);
    }

    /// Has webhooks told of what was learned about a peer, unless they know: what was known before is news again once it is
    /// too old to decide anything.
    pub(super) fn notify(
        &mut self,
        config: &Config,
        subject: &Subject,
        before: Option<Fact>,
        fact: &Fact,
        proxy: Proxy<'_>,
        effects: &mut Effects,
    ) {
        let Fact::Known { assessment, .. } = fact else { return };
        if !self.notices.is_wanted() {
            return;
        }
        let now = proxy.now.timestamp();
        let counts = |before: &Fact| {
            worth(config, before).is_some_and(|worth| Duration::from_secs(before.age(now).into()) < worth)
        };
        let before = match before.filter(counts) {
            Some(Fact::Known { assessment, .. }) => Some(assessment),
            _ => None,
        };
        let mut around = Surroundings { now: proxy.now, random: 0, counters: &mut self.counters, effects };
        self.notices.learn(subject, assessment, before.as_ref(), &mut around);
    }

    /// Has webhooks told of an event if this worker was the last to settle its part.
    pub(super) fn notify_of_end(&mut self, alert: &Alert, proxy: Proxy<'_>) {
        let Proxy { store, now } = proxy;
        if !self.notices.is_wanted()
            || alert::is_running(store, alert, &crew::members(store, now))
            || !alert::take_end(store, alert.number)
        {
            return;
        }
        let ended = api::ended(alert, &alert::parts(store, alert), now.timestamp());
        self.notices.tell(&Notice::Ended(ended), now, &mut self.counters);
    }

    /// A number that tells outsiders nothing of this worker's own.
    fn random(&mut self) -> u64 {
        hash((self.seed, self.worker.0), &self.next_jitter()).h1
    }
}
