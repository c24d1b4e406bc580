//! `role`: what a configuration for connections cannot say.

use super::keys::Keys;

/// Notes what is said of requests where connections are judged: it would do nothing.
pub(super) fn refuse_what_is_about_requests(keys: &mut Keys<'_>) {
    refuse(keys, &["deny", "route_metadata"]);
    refuse(&mut keys.within("tag"), &["request_header", "response_header"]);
    let mut select = keys.within("select");
    refuse(&mut select, &["routes"]);
    select.each_within("all_of", |mut group| refuse(&mut group, &["routes"]));
    keys.within("policy").each_within("rules", |mut rule| refuse(&mut rule.within("when"), &["path_prefix", "method"]));
}

fn refuse(keys: &mut Keys<'_>, names: &[&str]) {
    keys.refuse(names, "this is about requests, and with \"role\": \"network\" there are none; leave it out");
}
