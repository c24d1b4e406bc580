//! The document as a whole: every key but those of rules, scope and lists.

use super::control::{check_control, control, journal};
use super::form::{Choice, Flag, Form, OrNull, Size, Span, Whole};
use super::json::Json;
use super::keys::{Keys, Section};
use super::mistake::{MistakeKind, Mistakes};
use super::networks::{WrittenLists, WrittenScope, lists, scope};
use super::notify::notify;
use super::role::refuse_what_is_about_requests;
use super::rules::{DIRECTION, complete, policy};
use super::select::{WrittenSelect, select};
use super::text::{AUTHORITY, CLUSTER, HEADER, KEY, MESSAGE, NAMESPACE, STATE_NAME, VARIABLE};
use super::{
    Api, Budget, CacheLimits, Config, DenyReply, Destination, Fallback, FirstLook, Judging, Key, LogLevel, Mistake,
    Mode, Notify, Role, TagPlaces, Ttl,
};
use crate::SELF_TEST;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Direction, JsonError, Profile, Scope, decimal, filled};

/// The form of the whole document.
pub(super) const DOCUMENT: Section<Written> = Section(written);

/// A document in which all is right. What much code makes of it is not made yet: who only judges need not have that code.
pub(super) struct Written {
    /// All but what the others become.
    rest: Config,
    scope: WrittenScope,
    select: WrittenSelect,
    lists: WrittenLists,
    notify: Option<Notify>,
}

