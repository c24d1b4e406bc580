//! What of the filter's document fits an edge runtime, and what does not.

use crate::mistakes::{Remark, listed};
use alloc::{string::String, vec::Vec};
use evaluator::Direction;
use gate::{Config, Role};

/// Keys of the filter's document that mean nothing to an edge runtime, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("tag.filter_state", "there is no filter state here; the tag's header is written all the same"),
    ("lists.feeds", "feeds are not fetched here; what must be refused belongs into lists.deny"),
    ("notify", "webhooks are not told from here; the log has every denial"),
    ("select.routes", "there are no routes of a proxy here, so nothing is selected by them"),
    ("destination", "destinations are judged on egress only"),
    ("select.domains", "destinations are judged on egress only"),
    ("journal", "nothing looks back here"),
    ("cache.shared_slots", "isolates share no memory; give them a cache or a key-value store to share"),
];

/// What a document writes out that does nothing here.
pub(crate) fn without_effect(document: &[u8]) -> Vec<Remark<'static>> {
    let keys: Vec<_> = WITHOUT_EFFECT.iter().map(|(key, _)| *key).collect();
    let written = gate::written(document, &keys);
    let remark = |(path, message): &(&'static str, &'static str)| {
        written.contains(path).then_some(Remark { path, code: None, message })
    };
    WITHOUT_EFFECT.iter().filter_map(remark).collect()
}

/// What is right for the filter, and wrong where requests come in.
pub(crate) fn refused(config: &Config) -> Option<String> {
    let wrong = |path, message| Remark { path, code: Some("unknown_value"), message };
    let direction = (config.direction == Direction::Egress)
        .then(|| wrong("direction", "the peer of a request is the client here; the direction must be \"ingress\""));
    let role = (config.role != Role::Http)
        .then(|| wrong("role", "requests are judged here, and nothing else; the role must be \"http\""));
    let all: Vec<_> = direction.into_iter().chain(role).collect();
    (!all.is_empty()).then(|| listed(all.into_iter()))
}
