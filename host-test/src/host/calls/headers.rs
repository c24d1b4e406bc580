//! Header and trailer maps. Which are at hand depends on the phase: see the flags of a context.

use super::Answer;
use crate::host::{
    abi::{AbiVersion, MapType, Status},
    call::Call,
    context::Context,
    headers::HeaderMap,
    state::VmState,
};

/// Reads a map, if it is at hand.
fn read<R>(state: &VmState, map: MapType, reader: impl FnOnce(&HeaderMap) -> R) -> Option<R> {
    let context = state.context()?;
    if matches!(map, MapType::HttpCallResponseHeaders | MapType::HttpCallResponseTrailers) {
        let answer = context.callout.as_ref().or_else(|| state.contexts.get(&context.root)?.callout.as_ref())?;
        return match map {
            MapType::HttpCallResponseHeaders => Some(reader(&answer.headers)),
            _ if answer.trailers.is_empty() => None,
            _ => Some(reader(&answer.trailers)),
        };
    }
    let root = || state.contexts.get(&context.root);
    match map {
        MapType::GrpcReceiveInitialMetadata => {
            return context.grpc_initial.as_ref().or(root()?.grpc_initial.as_ref()).map(reader);
        }
        MapType::GrpcReceiveTrailingMetadata => {
            return context.grpc_trailing.as_ref().or(root()?.grpc_trailing.as_ref()).map(reader);
        }
        _ => {}
    }
    let stream = context.stream.as_ref()?.borrow();
    match map {
        MapType::RequestHeaders => {
            (context.has_request_headers || context.logging).then(|| reader(&stream.request_headers))
        }
        MapType::RequestTrailers if context.has_request_trailers => stream.request_trailers.as_ref().map(reader),
        MapType::ResponseHeaders if context.has_response_headers || context.logging => {
            stream.response_headers.as_ref().map(reader)
        }
        MapType::ResponseTrailers if context.has_response_trailers || context.logging => {
            stream.response_trailers.as_ref().map(reader)
        }
        _ => None,
    }
}

/// Changes a map, if it is at hand and not only to be read.
fn change<R>(state: &mut VmState, map: MapType, change: impl FnOnce(&mut HeaderMap) -> R) -> Result<R, Status> {
    let context = state.context_mut().ok_or(Status::BadArgument)?;
    let stream = context.stream.clone().ok_or(Status::BadArgument)?;
    let mut stream = stream.borrow_mut();
    make_trailers(context, map, &mut stream);
    let map = match map {
        MapType::RequestHeaders if context.has_request_headers => Some(&mut stream.request_headers),
        MapType::RequestTrailers if context.has_request_trailers => stream.request_trailers.as_mut(),
        MapType::ResponseHeaders if context.has_response_headers => stream.response_headers.as_mut(),
        MapType::ResponseTrailers if context.has_response_trailers => stream.response_trailers.as_mut(),
        _ => None,
    };
    map.map(change).ok_or(Status::BadArgument)
}

/// Trailers can be added where there are none, with the last piece of the body.
fn make_trailers(context: &mut Context, map: MapType, stream: &mut crate::host::context::Stream) {
    match map {
        MapType::RequestTrailers if context.end_of_stream && context.request_body.is_some() => {
            stream.request_trailers.get_or_insert_default();
            context.has_request_trailers = true;
        }
        MapType::ResponseTrailers if context.end_of_stream && context.response_body.is_some() => {
            stream.response_trailers.get_or_insert_default();
            context.has_response_trailers = true;
        }
        _ => {}
    }
}

fn map(call: &Call<'_>) -> Result<MapType, Status> {
    MapType::from_number(call.arg(0)).ok_or(Status::BadArgument)
}

pub(crate) fn pairs(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    // A map that is not at hand reads as one without headers, and one without headers as no bytes.
    let to_bytes = |map: &HeaderMap| if map.is_empty() { Vec::new() } else { map.to_bytes() };
    let bytes = read(call.caller.data(), map, to_bytes).unwrap_or_default();
    call.give(&bytes, 1, 2)
}

pub(crate) fn set_pairs(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    let new = HeaderMap::from_bytes(&call.bytes(1, 2)?);
    change(call.caller.data_mut(), map, |map| *map = new)
}

pub(crate) fn value(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    let name = call.bytes(1, 2)?;
    let state = call.caller.data();
    let found = read(state, map, |map| map.first(&name).map(<[u8]>::to_vec));
    let logging = state.context().is_some_and(|context| context.logging);
    let value = match found {
        None if !logging => return Err(Status::BadArgument),
        None | Some(None) if state.abi == AbiVersion::V0_1_0 => Vec::new(),
        None | Some(None) => return Err(Status::NotFound),
        Some(Some(value)) => value,
    };
    call.give(&value, 3, 4)
}

pub(crate) fn add(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    let (name, value) = (call.bytes(1, 2)?, call.bytes(3, 4)?);
    change(call.caller.data_mut(), map, |map| map.add(name, value))
}

pub(crate) fn replace(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    let (name, value) = (call.bytes(1, 2)?, call.bytes(3, 4)?);
    change(call.caller.data_mut(), map, |map| map.replace(name, value))
}

pub(crate) fn remove(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    let name = call.bytes(1, 2)?;
    change(call.caller.data_mut(), map, |map| map.remove(name)).map(|_| ())
}

pub(crate) fn size(call: &mut Call<'_>) -> Answer {
    let map = map(call)?;
    let size = change(call.caller.data_mut(), map, |map| map.byte_size())?;
    call.put(1, u32::try_from(size).unwrap_or(u32::MAX))
}
