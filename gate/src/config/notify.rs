//! `notify`: where the proxy says what it has learned.

use super::Secret;
use super::form::{Choice, LevelNumber};
use super::keys::Keys;
use super::text::{AUTHORITY, CLUSTER, VARIABLE, WEBHOOK_PATH};
use crate::hash::hash;
use alloc::boxed::Box;
use evaluator::Level;

/// A webhook that is told of peers.
#[derive(Debug, PartialEq, Eq)]
pub struct Notify {
    /// The proxy's cluster that leads to it, 1 to 255 characters.
    pub cluster: Box<str>,
    /// The `:authority` of the requests.
    pub authority: Box<str>,
    /// The path, with its query.
    pub path: WebhookPath,
    /// The score from which on it is told: inbound on ingress, outbound on egress.
    pub min_score: Level,
    /// How messages are written.
    pub format: NotifyFormat,
    /// The environment variable that holds the secret which messages are signed with; `None` where they are not signed.
    pub secret_env: Option<Box<str>>,
    /// What tells it from all others: made of where it is and the format.
    pub(crate) id: u64,
}

impl Notify {
    /// The same with its `id`.
    pub(super) fn identified(self) -> Notify {
        let Notify { cluster, authority, path, format, .. } = &self;
        let place = match path {
            WebhookPath::Given(path) => (false, path.expose()),
            WebhookPath::Environment(variable) => (true, &**variable),
        };
        let id = hash((0, 0), &(cluster, authority, place, format)).h1;
        Notify { id, ..self }
    }
}

/// Where the path of a webhook comes from. Of Slack's webhooks it is what must not be known.
#[derive(Debug, PartialEq, Eq)]
pub enum WebhookPath {
    /// From the configuration.
    Given(Secret),
    /// From this environment variable of the VM.
    Environment(Box<str>),
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotifyFormat {
    /// One JSON object of our own.
    Json,
    /// As Slack's incoming webhooks take it.
    Slack,
    /// A JSON array of documents by the Elastic Common Schema.
    Ecs,
}

/// A webhook that is still to be [`Notify::identified`].
pub(super) fn notify(keys: &mut Keys<'_>) -> Notify {
    const FORMAT: Choice<NotifyFormat> =
        Choice::of(&["json", "slack", "ecs"], &[NotifyFormat::Json, NotifyFormat::Slack, NotifyFormat::Ecs]);
    let cluster = keys.required("cluster", &CLUSTER);
    let authority = keys.required("authority", &AUTHORITY);
    let path = keys.optional("path", &WEBHOOK_PATH).map(WebhookPath::Given);
    let path_env = keys.optional("path_env", &VARIABLE);
    keys.either("path", "path_env");
    let path = path.unwrap_or_else(|| WebhookPath::Environment(path_env.unwrap_or_default()));
    let min_score = keys.or("min_score", &LevelNumber, "80");
    let format = keys.or("format", &FORMAT, "json");
    let secret_env = keys.optional("secret_env", &VARIABLE);
    Notify { cluster, authority, path, min_score, format, secret_env, id: 0 }
}

/// Reads the path of a webhook that stands elsewhere than in the configuration. `None` where it is none.
pub fn webhook_path(text: &str) -> Option<Secret> {
    WEBHOOK_PATH.parse(text)
}
