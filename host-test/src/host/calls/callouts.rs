//! Callouts: requests that a module sends to a cluster.

use super::Answer;
use crate::{
    host::{
        abi::Status,
        call::Call,
        headers::HeaderMap,
        state::CalloutKind,
        world::{Post, World},
    },
    sim::upstream::{Dispatched, Request},
    trace::Event,
};
use std::{cell::RefCell, time::Duration};

/// The callout belongs to the root of the effective context: the answer comes to that one, whatever became of a stream.
pub(crate) fn http_call(call: &mut Call<'_>) -> Answer {
    let (cluster, headers, body, trailers) =
        (call.bytes(0, 1)?, call.bytes(2, 3)?, call.bytes(4, 5)?, call.bytes(6, 7)?);
    let milliseconds = call.arg(8) as i32;
    // Envoy looks first whether the number can be written.
    call.put(9, 0)?;
    let timeout = u64::try_from(milliseconds).map_err(|_| Status::BadArgument)?;
    let mut headers = HeaderMap::from_bytes(&headers);
    if !body.is_empty() {
        headers.replace("content-length", body.len().to_string());
    }
    let state = call.caller.data_mut();
    let context = state.root();
    let (worker, vm) = (state.worker, state.vm);
    let token = state.next_token(CalloutKind::Http);
    let request = Request {
        worker,
        vm,
        context,
        token,
        cluster: String::from_utf8_lossy(&cluster).into_owned(),
        headers,
        body,
        trailers: HeaderMap::from_bytes(&trailers),
        timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
    };
    let world = state.world.clone();
    let (cluster, headers) = (request.cluster.clone(), request.headers.clone());
    let sent = match dispatch(&world, request) {
        Dispatched::Sent(callout) => {
            let mut world = world.borrow_mut();
            world.posts.push(Post::Callout(callout));
            world.note(worker, || Event::CalloutSent { callout, token, context, cluster, headers });
            Ok(token)
        }
        Dispatched::Refused(status) => {
            let mut world = world.borrow_mut();
            world.note(worker, || Event::CalloutRefused { cluster, status: status as u32 });
            Err(status)
        }
    };
    call.put(9, sent?)
}

pub(super) fn dispatch(world: &RefCell<World>, request: Request) -> Dispatched {
    let mut world = world.borrow_mut();
    let world = &mut *world;
    world.upstreams.dispatch(request, world.now, &mut world.random)
}
