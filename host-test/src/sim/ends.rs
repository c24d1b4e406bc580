//! The two ends of the filter chain: the upstream behind it, the client before it; and the end of a stream.

use super::{
    Sim,
    client::{End, Origin},
    event::Step,
    stream::{Filter, Input, Way},
};
use crate::{
    host::{HeaderMap, Reply, vm::Callback},
    trace::Event,
};
use std::time::Duration;

/// The response flag of a client that left (`DC`), as Envoy numbers it.
const DOWNSTREAM_LEFT: u64 = 0x4000;

/// Where the upstream of requests and connections is.
pub(super) const UPSTREAM: &str = "10.0.0.2:80";

impl Sim {
    pub(super) fn forward_headers(&mut self, id: usize, end: bool) {
        let records = self.records();
        let stream = self.stream(id);
        let headers = stream.shared.borrow().request_headers.clone();
        let (thread, noted) = (stream.thread, records.then(|| headers.clone()));
        stream.outcome.forwarded = Some(headers);
        let mut shared = stream.shared.borrow_mut();
        shared.upstream_address = Some(UPSTREAM.into());
        shared.cluster = Some(b"origin".to_vec());
        drop(shared);
        self.note(thread, || Event::Forwarded { stream: id, headers: noted });
        if end {
            self.request_ends(id);
        }
    }

    pub(super) fn forward_data(&mut self, id: usize, bytes: Vec<u8>, end: bool) {
        let stream = self.stream(id);
        stream.shared.borrow_mut().request_size += bytes.len() as u64;
        stream.outcome.forwarded_body.extend(bytes);
        if end {
            self.request_ends(id);
        }
    }

    pub(super) fn forward_trailers(&mut self, id: usize) {
        let stream = self.stream(id);
        stream.outcome.forwarded_trailers = stream.shared.borrow().request_trailers.clone();
        self.request_ends(id);
    }

    fn request_ends(&mut self, id: usize) {
        let stream = self.stream(id);
        let thread = stream.thread;
        if std::mem::replace(&mut stream.request_ended, true) {
            return;
        }
        let Input::Http(request) = &stream.input else { return };
        match request.origin.after {
            Some(Duration::ZERO) => self.upstream_answers(id),
            Some(after) => self.plan(id, thread, after, Step::Answer),
            None => {}
        }
    }

    pub(super) fn upstream_answers(&mut self, id: usize) {
        let stream = self.stream(id);
        if stream.responding || stream.replied || stream.prepared.is_some() {
            return;
        }
        stream.responding = true;
        let Input::Http(request) = &stream.input else { return };
        let Origin { status, headers, body, trailers, .. } = request.origin.clone();
        let mut all = HeaderMap::default();
        all.add(":status", status.to_string());
        // Before trailers, HTTP/1.1 sends a body in chunks.
        match trailers {
            None => all.add("content-length", body.iter().map(Vec::len).sum::<usize>().to_string()),
            Some(_) => all.add("transfer-encoding", "chunked"),
        }
        for (name, value) in headers.iter() {
            all.add(name, value);
        }
        all.add("x-envoy-upstream-service-time", "0");
        let mut shared = stream.shared.borrow_mut();
        shared.response_headers = Some(all);
        shared.response_trailers = trailers.clone();
        shared.code = Some(status);
        shared.code_details = Some(b"via_upstream".to_vec());
        drop(shared);
        "via_upstream".clone_into(&mut stream.outcome.details);
        self.pass_headers(id, Way::Response, 0, body.is_empty() && trailers.is_none());
        let has_body = !body.is_empty();
        for piece in body {
            self.pass_data(id, Way::Response, 0, piece, false);
        }
        // As HTTP/1.1 has it, the end of a body comes after its last piece.
        if trailers.is_some() {
            self.pass_trailers(id, Way::Response, 0);
        } else if has_body {
            self.pass_data(id, Way::Response, 0, Vec::new(), true);
        }
    }

