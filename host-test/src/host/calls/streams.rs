//! What a module does to a stream. All of it happens after the callback that asks for it.

use super::Answer;
use crate::host::{
    abi::{Status, StreamType},
    call::Call,
    context::Kind,
    headers::HeaderMap,
    state::{Action, Reply},
};

pub(crate) fn continue_stream(call: &mut Call<'_>) -> Answer {
    go_on(call, StreamType::from_number(call.arg(0)).ok_or(Status::BadArgument)?)
}

pub(crate) fn continue_request(call: &mut Call<'_>) -> Answer {
    go_on(call, StreamType::Request)
}

pub(crate) fn continue_response(call: &mut Call<'_>) -> Answer {
    go_on(call, StreamType::Response)
}

/// On contexts that are no such stream it does nothing, with success.
fn go_on(call: &mut Call<'_>, which: StreamType) -> Answer {
    if which == StreamType::Upstream {
        return Err(Status::Unimplemented);
    }
    let state = call.caller.data_mut();
    let acting = state.acting();
    let Some(context) = state.context_mut() else { return Ok(()) };
    let fits = match which {
        StreamType::Downstream => context.kind == Kind::Tcp,
        _ => context.kind == Kind::Http,
    };
    if which != StreamType::Downstream {
        // Envoy takes these away whichever way the stream goes on.
        context.has_request_headers = false;
        context.has_request_trailers = false;
        context.hides_request_body = true;
    }
    if fits {
        state.actions.push_back(Action::Continue { context: acting, which });
    }
    Ok(())
}

pub(crate) fn close_stream(call: &mut Call<'_>) -> Answer {
    let which = StreamType::from_number(call.arg(0)).ok_or(Status::BadArgument)?;
    let state = call.caller.data_mut();
    let acting = state.acting();
    let fits = state.context().is_some_and(|context| match which {
        StreamType::Request | StreamType::Response => context.kind == Kind::Http,
        StreamType::Downstream | StreamType::Upstream => context.kind == Kind::Tcp,
    });
    if fits {
        state.actions.push_back(Action::Close { context: acting, which });
    }
    Ok(())
}

pub(crate) fn clear_route_cache(_: &mut Call<'_>) -> Answer {
    Ok(())
}

/// The highest number of a gRPC status.
const MOST_GRPC: u32 = 16;

pub(crate) fn send_local_response(call: &mut Call<'_>) -> Answer {
    let (details, body, headers) = (call.bytes(1, 2)?, call.bytes(3, 4)?, call.bytes(5, 6)?);
    let (status, grpc_status) = (call.arg(0), call.arg(7));
    let state = call.caller.data_mut();
    state.stop_next = true;
    if state.context().is_some_and(|context| context.kind == Kind::Http) {
        let reply = Reply {
            context: state.acting(),
            status,
            // Access logs are split at white space.
            details: details.iter().map(|byte| if byte.is_ascii_whitespace() { b'_' } else { *byte }).collect(),
            headers: HeaderMap::from_bytes(&headers),
            body,
            grpc_status: (grpc_status <= MOST_GRPC).then_some(grpc_status),
        };
        state.actions.push_back(Action::Reply(Box::new(reply)));
    }
    Ok(())
}
