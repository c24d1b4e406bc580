//! What the host calls do. Each works on the effective context; each answers as Envoy 1.40 was seen to answer.

pub(crate) mod buffers;
pub(crate) mod callouts;
pub(crate) mod foreign;
pub(crate) mod grpc;
pub(crate) mod headers;
pub(crate) mod shared;
pub(crate) mod streams;

use super::{
    abi::{LogLevel, Status},
    call::Call,
    context::Kind,
    property,
    state::Action,
    world::Post,
};
use crate::trace::Event;
use std::time::Duration;

type Answer = Result<(), Status>;

pub(crate) fn log(call: &mut Call<'_>) -> Answer {
    let level = LogLevel::from_number(call.arg(0)).ok_or(Status::BadArgument)?;
    let message = call.bytes(1, 2)?;
    let state = call.caller.data();
    let mut world = state.world.borrow_mut();
    if level >= world.log_level {
        world.note(state.worker, || Event::Log { level, message: String::from_utf8_lossy(&message).into_owned() });
    }
    Ok(())
}

pub(crate) fn get_log_level(call: &mut Call<'_>) -> Answer {
    let level = call.caller.data().world.borrow().log_level;
    call.put(0, level as u32)
}

pub(crate) fn get_current_time(call: &mut Call<'_>) -> Answer {
    let now = call.caller.data().world.borrow().time_of_day();
    call.put_long(0, now)
}

pub(crate) fn set_tick_period(call: &mut Call<'_>) -> Answer {
    let period = Duration::from_millis(u64::from(call.arg(0)));
    let state = call.caller.data();
    let context = state.context().map_or(0, |context| context.root);
    let post = Post::TickEvery { worker: state.worker, vm: state.vm, context, period };
    state.world.borrow_mut().posts.push(post);
    Ok(())
}

/// Of ABI 0.1.0: the plugin's configuration while it is being configured, else the VM's.
pub(crate) fn get_configuration(call: &mut Call<'_>) -> Answer {
    let state = call.caller.data();
    let own = state.context().and_then(|context| context.configuration.clone());
    let bytes = own.unwrap_or_else(|| state.configuration.clone());
    call.give(&bytes, 0, 1)
}

pub(crate) fn get_status(call: &mut Call<'_>) -> Answer {
    let (code, message) = call.caller.data().context().map_or((0, "".into()), |context| context.status.clone());
    call.put(0, code)?;
    call.give(message.as_bytes(), 1, 2)
}

pub(crate) fn set_effective_context(call: &mut Call<'_>) -> Answer {
    let context = call.arg(0);
    let state = call.caller.data_mut();
    if context != 0 && !state.contexts.contains_key(&context) {
        return Err(Status::BadArgument);
    }
    state.effective = context;
    Ok(())
}

pub(crate) fn done(call: &mut Call<'_>) -> Answer {
    let state = call.caller.data_mut();
    let root = state.context().map_or(0, |context| context.root);
    if !state.pending_done.remove(&root) {
        return Err(Status::NotFound);
    }
    state.actions.push_back(Action::Done { root });
    Ok(())
}

pub(crate) fn get_property(call: &mut Call<'_>) -> Answer {
    let path = call.bytes(0, 1)?;
    let value = property::read(call.caller.data(), &path)?;
    call.give(&value, 2, 3)
}

pub(crate) fn set_property(call: &mut Call<'_>) -> Answer {
    let (path, value) = (call.bytes(0, 1)?, call.bytes(2, 3)?);
    let state = call.caller.data();
    let context = state.context().ok_or(Status::NotFound)?;
    let stream = context.stream.clone().ok_or(Status::NotFound)?;
    let root = state.contexts.get(&context.root);
    let spans_connection = root.and_then(|root| root.declared.get(&path).copied()).unwrap_or(context.kind == Kind::Tcp);
    let mut stream = stream.borrow_mut();
    let Some(state) = spans_connection.then(|| stream.connection.clone()) else {
        stream.state.insert(path, value);
        return Ok(());
    };
    state.borrow_mut().state.insert(path, value);
    Ok(())
}
