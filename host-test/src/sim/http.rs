//! A request on its way through the filters to the upstream, and the response on its way back.

use super::{
    Sim,
    client::{End, Request, StreamId},
    config::{FailurePolicy, PluginKind},
    event::Step,
    stream::{Filter, Frame, Input, Side, Stop, Stream, Way},
};
use crate::{
    host::{
        abi::CloseType,
        context::{Connection, Context, Kind},
        vm::Callback,
    },
    trace::Event,
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// What a filter's callback says about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Continue,
    /// Stop this frame; for data, show all of it again with the next piece.
    StopOne,
    StopAll,
    /// Stop the data and show only what is new.
    Hold,
    /// Stop the data and drop it.
    Drop,
}

impl Sim {
    /// Has a client send a request now. It happens when the simulation runs on.
    pub fn request(&mut self, request: Request) -> StreamId {
        let thread = request.worker.clamp(1, self.config.workers.max(1));
        let connection = request.connection.unwrap_or_else(|| {
            self.next_connection += 1;
            self.next_connection
        });
        let given = |properties: &std::collections::BTreeMap<String, Vec<u8>>| {
            properties.iter().map(|(path, value)| (path.replace('.', "\0").into_bytes(), value.clone())).collect()
        };
        let shared = crate::host::context::Stream {
            connection: Rc::new(RefCell::new(Connection {
                id: connection,
                source: request.source.clone().into(),
                destination: request.destination.clone().into(),
                server_name: request.server_name.clone().map(String::into_bytes),
                ..Connection::default()
            })),
            request_headers: request.headers.clone(),
            request_trailers: request.trailers.clone(),
            given: given(&request.properties),
            ..crate::host::context::Stream::default()
        };
        let leaves = request.leaves_after;
        let id = self.add_stream(Stream::new(thread, Input::Http(Box::new(request)), shared));
        self.plan(id, thread, Duration::ZERO, Step::Begin);
        if let Some(leaves) = leaves {
            self.plan(id, thread, leaves, Step::Leave);
        }
        StreamId(id)
    }

    pub(super) fn add_stream(&mut self, stream: Stream) -> usize {
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(id, stream);
        id
    }

