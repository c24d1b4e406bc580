//! Which calls the guest makes in which phases.

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
pub const ROOT: &[&str] = &["vm_start", "configure", "tick", "queue_ready", "http_call_response", "done", "delete"];

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

/// A program for the guest.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program, as the guest reads it.
    pub text: String,
    /// The root's calls.
    pub root: Vec<Call>,
    /// The streams, in their order.
    pub streams: Vec<Stream>,
}

impl Plan {
    /// The program for a root and its requests.
    pub fn requests() -> Plan {
        let mut reply = looks("reply");
        reply.calls.push(ANSWER);
        let streams = [reply].into_iter().chain(acts("request", REQUEST)).chain([looks("request")]);
        Plan::with("root", LOOKS.iter().chain(ACTS).copied().collect(), streams.collect())
    }

    /// The program for connections.
    pub fn connections() -> Plan {
        let streams = acts("connection", CONNECTION).chain([looks("connection")]);
        Plan::with("network", Vec::new(), streams.collect())
    }

    /// The same, but for the first so many streams.
    pub fn from(&self, first: usize) -> Plan {
        let head = self.text.lines().next().unwrap_or_default();
        Plan::with(head, self.root.clone(), self.streams.get(first..).unwrap_or_default().to_vec())
    }

    /// The same without the streams that make one of these calls, each given with its subject and phase.
    pub fn without(&self, mut leave_out: impl FnMut(&str, &str, Call) -> bool) -> Plan {
        let head = self.text.lines().next().unwrap_or_default();
        let stays = |stream: &&Stream| !stream.calls.iter().any(|(phase, call)| leave_out(stream.subject, phase, call));
        Plan::with(head, self.root.clone(), self.streams.iter().filter(stays).cloned().collect())
    }

    fn with(first: &str, root: Vec<Call>, streams: Vec<Stream>) -> Plan {
        let mut text = format!("{first}\n");
        for call in &root {
            text += &format!("* {call}\n");
        }
        for stream in &streams {
            text += "stream\n";
            for (phase, call) in &stream.calls {
                text += &format!("{phase} {call}\n");
            }
        }
        Plan { text, root, streams }
    }

    /// What the guest logs last: by the last stream, which looks.
    pub fn last_line(&self) -> String {
        format!("{} delete {} ", self.streams.len().saturating_sub(1), LOOKS.len().saturating_sub(1))
    }
}

fn looks(subject: &'static str) -> Stream {
    Stream { subject, calls: LOOKS.iter().map(|call| ("*", *call)).collect() }
}

fn acts(subject: &'static str, phases: &'static [&'static str]) -> impl Iterator<Item = Stream> {
    let calls = phases.iter().flat_map(|phase| ACTS.iter().map(|call| (*phase, *call)));
    calls.map(move |call| Stream { subject, calls: vec![call] })
}
