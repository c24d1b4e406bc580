//! The end of a callout: its owner is told, if it is still there.

use super::{
    Sim,
    upstream::{Callout, Outcome},
};
use crate::{
    host::{CalloutKind, context::Context, vm::Callback},
    trace::Event,
};
use std::borrow::Cow;

/// What `proxy_get_status` says after a callout that was reset.
const RESET: (u32, Cow<'static, str>) = (crate::host::abi::Status::BrokenConnection as u32, Cow::Borrowed("reset"));

impl Sim {
    pub(super) fn callout_ends(&mut self, thread: usize, id: usize) {
        let Some(callout) = self.world.borrow_mut().upstreams.take(id) else { return };
        let place = callout.request.vm;
        let context = callout.request.context;
        let Some(slot) = self.threads[thread].slots.get(place) else { return };
        if !slot.vm.state().contexts.contains_key(&context) {
            return self.note(thread, || Event::CalloutCancelled { callout: id });
        }
        let Callout { request, end: Some((_, outcome)), answer } = callout else { return };
        self.note(thread, || {
            let outcome = match &outcome {
                Outcome::Response(message) => {
                    String::from_utf8_lossy(message.headers.first(":status").unwrap_or_default()).into_owned()
                }
                Outcome::Part(_) => "part".to_owned(),
                Outcome::Local(local) => local.status.to_string(),
                Outcome::Reset => "reset".to_owned(),
            };
            Event::CalloutEnded { callout: id, outcome, answer }
        });
        if CalloutKind::of(request.token) == Some(CalloutKind::Http) {
            self.http_ends(thread, place, context, request.token, outcome);
        } else {
            self.grpc_answers(thread, place, request.token, outcome);
        }
        self.after_call(thread, place);
        self.end_old_roots(thread, place);
    }

    fn http_ends(&mut self, thread: usize, place: usize, context: u32, token: u32, outcome: Outcome) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let message = match outcome {
            Outcome::Response(message) => Some(message),
            Outcome::Local(local) => Some(local.message()),
            Outcome::Part(_) | Outcome::Reset => None,
        };
        match message {
            Some(message) => {
                let numbers =
                    [token, count(message.headers.len()), count(message.body.len()), count(message.trailers.len())];
                self.with(thread, place, context, |context| context.callout = Some(message));
                self.threads[thread].slots[place].vm.call(Callback::OnHttpCallResponse, context, &numbers);
                self.with(thread, place, context, |context| context.callout = None);
            }
            None => {
                self.with(thread, place, context, |context| context.status = RESET);
                self.threads[thread].slots[place].vm.call(Callback::OnHttpCallResponse, context, &[token, 0, 0, 0]);
                self.with(thread, place, context, |context| context.status.1 = "".into());
            }
        }
    }

    pub(super) fn with(&mut self, thread: usize, place: usize, context: u32, change: impl FnOnce(&mut Context)) {
        if let Some(context) = self.threads[thread].slots[place].vm.state_mut().contexts.get_mut(&context) {
            change(context);
        }
    }
}
