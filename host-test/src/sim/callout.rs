//! The end of a callout: its owner is told, if it is still there.

use super::{
    Sim,
    upstream::{Callout, Outcome},
};
use crate::{
    host::{
        context::{Context, Message},
        vm::Callback,
    },
    trace::Event,
};

/// What `proxy_get_status` says after a callout that was reset.
const RESET: (u32, &str) = (crate::host::abi::Status::BrokenConnection as u32, "reset");

/// The status of a gRPC call that the network failed.
const UNAVAILABLE: u32 = 14;

impl Sim {
    pub(super) fn callout_ends(&mut self, thread: usize, id: usize) {
        let Some(callout) = self.world.borrow_mut().upstreams.take(id) else { return };
        let place = callout.request.vm;
        let context = callout.request.context;
        let Some(slot) = self.threads[thread].slots.get(place) else { return };
        if !slot.vm.state().contexts.contains_key(&context) {
            return self.note(thread, || Event::CalloutCancelled { callout: id });
        }
        let Callout { request, end: Some((_, outcome)), grpc, answer } = callout else { return };
        self.note(thread, || {
            let outcome = match &outcome {
                Outcome::Response(message) => {
                    String::from_utf8_lossy(message.headers.first(":status").unwrap_or_default()).into_owned()
                }
                Outcome::Reset => "reset".to_owned(),
            };
            Event::CalloutEnded { callout: id, outcome, answer }
        });
        if grpc {
            self.grpc_ends(thread, place, context, request.token, outcome);
        } else {
            self.http_ends(thread, place, context, request.token, outcome);
        }
        self.after_call(thread, place);
        self.end_old_roots(thread, place);
    }

    fn http_ends(&mut self, thread: usize, place: usize, context: u32, token: u32, outcome: Outcome) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        match outcome {
            Outcome::Response(message) => {
                let numbers =
                    [token, count(message.headers.len()), count(message.body.len()), count(message.trailers.len())];
                self.with(thread, place, context, |context| context.callout = Some(message));
                self.threads[thread].slots[place].vm.call(Callback::OnHttpCallResponse, context, &numbers);
                self.with(thread, place, context, |context| context.callout = None);
            }
            Outcome::Reset => {
                self.with(thread, place, context, |context| context.status = RESET);
                self.threads[thread].slots[place].vm.call(Callback::OnHttpCallResponse, context, &[token, 0, 0, 0]);
                self.with(thread, place, context, |context| context.status.1 = "");
            }
        }
    }

    fn grpc_ends(&mut self, thread: usize, place: usize, context: u32, token: u32, outcome: Outcome) {
        let mut close = UNAVAILABLE;
        if let Outcome::Response(Message { headers, body, trailers }) = outcome {
            let status = trailers.first("grpc-status").or_else(|| headers.first("grpc-status"));
            let ok = headers.first(":status") == Some(b"200");
            close = status.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok()).unwrap_or(if ok {
                0
            } else {
                UNAVAILABLE
            });
            if ok {
                let call = |sim: &mut Sim, callback, number: usize| {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    sim.threads[thread].slots[place].vm.call(callback, context, &[token, number]);
                    sim.after_call(thread, place);
                };
                let length = headers.len();
                self.with(thread, place, context, |context| context.grpc_initial = Some(headers));
                call(self, Callback::OnGrpcInitialMetadata, length);
                self.with(thread, place, context, |context| context.grpc_initial = None);
                if close == 0 {
                    let length = body.len();
                    self.with(thread, place, context, |context| context.grpc_message = Some(body));
                    call(self, Callback::OnGrpcReceive, length);
                    self.with(thread, place, context, |context| context.grpc_message = None);
                }
                if token & 1 == 0 {
                    let length = trailers.len();
                    self.with(thread, place, context, |context| context.grpc_trailing = Some(trailers));
                    call(self, Callback::OnGrpcTrailingMetadata, length);
                    self.with(thread, place, context, |context| context.grpc_trailing = None);
                }
            }
        }
        // A call that succeeded is over with its message; a stream and a failure are closed.
        if token & 1 == 0 || close != 0 {
            self.with(thread, place, context, |context| context.status = (close, ""));
            self.threads[thread].slots[place].vm.call(Callback::OnGrpcClose, context, &[token, close]);
        }
    }

    fn with(&mut self, thread: usize, place: usize, context: u32, change: impl FnOnce(&mut Context)) {
        if let Some(context) = self.threads[thread].slots[place].vm.state_mut().contexts.get_mut(&context) {
            change(context);
        }
    }
}
