//! The API as its callers see it, and as its description says.

use super::*;
use crate::store::memory::Memory;
use crate::{Config, Moment, RootId, Site};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const READ: &str = "read-0123456789abcdef";
const WRITE: &str = "write-0123456789abcdef";
const NOW: Moment = Moment::from_millis(1_800_000_000_000);

struct World {
    gate: Gate,
    store: Memory,
    control: Arc<Control>,
    now: Moment,
}

impl World {
    fn new() -> World {
        let store = Memory::default();
        let mut gate = Gate::new(7, &store);
        for (root, document) in [
            (1, r#"{"api": {"cluster": "c", "budget": {"per_day": 100}}, "cache": {"shared_slots": 1000000}}"#),
            (
                2,
                r#"{"api": {"cluster": "c"}, "direction": "egress", "policy": {"profile": "pipeline"}, "mode": "shadow"}"#,
            ),
        ] {
            let site = Rc::new(Site::new(RootId(root), Config::parse(document.as_bytes()).unwrap()));
            gate.enter(&site);
            if root == 1 {
                gate.configure(&site.config, &store);
            }
        }
        let document = br#"{"role": "control", "api": {"cluster": "c"},
            "control": {"read_token_env": "READ", "write_token_env": "WRITE"}}"#;
        let control = Config::parse(document).unwrap().control.unwrap();
        let mut world = World { gate, store, control, now: NOW };
        let mut effects = Effects::default();
        let proxy = Proxy { now: NOW, store: &world.store };
        world.gate.tend_listener(proxy, &mut effects);
        world.gate.tend_control(1, true, proxy, &mut effects);
        world
    }

    fn send(&mut self, token: &str, head: Head, body: &[u8]) -> Reply {
        let token_of = |token: &str| Credential { from_environment: Some(token.into()), from_header: None };
        let authorization = Some(format!("Bearer {token}").into());
        let caller = Caller { authorization, read: token_of(READ), write: token_of(WRITE), ..Caller::default() };
        let call = match head.admit(&self.control, &caller) {
            Ok(call) => call,
            Err(reply) => return reply,
        };
        let proxy = Proxy { now: self.now, store: &self.store };
        self.gate.serve(&call, body, proxy, &mut Effects::default())
    }

    fn ask(&mut self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let reply = self.send(WRITE, head(method, target), body.to_string().as_bytes());
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }
}

fn head(method: &str, target: &str) -> Head {
    let content_type = Some(b"application/json; charset=utf-8".to_vec());
    Head {
        method: method.into(),
        target: target.into(),
        authority: b"proxy:9000".to_vec(),
        content_type,
        ..Head::default()
    }
}

fn code(reply: &Reply) -> (u16, String) {
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.headers[0], ("content-type", "application/problem+json".into()));
    assert_eq!(problem["status"], reply.status);
    (reply.status, problem["type"].as_str().unwrap().trim_start_matches("urn:portcullis:problem:").to_owned())
}

fn description() -> Value {
    serde_json::from_str(include_str!("../../../envoy/control.openapi.json")).unwrap()
}

#[test]
fn the_description_has_every_route_with_its_right_and_no_other() {
    let description = description();
    let mut described = BTreeMap::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "delete", "patch", "head", "options"] {
            if let Some(operation) = item.get(method) {
                let security = operation["security"].as_array().unwrap();
                let reading = security.contains(&json!({"read": []}));
                let takes_body = operation.get("requestBody").is_some();
                described.insert((method.to_uppercase(), path.clone()), (reading, takes_body));
            }
        }
    }
    let takes_body =
        |endpoint| Call { endpoint, subject: String::new(), query: Vec::new(), key: None, by: "".into() }.takes_body();
    let routes: BTreeMap<_, _> = ROUTES
        .iter()
        .map(|(method, path, endpoint, right)| {
            (((*method).to_owned(), (*path).to_owned()), (*right == Right::Read, takes_body(*endpoint)))
        })
        .collect();
    assert_eq!(described, routes);
}

