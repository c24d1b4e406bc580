//! Decides when to ask Criminal IP, what to remember, and who waits.
//!
//! The gate is the decision core of one worker of the proxy. It does no input or output of its own: streams, answers and
//! the time go in, decisions and lookups come out. It calls the evaluator, but does not know how a report becomes a
//! verdict; it knows nothing of proxy-wasm or Envoy. The crate is `no_std`: the module of the filter is, to be small.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::disallowed_macros
    )
)]

#[macro_use]
extern crate alloc;

mod alert;
mod api;
mod audit;
mod backoff;
mod cache;
mod config;
mod connections;
mod core;
mod crew;
mod decision;
mod events;
mod feed;
mod hash;
mod index;
mod journal;
mod ledger;
mod lookup;
mod metrics;
mod moment;
mod notify;
mod overrides;
mod record;
mod remote;
mod reply;
mod sorted;
mod store;
mod subject;
mod table;
mod waiter;
mod wanted;
mod writer;

pub use crate::core::{Gate, SELF_TEST};
pub use api::{CONTROL_MAX_BODY, Call, Caller, Credential, Head, Reply, SHORTEST_TOKEN};
pub use config::*;
pub use decision::{Decision, ListEntry, Reason, Skip};
pub use events::{Admitted, Answer, Consulted, Effects, Lookup, News, Proxy, Release, RootId, Site, StreamId};
pub use feed::{FEED_MAX_BODY, FeedError, FeedOutcome, Fetch, FetchId, Named, Page, Refusal, read_feed};
pub use journal::Place;
pub use ledger::{Halt, Priority, Status, WorkerId};
pub use lookup::{LookupError, LookupId};
pub use metrics::{Counter, Found, Gauge, Histogram, Metric, RouteMetadata, Sample};
pub use moment::Moment;
pub use notify::{Delivery, DeliveryError, DeliveryId, Fate, Receipt, WebhookSecret, sign_webhook};
pub use remote::Remote;
pub use reply::{Format, body};
pub use sorted::Sorted;
pub use store::{Conflict, Store, Version};
pub use subject::{Subject, SubjectId};
pub use writer::Writer;
