//! Calls and streams of gRPC: what their root is told of the answers.

use super::{
    Sim,
    ends::grpc_status,
    upstream::{Local, Outcome, Part},
};
use crate::host::{
    CalloutKind, Grpc, HeaderMap,
    context::{Context, Message},
    vm::Callback,
};

/// Statuses of gRPC.
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

/// How Envoy says where an end came from.
const BY_UPSTREAM: &str = "via_upstream";
const CUT: &str = "upstream_reset_after_response_started{connection_termination}";

/// The end of a call or stream.
struct End {
    status: u32,
    why: String,
    trailers: HeaderMap,
}

impl Sim {
    /// The answer to a message has come.
    pub(super) fn grpc_answers(&mut self, thread: usize, place: usize, token: u32, outcome: Outcome) {
        let Some(grpc) = self.grpc(thread, place, token) else { return };
        grpc.awaited = grpc.awaited.saturating_sub(1);
        let first = !std::mem::replace(&mut grpc.answered, true);
        let (root, is_last) = (grpc.request.context, grpc.said_all && grpc.awaited == 0);
        let (headers, messages, end) = read(outcome, first, is_last);
        if CalloutKind::of(token) == Some(CalloutKind::GrpcCall) {
            let (status, why) = match (end, messages.last()) {
                (Some(End { status: 0, .. }), Some(_)) => (0, String::new()),
                // An answer of none is none.
                (Some(End { status: 0, .. }) | None, _) => (INTERNAL, String::new()),
                (Some(end), _) => (end.status, end.why),
            };
            let Some(message) = messages.into_iter().next_back().filter(|_| status == 0) else {
                return self.grpc_closes(thread, place, root, token, status, why);
            };
            self.grpc_hears(thread, place, token, Told::Message(message));
            self.threads[thread].slots[place].vm.state_mut().grpc.remove(&token);
            return;
        }
        if first {
            self.grpc_hears(thread, place, token, Told::Initial(headers));
        }
        for message in messages {
            self.grpc_hears(thread, place, token, Told::Message(message));
        }
        if let Some(End { status, why, trailers }) = end {
            self.grpc_hears(thread, place, token, Told::Trailing(trailers));
            // The module may have cancelled it meanwhile.
            if self.grpc(thread, place, token).is_some() {
                self.grpc_closes(thread, place, root, token, status, why);
            }
        }
    }

    /// The last that is told of a call or a stream.
    pub(super) fn grpc_closes(&mut self, thread: usize, place: usize, root: u32, token: u32, status: u32, why: String) {
        if let Some(grpc) = self.grpc(thread, place, token) {
            grpc.over = true;
        }
        self.with(thread, place, root, |context| context.status = (status, why.into()));
        self.threads[thread].slots[place].vm.call(Callback::OnGrpcClose, root, &[token, status]);
        self.with(thread, place, root, |context| context.status.1 = "".into());
        let is_call = CalloutKind::of(token) == Some(CalloutKind::GrpcCall);
        if self.grpc(thread, place, token).is_some_and(|grpc| is_call || grpc.closed) {
            self.threads[thread].slots[place].vm.state_mut().grpc.remove(&token);
        }
        self.after_call(thread, place);
    }

    fn grpc(&mut self, thread: usize, place: usize, token: u32) -> Option<&mut Grpc> {
        self.threads[thread].slots[place].vm.state_mut().grpc.get_mut(&token)
    }

    /// Calls the root, unless the module has cancelled meanwhile.
    fn grpc_hears(&mut self, thread: usize, place: usize, token: u32, told: Told) {
        let Some(grpc) = self.grpc(thread, place, token) else { return };
        let root = grpc.request.context;
        let (callback, size) = match &told {
            Told::Initial(headers) => (Callback::OnGrpcInitialMetadata, headers.len()),
            Told::Message(message) => (Callback::OnGrpcReceive, message.len()),
            Told::Trailing(headers) => (Callback::OnGrpcTrailingMetadata, headers.len()),
        };
        self.with(thread, place, root, |context| match told {
            Told::Initial(headers) => context.grpc_initial = Some(headers),
            Told::Message(message) => context.grpc_message = Some(message),
            Told::Trailing(headers) => context.grpc_trailing = Some(headers),
        });
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        self.threads[thread].slots[place].vm.call(callback, root, &[token, size]);
        self.with(thread, place, root, |context: &mut Context| {
            (context.grpc_initial, context.grpc_message, context.grpc_trailing) = (None, None, None);
        });
        self.after_call(thread, place);
    }
}

enum Told {
    Initial(HeaderMap),
    Message(Vec<u8>),
    Trailing(HeaderMap),
}

/// Initial metadata, messages, and the end if this is it.
fn read(outcome: Outcome, first: bool, is_last: bool) -> (HeaderMap, Vec<Vec<u8>>, Option<End>) {
    let none = HeaderMap::default;
    match outcome {
        Outcome::Response(Message { headers, .. }) if headers.first(":status") != Some(b"200") => {
            let status = headers.first(":status").and_then(number).map_or(UNAVAILABLE, grpc_status);
            (none(), Vec::new(), Some(End { status, why: BY_UPSTREAM.to_owned(), trailers: none() }))
        }
        // Only trailers, which are where headers would be.
        Outcome::Response(Message { headers, .. }) if headers.first("grpc-status").is_some() => {
            (none(), Vec::new(), Some(end(headers)))
        }
        Outcome::Response(Message { headers, body, trailers }) => (headers, vec![body], Some(end(trailers))),
        Outcome::Part(Part { mut headers, messages, trailers }) => {
            if first {
                headers.replace(":status", "200");
            }
            // Envoy measures once the request has been sent.
            if first && is_last {
                headers.replace("x-envoy-upstream-service-time", "0");
            }
            (headers, messages, trailers.or(is_last.then(none)).map(end))
        }
        Outcome::Local(local) => (none(), Vec::new(), Some(by_envoy(local))),
        Outcome::Reset => {
            let headers =
                [(":status", "200"), ("content-type", "application/grpc"), ("x-envoy-upstream-service-time", "0")];
            let end = End { status: INTERNAL, why: CUT.to_owned(), trailers: none() };
            (headers.into_iter().collect(), Vec::new(), Some(end))
        }
    }
}

/// The end that trailers tell; the upstream's word comes before where Envoy has it from.
fn end(mut trailers: HeaderMap) -> End {
    if trailers.first("grpc-status").is_none() {
        trailers.add("grpc-status", "0");
    }
    let status = trailers.first("grpc-status").and_then(number).unwrap_or(UNAVAILABLE);
    let message = String::from_utf8_lossy(trailers.first("grpc-message").unwrap_or_default()).into_owned();
    End { status, why: explained(&message, BY_UPSTREAM), trailers }
}

fn by_envoy(local: Local) -> End {
    let trailers = [
        (":status", "200".to_owned()),
        ("content-type", "application/grpc".to_owned()),
        ("grpc-status", UNAVAILABLE.to_string()),
        ("grpc-message", local.body.to_owned()),
    ];
    let trailers = trailers.into_iter().collect();
    End { status: UNAVAILABLE, why: explained(local.body, local.details), trailers }
}

fn explained(message: &str, details: &str) -> String {
    if message.is_empty() { details.to_owned() } else { format!("{message}{{{details}}}") }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