#[test]
fn every_reference_of_the_description_leads_somewhere_and_every_operation_has_a_name() {
    let description = description();
    let (mut pointers, mut places) = (Vec::new(), vec![&description]);
    while let Some(place) = places.pop() {
        pointers.extend(place.get("$ref").and_then(Value::as_str));
        places.extend(place.as_object().into_iter().flat_map(|object| object.values()));
        places.extend(place.as_array().into_iter().flatten());
    }
    assert!(pointers.len() > 20);
    for pointer in pointers {
        assert!(description.pointer(pointer.trim_start_matches('#')).is_some(), "{pointer}");
    }
    let operations = description["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
    let names: Vec<_> = operations.filter_map(|(_, operation)| operation["operationId"].as_str()).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    assert_eq!((names.len(), &description["openapi"]), (ROUTES.len(), &json!("3.1.0")));
}

/// Whether a value is one of this schema, as far as the description uses JSON Schema. The error names the place.
fn fits(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(pointer) = schema["$ref"].as_str() {
        return fits(root, root.pointer(pointer.trim_start_matches('#')).unwrap(), value, at);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let fitting = any.iter().filter(|schema| fits(root, schema, value, at).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{at}: fits {fitting} of {schema}")) };
    }
    for schema in schema["allOf"].as_array().into_iter().flatten() {
        fits(root, schema, value, at)?;
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.into_iter().any(is) {
        return Err(format!("{at}: {value} is not {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Err(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            return Err(format!("{at}: no {name} in {value}"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => fits(root, schema, member, &format!("{at}.{name}"))?,
            (None, Value::Object(_)) => fits(root, &schema["additionalProperties"], member, &format!("{at}.{name}"))?,
            (None, _) if schema["properties"].is_object() && schema.get("allOf").is_none() => {
                let known = root["components"]["schemas"]["Event"]["properties"].get(name).is_some();
                // The two halves of an event with its destinations describe each other's members.
                let combined = schema["properties"].get("found").is_some() || known;
                if !(combined || at.ends_with("Event") && name == "found") {
                    return Err(format!("{at}: {name} is not described"));
                }
            }
            _ => {}
        }
    }
    for item in value.as_array().into_iter().flatten() {
        if let Some(schema) = schema.get("items") {
            fits(root, schema, item, &format!("{at}[]"))?;
        }
    }
    Ok(())
}

#[test]
fn each_answer_is_as_the_description_says() {
    let (mut world, description) = (World::new(), description());
    let event = json!({"type": "malware", "source": "10.0.0.1"});
    let (_, posted) = world.ask("POST", "/v1/events", event.clone());
    let id = format!("/v1/events/{}", posted["id"].as_str().unwrap());
    let put = json!({"action": "deny", "owner": "soc", "reason": "incident 42", "until": "2030-01-01T00:00:00Z"});
    let report = json!({"status": 200, "ip": "8.8.8.8", "score": {"inbound": "Critical", "outbound": "Safe"}});
    let reading = evaluator::read_answer(200, report.to_string().as_bytes(), NOW.timestamp());
    let assessment = reading.map(|reading| reading.assessment).unwrap_or(evaluator::Assessment {
        learned: NOW.timestamp(),
        findings: evaluator::Findings::of(&[evaluator::Finding::C2]),
        published: evaluator::Findings::EMPTY,
        asn: None,
        country: None,
        score: evaluator::Score { inbound: Some(evaluator::Level::Critical), outbound: None },
    });
    let fact = crate::cache::Fact::after(None, assessment);
    let peer: std::net::IpAddr = "8.8.8.8".parse().unwrap();
    world.gate.table().put(&world.store, peer.into(), &fact);
    for (method, target, template, body, expected) in [
        ("POST", "/v1/events", "/v1/events", event, "202"),
        ("GET", "/v1/events", "/v1/events", Value::Null, "200"),
        ("GET", &*id, "/v1/events/{id}", Value::Null, "200"),
        ("PUT", "/v1/overrides/8.8.8.0/24", "/v1/overrides/{cidr}", put.clone(), "201"),
        ("PUT", "/v1/overrides/8.8.8.0%2f24", "/v1/overrides/{cidr}", put, "200"),
        ("GET", "/v1/overrides", "/v1/overrides", Value::Null, "200"),
        ("GET", "/v1/peers?min_score=80&limit=5", "/v1/peers", Value::Null, "200"),
        ("GET", "/v1/peers/8.8.8.8", "/v1/peers/{peer}", Value::Null, "200"),
        ("POST", "/v1/peers/8.8.8.8/lookup", "/v1/peers/{peer}/lookup", Value::Null, "202"),
        ("GET", "/v1/status", "/v1/status", Value::Null, "200"),
        ("GET", "/v1/audit?limit=2", "/v1/audit", Value::Null, "200"),
    ] {
        let (status, answer) = world.ask(method, target, body);
        assert_eq!(status.to_string(), expected, "{method} {target}: {answer:#}");
        let schema = &description["paths"][template][method.to_lowercase()]["responses"][expected]["content"]["application/json"]
            ["schema"];
        assert!(schema.is_object(), "{method} {template}");
        fits(&description, schema, &answer, &format!("{method} {target} Event")).unwrap();
    }
    let (_, page) = world.ask("GET", "/v1/peers?min_score=80", Value::Null);
    let shown = page["peers"].as_array().unwrap().len();
    assert!(shown <= 1 && page["next"].is_string(), "a part of a large memory: {page}");
    let (_, status) = world.ask("GET", "/v1/status", Value::Null);
    assert_eq!((&status["overrides"], &status["budget"]["per_day"]), (&json!(1), &json!(100)), "{status:#}");
}

#[test]
fn strangers_and_readers_change_nothing() {
    let mut world = World::new();
    let keys = world.store.keys();
    for (method, template, _, right) in ROUTES {
        let target = template.replace("{cidr}", "8.8.8.8").replace("{peer}", "8.8.8.8").replace("{id}", "0");
        let body = br#"{"type": "other", "action": "deny", "owner": "o", "reason": "r"}"#;
        let reply = world.send("somebody-0123456789abcdef", head(method, &target), body);
        assert_eq!(code(&reply), (401, "unauthorized".into()), "{method} {target}");
        assert!(reply.headers.iter().any(|(name, _)| *name == "www-authenticate"));
        let reply = world.send(READ, head(method, &target), body);
        match right {
            Right::Write => assert_eq!(code(&reply), (403, "forbidden".into()), "{method} {target}"),
            Right::Read => assert!([200, 404].contains(&reply.status), "{method} {target}: {reply:?}"),
        }
    }
    assert_eq!(code(&world.send("", head("GET", "/nowhere"), b"")), (401, "unauthorized".into()));
    assert_eq!(world.store.keys(), keys, "nothing was written");
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let mut world = World::new();
    let event = || head("POST", "/v1/events");
    let good = br#"{"type": "other"}"#;
    let long = vec![b' '; CONTROL_MAX_BODY + 1];
    let from = |origin: &[u8]| Head { origin: Some(origin.to_vec()), ..event() };
    for (head, body, status, expected) in [
        (head("GET", "/v2/events"), &b""[..], 404, "not_found"),
        (head("GET", "/v1/events/123/more"), b"", 404, "not_found"),
        (head("GET", "/v1/events/%zz"), b"", 404, "not_found"),
        (head("GET", "/v1/events/0000000000000000"), b"", 404, "not_found"),
        (head("GET", "/v1/peers/8.8.8.8"), b"", 404, "not_found"),
        (head("DELETE", "/v1/overrides/8.8.8.8"), b"", 404, "not_found"),
        (head("PATCH", "/v1/events"), b"", 405, "method_not_allowed"),
        (head("GET", "/v1/peers/8.8.8.8/lookup"), b"", 405, "method_not_allowed"),
        (Head { content_type: Some(b"text/plain".to_vec()), ..event() }, good, 415, "unsupported_media_type"),
        (Head { content_type: None, ..event() }, good, 415, "unsupported_media_type"),
        (Head { content_length: Some(long.len().to_string().into()), ..event() }, good, 413, "too_large"),
        (Head { fetch_site: Some(b"cross-site".to_vec()), ..event() }, good, 403, "cross_site"),
        (Head { fetch_site: Some(b"same-site".to_vec()), ..event() }, good, 403, "cross_site"),
        (from(b"https://evil.example"), good, 403, "cross_site"),
        (from(b"null"), good, 403, "cross_site"),
        (Head { idempotency_key: Some(vec![b'k'; 129]), ..event() }, good, 422, "invalid"),
        (event(), b"{", 400, "malformed"),
        (event(), b"", 400, "malformed"),
        (event(), br#"{"type": "fire"}"#, 422, "invalid"),
        (event(), br#"{"type": "malware"}"#, 422, "invalid"),
        (event(), br#"{"type": "other", "at": "2027-01-15T08:02:00Z"}"#, 422, "invalid"),
        (event(), br#"{"type": "other", "window": "2d"}"#, 422, "invalid"),
        (event(), br#"{"type": "other", "colour": 1}"#, 422, "invalid"),
        (
            head("PUT", "/v1/overrides/8.8.8.8/24"),
            br#"{"action": "deny", "owner": "o", "reason": "r"}"#,
            422,
            "invalid",
        ),
        (head("PUT", "/v1/overrides/x"), br#"{"action": "deny", "owner": "o", "reason": "r"}"#, 422, "invalid"),
        (head("PUT", "/v1/overrides/8.8.8.8"), br#"{"action": "tag", "owner": "o", "reason": "r"}"#, 422, "invalid"),
        (head("PUT", "/v1/overrides/8.8.8.8"), br#"{"action": "deny", "owner": "o"}"#, 422, "invalid"),
        (
            head("PUT", "/v1/overrides/8.8.8.8"),
            br#"{"action": "deny", "owner": "o", "reason": "r", "until": "2020-01-01T00:00:00Z"}"#,
            422,
            "invalid",
        ),
        (head("GET", "/v1/peers?limit=0"), b"", 422, "invalid"),
        (head("GET", "/v1/peers?finding=nothing"), b"", 422, "invalid"),
        (head("GET", "/v1/peers?cursor=x"), b"", 422, "invalid"),
        (head("GET", "/v1/status?verbose=1"), b"", 422, "invalid"),
        (head("GET", "/v1/peers?limit=%f"), b"", 422, "invalid"),
    ] {
        let (target, reply) = (String::from_utf8_lossy(&head.target).into_owned(), world.send(WRITE, head, body));
        assert_eq!(code(&reply), (status, expected.into()), "{target} {}: {reply:?}", String::from_utf8_lossy(body));
    }
    let allowed = world.send(WRITE, head("PATCH", "/v1/events"), b"");
    assert!(allowed.headers.contains(&("allow", "POST, GET".into())), "{allowed:?}");
    // A page of the same origin, and clients that are no browsers.
    for head in [from(b"https://proxy:9000"), Head { fetch_site: Some(b"same-origin".to_vec()), ..event() }] {
        assert_eq!(world.send(WRITE, head, good).status, 202);
    }
}

#[test]
fn an_event_with_a_key_is_taken_in_once_whoever_hands_it_in_again() {
    let mut world = World::new();
    let keyed = || Head { idempotency_key: Some(b"alert-1".to_vec()), ..head("POST", "/v1/events") };
    let id = |reply: &Reply| serde_json::from_slice::<Value>(&reply.body).unwrap()["id"].clone();
    let first = world.send(WRITE, keyed(), br#"{"type": "other"}"#);
    world.now = world.now.after(Duration::from_secs(30));
    let again = world.send(WRITE, keyed(), br#"{"type": "other"}"#);
    assert_eq!((first.status, again.status, id(&first)), (202, 202, id(&again)));
    let location = ["/v1/events/", id(&first).as_str().unwrap()].concat();
    assert!(again.headers.contains(&("location", location)));
    let other = world.send(WRITE, keyed(), br#"{"type": "other", "window": "1m"}"#);
    assert_eq!(code(&other), (409, "conflict".into()));
    let (_, all) = world.ask("GET", "/v1/events", Value::Null);
    assert_eq!(all["events"].as_array().unwrap().len(), 1);
}

#[test]
fn a_hundred_thousand_peers_are_read_page_by_page_each_once() {
    let mut world = World::new();
    let mut assessment = evaluator::Assessment {
        learned: NOW.timestamp(),
        findings: evaluator::Findings::EMPTY,
        published: evaluator::Findings::EMPTY,
        asn: None,
        country: None,
        score: evaluator::Score { inbound: Some(evaluator::Level::Safe), outbound: None },
    };
    for number in 0..100_000_u32 {
        let bad = number % 1_000 == 0;
        assessment.score.inbound = Some(if bad { evaluator::Level::Critical } else { evaluator::Level::Safe });
        let peer = std::net::IpAddr::from((0x0900_0000 + number).to_be_bytes());
        world.gate.table().put(&world.store, peer.into(), &crate::cache::Fact::after(None, assessment));
    }
    let (mut seen, mut target, mut pages) = (BTreeSet::new(), "/v1/peers?min_score=80&limit=7".to_owned(), 0);
    loop {
        let (status, page) = world.ask("GET", &target, Value::Null);
        assert_eq!(status, 200);
        pages += 1;
        let peers = page["peers"].as_array().unwrap();
        assert!(peers.len() <= 7);
        for peer in peers {
            assert!(seen.insert(peer["peer"].as_str().unwrap().to_owned()), "{peer}");
        }
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/v1/peers?min_score=80&limit=7&cursor={next}");
    }
    // Some had to make room in their bucket.
    assert!((95..=100).contains(&seen.len()), "{}", seen.len());
    assert!(pages >= 1_000_000 / 4 / 512, "{pages}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_have_an_answer(
        route in 0..ROUTES.len(),
        end in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        headers: [Option<Vec<u8>>; 5],
        body: Vec<u8>,
    ) {
        let (method, template, ..) = ROUTES[route];
        let [origin, fetch_site, content_length, idempotency_key, other_type] = headers;
        let start = template.split('{').next().unwrap().as_bytes();
        let target = [start, &end].concat();
        let content_type = other_type.or(Some(b"application/json".to_vec()));
        let head = Head {
            method: method.into(), target, authority: b"a".to_vec(), origin, fetch_site, content_type, content_length,
            idempotency_key,
        };
        let reply = World::new().send(WRITE, head, &body);
        proptest::prop_assert!((200..600).contains(&reply.status));
        proptest::prop_assert!(reply.body.is_empty() || serde_json::from_slice::<Value>(&reply.body).is_ok());
    }
}
