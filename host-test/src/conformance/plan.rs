//! Which calls the guests make in which phases.

use super::oldest;

/// A call with its arguments, as the guest reads it.
pub type Call = &'static str;

/// Calls that change nothing that a later one could see: one stream makes all of them in each of its phases.
pub const LOOKS: &[Call] = &[
    "proxy_log 2 \"looking\"",
    "proxy_log 9 \"looking\"",
    "proxy_get_log_level @",
    "proxy_get_current_time_nanoseconds _",
    "proxy_get_status @ *",
    "proxy_done",
    "proxy_set_effective_context 0",
    "proxy_set_effective_context 999",
    "proxy_set_tick_period_milliseconds 50",
    "proxy_get_property \"plugin_name\" *",
    "proxy_get_property \"source\\x00address\" ?",
    "proxy_get_property \"request\\x00path\" *",
    "proxy_get_property \"request\\x00headers\\x00x-a\" *",
    "proxy_get_property \"request\\x00duration\" ?",
    "proxy_get_property \"response\\x00code\" *",
    "proxy_get_property \"response\\x00headers\\x00x-a\" *",
    "proxy_get_property \"response\\x00trailers\\x00x-t\" *",
    "proxy_get_property \"upstream\\x00address\" ?",
    "proxy_get_property \"connection\\x00mtls\" *",
    "proxy_get_property \"nothing\" *",
    "proxy_get_property \"\" *",
    "proxy_get_header_map_pairs 0 ?",
    "proxy_get_header_map_pairs 1 *",
    "proxy_get_header_map_pairs 2 ?",
    "proxy_get_header_map_pairs 3 *",
    "proxy_get_header_map_pairs 4 ?",
    "proxy_get_header_map_pairs 5 ?",
    "proxy_get_header_map_pairs 6 ?",
    "proxy_get_header_map_pairs 7 *",
    "proxy_get_header_map_pairs 8 ?",
    "proxy_get_header_map_value 0 \"x-a\" *",
    "proxy_get_header_map_value 0 \"none\" *",
    "proxy_get_header_map_value 1 \"x-t\" *",
    "proxy_get_header_map_value 2 \"x-a\" *",
    "proxy_get_header_map_value 2 \"none\" *",
    "proxy_get_header_map_value 3 \"x-t\" *",
    "proxy_get_header_map_value 4 \"x-a\" *",
    "proxy_get_header_map_value 5 \"x-t\" *",
    "proxy_get_header_map_value 6 \"x-a\" *",
    "proxy_get_header_map_value 6 \"none\" *",
    "proxy_get_header_map_value 7 \"x-t\" *",
    "proxy_get_header_map_value 8 \"x-a\" *",
    "proxy_get_header_map_size 0 _",
    "proxy_get_header_map_size 1 @",
    "proxy_get_header_map_size 2 _",
    "proxy_get_header_map_size 3 @",
    "proxy_get_header_map_size 4 _",
    "proxy_get_header_map_size 5 _",
    "proxy_get_header_map_size 6 _",
    "proxy_get_header_map_size 7 @",
    "proxy_get_header_map_size 8 _",
    "proxy_get_buffer_bytes 0 0 100 *",
    "proxy_get_buffer_bytes 1 0 100 *",
    "proxy_get_buffer_bytes 2 0 100 *",
    "proxy_get_buffer_bytes 3 0 100 *",
    "proxy_get_buffer_bytes 4 0 100 *",
    "proxy_get_buffer_bytes 5 0 100 *",
    "proxy_get_buffer_bytes 6 0 7 *",
    "proxy_get_buffer_bytes 7 0 100 *",
    "proxy_get_buffer_bytes 8 0 100 ?",
    "proxy_get_buffer_bytes 9 0 100 *",
    "proxy_get_buffer_status 0 @ @",
    "proxy_get_buffer_status 1 @ @",
    "proxy_get_buffer_status 2 @ @",
    "proxy_get_buffer_status 3 @ @",
    "proxy_get_buffer_status 4 @ @",
    "proxy_get_buffer_status 5 @ @",
    "proxy_get_buffer_status 6 _ @",
    "proxy_get_buffer_status 7 @ @",
    "proxy_get_buffer_status 8 _ @",
    "proxy_set_shared_data \"key\" \"value\" 0",
    "proxy_get_shared_data \"key\" * _",
    "proxy_get_shared_data \"none\" * _",
    "proxy_register_shared_queue \"queue\" _",
    "proxy_resolve_shared_queue \"\" \"queue\" _",
    "proxy_resolve_shared_queue \"\" \"none\" _",
    "proxy_enqueue_shared_queue 999 \"message\"",
    "proxy_dequeue_shared_queue 999 *",
    "proxy_define_metric 0 \"metric\" _",
    "proxy_define_metric 3 \"metric\" _",
    "proxy_increment_metric 4000 1",
    "proxy_record_metric 4000 1",
    "proxy_get_metric 4000 _",
    "proxy_call_foreign_function \"none\" \"\" *",
    "proxy_http_call \"none\" {:method=GET,:path=/,:authority=a} \"\" {} 100 _",
    "proxy_http_call \"silent\" {} \"\" {} 100 _",
    "proxy_grpc_call \"none\" \"service\" \"method\" {} \"\" 100 _",
    "proxy_grpc_stream \"none\" \"service\" \"method\" {} _",
    "proxy_grpc_send 9001 \"\" 0",
    "proxy_grpc_send 9002 \"\" 0",
    "proxy_grpc_cancel 9001",
    "proxy_grpc_close 9002",
];

