//! The document as a whole: every key but those of rules, scope and lists.

use super::control::{check_control, control, journal};
use super::form::{Choice, Flag, Form, OrNull, Size, Span, Whole};
use super::json::Json;
use super::keys::{Keys, Section};
use super::mistake::{At, MistakeKind, Mistakes};
use super::networks::{lists, scope};
use super::notify::notify;
use super::role::refuse_what_is_about_requests;
use super::rules::{DIRECTION, policy};
use super::select::select;
use super::text::{AUTHORITY, CLUSTER, HEADER, KEY, MESSAGE, NAMESPACE, STATE_NAME, VARIABLE};
use super::{
    Api, Budget, CacheLimits, Config, DenyReply, Destination, Fallback, FirstLook, Key, LogLevel, Mistake, Mode, Role,
    TagPlaces, Ttl,
};
use crate::SELF_TEST;
use evaluator::{Direction, JsonError, Profile};
use std::sync::Arc;
use std::time::Duration;

/// The form of the whole document.
pub(super) const DOCUMENT: Section<Config> = Section(config);

pub(super) fn read(bytes: &[u8]) -> Result<Config, Vec<Mistake>> {
    read_document(bytes, Json::parse(bytes))
}

pub(super) fn read_policy(bytes: &[u8]) -> Result<Config, Vec<Mistake>> {
    let mut document = Json::parse(bytes);
    if let Ok(Json::Object(members)) = &mut document
        && !members.iter().any(|(key, _)| **key == *"api")
    {
        members.push(("api".into(), Json::Object(vec![("cluster".into(), "none".into())])));
    }
    read_document(bytes, document)
}

fn read_document(bytes: &[u8], document: Result<Json, JsonError>) -> Result<Config, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let config = match document {
        Ok(document @ Json::Object(_)) => DOCUMENT.read(&document, &At::Document, &mut mistakes),
        Ok(_) => {
            let message = format!("the configuration must be an object, in {{ }} ({})", start(bytes));
            mistakes.add(&At::Document, MistakeKind::NotAnObject, message)
        }
        Err(_) if bytes.trim_ascii().is_empty() => {
            let message = "the configuration is empty; it needs at least \"api\": {\"cluster\": ...} (line 1 column 1)";
            mistakes.add(&At::Document, MistakeKind::NotJson, message.into())
        }
        Err(error) => {
            mistakes.add(&At::Document, MistakeKind::NotJson, format!("the configuration is not JSON: {error}"))
        }
    };
    match (config, mistakes.into_vec()) {
        (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
        (_, mistakes) => Err(mistakes),
    }
}

/// Where the document starts, blank space apart.
fn start(bytes: &[u8]) -> String {
    let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
    let (line, column) = blank.fold((1_usize, 1_usize), |(line, column), byte| match byte {
        b'\n' => (line.saturating_add(1), 1),
        _ => (line, column.saturating_add(1)),
    });
    format!("line {line} column {column}")
}

pub(super) const MODE: Choice<Mode> = Choice(&[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)]);
pub(super) const FALLBACK: Choice<Fallback> = Choice(&[("allow", Fallback::Allow), ("deny", Fallback::Deny)]);
pub(super) const HOLD: Span = Span { least: Duration::ZERO, most: Duration::from_secs(60) };

fn config(keys: &mut Keys<'_>) -> Option<Config> {
    const ROLE: Choice<Role> = Choice(&[("http", Role::Http), ("network", Role::Network), ("control", Role::Control)]);
    const DESTINATION: Choice<Destination> = Choice(&[("address", Destination::Address), ("name", Destination::Name)]);
    const LOG: Choice<LogLevel> =
        Choice(&[("none", LogLevel::None), ("denials", LogLevel::Denials), ("all", LogLevel::All)]);
    let role = keys.or("role", ROLE, "http");
    let mode = keys.or("mode", MODE, "enforce");
    let direction = keys.or("direction", DIRECTION, "ingress");
    let destination = keys.or("destination", DESTINATION, "address");
    let api = keys.section("api", api);
    let first_look = keys.section("first_look", first_look);
    let on_error = keys.or("on_error", FALLBACK, "allow");
    let cache = keys.section("cache", cache);
    let policy = keys.section("policy", policy);
    let scope = keys.section("scope", scope);
    let select = keys.section("select", select);
    let lists = keys.section("lists", lists);
    let tag = keys.section("tag", tag);
    let deny = keys.section("deny", deny);
    let log = keys.or("log", LOG, "denials");
    let notify = keys.optional("notify", Section(notify));
    let route_metadata = keys.or("route_metadata", OrNull(NAMESPACE), Json::Null);
    let journal = keys.section("journal", journal);
    let control = keys.optional("control", Section(control));
    let self_test = keys.or("self_test", Flag, false);
    if role == Some(Role::Network) {
        refuse_what_is_about_requests(keys);
    }
    check_control(keys, role, control.as_ref());
    if direction == Some(Direction::Ingress)
        && (destination == Some(Destination::Name)
            || select.as_ref().is_some_and(|select| select.domains)
            || lists.as_ref().is_some_and(|lists| !lists.allow_hosts.is_empty() || !lists.deny_hosts.is_empty()))
    {
        let (at, mistakes) = keys.parts();
        let message = "\"destination\": \"name\", \"select.domains\" and hosts on lists are about destinations: they need \
                       \"direction\": \"egress\"";
        mistakes.note(at, MistakeKind::Conflict, message.into());
    }
    let (direction, policy, (mut scope, host_scope), self_test) = (direction?, policy?, scope?, self_test?);
    if self_test {
        scope.treat_as_public(SELF_TEST);
    }
    let profile = policy.profile.unwrap_or_else(|| Some(Profile::default_for(direction)));
    Some(Config {
        role: role?,
        mode: mode?,
        direction,
        destination: destination?,
        api: api?,
        first_look: first_look?,
        on_error: on_error?,
        cache: cache?,
        block: policy.block,
        policy: policy.complete(profile),
        profile,
        scope,
        host_scope,
        select: select?,
        lists: Arc::new(lists?),
        tag: tag?,
        deny: deny?,
        log: log?,
        notify,
        route_metadata: route_metadata?,
        journal: journal?,
        control,
        self_test,
    })
}

