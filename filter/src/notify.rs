//! Notifications: the root's callouts for them, and what comes back.

use crate::callout::{self, Broken};
use crate::worker::Worker;
use core::time::Duration;
use evaluator::decimal;
use gate::{
    Delivery, DeliveryError, DeliveryId, Effects, Notify, Proxy, Receipt, RootId, Secret, Sorted, WebhookPath,
    WebhookSecret, sign_webhook,
};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The messages of one root.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// What they are signed with.
    pub(crate) secret: Option<WebhookSecret>,
    /// The path that the environment has for them.
    pub(crate) path: Option<Secret>,
    /// By the proxy's callout tokens.
    sent: Sorted<u32, DeliveryId>,
}

impl Deliveries {
    /// The message that was answered.
    pub(crate) fn answered(&mut self, token: u32) -> Option<DeliveryId> {
        self.sent.remove(&token)
    }

    /// Sends what this root is to send now, and wakes the root that has something to send as well.
    pub(crate) fn send(&mut self, root: RootId, worker: &mut Worker, proxy: Proxy<'_>, effects: &mut Effects) {
        while let Some(delivery) = worker.gate.next_delivery(root, proxy.now, effects) {
            match self.dispatch(&delivery, proxy) {
                Some(token) => {
                    self.sent.insert(token, delivery.id);
                }
                None => {
                    let receipt = Receipt { outcome: Err(DeliveryError::NotSent), retry_after: None };
                    worker.gate.delivered(delivery.id, &receipt, proxy.now, effects);
                }
            }
        }
        if let Some(other) = worker.gate.next_notifier(proxy.now) {
            worker.wake(other);
        }
    }

    fn dispatch(&self, delivery: &Delivery, proxy: Proxy<'_>) -> Option<u32> {
        let Notify { cluster, authority, path, .. } = &*delivery.to;
        let path = match path {
            WebhookPath::Given(path) => path,
            WebhookPath::Environment(_) => self.path.as_ref()?,
        };
        let at = proxy.now.timestamp();
        let time = decimal(at.unix().into());
        let mut headers = vec![
            (":method", "POST"),
            (":path", path.expose()),
            (":authority", authority),
            ("content-type", "application/json"),
            ("webhook-id", &delivery.message_id),
            ("webhook-timestamp", &time),
        ];
        let signature =
            self.secret.as_ref().map(|secret| sign_webhook(secret, &delivery.message_id, at, &delivery.body));
        if let Some(signature) = &signature {
            headers.push(("webhook-signature", signature));
        }
        callout::send(cluster, headers, Some(delivery.body.as_bytes()), TIMEOUT)
    }
}

/// Reads the answer to a message.
pub(crate) fn read(headers: usize) -> Receipt {
    let outcome = match callout::status(headers) {
        Ok(status) => DeliveryError::of_status(status),
        Err(Broken::Reset) => Err(DeliveryError::Reset),
        Err(Broken::TimedOut) => Err(DeliveryError::TimedOut),
        Err(Broken::Connection) => Err(DeliveryError::Connection),
    };
    Receipt { outcome, retry_after: callout::retry_after() }
}