/// Calls that change a stream: for each phase and each call there is a stream of its own. What comes of the stream is part
/// of the answer.
pub const ACTS: &[Call] = &[
    "proxy_continue_stream 0",
    "proxy_continue_stream 1",
    "proxy_continue_stream 2",
    "proxy_continue_stream 3",
    "proxy_continue_stream 4",
    "proxy_close_stream 0",
    "proxy_close_stream 1",
    "proxy_close_stream 2",
    "proxy_close_stream 3",
    "proxy_close_stream 4",
    "proxy_send_local_response 403 \"details\" \"body\" {x-reply=1} -1",
    "proxy_set_header_map_pairs 0 {:authority=a,:path=/,:method=POST,:scheme=http,x-set=1}",
    "proxy_set_header_map_pairs 1 {x-set=1}",
    "proxy_set_header_map_pairs 2 {:status=201,x-set=1}",
    "proxy_set_header_map_pairs 3 {x-set=1}",
    "proxy_set_header_map_pairs 6 {x-set=1}",
    "proxy_add_header_map_value 0 \"x-a\" \"added\"",
    "proxy_add_header_map_value 1 \"x-t\" \"added\"",
    "proxy_add_header_map_value 2 \"x-a\" \"added\"",
    "proxy_add_header_map_value 3 \"x-t\" \"added\"",
    "proxy_add_header_map_value 6 \"x-a\" \"added\"",
    "proxy_replace_header_map_value 0 \"x-a\" \"replaced\"",
    "proxy_replace_header_map_value 1 \"x-t\" \"replaced\"",
    "proxy_replace_header_map_value 2 \"x-a\" \"replaced\"",
    "proxy_replace_header_map_value 3 \"x-t\" \"replaced\"",
    "proxy_replace_header_map_value 6 \"x-a\" \"replaced\"",
    "proxy_remove_header_map_value 0 \"x-a\"",
    "proxy_remove_header_map_value 1 \"x-t\"",
    "proxy_remove_header_map_value 2 \"x-a\"",
    "proxy_remove_header_map_value 3 \"x-t\"",
    "proxy_remove_header_map_value 6 \"x-a\"",
    "proxy_set_buffer_bytes 0 0 0 \"put\"",
    "proxy_set_buffer_bytes 0 0 100 \"put\"",
    "proxy_set_buffer_bytes 0 100 0 \"put\"",
    "proxy_set_buffer_bytes 0 1 1 \"put\"",
    "proxy_set_buffer_bytes 1 0 0 \"put\"",
    "proxy_set_buffer_bytes 1 0 100 \"put\"",
    "proxy_set_buffer_bytes 1 100 0 \"put\"",
    "proxy_set_buffer_bytes 2 0 0 \"put\"",
    "proxy_set_buffer_bytes 2 0 100 \"put\"",
    "proxy_set_buffer_bytes 3 0 0 \"put\"",
    "proxy_set_buffer_bytes 3 0 100 \"put\"",
    "proxy_set_buffer_bytes 4 0 0 \"put\"",
    "proxy_set_property \"property\" \"value\"",
    "proxy_call_foreign_function \"clear_route_cache\" \"\" *",
    "proxy_call_foreign_function \"set_envoy_filter_state\" \"\\x0a\\x0cenvoy.string\\x12\\x01v\" *",
    "proxy_call_foreign_function \"declare_property\" \"\\x0a\\x01p\" *",
    "proxy_http_call \"silent\" {:method=GET,:path=/,:authority=a} \"\" {} 0 _",
    "proxy_grpc_call \"\\x0a\\x08\\x0a\\x06silent\" \"service\" \"method\" {} \"\" 0 _",
    "proxy_grpc_stream \"\\x0a\\x08\\x0a\\x06silent\" \"service\" \"method\" {} _",
    "proxy_set_effective_context 1",
];

/// The callbacks of a root. In each of them it makes all calls.
pub const ROOT: &[&str] = &[
    "vm_start",
    "configure",
    "tick",
    "queue_ready",
    "http_call_response",
    "grpc_receive_initial_metadata",
    "grpc_receive",
    "grpc_receive_trailing_metadata",
    "grpc_close",
    "done",
    "delete",
];

/// The callbacks of a request.
pub const REQUEST: &[&str] = &[
    "context_create",
    "request_headers",
    "http_call_response",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "log",
    "done",
    "delete",
];

