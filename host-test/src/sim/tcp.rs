//! A TCP connection on its way through the network filters to the upstream, and the bytes on their way back.

use super::{
    Sim,
    client::{Connection, End, StreamId},
    event::Step,
    stream::{Input, Stop, Stream, Way},
};
use crate::{
    host::{
        abi::{CloseType, StreamType},
        context,
        vm::Callback,
    },
    trace::Event,
};
use std::{cell::RefCell, rc::Rc, time::Duration};

impl Sim {
    /// Has a client connect now. It happens when the simulation runs on.
    pub fn connect(&mut self, connection: Connection) -> StreamId {
        let thread = connection.worker.clamp(1, self.config.workers.max(1));
        self.next_connection += 1;
        let shared = context::Stream {
            connection: Rc::new(RefCell::new(context::Connection {
                id: self.next_connection,
                source: connection.source.clone().into(),
                destination: connection.destination.clone().into(),
                server_name: connection.server_name.clone().map(String::into_bytes),
                ..context::Connection::default()
            })),
            given: connection
                .properties
                .iter()
                .map(|(path, value)| (path.replace('.', "\0").into_bytes(), value.clone()))
                .collect(),
            ..context::Stream::default()
        };
        let leaves = connection.leaves_after;
        let id = self.add_stream(Stream::new(thread, Input::Tcp(Box::new(connection)), shared));
        self.plan(id, thread, Duration::ZERO, Step::Begin);
        if let Some(leaves) = leaves {
            self.plan(id, thread, leaves, Step::Leave);
        }
        StreamId(id)
    }

    pub(super) fn begin_connection(&mut self, id: usize) {
        let now = self.world.borrow().now;
        self.stream(id).shared.borrow_mut().began_at = now;
        self.add_filters(id);
        let stream = &self.streams[&id];
        let thread = stream.thread;
        let Input::Tcp(connection) = &stream.input else { return };
        let data = connection.data.clone();
        let mut at = Duration::ZERO;
        for (after, bytes) in data {
            at += after;
            self.plan(id, thread, at, Step::Data { bytes, end: false });
        }
        self.new_connection(id, 0);
    }

    /// Tells the filters from the `from`th on of the connection; behind the last is the upstream.
    fn new_connection(&mut self, id: usize, from: usize) {
        for at in from..self.streams[&id].filters.len() {
            let Some(result) = self.ask_network(id, at, Callback::OnNewConnection, &[]) else { return };
            if result != 0 {
                return self.pause(id, at, Callback::OnNewConnection);
            }
            self.stream(id).filters[at].request.headers_passed = true;
        }
        let stream = self.stream(id);
        if std::mem::replace(&mut stream.outcome.connected, true) {
            return;
        }
        stream.shared.borrow_mut().upstream_address = Some(super::ends::UPSTREAM.into());
        let thread = stream.thread;
        let Input::Tcp(connection) = &stream.input else { return };
        let (answers, closes) = (connection.answers.clone(), connection.upstream_closes);
        self.note(thread, || Event::Forwarded { stream: id, headers: None });
        let mut at = Duration::ZERO;
        let last = answers.len().wrapping_sub(1);
        for (index, (after, bytes)) in answers.into_iter().enumerate() {
            at += after;
            self.plan(id, thread, at, Step::UpstreamData { bytes, end: closes && index == last });
        }
    }

    fn pause(&mut self, id: usize, at: usize, callback: Callback) {
        let stream = self.stream(id);
        let side = stream.side(Way::Request, at);
        if std::mem::take(&mut side.resumed_meanwhile) {
            side.stop = Stop::No;
            return self.after_resume(id, at);
        }
        side.stop = Stop::One;
        let (thread, context) = (stream.thread, stream.filters[at].context);
        self.note(thread, || Event::Paused { stream: id, context, callback: callback.name().to_owned() });
    }

    /// Calls a network filter; `None` when the connection is over, or its VM has failed and so it is closed.
    fn ask_network(&mut self, id: usize, at: usize, callback: Callback, arguments: &[u32]) -> Option<u32> {
        let stream = &self.streams[&id];
        let (thread, context) = (stream.thread, stream.filters[at].context);
        let place = self.slot_of(thread, &stream.filters[at]);
        let Some(place) = place.filter(|place| !self.threads[thread].slots[*place].vm.has_failed()) else {
            self.set_details(id, "wasm_fail_stream");
            self.end(id, End::Reset);
            return None;
        };
        if !self.threads[thread].slots[place].vm.has(callback) {
            return Some(0);
        }
        self.stream(id).side(Way::Request, at).running = true;
        let result = self.threads[thread].slots[place].vm.call(callback, context, arguments);
        self.after_call(thread, place);
        self.streams.get_mut(&id)?.side(Way::Request, at).running = false;
        if self.streams[&id].outcome.end.is_some() {
            return None;
        }
        if result.is_none() {
            self.set_details(id, "wasm_fail_stream");
            self.end(id, End::Reset);
        }
        result
    }