fn api(keys: &mut Keys<'_>) -> Option<Api> {
    // The proxy takes a time-out of zero for "wait for ever".
    const TIMEOUT: Span = Span { least: Duration::from_millis(1), most: Duration::from_secs(60) };
    // Envoy itself reads at most 32 MiB of an answer to a callout.
    const BODY: Size = Size { least: 1 << 10, most: 32 << 20 };
    let cluster = keys.required("cluster", CLUSTER);
    let authority = keys.or("authority", AUTHORITY, "api.criminalip.io");
    let full = keys.or("full", Flag, true);
    let key_env = keys.optional("key_env", VARIABLE);
    let key = keys.optional("key", KEY);
    keys.exclude("key_env", "key");
    let timeout = keys.or("timeout", TIMEOUT, "5s");
    let max_body = keys.or("max_body", BODY, "4MiB");
    let concurrency = keys.or("concurrency", Whole { least: 1_u8, most: 64 }, 1);
    let budget = keys.section("budget", budget);
    Some(Api {
        cluster: cluster?,
        authority: authority?,
        full: full?,
        key: match (key_env, key) {
            (Some(name), _) => Key::Environment(name),
            (None, Some(secret)) => Key::Given(secret),
            (None, None) => Key::Injected,
        },
        timeout: timeout?,
        max_body: max_body?,
        concurrency: concurrency?,
        budget: budget?,
    })
}

fn budget(keys: &mut Keys<'_>) -> Option<Budget> {
    const LOOKUPS: OrNull<Whole<u32>> = OrNull(Whole { least: 0, most: 1_000_000_000 });
    let per_day = keys.or("per_day", LOOKUPS, Json::Null);
    let per_hour = keys.or("per_hour", LOOKUPS, Json::Null);
    let reserve_for_events = keys.or("reserve_for_events", Whole { least: 0, most: 1_000_000_000 }, 0);
    let (per_day, per_hour, reserve_for_events) = (per_day?, per_hour?, reserve_for_events?);
    if reserve_for_events > per_day.unwrap_or(0) {
        let (at, mistakes) = keys.parts();
        let message = match per_day {
            Some(most) => {
                format!("{reserve_for_events} is more than the day has; right would be at most per_day, {most}")
            }
            None => {
                format!("{reserve_for_events} of a day without a limit; right would be a per_day of at least as many")
            }
        };
        return mistakes.add(&At::Key(at, "reserve_for_events"), MistakeKind::OutOfRange, message);
    }
    let per_hour = per_hour.or(per_day.map(|per_day| per_day.div_ceil(4)));
    Some(Budget { per_day, per_hour, reserve_for_events })
}

fn first_look(keys: &mut Keys<'_>) -> Option<FirstLook> {
    let hold = keys.or("hold", HOLD, "750ms");
    let then = keys.or("then", FALLBACK, "allow");
    let max_held = keys.or("max_held", Whole { least: 1, most: 65_536 }, 256);
    Some(FirstLook { hold: hold?, then: then?, max_held: max_held? })
}

fn cache(keys: &mut Keys<'_>) -> Option<CacheLimits> {
    let entries = keys.or("entries", Whole { least: 1, most: 10_000_000 }, 100_000);
    let shared_slots = keys.or("shared_slots", Whole { least: 4, most: 1_000_000 }, 16_384);
    let ttl = keys.section("ttl", ttl);
    let stale = keys.or("stale", Span { least: Duration::ZERO, most: Duration::from_secs(30 * 86_400) }, "24h");
    Some(CacheLimits { entries: entries?, shared_slots: shared_slots?, stale: stale?, ttl: ttl? })
}

fn ttl(keys: &mut Keys<'_>) -> Option<Ttl> {
    const LEAST: Duration = Duration::from_secs(1);
    const FACTS: Span = Span { least: LEAST, most: Duration::from_secs(30 * 86_400) };
    let clean = keys.or("clean", FACTS, "12h");
    let suspicious = keys.or("suspicious", FACTS, "12h");
    let malicious = keys.or("malicious", FACTS, "24h");
    let error = keys.or("error", Span { least: LEAST, most: Duration::from_secs(3_600) }, "30s");
    Some(Ttl { clean: clean?, suspicious: suspicious?, malicious: malicious?, error: error? })
}

fn tag(keys: &mut Keys<'_>) -> Option<TagPlaces> {
    let request_header = keys.or("request_header", HEADER, "x-criminalip");
    let response_header = keys.or("response_header", OrNull(HEADER), Json::Null);
    let filter_state = keys.or("filter_state", OrNull(STATE_NAME), "criminalip");
    Some(TagPlaces { request_header: request_header?, response_header: response_header?, filter_state: filter_state? })
}

fn deny(keys: &mut Keys<'_>) -> Option<DenyReply> {
    let status = keys.or("status", Whole { least: 400_u16, most: 599 }, 403);
    let message = keys.or("message", MESSAGE, "Access denied");
    Some(DenyReply { status: status?, message: message? })
}