impl Written {
    fn made(self) -> Config {
        let (mut scope, host_scope) = self.scope.made();
        if self.rest.self_test {
            scope.treat_as_public(SELF_TEST);
        }
        Config {
            scope,
            host_scope: Arc::new(host_scope),
            select: Arc::new(self.select.made()),
            lists: Arc::new(self.lists.made()),
            notify: self.notify.map(|notify| Arc::new(notify.identified())),
            ..self.rest
        }
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Config, Vec<Mistake>> {
    read_document(bytes, Json::parse(bytes)).map(Written::made)
}

pub(super) fn read_judging(bytes: &[u8]) -> Result<Judging, Vec<Mistake>> {
    let mut document = Json::parse(bytes);
    if let Ok(Json::Object(members)) = &mut document
        && !members.iter().any(|(key, _)| **key == *"api")
    {
        members.push(("api".into(), Json::Object(vec![("cluster".into(), Json::Text("none".into()))])));
    }
    let Written { rest: Config { direction, policy, profile, .. }, .. } = read_document(bytes, document)?;
    Ok(Judging { direction, policy, profile })
}

fn read_document(bytes: &[u8], document: Result<Json, JsonError>) -> Result<Written, Vec<Mistake>> {
    let (kind, message) = match document {
        Ok(document @ Json::Object(_)) => return read_as(&DOCUMENT, &document),
        Ok(_) => {
            let message = filled("the configuration must be an object, in {} ({})", &["{ }", &start(bytes)]);
            (MistakeKind::NotAnObject, message)
        }
        Err(_) if bytes.trim_ascii().is_empty() => {
            let message = "the configuration is empty; it needs at least \"api\": {\"cluster\": ...} (line 1 column 1)";
            (MistakeKind::NotJson, message.into())
        }
        Err(error) => return Err(not_json("configuration", error)),
    };
    Err(vec![Mistake { path: String::new(), kind, message }])
}

/// Reads what is called this, and is JSON of this form.
pub(super) fn parse_as<F: Form>(form: &F, bytes: &[u8], what: &str) -> Result<F::Value, Vec<Mistake>> {
    match Json::parse(bytes) {
        Ok(document) => read_as(form, &document),
        Err(error) => Err(not_json(what, error)),
    }
}

fn not_json(what: &str, error: JsonError) -> Vec<Mistake> {
    let message = filled("the {} is not JSON: {}", &[what, &error.message()]);
    vec![Mistake { path: String::new(), kind: MistakeKind::NotJson, message }]
}

/// Reads a whole document of this form.
pub(super) fn read_as<F: Form>(form: &F, document: &Json) -> Result<F::Value, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    let value = form.read(document, &mut mistakes);
    mistakes.into_result(value)
}

/// Where the document starts, blank space apart.
fn start(bytes: &[u8]) -> String {
    let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
    let (line, column) = blank.fold((1_u64, 1_u64), |(line, column), byte| match byte {
        b'\n' => (line.saturating_add(1), 1),
        _ => (line, column.saturating_add(1)),
    });
    filled("line {} column {}", &[&decimal(line), &decimal(column)])
}

pub(super) const MODE: Choice<Mode> = Choice::of(&["enforce", "shadow"], &[Mode::Enforce, Mode::Shadow]);
pub(super) const FALLBACK: Choice<Fallback> = Choice::of(&["allow", "deny"], &[Fallback::Allow, Fallback::Deny]);
pub(super) const HOLD: Span = Span { least: Duration::ZERO, most: Duration::from_secs(60) };

fn written(keys: &mut Keys<'_>) -> Written {
    const ROLE: Choice<Role> = Choice::of(&["http", "network", "control"], &[Role::Http, Role::Network, Role::Control]);
    const DESTINATION: Choice<Destination> =
        Choice::of(&["address", "name"], &[Destination::Address, Destination::Name]);
    const LOG: Choice<LogLevel> =
        Choice::of(&["none", "denials", "all"], &[LogLevel::None, LogLevel::Denials, LogLevel::All]);
    let role = keys.or("role", &ROLE, "http");
    let mode = keys.or("mode", &MODE, "enforce");
    let direction = keys.or("direction", &DIRECTION, "ingress");
    let destination = keys.or("destination", &DESTINATION, "address");
    let api = keys.section("api", api);
    let first_look = keys.section("first_look", first_look);
    let on_error = keys.or("on_error", &FALLBACK, "allow");
    let cache = keys.section("cache", cache);
    let policy = keys.section("policy", policy);
    let scope = keys.section("scope", scope);
    let select = keys.section("select", select);
    let lists = keys.section("lists", lists);
    let tag = keys.section("tag", tag);
    let deny = keys.section("deny", deny);
    let log = keys.or("log", &LOG, "denials");
    let notify = keys.optional("notify", &Section(notify));
    let route_metadata = keys.or("route_metadata", &OrNull(NAMESPACE), "null");
    let journal = keys.section("journal", journal);
    let control = keys.optional("control", &Section(control));
    let self_test = keys.or("self_test", &Flag, "false");
    if role == Role::Network {
        refuse_what_is_about_requests(keys);
    }
    check_control(keys, role, control.as_deref());
    let about_destinations = destination == Destination::Name || select.domains || lists.have_hosts();
    if direction == Direction::Ingress && about_destinations && keys.is_right("direction") {
        let message = "\"destination\": \"name\", \"select.domains\" and hosts on lists are about destinations: they need \
                       \"direction\": \"egress\"";
        keys.note(MistakeKind::Conflict, message.into());
    }
    let profile = policy.profile.unwrap_or_else(|| Some(Profile::default_for(direction)));
    let rest = Config {
        role,
        mode,
        direction,
        destination,
        api,
        first_look,
        on_error,
        cache,
        block: policy.block,
        policy: complete(policy.rules, profile),
        profile,
        scope: Scope::default(),
        host_scope: Arc::default(),
        select: Arc::default(),
        lists: Arc::default(),
        tag,
        deny,
        log,
        notify: None,
        route_metadata,
        journal,
        control,
        self_test,
    };
    Written { rest, scope, select, lists, notify }
}

fn api(keys: &mut Keys<'_>) -> Arc<Api> {
    // The proxy takes a time-out of zero for "wait for ever".
    const TIMEOUT: Span = Span { least: Duration::from_millis(1), most: Duration::from_secs(60) };
    // Envoy itself reads at most 32 MiB of an answer to a callout.
    const BODY: Size = Size { least: 1 << 10, most: 32 << 20 };
    let cluster = keys.required("cluster", &CLUSTER);
    let authority = keys.or("authority", &AUTHORITY, "api.criminalip.io");
    let full = keys.or("full", &Flag, "true");
    let key_env = keys.optional("key_env", &VARIABLE);
    let key = keys.optional("key", &KEY);
    keys.exclude("key_env", "key");
    Arc::new(Api {
        cluster,
        authority,
        full,
        key: match (key_env, key) {
            (Some(name), _) => Key::Environment(name),
            (None, Some(secret)) => Key::Given(secret),
            (None, None) => Key::Injected,
        },
        timeout: keys.or("timeout", &TIMEOUT, "5s"),
        max_body: keys.or("max_body", &BODY, "4MiB"),
        concurrency: keys.or("concurrency", &Whole { least: 1_u8, most: 64 }, "1"),
        budget: keys.section("budget", budget),
    })
}

fn budget(keys: &mut Keys<'_>) -> Budget {
    const LOOKUPS: Whole<u32> = Whole { least: 0, most: 1_000_000_000 };
    let per_day = keys.or("per_day", &OrNull(LOOKUPS), "null");
    let per_hour = keys.or("per_hour", &OrNull(LOOKUPS), "null");
    let reserve_for_events = keys.or("reserve_for_events", &LOOKUPS, "0");
    if reserve_for_events > per_day.unwrap_or(0) && keys.is_right("per_day") {
        let reserved = decimal(reserve_for_events.into());
        let message = match per_day {
            Some(most) => filled(
                "{} is more than the day has; right would be at most per_day, {}",
                &[&reserved, &decimal(most.into())],
            ),
            None => filled("{} of a day without a limit; right would be a per_day of at least as many", &[&reserved]),
        };
        keys.note_at("reserve_for_events", MistakeKind::OutOfRange, message);
    }
    let per_hour = per_hour.or(per_day.map(|per_day| per_day.div_ceil(4)));
    Budget { per_day, per_hour, reserve_for_events }
}

fn first_look(keys: &mut Keys<'_>) -> FirstLook {
    FirstLook {
        hold: keys.or("hold", &HOLD, "750ms"),
        then: keys.or("then", &FALLBACK, "allow"),
        max_held: keys.or("max_held", &Whole { least: 1, most: 65_536 }, "256"),
    }
}

fn cache(keys: &mut Keys<'_>) -> CacheLimits {
    const STALE: Span = Span { least: Duration::ZERO, most: Duration::from_secs(30 * 86_400) };
    CacheLimits {
        entries: keys.or("entries", &Whole { least: 1, most: 10_000_000 }, "100000"),
        shared_slots: keys.or("shared_slots", &Whole { least: 4, most: 1_000_000 }, "16384"),
        ttl: keys.section("ttl", ttl),
        stale: keys.or("stale", &STALE, "24h"),
    }
}

fn ttl(keys: &mut Keys<'_>) -> Ttl {
    const LEAST: Duration = Duration::from_secs(1);
    const FACTS: Span = Span { least: LEAST, most: Duration::from_secs(30 * 86_400) };
    const FAILURES: Span = Span { least: LEAST, most: Duration::from_secs(3_600) };
    Ttl {
        clean: keys.or("clean", &FACTS, "12h"),
        suspicious: keys.or("suspicious", &FACTS, "12h"),
        malicious: keys.or("malicious", &FACTS, "24h"),
        error: keys.or("error", &FAILURES, "30s"),
    }
}

fn tag(keys: &mut Keys<'_>) -> TagPlaces {
    TagPlaces {
        request_header: keys.or("request_header", &HEADER, "x-criminalip"),
        response_header: keys.or("response_header", &OrNull(HEADER), "null"),
        filter_state: keys.or("filter_state", &OrNull(STATE_NAME), "criminalip"),
    }
}

fn deny(keys: &mut Keys<'_>) -> Arc<DenyReply> {
    Arc::new(DenyReply {
        status: keys.or("status", &Whole { least: 400_u16, most: 599 }, "403"),
        message: keys.or("message", &MESSAGE, "Access denied"),
    })
}
