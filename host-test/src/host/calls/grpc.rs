//! Calls and streams of gRPC: they are the root's, as all callouts.

use super::{Answer, callouts::dispatch, foreign::fields};
use crate::{
    host::{
        abi::Status,
        call::Call,
        headers::HeaderMap,
        state::{Action, CalloutKind, Grpc, VmState},
        world::Post,
    },
    sim::upstream::{Dispatched, NO_HOST, Request},
    trace::Event,
};
use std::time::Duration;

pub(crate) fn call(call: &mut Call<'_>) -> Answer {
    let message = call.bytes(8, 9)?;
    let milliseconds = u64::from(call.arg(10));
    let mut request = request(call, CalloutKind::GrpcCall)?;
    request.timeout = (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
    let token = request.token;
    let mut grpc = Grpc { said_all: true, ..Grpc::of(request) };
    let state = call.caller.data_mut();
    if let Err(status) = send(state, &mut grpc, message) {
        return Err(refused(state, &grpc.request, status));
    }
    state.grpc.insert(token, grpc);
    call.put(11, token)
}

pub(crate) fn stream(call: &mut Call<'_>) -> Answer {
    let request = request(call, CalloutKind::GrpcStream)?;
    let token = request.token;
    let state = call.caller.data_mut();
    let taken = state.world.borrow_mut().upstreams.takes(&request);
    if let Err(status) = taken {
        return Err(refused(state, &request, status));
    }
    state.grpc.insert(token, Grpc::of(request));
    call.put(8, token)
}

pub(crate) fn send_message(call: &mut Call<'_>) -> Answer {
    let (token, message, end) = (call.arg(0), call.bytes(1, 2)?, call.arg(3) != 0);
    if CalloutKind::of(token) != Some(CalloutKind::GrpcStream) {
        return Err(Status::BadArgument);
    }
    let state = call.caller.data_mut();
    let mut grpc = state.grpc.remove(&token).ok_or(Status::NotFound)?;
    // What nobody reads any more is lost.
    if !grpc.over && !grpc.said_all {
        grpc.said_all = end;
        if let Err(status) = send(state, &mut grpc, message) {
            refused(state, &grpc.request, status);
        }
    }
    state.grpc.insert(token, grpc);
    Ok(())
}

pub(crate) fn cancel(call: &mut Call<'_>) -> Answer {
    let token = call.arg(0);
    if !matches!(CalloutKind::of(token), Some(CalloutKind::GrpcCall | CalloutKind::GrpcStream)) {
        return Err(Status::BadArgument);
    }
    let state = call.caller.data_mut();
    state.grpc.remove(&token).ok_or(Status::NotFound)?;
    let mut world = state.world.borrow_mut();
    for callout in world.upstreams.cancel_token(state.worker, state.vm, token) {
        let event = || Event::CalloutEnded { callout, outcome: "cancelled".to_owned(), answer: String::new() };
        world.note(state.worker, event);
    }
    Ok(())
}

/// A call is cancelled; a stream has said its last message, and may be named until the upstream has, too.
pub(crate) fn close(call: &mut Call<'_>) -> Answer {
    let token = call.arg(0);
    if CalloutKind::of(token) != Some(CalloutKind::GrpcStream) {
        return cancel(call);
    }
    let state = call.caller.data_mut();
    let grpc = state.grpc.get_mut(&token).ok_or(Status::NotFound)?;
    if grpc.over {
        state.grpc.remove(&token);
        return Ok(());
    }
    grpc.closed = true;
    if !std::mem::replace(&mut grpc.said_all, true) && grpc.awaited == 0 {
        grpc.awaited += 1;
        let mut world = state.world.borrow_mut();
        let now = world.now;
        let end = world.upstreams.ends(grpc.request.clone(), now);
        world.posts.push(Post::Callout(end));
    }
    Ok(())
}

impl Grpc {
    fn of(request: Request) -> Grpc {
        Grpc { request, said_all: false, closed: false, over: false, answered: false, awaited: 0 }
    }
}

/// What the arguments of both kinds have in common.
fn request(call: &mut Call<'_>, kind: CalloutKind) -> Result<Request, Status> {
    let (service, name, method) = (call.bytes(0, 1)?, call.bytes(2, 3)?, call.bytes(4, 5)?);
    let mut headers = HeaderMap::from_bytes(&call.bytes(6, 7)?);
    let state = call.caller.data_mut();
    let cluster = cluster(&service).ok_or(Status::ParseFailure)?;
    headers.replace(":method", "POST");
    headers.replace(":path", [b"/", name.as_slice(), b"/", method.as_slice()].concat());
    headers.replace(":authority", &cluster);
    headers.replace("content-type", "application/grpc");
    let token = state.next_token(kind);
    Ok(Request {
        worker: state.worker,
        vm: state.vm,
        context: state.root(),
        token,
        cluster: String::from_utf8_lossy(&cluster).into_owned(),
        headers,
        body: Vec::new(),
        trailers: HeaderMap::default(),
        timeout: None,
    })
}

/// The name of the cluster in a message `GrpcService`: in its field `envoy_grpc`, the field `cluster_name`.
fn cluster(service: &[u8]) -> Option<Vec<u8>> {
    fields(&fields(service)?.bytes(1)?)?.bytes(1)
}

/// Sends a message.
fn send(state: &VmState, grpc: &mut Grpc, message: Vec<u8>) -> Result<(), Status> {
    let request = Request { body: message, ..grpc.request.clone() };
    let (context, token) = (request.context, request.token);
    let (cluster, headers) = (request.cluster.clone(), request.headers.clone());
    match dispatch(&state.world, request) {
        Dispatched::Sent(callout) => {
            grpc.awaited += 1;
            let mut world = state.world.borrow_mut();
            world.posts.push(Post::Callout(callout));
            world.note(state.worker, || Event::CalloutSent { callout, token, context, cluster, headers });
            Ok(())
        }
        Dispatched::Refused(status) => Err(status),
    }
}

/// The module is told why as soon as its callback has returned.
fn refused(state: &mut VmState, request: &Request, status: Status) -> Status {
    let why = match status {
        Status::BadArgument => "Cluster not available".to_owned(),
        _ => format!("{}{{{}}}", NO_HOST.body, NO_HOST.details),
    };
    state.actions.push_back(Action::GrpcFailed { root: request.context, token: request.token, why });
    let cluster = request.cluster.clone();
    let event = || Event::CalloutRefused { cluster, status: status as u32 };
    state.world.borrow_mut().note(state.worker, event);
    Status::InternalFailure
}
