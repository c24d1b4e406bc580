//! `role`: what a configuration for connections cannot say.

use super::json::Json;
use super::keys::Keys;
use super::mistake::{At, MistakeKind, Mistakes};

const NO_REQUESTS: &str = "this is about requests, and with \"role\": \"network\" there are none; leave it out";

/// Notes what is said of requests where connections are judged: it would do nothing.
pub(super) fn refuse_what_is_about_requests(keys: &mut Keys<'_>) {
    let [deny, routes, tag, select, policy] =
        ["deny", "route_metadata", "tag", "select", "policy"].map(|key| keys.find(key));
    let (at, mistakes) = keys.parts();
    refuse(deny, &At::Key(at, "deny"), NO_REQUESTS, mistakes);
    refuse(routes, &At::Key(at, "route_metadata"), NO_REQUESTS, mistakes);
    refuse_in(tag, &["request_header", "response_header"], &At::Key(at, "tag"), mistakes);
    let select_at = At::Key(at, "select");
    refuse_in(select, &["routes"], &select_at, mistakes);
    for (index, group) in items(select, "all_of") {
        refuse_in(Some(group), &["routes"], &At::Index(&At::Key(&select_at, "all_of"), index), mistakes);
    }
    let rules_at = At::Key(&At::Key(at, "policy"), "rules");
    for (index, rule) in items(policy, "rules") {
        let when_at = At::Key(&At::Index(&rules_at, index), "when");
        refuse_in(rule.member("when"), &["path_prefix", "method"], &when_at, mistakes);
    }
}

/// The items of the list that an object has under this name.
fn items<'j>(object: Option<&'j Json>, name: &str) -> impl Iterator<Item = (usize, &'j Json)> {
    let list = match object.and_then(|object| object.member(name)) {
        Some(Json::Array(items)) => &**items,
        _ => &[],
    };
    list.iter().enumerate()
}

fn refuse_in(object: Option<&Json>, keys: &[&str], at: &At<'_>, mistakes: &mut Mistakes) {
    for key in keys {
        refuse(object.and_then(|object| object.member(key)), &At::Key(at, key), NO_REQUESTS, mistakes);
    }
}

/// Notes that a key is there, and why it should not be.
pub(super) fn refuse(found: Option<&Json>, at: &At<'_>, why: &str, mistakes: &mut Mistakes) {
    if found.is_some() {
        mistakes.note(at, MistakeKind::Conflict, why.into());
    }
}