/// The callbacks of a connection.
pub const CONNECTION: &[&str] = &[
    "context_create",
    "new_connection",
    "downstream_data",
    "upstream_data",
    "downstream_close",
    "upstream_close",
    "log",
    "done",
    "delete",
];

/// The callbacks of a request that the guest answers itself when it has seen the headers.
pub const REPLY: &[&str] =
    &["context_create", "request_headers", "response_headers", "response_body", "log", "done", "delete"];

/// What the guest answers it with.
const ANSWER: (&str, Call) = ("request_headers", "proxy_send_local_response 403 \"details\" \"body\" {x-reply=1} -1");

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// What it stands for.
    pub subject: &'static str,
    /// Its calls, each with its phase; `*` for all.
    pub calls: Vec<(&'static str, Call)>,
}

/// Which guest is to make the calls, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one that reads a program, among the filters of requests.
    Requests,
    /// The same, among the filters of connections.
    Connections,
    /// The one of ABI 0.1.0.
    Oldest,
}

/// What a guest is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The guest.
    pub kind: Kind,
    /// The root's calls.
    pub root: Vec<Call>,
    /// The streams, in their order.
    pub streams: Vec<Stream>,
}

impl Plan {
    /// All plans.
    pub fn all() -> [Plan; 3] {
        [Plan::requests(), Plan::connections(), Plan::oldest()]
    }

    /// For a root and its requests.
    fn requests() -> Plan {
        let mut reply = looks("reply", LOOKS);
        reply.calls.push(ANSWER);
        let acts = acts("request", REQUEST.iter().copied(), ACTS);
        let streams = [reply].into_iter().chain(acts).chain([looks("request", LOOKS)]);
        Plan { kind: Kind::Requests, root: LOOKS.iter().chain(ACTS).copied().collect(), streams: streams.collect() }
    }

    /// For connections.
    fn connections() -> Plan {
        let acts = acts("connection", CONNECTION.iter().copied(), ACTS);
        let streams = acts.chain([looks("connection", LOOKS)]);
        Plan { kind: Kind::Connections, root: Vec::new(), streams: streams.collect() }
    }

    /// For a root and its requests, by the oldest version of the ABI.
    fn oldest() -> Plan {
        let acts = acts("request", oldest::phases(), oldest::ACTS);
        let streams = acts.chain([looks("request", oldest::LOOKS)]);
        Plan {
            kind: Kind::Oldest,
            root: oldest::LOOKS.iter().chain(oldest::ACTS).copied().collect(),
            streams: streams.collect(),
        }
    }

    /// The same, but for the first so many streams.
    pub fn from(&self, first: usize) -> Plan {
        Plan { streams: self.streams.get(first..).unwrap_or_default().to_vec(), ..self.clone() }
    }

    /// The same without the streams that make one of these calls, each given with its subject and phase.
    pub fn without(&self, mut leave_out: impl FnMut(&str, &str, Call) -> bool) -> Plan {
        let stays = |stream: &&Stream| !stream.calls.iter().any(|(phase, call)| leave_out(stream.subject, phase, call));
        Plan { streams: self.streams.iter().filter(stays).cloned().collect(), ..self.clone() }
    }

    /// The program, as the guest reads it that reads one.
    pub fn program(&self) -> String {
        if self.kind == Kind::Oldest {
            return "nothing".to_owned();
        }
        let mut text = String::from(if self.kind == Kind::Connections { "network\n" } else { "root\n" });
        for call in &self.root {
            text += &format!("* {call}\n");
        }
        for stream in &self.streams {
            text += "stream\n";
            for (phase, call) in &stream.calls {
                text += &format!("{phase} {call}\n");
            }
        }
        text
    }

    /// What the root logs last when it starts, in any order.
    pub fn root_lines(&self) -> &'static [&'static str] {
        match self.kind {
            _ if self.root.is_empty() => &[],
            // Ticks, queues, its callout and its stream are over.
            Kind::Requests | Kind::Connections => &["root http_call_response ", "root grpc_close "],
            Kind::Oldest => &["root configure "],
        }
    }

    /// What the guest logs last: by the last stream, which looks.
    pub fn last_line(&self) -> String {
        let calls = self.streams.last().map_or(0, |stream| stream.calls.len());
        format!("{} delete {} ", self.streams.len().saturating_sub(1), calls.saturating_sub(1))
    }
}

fn looks(subject: &'static str, calls: &[Call]) -> Stream {
    Stream { subject, calls: calls.iter().map(|call| ("*", *call)).collect() }
}

fn acts(
    subject: &'static str,
    phases: impl Iterator<Item = &'static str>,
    calls: &'static [Call],
) -> impl Iterator<Item = Stream> {
    let calls = phases.flat_map(move |phase| calls.iter().map(move |call| (phase, *call)));
    calls.map(move |call| Stream { subject, calls: vec![call] })
}