    pub(super) fn downstream_data(&mut self, id: usize, bytes: Vec<u8>, end: bool) {
        let stream = self.stream(id);
        let Input::Tcp(connection) = &stream.input else { return };
        // A TCP proxy reads nothing before its upstream is connected; an HTTP connection manager reads at once.
        if !connection.reads_at_once && !stream.outcome.connected {
            if let Some(first) = stream.filters.first_mut() {
                first.request.held.extend(bytes);
            }
            return;
        }
        self.filter_data(id, 0, bytes, end);
    }

    /// Shows data to the filters from the `from`th on: each sees all that is unread.
    fn filter_data(&mut self, id: usize, from: usize, bytes: Vec<u8>, end: bool) {
        let mut bytes = bytes;
        for at in from..self.streams[&id].filters.len() {
            let side = self.stream(id).side(Way::Request, at);
            let mut shown = std::mem::take(&mut side.held);
            shown.append(&mut bytes);
            let size = u32::try_from(shown.len()).unwrap_or(u32::MAX);
            self.context(id, at, |context| {
                context.downstream = Some(shown);
                context.end_of_stream = end;
            });
            let result = self.ask_network(id, at, Callback::OnDownstreamData, &[size, u32::from(end)]);
            let mut left = Vec::new();
            self.context(id, at, |context| left = context.downstream.take().unwrap_or_default());
            let Some(result) = result else { return };
            if result != 0 {
                self.stream(id).side(Way::Request, at).held = left;
                return self.pause(id, at, Callback::OnDownstreamData);
            }
            bytes = left;
        }
        let stream = self.stream(id);
        stream.outcome.forwarded_body.extend(bytes);
        // What follows serves the connection as soon as it gets data.
        stream.outcome.connected = true;
    }

    pub(super) fn upstream_data(&mut self, id: usize, bytes: Vec<u8>, end: bool) {
        let mut bytes = bytes;
        for at in (0..self.streams[&id].filters.len()).rev() {
            let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.context(id, at, |context| context.upstream = Some(bytes));
            let result = self.ask_network(id, at, Callback::OnUpstreamData, &[size, u32::from(end)]);
            let mut left = Vec::new();
            self.context(id, at, |context| left = context.upstream.take().unwrap_or_default());
            if result.is_none() {
                return;
            }
            // How it closed is not known.
            if end && self.ask_network(id, at, Callback::OnUpstreamClose, &[CloseType::Unknown as u32]).is_none() {
                return;
            }
            if result != Some(0) {
                return;
            }
            bytes = left;
        }
        self.stream(id).outcome.response_body.extend(bytes);
        if end {
            self.close_callbacks(id, CloseType::Local);
            if !self.is_over(id) {
                self.end(id, End::Answered);
            }
        }
    }

    /// A filter lets reading go on: with the next filter, which sees what is unread. The filter itself is not shown it again.
    pub(super) fn continue_reading(&mut self, thread: usize, place: usize, context: u32) {
        let Some((id, at)) = self.find(thread, place, context) else { return };
        let side = self.stream(id).side(Way::Request, at);
        let (running, was_paused) = (side.running, side.stop != Stop::No || side.running);
        self.note(thread, || Event::Resumed { stream: id, context, which: StreamType::Downstream, was_paused });
        let side = self.stream(id).side(Way::Request, at);
        if running {
            side.resumed_meanwhile = true;
        } else if side.stop != Stop::No {
            side.stop = Stop::No;
            self.after_resume(id, at);
        }
    }

    fn after_resume(&mut self, id: usize, at: usize) {
        let side = self.stream(id).side(Way::Request, at);
        let held = std::mem::take(&mut side.held);
        if !std::mem::replace(&mut side.headers_passed, true) {
            self.new_connection(id, at + 1);
        }
        if self.streams[&id].outcome.end.is_some() || held.is_empty() {
            return;
        }
        let Input::Tcp(connection) = &self.streams[&id].input else { return };
        if connection.reads_at_once {
            self.filter_data(id, at + 1, held, false);
        } else {
            // The proxy had not read it: it is all new.
            self.filter_data(id, 0, held, false);
        }
    }

    pub(super) fn close_connection(&mut self, id: usize) {
        // In its callback of being closed, a filter can close it no further.
        if self.streams[&id].closing {
            return;
        }
        self.close_callbacks(id, CloseType::Local);
        self.set_details(id, "wasm_downstream_close");
        self.end(id, End::Reset);
    }

    /// Tells the filters that the connection is closed.
    pub(super) fn close_callbacks(&mut self, id: usize, how: CloseType) {
        self.stream(id).closing = true;
        for at in 0..self.streams[&id].filters.len() {
            let stream = &self.streams[&id];
            let (thread, context) = (stream.thread, stream.filters[at].context);
            if let Some(place) = self.slot_of(thread, &stream.filters[at]) {
                self.threads[thread].slots[place].vm.call(Callback::OnDownstreamClose, context, &[how as u32]);
                self.after_call(thread, place);
            }
            if self.streams[&id].outcome.end.is_some() {
                return;
            }
        }
    }
}