    /// Sends the reply that was prepared: through the filters, as any response.
    pub(super) fn send_prepared(&mut self, id: usize) {
        let stream = self.stream(id);
        let Some(reply) = stream.prepared.take() else { return };
        if stream.outcome.end.is_some() || stream.replied {
            return;
        }
        if !stream.outcome.response_headers.is_empty() {
            // The client has headers already: all that is left is to cut the response off.
            return self.end(id, End::Reset);
        }
        // One that comes while a response is on its way goes straight to the client.
        let direct = stream.responding || stream.filters.iter().any(|filter| filter.failed);
        stream.replied = true;
        stream.responding = true;
        for filter in &mut stream.filters {
            filter.response = super::stream::Side::default();
        }
        let (headers, body) = local_reply(&reply, &stream.shared.borrow().request_headers);
        let details = String::from_utf8_lossy(&reply.details).into_owned();
        let status = headers.first(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        let mut shared = stream.shared.borrow_mut();
        shared.response_headers = Some(headers);
        shared.response_trailers = None;
        shared.code = status;
        drop(shared);
        self.set_details(id, &details);
        let from = if direct { self.streams[&id].filters.len() } else { 0 };
        self.pass_headers(id, Way::Response, from, body.is_empty());
        if !body.is_empty() {
            self.pass_data(id, Way::Response, from, body, true);
        }
    }

    pub(super) fn deliver_headers(&mut self, id: usize, end: bool) {
        let stream = self.stream(id);
        let shared = stream.shared.borrow();
        let headers = shared.response_headers.clone().unwrap_or_default();
        drop(shared);
        let status = headers.first(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        stream.outcome.status = status;
        stream.outcome.response_headers = headers;
        if end {
            self.answered(id);
        }
    }

    pub(super) fn deliver_data(&mut self, id: usize, bytes: Vec<u8>, end: bool) {
        let stream = self.stream(id);
        stream.shared.borrow_mut().response_size += bytes.len() as u64;
        stream.outcome.response_body.extend(bytes);
        if end {
            self.answered(id);
        }
    }

    pub(super) fn deliver_trailers(&mut self, id: usize) {
        let stream = self.stream(id);
        stream.outcome.response_trailers = stream.shared.borrow().response_trailers.clone();
        self.answered(id);
    }

    fn answered(&mut self, id: usize) {
        let stream = self.stream(id);
        let (thread, status) = (stream.thread, stream.outcome.status.unwrap_or(0));
        self.note(thread, || Event::Answered { stream: id, status });
        self.end(id, End::Answered);
    }

    /// The stream is over: each filter logs, is done and is deleted.
    pub(super) fn end(&mut self, id: usize, end: End) {
        let now = self.world.borrow().now;
        let stream = self.stream(id);
        stream.outcome.end = Some(end);
        let thread = stream.thread;
        {
            let mut shared = stream.shared.borrow_mut();
            shared.ended_at = Some(now);
            if end == End::ClientLeft {
                shared.flags |= DOWNSTREAM_LEFT;
            }
        }
        stream.outcome.took = Duration::from_nanos(now - stream.shared.borrow().began_at);
        let filters: Vec<(usize, u32)> = stream
            .filters
            .iter()
            .enumerate()
            .filter(|(_, filter)| filter.created)
            .map(|(at, filter)| (at, filter.context))
            .collect();
        let http = matches!(stream.input, Input::Http(_));
        if http {
            for (at, context) in &filters {
                self.context(id, *at, |context| context.logging = true);
                self.call_last(id, *at, Callback::OnLog, *context);
                self.context(id, *at, |context| context.logging = false);
            }
        }
        for (at, context) in filters {
            self.call_last(id, at, Callback::OnDone, context);
            if !http {
                self.call_last(id, at, Callback::OnLog, context);
            }
            let stream = &self.streams[&id];
            if let Some(place) = self.slot_of(thread, &stream.filters[at]) {
                self.delete_context(thread, place, context);
                self.after_call(thread, place);
                self.end_old_roots(thread, place);
            }
        }
        self.collect_filter_state(id);
        self.note(thread, || Event::StreamEnded { stream: id });
    }

    fn call_last(&mut self, id: usize, at: usize, callback: Callback, context: u32) {
        let stream = &self.streams[&id];
        let thread = stream.thread;
        let filter: &Filter = &stream.filters[at];
        if let Some(place) = self.slot_of(thread, filter) {
            self.threads[thread].slots[place].vm.call(callback, context, &[]);
            self.after_call(thread, place);
        }
    }

    fn collect_filter_state(&mut self, id: usize) {
        let stream = self.stream(id);
        let shared = stream.shared.borrow();
        let connection = shared.connection.borrow();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let state =
            connection.state.iter().chain(&shared.state).map(|(name, value)| (text(name), text(value))).collect();
        drop(connection);
        drop(shared);
        stream.outcome.filter_state = state;
    }
}

/// Headers and body of a reply, as Envoy makes them: a gRPC client gets its status in the headers.
fn local_reply(reply: &Reply, request: &HeaderMap) -> (HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::default();
    let is_grpc = request.first("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"));
    if is_grpc {
        headers.add(":status", "200");
        headers.add("content-type", "application/grpc");
        headers.add("grpc-status", reply.grpc_status.unwrap_or_else(|| grpc_status(reply.status)).to_string());
        if !reply.body.is_empty() {
            headers.add("grpc-message", percent_encoded(&reply.body));
        }
        for (name, value) in reply.headers.iter().filter(|(name, _)| *name != b"content-type") {
            headers.add(name, value);
        }
        return (headers, Vec::new());
    }
    headers.add(":status", reply.status.to_string());
    for (name, value) in reply.headers.iter() {
        headers.add(name, value);
    }
    if !reply.body.is_empty() {
        headers.replace("content-length", reply.body.len().to_string());
        if headers.first("content-type").is_none() {
            headers.add("content-type", "text/plain");
        }
    }
    let is_head = request.first(":method") == Some(b"HEAD");
    (headers, if is_head { Vec::new() } else { reply.body.clone() })
}

/// The gRPC status for an HTTP status, as <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md> has it.
pub(super) fn grpc_status(status: u32) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

fn percent_encoded(text: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in text {
        if (b' '..=b'~').contains(byte) && *byte != b'%' {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
