//! Buffers: bodies, bytes of connections, configurations.

use super::Answer;
use crate::host::{
    abi::{BufferType, Status},
    call::Call,
    context::Context,
    state::VmState,
};
use std::borrow::Cow;

/// A buffer's bytes. Those of bodies and connections are empty in the wrong phase; the others are not there at all.
fn read(state: &VmState, buffer: BufferType) -> Result<Cow<'_, [u8]>, Status> {
    let context = state.context();
    let own = |bytes: fn(&Context) -> Option<&Vec<u8>>| {
        Cow::from(context.and_then(bytes).map(Vec::as_slice).unwrap_or_default())
    };
    let root = context.and_then(|context| state.contexts.get(&context.root));
    Ok(match buffer {
        BufferType::HttpRequestBody => {
            own(|context| context.request_body.as_ref().filter(|_| !context.hides_request_body))
        }
        BufferType::HttpResponseBody => own(|context| context.response_body.as_ref()),
        BufferType::NetworkDownstreamData => own(|context| context.downstream.as_ref()),
        BufferType::NetworkUpstreamData => own(|context| context.upstream.as_ref()),
        BufferType::GrpcReceiveBuffer => {
            let message = context.and_then(|context| context.grpc_message.as_ref());
            Cow::from(message.or_else(|| root?.grpc_message.as_ref()).map(Vec::as_slice).unwrap_or_default())
        }
        BufferType::HttpCallResponseBody => {
            let answer = context.and_then(|context| context.callout.as_ref()).or_else(|| root?.callout.as_ref());
            Cow::from(answer.ok_or(Status::NotFound)?.body.as_slice())
        }
        BufferType::VmConfiguration => Cow::from(&*state.configuration),
        BufferType::PluginConfiguration => {
            Cow::from(context.and_then(|context| context.configuration.as_deref()).ok_or(Status::NotFound)?)
        }
        BufferType::CallData => Cow::from(&[][..]),
    })
}

fn buffer(call: &Call<'_>) -> Result<BufferType, Status> {
    BufferType::from_number(call.arg(0)).ok_or(Status::BadArgument)
}

/// Gives as much as there is: a start past the end is no error.
pub(crate) fn bytes(call: &mut Call<'_>) -> Answer {
    let buffer = buffer(call)?;
    let (start, length) = (call.arg(1) as usize, call.arg(2) as usize);
    let bytes = read(call.caller.data(), buffer)?;
    let end = start.saturating_add(length).min(bytes.len());
    let part = bytes.get(start..end).unwrap_or_default().to_vec();
    call.give(&part, 3, 4)
}

pub(crate) fn status(call: &mut Call<'_>) -> Answer {
    let buffer = buffer(call)?;
    let length = read(call.caller.data(), buffer)?.len();
    call.put(1, u32::try_from(length).unwrap_or(u32::MAX))?;
    call.put(2, 0)
}

/// Prepends (start 0, length 0), replaces all (start 0, length at least that of the buffer), or appends (start at the end
/// or past it). Nothing else is possible.
pub(crate) fn set(call: &mut Call<'_>) -> Answer {
    let buffer = buffer(call)?;
    let (start, length) = (call.arg(1) as usize, call.arg(2) as usize);
    let data = call.bytes(3, 4)?;
    let state = call.caller.data_mut();
    read(state, buffer)?;
    let context = state.context_mut().ok_or(Status::BadArgument)?;
    let bytes = match buffer {
        BufferType::HttpRequestBody if context.hides_request_body => None,
        BufferType::HttpRequestBody => context.request_body.as_mut(),
        BufferType::HttpResponseBody => context.response_body.as_mut(),
        BufferType::NetworkDownstreamData => context.downstream.as_mut(),
        BufferType::NetworkUpstreamData => context.upstream.as_mut(),
        _ => None,
    }
    .ok_or(Status::BadArgument)?;
    match (start, length) {
        (0, 0) => *bytes = [data, std::mem::take(bytes)].concat(),
        (0, _) if length >= bytes.len() => *bytes = data,
        _ if start > 0 && start >= bytes.len() => bytes.extend(data),
        _ => return Err(Status::BadArgument),
    }
    Ok(())
}