    pub(super) fn stream_step(&mut self, id: usize, step: Step) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.outcome.end.is_none()) else { return };
        let http = matches!(stream.input, Input::Http(_));
        match step {
            Step::Begin if http => self.begin_request(id),
            Step::Begin => self.begin_connection(id),
            Step::Data { bytes, end } if http => self.pass_data(id, Way::Request, 0, bytes, end),
            Step::Data { bytes, end } => self.downstream_data(id, bytes, end),
            Step::Trailers => self.pass_trailers(id, Way::Request, 0),
            Step::Answer => self.upstream_answers(id),
            Step::UpstreamData { bytes, end } => self.upstream_data(id, bytes, end),
            Step::Leave => {
                self.note(self.streams[&id].thread, || Event::ClientLeft { stream: id });
                if !http {
                    self.close_callbacks(id, CloseType::Remote);
                }
                if !self.is_over(id) {
                    if http {
                        self.set_details(id, "downstream_remote_disconnect");
                    }
                    self.end(id, End::ClientLeft);
                }
            }
            Step::Timeout => self.answer_in_place(id, 408, "request_overall_timeout", b"request timeout"),
        }
    }

    /// Makes the contexts' places: which filters see this stream, and which are dead.
    pub(super) fn add_filters(&mut self, id: usize) {
        let (thread, kind) = (self.streams[&id].thread, self.streams[&id].input.kind());
        for plugin in 0..self.config.plugins.len() {
            if self.config.plugins[plugin].kind != kind {
                continue;
            }
            self.reload(thread, plugin);
            let place = self.config.plugins[plugin].vm;
            let root = self.threads[thread].roots[plugin];
            let slot = &mut self.threads[thread].slots[place];
            let dead = slot.vm.has_failed();
            // A plugin that was refused in this worker only is silently absent.
            let Some(root) = root.or(dead.then_some(0)) else { continue };
            if dead && self.config.plugins[plugin].policy == FailurePolicy::FailOpen {
                continue;
            }
            let shared = self.streams[&id].shared.clone();
            let kind = if kind == PluginKind::Http { Kind::Http } else { Kind::Tcp };
            let context = if dead {
                0
            } else {
                slot.vm.state_mut().add_context(|_| Context {
                    number: id,
                    stream: Some(shared),
                    ..Context::new(kind, root, plugin)
                })
            };
            let generation = slot.generation;
            let (request, response) = (Side::default(), Side::default());
            let filter = Filter { plugin, context, generation, created: false, failed: false, request, response };
            self.stream(id).filters.push(filter);
            if !dead {
                self.threads[thread].slots[place].vm.call(Callback::OnContextCreate, context, &[root]);
                self.after_call(thread, place);
                if let Some(filter) = self.stream(id).filters.last_mut() {
                    filter.created = true;
                }
            }
        }
        let contexts = || self.streams[&id].filters.iter().map(|filter| filter.context).collect();
        if self.records() {
            self.note(thread, || Event::StreamStarted { stream: id, contexts: contexts() });
        }
    }

    fn begin_request(&mut self, id: usize) {
        let (now, time_of_day) = {
            let world = self.world.borrow();
            (world.now, world.time_of_day())
        };
        {
            let mut shared = self.stream(id).shared.borrow_mut();
            (shared.began, shared.began_at) = (time_of_day, now);
        }
        self.add_filters(id);
        let stream = &self.streams[&id];
        let thread = stream.thread;
        let Input::Http(request) = &stream.input else { return };
        let (pieces, pace, trailers) = (request.body.clone(), request.pace, request.trailers.is_some());
        let count = pieces.len();
        if let Some(timeout) = self.config.request_timeout {
            self.plan(id, thread, timeout, Step::Timeout);
        }
        let mut at = Duration::ZERO;
        for bytes in pieces {
            at += pace;
            self.plan(id, thread, at, Step::Data { bytes, end: false });
        }
        // As HTTP/1.1 has it, the end of a body comes after its last piece.
        match (trailers, count) {
            (true, _) => self.plan(id, thread, at, Step::Trailers),
            (false, 0) => {}
            (false, _) => self.plan(id, thread, at, Step::Data { bytes: Vec::new(), end: true }),
        }
        self.pass_headers(id, Way::Request, 0, count == 0 && !trailers);
    }

    pub(super) fn stream(&mut self, id: usize) -> &mut Stream {
        self.streams.get_mut(&id).expect("streams are only taken out when they are over")
    }

    pub(super) fn is_over(&self, id: usize) -> bool {
        self.streams.get(&id).is_none_or(|stream| stream.outcome.end.is_some())
    }

    /// The VM in which a filter's context lives; `None` when that one is gone.
    pub(super) fn slot_of(&self, thread: usize, filter: &Filter) -> Option<usize> {
        let place = self.config.plugins[filter.plugin].vm;
        let slot = self.threads[thread].slots.get(place)?;
        (slot.generation == filter.generation && filter.context != 0).then_some(place)
    }

    /// Changes a filter's context.
    pub(super) fn context(&mut self, id: usize, filter: usize, change: impl FnOnce(&mut Context)) {
        let stream = &self.streams[&id];
        let (thread, filter) = (stream.thread, &stream.filters[filter]);
        if let Some(place) = self.slot_of(thread, filter) {
            let context = filter.context;
            if let Some(context) = self.threads[thread].slots[place].vm.state_mut().contexts.get_mut(&context) {
                change(context);
            }
        }
    }

    /// Calls a filter about a frame. What it asked for has been done when this returns; `None`: the stream is over, or
    /// goes on without this frame.
    fn ask(&mut self, id: usize, way: Way, at: usize, callback: Callback, arguments: &[u32]) -> Option<Verdict> {
        let stream = &self.streams[&id];
        let thread = stream.thread;
        let filter = &stream.filters[at];
        let (context, plugin) = (filter.context, filter.plugin);
        if filter.failed {
            return Some(Verdict::Continue);
        }
        let place = self.slot_of(thread, filter);
        let Some(place) = place.filter(|place| !self.threads[thread].slots[*place].vm.has_failed()) else {
            return self.fail_stream(id, at);
        };
        if !self.threads[thread].slots[place].vm.has(callback) {
            return Some(Verdict::Continue);
        }
        let stream = self.stream(id);
        stream.side(way, at).running = true;
        stream.side(way, at).resumed_meanwhile = false;
        stream.decoding += u32::from(way == Way::Request);
        let vm = &mut self.threads[thread].slots[place].vm;
        let result = vm.call(callback, context, arguments);
        let replied = vm.state().stop_next;
        self.after_call(thread, place);
        let stream = self.streams.get_mut(&id)?;
        stream.side(way, at).running = false;
        stream.decoding -= u32::from(way == Way::Request);
        if self.is_over(id) {
            return None;
        }
        let Some(result) = result else { return self.fail_stream(id, at) };
        let verdict = self.verdict(plugin, callback, result, replied);
        let resumed = std::mem::take(&mut self.stream(id).side(way, at).resumed_meanwhile);
        if self.streams[&id].prepared.is_some() && self.streams[&id].decoding == 0 {
            self.send_prepared(id);
            if !resumed {
                return None;
            }
        }
        if verdict != Verdict::Continue && !resumed && self.records() {
            let callback = callback.name().to_owned();
            self.note(thread, || Event::Paused { stream: id, context, callback });
        }
        Some(if resumed { Verdict::Continue } else { verdict })
    }

    /// What a callback's number means.
    fn verdict(&self, plugin: usize, callback: Callback, result: u32, replied: bool) -> Verdict {
        let keeps_bodies = self.config.plugins[plugin].headers_stop_iteration;
        match callback {
            Callback::OnRequestHeaders | Callback::OnResponseHeaders => match result {
                _ if replied => Verdict::StopAll,
                0 | 2 => Verdict::Continue,
                1 if keeps_bodies => Verdict::StopOne,
                _ => Verdict::StopAll,
            },
            Callback::OnRequestBody | Callback::OnResponseBody => match result {
                _ if replied => Verdict::Drop,
                0 => Verdict::Continue,
                1 => Verdict::StopOne,
                2 => Verdict::Hold,
                _ => Verdict::Drop,
            },
            _ if replied || result > 0 => Verdict::StopOne,
            _ => Verdict::Continue,
        }
    }

    /// 503 in the place of a filter whose VM has failed.
    fn fail_stream(&mut self, id: usize, at: usize) -> Option<Verdict> {
        self.stream(id).filters[at].failed = true;
        self.answer_in_place(id, 503, "wasm_fail_stream", b"");
        None
    }

    pub(super) fn pass_headers(&mut self, id: usize, way: Way, index: usize, end: bool) {
        if self.is_over(id) {
            return;
        }
        let Some(at) = self.streams[&id].place(way, index) else {
            return match way {
                Way::Request => self.forward_headers(id, end),
                Way::Response => self.deliver_headers(id, end),
            };
        };
        self.stream(id).side(way, at).headers_end = end;
        if !self.streams[&id].filters[at].created && self.streams[&id].filters[at].context != 0 {
            return self.pass_headers(id, way, index + 1, end);
        }
        let count = self.streams[&id].count(way, false);
        self.context(id, at, |context| {
            context.end_of_stream = end;
            match way {
                Way::Request => context.has_request_headers = true,
                Way::Response => context.has_response_headers = true,
            }
        });
        let callback = if way == Way::Request { Callback::OnRequestHeaders } else { Callback::OnResponseHeaders };
        let Some(verdict) = self.ask(id, way, at, callback, &[count, u32::from(end)]) else { return };
        match verdict {
            Verdict::Continue => {
                self.hide_headers(id, way, at);
                let side = self.stream(id).side(way, at);
                if !std::mem::replace(&mut side.headers_passed, true) {
                    self.pass_headers(id, way, index + 1, end);
                }
            }
            Verdict::StopOne => self.stream(id).side(way, at).stop = Stop::One,
            _ => self.stream(id).side(way, at).stop = Stop::All,
        }
    }

    pub(super) fn hide_headers(&mut self, id: usize, way: Way, at: usize) {
        self.context(id, at, |context| match way {
            Way::Request => context.has_request_headers = false,
            Way::Response => context.has_response_headers = false,
        });
    }

    pub(super) fn pass_data(&mut self, id: usize, way: Way, index: usize, bytes: Vec<u8>, end: bool) {
        // After a reply the rest of a request goes nowhere.
        if self.is_over(id)
            || (way == Way::Request && self.streams[&id].replied && self.streams[&id].outcome.forwarded.is_none())
        {
            return;
        }
        let Some(at) = self.streams[&id].place(way, index) else {
            return match way {
                Way::Request => self.forward_data(id, bytes, end),
                Way::Response => self.deliver_data(id, bytes, end),
            };
        };
        let side = self.stream(id).side(way, at);
        if side.stop == Stop::All {
            side.waiting.push_back(Frame::Data(bytes, end));
            return;
        }
        side.data_ended |= end;
        let shown = if side.buffering { [std::mem::take(&mut side.held), bytes].concat() } else { bytes };
        if side.buffering && shown.len() > self.config.buffer_limit {
            return self.too_large(id, way);
        }
        let size = u32::try_from(shown.len()).unwrap_or(u32::MAX);
        self.context(id, at, |context| {
            context.end_of_stream = end;
            match way {
                Way::Request => {
                    context.request_body = Some(shown);
                    context.hides_request_body = false;
                }
                Way::Response => context.response_body = Some(shown),
            }
        });
        let callback = if way == Way::Request { Callback::OnRequestBody } else { Callback::OnResponseBody };
        let verdict = self.ask(id, way, at, callback, &[size, u32::from(end)]);
        let Some(verdict) = verdict else { return };
        let mut bytes = Vec::new();
        self.context(id, at, |context| {
            let body = if way == Way::Request { &mut context.request_body } else { &mut context.response_body };
            bytes = body.take().unwrap_or_default();
        });
        let side = self.stream(id).side(way, at);
        side.buffering = verdict == Verdict::StopOne;
        match verdict {
            Verdict::Continue => {
                let held = [std::mem::take(&mut side.held), bytes].concat();
                side.stop = Stop::No;
                let headers_end = side.headers_end;
                if !std::mem::replace(&mut side.headers_passed, true) {
                    self.pass_headers(id, way, index + 1, headers_end);
                }
                self.pass_data(id, way, index + 1, held, end);
            }
            Verdict::StopOne | Verdict::Hold => {
                side.held.extend(bytes);
                side.stop = Stop::One;
                if side.buffering && side.held.len() > self.config.buffer_limit {
                    self.too_large(id, way);
                }
            }
            Verdict::StopAll | Verdict::Drop => side.stop = Stop::One,
        }
    }

    fn too_large(&mut self, id: usize, way: Way) {
        match way {
            Way::Request => self.answer_in_place(id, 413, "request_payload_too_large", b"Payload Too Large"),
            Way::Response => self.answer_in_place(id, 500, "response_payload_too_large", b"Internal Server Error"),
        }
    }

    pub(super) fn pass_trailers(&mut self, id: usize, way: Way, index: usize) {
        if self.is_over(id)
            || (way == Way::Request && self.streams[&id].replied && self.streams[&id].outcome.forwarded.is_none())
        {
            return;
        }
        let Some(at) = self.streams[&id].place(way, index) else {
            return match way {
                Way::Request => self.forward_trailers(id),
                Way::Response => self.deliver_trailers(id),
            };
        };
        let side = self.stream(id).side(way, at);
        if side.stop == Stop::All {
            side.waiting.push_back(Frame::Trailers);
            return;
        }
        side.trailers_seen = true;
        let count = self.streams[&id].count(way, true);
        self.context(id, at, |context| match way {
            Way::Request => context.has_request_trailers = true,
            Way::Response => context.has_response_trailers = true,
        });
        let callback = if way == Way::Request { Callback::OnRequestTrailers } else { Callback::OnResponseTrailers };
        let Some(verdict) = self.ask(id, way, at, callback, &[count]) else { return };
        if verdict == Verdict::Continue {
            self.context(id, at, |context| match way {
                Way::Request => context.has_request_trailers = false,
                Way::Response => context.has_response_trailers = false,
            });
            self.pass_rest(id, way, index, at);
        } else {
            self.stream(id).side(way, at).stop = Stop::One;
        }
    }

    /// Passes what a filter held back on to the next one.
    pub(super) fn pass_rest(&mut self, id: usize, way: Way, index: usize, at: usize) {
        let side = self.stream(id).side(way, at);
        side.stop = Stop::No;
        side.buffering = false;
        let (headers_end, held) = (side.headers_end, std::mem::take(&mut side.held));
        let (ended, trailers) = (side.data_ended, side.trailers_seen);
        if !std::mem::replace(&mut side.headers_passed, true) {
            self.pass_headers(id, way, index + 1, headers_end);
        }
        if !held.is_empty() || (ended && !trailers) {
            self.pass_data(id, way, index + 1, held, ended && !trailers);
        }
        if trailers {
            self.pass_trailers(id, way, index + 1);
        }
    }
}
