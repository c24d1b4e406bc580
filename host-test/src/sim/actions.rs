//! What filters do to streams, once the callback that asked for it has returned.

use super::{
    Sim,
    client::End,
    stream::{Filter, Frame, Stop, Way},
};
use crate::{
    host::{Action, HeaderMap, Reply, abi::StreamType},
    trace::Event,
};

impl Sim {
    /// A filter lets a stream go on.
    pub(super) fn continue_stream(&mut self, thread: usize, place: usize, context: u32, which: StreamType) {
        let Some((id, at)) = self.find(thread, place, context) else { return };
        let way = if which == StreamType::Request { Way::Request } else { Way::Response };
        let side = self.stream(id).side(way, at);
        let (stop, running) = (side.stop, side.running);
        let was_paused = stop != Stop::No || running;
        self.note(thread, || Event::Resumed { stream: id, context, which, was_paused });
        if running {
            self.stream(id).side(way, at).resumed_meanwhile = true;
        }
        if stop == Stop::No {
            return;
        }
        self.hide_headers(id, way, at);
        let index = if way == Way::Request { at } else { self.streams[&id].filters.len() - 1 - at };
        let waiting = std::mem::take(&mut self.stream(id).side(way, at).waiting);
        self.pass_rest_of_stop(id, way, index, at, stop);
        for frame in waiting {
            if self.is_over(id) {
                return;
            }
            match frame {
                Frame::Data(bytes, end) => self.pass_data(id, way, index, bytes, end),
                Frame::Trailers => self.pass_trailers(id, way, index),
            }
        }
    }

    fn pass_rest_of_stop(&mut self, id: usize, way: Way, index: usize, at: usize, stop: Stop) {
        if stop == Stop::All {
            let side = self.stream(id).side(way, at);
            side.stop = Stop::No;
            let end = side.headers_end;
            if !std::mem::replace(&mut side.headers_passed, true) {
                self.pass_headers(id, way, index + 1, end);
            }
        } else {
            self.pass_rest(id, way, index, at);
        }
    }

    /// The stream and the filter of a context.
    pub(super) fn find(&self, thread: usize, place: usize, context: u32) -> Option<(usize, usize)> {
        let state = self.threads[thread].slots.get(place)?.vm.state();
        let id = state.contexts.get(&context)?.number;
        let stream = self.streams.get(&id).filter(|stream| stream.outcome.end.is_none())?;
        let generation = self.threads[thread].slots[place].generation;
        let is = |filter: &Filter| {
            filter.context == context
                && filter.generation == generation
                && self.config.plugins[filter.plugin].vm == place
        };
        stream.filters.iter().position(is).map(|at| (id, at))
    }

    pub(super) fn close_stream(&mut self, thread: usize, place: usize, context: u32, which: StreamType) {
        let Some((id, _)) = self.find(thread, place, context) else { return };
        self.note(thread, || Event::Closed { stream: id, context, which });
        match which {
            StreamType::Request | StreamType::Response => {
                self.set_details(id, "wasm_close_stream");
                self.end(id, End::Reset);
            }
            StreamType::Downstream | StreamType::Upstream => self.close_connection(id),
        }
    }

    pub(super) fn set_details(&mut self, id: usize, details: &str) {
        let stream = self.stream(id);
        stream.outcome.details = details.to_owned();
        stream.shared.borrow_mut().code_details = Some(details.into());
    }

    /// A filter answers in the place of the upstream.
    pub(super) fn reply(&mut self, thread: usize, place: usize, reply: Box<Reply>) {
        let context = reply.context;
        let Some((id, _)) = self.find(thread, place, context) else { return };
        let details = String::from_utf8_lossy(&reply.details).into_owned();
        self.note(thread, || Event::Replied { stream: id, context, status: reply.status, details });
        // The last reply within a callback is the one that counts.
        self.stream(id).prepared = Some(reply);
        if self.streams[&id].decoding == 0 {
            self.resume_all_the_same(id, thread, place, context);
            self.send_prepared(id);
        }
    }

    /// A filter that answers and, in the same callback, lets the request go on sends it to the upstream as well: Envoy takes
    /// the stream down only after that.
    fn resume_all_the_same(&mut self, id: usize, thread: usize, place: usize, context: u32) {
        let asked = |action: &Action| matches!(action, Action::Continue { context: other, which: StreamType::Request } if *other == context);
        let actions = &mut self.threads[thread].slots[place].vm.state_mut().actions;
        let before = actions.len();
        actions.retain(|action| !asked(action));
        if actions.len() < before && self.streams[&id].outcome.forwarded.is_none() {
            self.note(thread, || Event::Resumed { stream: id, context, which: StreamType::Request, was_paused: true });
            self.forward_headers(id, false);
        }
    }

    /// The proxy's own answer.
    pub(super) fn answer_in_place(&mut self, id: usize, status: u32, details: &str, body: &[u8]) {
        let reply = Reply {
            context: 0,
            status,
            details: details.into(),
            headers: HeaderMap::default(),
            body: body.to_vec(),
            grpc_status: (status == 503).then_some(14),
        };
        self.stream(id).prepared = Some(Box::new(reply));
        self.send_prepared(id);
    }
}
