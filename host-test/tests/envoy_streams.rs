//! Streams in the simulated proxy, with guests of a few instructions, against what a real Envoy 1.40 was seen to do.

use host_test::{
    host::{Effect, Fault, HeaderMap, Module},
    sim::{Answer, Config, Connection, End, FailurePolicy, Origin, Outcome, PluginKind, Request, Rule, Sim},
    trace::{Event, lint},
};
use std::time::Duration;

/// Every callback that a guest can have, with its parameters and what it returns if nothing else is said.
const CALLBACKS: [(&str, usize, Option<u32>); 17] = [
    ("context_create", 2, None),
    ("vm_start", 2, Some(1)),
    ("configure", 2, Some(1)),
    ("new_connection", 1, Some(0)),
    ("downstream_data", 3, Some(0)),
    ("upstream_data", 3, Some(0)),
    ("downstream_connection_close", 2, None),
    ("request_headers", 3, Some(0)),
    ("request_body", 3, Some(0)),
    ("request_trailers", 2, Some(0)),
    ("response_headers", 3, Some(0)),
    ("response_body", 3, Some(0)),
    ("tick", 1, None),
    ("http_call_response", 5, None),
    ("done", 1, Some(1)),
    ("log", 1, None),
    ("delete", 1, None),
];

/// A guest with all callbacks; `bodies` has the instructions of those that do something.
fn guest(bodies: &[(&str, &str)]) -> Module {
    let mut text = String::from(
        r#"(module
        (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
        (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
        (import "env" "proxy_set_effective_context" (func $act_on (param i32) (result i32)))
        (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
        (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (global $last (mut i32) (i32.const 0))
        (data (i32.const 100) "a b")
        (data (i32.const 200) "api")
        (data (i32.const 300) "\03\00\00\00\05\00\00\00\01\00\00\00\07\00\00\00\03\00\00\00\0a\00\00\00\01\00\00\00:path\00/\00:method\00GET\00:authority\00a\00")
        (func (export "_initialize"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
        (func (export "proxy_abi_version_0_2_1"))
        (func $refuse (drop (call $reply (i32.const 403) (i32.const 100) (i32.const 3) (i32.const 100) (i32.const 3)
            (i32.const 0) (i32.const 0) (i32.const -1))))
        (func $ask (drop (call $call (i32.const 200) (i32.const 3) (i32.const 300) (i32.const 61) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 8))))"#,
    );
    for (name, parameters, result) in CALLBACKS {
        let body = bodies.iter().find(|(other, _)| *other == name).map(|(_, body)| (*body).to_owned());
        let body = body.unwrap_or_else(|| result.map_or_else(String::new, |value| format!("i32.const {value}")));
        let (parameters, result) = ("i32 ".repeat(parameters), if result.is_some() { "(result i32)" } else { "" });
        text += &format!("(func (export \"proxy_on_{name}\") (param {parameters}) {result} {body})\n");
    }
    Module::load((text + ")").as_bytes()).unwrap()
}

fn sim(bodies: &[(&str, &str)]) -> Sim {
    Sim::start(Config::of(guest(bodies), "").cluster("api")).unwrap()
}

fn ask(sim: &mut Sim, request: Request) -> Outcome {
    let stream = sim.request(request);
    sim.run_for(Duration::from_secs(5));
    sim.outcome(stream).clone()
}

/// The callbacks of the streams so far, each with its arguments, in the form of Envoy's log.
fn callbacks(sim: &Sim) -> Vec<String> {
    let trace = sim.trace();
    let lines = trace.entries().iter().filter_map(|entry| host_test::trace::envoy::line(&entry.event));
    let calls = lines.filter_map(|line| Some(line.strip_prefix("[host->vm] proxy_on_")?.to_owned()));
    calls.skip_while(|line| !line.starts_with("context_create(2")).collect()
}

fn post() -> Request {
    Request::new("POST", "/").body("abc").body("de")
}

/// Three more than `:status` and `content-length`, as the origin of the recording had.
fn origin() -> Origin {
    let headers: HeaderMap = [("x-a", "1"), ("x-a", "2")].into_iter().collect();
    Origin { headers, ..Origin::default() }
}

const END: [&str; 3] = ["log(2)", "done(2)", "delete(2)"];

#[test]
fn a_request_with_a_body_is_shown_as_in_envoy() {
    let mut sim = sim(&[]);
    let outcome = ask(&mut sim, post().origin(origin()));
    assert_eq!((outcome.status, outcome.forwarded_body.as_slice()), (Some(200), &b"abcde"[..]));
    let expected = [
        "context_create(2, 1)",
        "request_headers(2, 6, 0)",
        "request_body(2, 3, 0)",
        "request_body(2, 2, 0)",
        "request_body(2, 0, 1)",
        "response_headers(2, 5, 0)",
        "response_body(2, 2, 0)",
        "response_body(2, 0, 1)",
    ];
    assert_eq!(callbacks(&sim), [&expected[..], &END].concat());
}

#[test]
fn a_body_that_is_held_back_is_shown_whole_again_with_each_piece() {
    let until_the_end = "local.get 2 i32.eqz";
    let mut sim = sim(&[("request_body", until_the_end), ("response_body", until_the_end)]);
    let outcome = ask(&mut sim, post().origin(origin()));
    assert_eq!((outcome.forwarded_body.as_slice(), outcome.response_body.as_slice()), (&b"abcde"[..], &b"ok"[..]));
    let expected = [
        "context_create(2, 1)",
        "request_headers(2, 6, 0)",
        "request_body(2, 3, 0)",
        "request_body(2, 5, 0)",
        "request_body(2, 5, 1)",
        "response_headers(2, 5, 0)",
        "response_body(2, 2, 0)",
        "response_body(2, 2, 1)",
    ];
    assert_eq!(callbacks(&sim), [&expected[..], &END].concat());
}

#[test]
fn a_body_beyond_the_limit_is_answered_413_on_its_way_there_and_500_on_its_way_back() {
    let large = || vec![b'x'; 700_000];
    let mut there = sim(&[("request_body", "local.get 2 i32.eqz")]);
    let outcome = ask(&mut there, Request::new("POST", "/").body(large()).body(large()));
    // The headers had passed; of the body nothing does.
    assert_eq!((outcome.status, outcome.forwarded_body.len()), (Some(413), 0));
    let mut back = sim(&[("response_body", "local.get 2 i32.eqz")]);
    let origin = Origin { body: vec![large(), large()], ..Origin::default() };
    // The headers were not sent yet only if they were held back too.
    assert_eq!(ask(&mut back, Request::get("/").origin(origin)).end, Some(End::Reset));
}

#[test]
fn a_refusal_goes_through_the_filter_and_not_to_the_upstream_whatever_the_callback_returns() {
    for result in ["i32.const 0", "i32.const 1"] {
        let mut sim = sim(&[("request_headers", &format!("call $refuse {result}"))]);
        let outcome = ask(&mut sim, post());
        assert_eq!((outcome.status, outcome.details.as_str(), outcome.forwarded), (Some(403), "a_b", None));
        assert_eq!(outcome.response_body, b"a b");
        let expected =
            ["context_create(2, 1)", "request_headers(2, 6, 0)", "response_headers(2, 3, 0)", "response_body(2, 3, 1)"];
        assert_eq!(callbacks(&sim), [&expected[..], &END].concat());
    }
}

#[test]
fn a_refusal_of_a_response_goes_straight_to_the_client() {
    let mut sim = sim(&[("response_headers", "call $refuse i32.const 0")]);
    let outcome = ask(&mut sim, Request::get("/").origin(origin()));
    assert_eq!(outcome.status, Some(403));
    let expected = ["context_create(2, 1)", "request_headers(2, 6, 1)", "response_headers(2, 5, 0)"];
    assert_eq!(callbacks(&sim), [&expected[..], &END].concat());
}

#[test]
fn a_trap_is_answered_503_and_the_module_is_not_called_again() {
    for (at, called) in [("request_headers", 2), ("response_headers", 3)] {
        let mut sim = sim(&[(at, "unreachable")]);
        for _ in 0..2 {
            let outcome = ask(&mut sim, Request::get("/"));
            assert_eq!((outcome.status, outcome.details.as_str()), (Some(503), "wasm_fail_stream"), "{at}");
        }
        assert_eq!(callbacks(&sim).len(), called, "{at}");
    }
}

#[test]
fn a_failed_vm_is_left_out_or_replaced_as_its_policy_says_and_what_waits_in_it_hangs() {
    let held = "(if (i32.eq (local.get 0) (i32.const 2)) (then (return (i32.const 1)))) i32.const 0";
    for (policy, later) in
        [(FailurePolicy::FailOpen, 200), (FailurePolicy::FailReload, 200), (FailurePolicy::FailClosed, 503)]
    {
        let config = Config::of(guest(&[("request_headers", held)]), "").plugin(|plugin| plugin.policy = policy);
        let mut sim = Sim::start(config).unwrap();
        let waiting = sim.request(Request::get("/held"));
        sim.run_for(Duration::from_secs(10));
        sim.crash(1, "on purpose");
        sim.run_for(Duration::from_secs(10));
        assert_eq!(sim.outcome(waiting).end, None, "{policy:?}");
        // A new VM numbers its contexts from the beginning: the first request there is held again.
        if policy == FailurePolicy::FailReload {
            sim.request(Request::get("/held too"));
        }
        assert_eq!(ask(&mut sim, Request::get("/")).status, Some(later), "{policy:?}");
    }
}

#[test]
fn the_answer_of_a_callout_resumes_a_request_and_the_trace_is_without_mistakes() {
    let mut sim = sim(&[
        ("request_headers", "call $ask i32.const 1"),
        ("http_call_response", "(drop (call $act_on (i32.const 2))) (drop (call $continue (i32.const 0)))"),
    ]);
    sim.tell("api", Rule::always(Answer::response(200, "yes")).after(Duration::from_millis(30)));
    let outcome = ask(&mut sim, post());
    assert_eq!((outcome.status, outcome.took), (Some(200), Duration::from_millis(30)));
    assert_eq!(outcome.forwarded_body, b"abcde");
    assert!(callbacks(&sim).contains(&"http_call_response(1, 4, 2, 3, 0)".to_owned()), "{:?}", callbacks(&sim));
    assert_eq!(lint::lints(sim.trace().entries()), []);
}

#[test]
fn each_end_of_a_callout_is_told_as_in_envoy() {
    for (answer, numbers) in [
        (Answer::Reset, Some("3, 95, 0")),
        (Answer::Cut, Some("0, 0, 0")),
        (Answer::Never, Some("3, 24, 0")),
        (Answer::Refuse(host_test::host::abi::Status::InternalFailure), None),
    ] {
        let mut sim = sim(&[("request_headers", "call $ask i32.const 0")]);
        sim.tell("api", Rule::always(answer.clone()));
        let outcome = ask(
            &mut sim,
            Request::get("/").origin(Origin { after: Some(Duration::from_secs(3)), ..Origin::default() }),
        );
        assert_eq!(outcome.status, Some(200));
        let told = callbacks(&sim)
            .into_iter()
            .find_map(|call| Some(call.strip_prefix("http_call_response(1, 4, ")?.to_owned()));
        let told = told.map(|numbers| numbers.trim_end_matches(')').to_owned());
        assert_eq!(told.as_deref(), numbers, "{answer:?}");
    }
}

#[test]
fn the_answer_of_a_callout_comes_to_the_root_although_the_stream_is_gone() {
    let mut sim = sim(&[("request_headers", "call $ask i32.const 1")]);
    sim.tell("api", Rule::always(Answer::response(200, "late")).after(Duration::from_millis(50)));
    let outcome = ask(&mut sim, Request::get("/").leaves_after(Duration::from_millis(10)));
    assert_eq!(outcome.end, Some(End::ClientLeft));
    let callbacks = callbacks(&sim);
    let told = [&END[..], &["http_call_response(1, 4, 2, 4, 0)"]].concat();
    assert_eq!(callbacks[callbacks.len() - told.len()..], told);
    assert_eq!(lint::lints(sim.trace().entries()), []);
}

#[test]
fn a_reply_and_a_resumption_both_happen_and_the_lint_says_so() {
    let mut sim = sim(&[
        ("configure", "(drop (call $tick (i32.const 100))) i32.const 1"),
        ("request_headers", "(global.set $last (local.get 0)) i32.const 1"),
        (
            "tick",
            "(if (i32.and (i32.ne (global.get $last) (i32.const 0)) (i32.eqz (call $act_on (global.get $last))))
                (then call $refuse (drop (call $continue (i32.const 0))) (global.set $last (i32.const 0))))",
        ),
    ]);
    let stream = sim.request(Request::get("/"));
    sim.run_for(Duration::from_millis(150));
    assert_eq!(sim.outcome(stream).status, Some(403));
    assert!(sim.outcome(stream).forwarded.is_some(), "it reached the upstream all the same");
    let kinds: Vec<_> = lint::lints(sim.trace().entries()).into_iter().map(|lint| lint.kind).collect();
    assert_eq!(kinds, [lint::Kind::RepliedAndResumed]);
}

#[test]
fn a_pause_of_a_new_connection_holds_it_before_a_tcp_proxy_but_not_what_reads_at_once() {
    let paused = [("new_connection", "i32.const 1")];
    let network = |bodies: &[(&str, &str)]| {
        Sim::start(Config::of(guest(bodies), "").plugin(|plugin| plugin.kind = PluginKind::Network)).unwrap()
    };
    let reached = |sim: &mut Sim, reads_at_once| {
        let stream = sim.connect(Connection { reads_at_once, ..Connection::from("192.0.2.1:1").data("hello") });
        sim.run_for(Duration::from_secs(1));
        sim.outcome(stream).forwarded_body.clone()
    };
    assert_eq!(reached(&mut network(&paused), false), b"");
    assert_eq!(reached(&mut network(&paused), true), b"hello");
    let both = [("new_connection", "i32.const 1"), ("downstream_data", "i32.const 1")];
    assert_eq!(reached(&mut network(&both), true), b"");
    assert_eq!(reached(&mut network(&[]), false), b"hello");
}

#[test]
fn a_connection_that_is_closed_by_the_filter_never_reaches_the_upstream() {
    let close = [("new_connection", "(drop (call $close (i32.const 2))) i32.const 1")];
    let config = Config::of(guest(&close), "").plugin(|plugin| plugin.kind = PluginKind::Network);
    let mut sim = Sim::start(config).unwrap();
    let stream = sim.connect(Connection::from("192.0.2.1:1").data("hello"));
    sim.run_for(Duration::from_secs(1));
    let outcome = sim.outcome(stream);
    assert_eq!(
        (outcome.end, outcome.connected, outcome.details.as_str()),
        (Some(End::Reset), false, "wasm_downstream_close")
    );
    let expected = [
        "context_create(2, 1)",
        "new_connection(2)",
        "downstream_connection_close(2, 1)",
        "done(2)",
        "log(2)",
        "delete(2)",
    ];
    assert_eq!(callbacks(&sim), expected);
}

#[test]
fn a_callback_that_never_returns_and_memory_without_end_are_failures_of_the_vm() {
    let forever = "(loop (br 0)) i32.const 0";
    let hungry = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 100)) (i32.const -1)))) unreachable";
    for body in [forever, hungry] {
        let config = Config::of(guest(&[("request_headers", body)]), "").vm(|vm| {
            vm.limits.fuel = 1_000_000;
            vm.limits.memory = 64 << 20;
        });
        let mut sim = Sim::start(config).unwrap();
        assert_eq!(ask(&mut sim, Request::get("/")).status, Some(503));
        assert!(!sim.is_alive(1));
    }
}

#[test]
fn a_fault_takes_the_place_of_a_call() {
    let mut sim = sim(&[("request_headers", "call $ask i32.const 0")]);
    sim.tell("api", Rule::always(Answer::response(200, "")));
    sim.fault(Fault { call: "proxy_http_call".into(), nth: 1, times: 1, worker: None, effect: Effect::Status(10) });
    ask(&mut sim, Request::get("/"));
    assert_eq!(sim.callouts().1, 0);
    ask(&mut sim, Request::get("/"));
    assert_eq!(sim.callouts().1, 1);
    sim.fault(Fault { call: "proxy_http_call".into(), nth: 1, times: 1, worker: None, effect: Effect::Trap });
    assert_eq!(ask(&mut sim, Request::get("/")).status, Some(503));
    assert!(sim.trace().entries().iter().any(|entry| matches!(entry.event, Event::VmFailed { .. })));
}
