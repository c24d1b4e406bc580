use super::*;

fn check(events: impl IntoIterator<Item = Event>, expected: &[Kind]) {
    let entries: Vec<_> = events.into_iter().map(|event| Entry { at: 0, worker: 1, event }).collect();
    let found: Vec<_> = lints(&entries).into_iter().map(|lint| lint.kind).collect();
    assert_eq!(found, expected, "{entries:#?}");
}

fn paused() -> Event {
    Event::Paused { stream: 1, context: 2, callback: "proxy_on_request_headers".into() }
}

fn resumed(was_paused: bool) -> Event {
    Event::Resumed { stream: 1, context: 2, which: StreamType::Request, was_paused }
}

fn replied() -> Event {
    Event::Replied { stream: 1, context: 2, status: 403, details: String::new() }
}

fn sent() -> Event {
    Event::CalloutSent {
        callout: 5,
        token: 1,
        context: 1,
        cluster: "api".into(),
        headers: crate::host::HeaderMap::default(),
    }
}

fn ended() -> Event {
    Event::StreamEnded { stream: 1 }
}

fn enter(function: &str) -> Event {
    Event::Enter { function: function.into(), arguments: vec![2, 0] }
}

fn leave(function: &str) -> Event {
    Event::Leave { function: function.into(), result: Some(0) }
}

fn call(function: &str, argument: u64, result: u64) -> [Event; 2] {
    let function = format!("env.{function}");
    [
        Event::Call { function: function.clone(), arguments: vec![argument], context: 2 },
        Event::Return { function, result: Some(result) },
    ]
}

#[test]
fn a_stream_that_is_stopped_and_let_go_once_is_as_it_should_be() {
    check([paused(), resumed(true), ended()], &[]);
    check([paused(), replied(), ended()], &[]);
    check([paused(), ended()], &[]);
}

#[test]
fn a_stream_that_is_let_go_too_often_or_answered_as_well_is_found() {
    check([paused(), resumed(true), resumed(false)], &[Kind::ResumedTwice]);
    check([resumed(false)], &[Kind::ResumedUnpaused]);
    check([paused(), replied(), resumed(true)], &[Kind::RepliedAndResumed]);
    check([paused(), replied(), replied()], &[Kind::RepliedTwice]);
}

#[test]
fn what_is_left_over_at_the_end_is_found() {
    check([paused()], &[Kind::PausedForEver]);
    check([sent()], &[Kind::CalloutLeaked]);
    check([sent(), Event::CalloutCancelled { callout: 5 }], &[Kind::CalloutLost]);
    check([sent(), Event::CalloutEnded { callout: 5, outcome: "200".into(), answer: String::new() }], &[]);
}

#[test]
fn a_failure_without_any_consequence_is_found() {
    let failing = call("proxy_http_call", 0, 10);
    let [called, returned] = failing.clone();
    check([enter("proxy_on_tick"), called.clone(), returned.clone(), leave("proxy_on_tick")], &[Kind::StatusIgnored]);
    let log = Event::Log { level: crate::host::abi::LogLevel::Warn, message: "no".into() };
    check([enter("proxy_on_tick"), called, returned, log, leave("proxy_on_tick")], &[]);
    // That something is not there is an answer.
    let [called, returned] = call("proxy_get_shared_data", 0, 1);
    check([enter("proxy_on_tick"), called, returned, leave("proxy_on_tick")], &[]);
}

#[test]
fn a_header_in_the_wrong_phase_and_a_context_that_is_gone_are_found() {
    let [called, returned] = call("proxy_replace_header_map_value", 2, 2);
    check(
        [enter("proxy_on_request_headers"), called, returned, leave("proxy_on_request_headers")],
        &[Kind::WrongPhase],
    );
    let [called, returned] = call("proxy_set_effective_context", 2, 2);
    let delete = [enter("proxy_on_delete"), leave("proxy_on_delete"), enter("proxy_on_tick"), called, returned];
    check(delete, &[Kind::UsedAfterEnd]);
}

#[test]
fn a_context_whose_on_done_says_yes_is_gone_and_one_whose_on_done_says_no_is_not() {
    for (says, expected) in [(1, vec![Kind::UsedAfterEnd]), (0, vec![])] {
        let [called, returned] = call("proxy_set_effective_context", 2, 2);
        let done = Event::Leave { function: "proxy_on_done".into(), result: Some(says) };
        let noticed = Event::Log { level: crate::host::abi::LogLevel::Warn, message: "it is gone".into() };
        check([enter("proxy_on_done"), done, enter("proxy_on_tick"), called, returned, noticed], &expected);
    }
}

#[test]
fn each_kind_has_its_code_in_reports_and_scenarios() {
    for kind in Kind::ALL {
        assert_eq!(serde_json::to_string(kind).unwrap(), format!("{:?}", kind.code()));
    }
}
