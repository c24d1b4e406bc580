//! Data, queues and metrics that VMs share.

use super::Answer;
use crate::host::{
    abi::{MetricType, Status},
    call::Call,
    shared::QueueOwner,
    world::Post,
};

pub(crate) fn get_data(call: &mut Call<'_>) -> Answer {
    let key = call.bytes(0, 1)?;
    let (value, number) = {
        let state = call.caller.data();
        let world = state.world.borrow();
        let (value, number) = world.data.read(&state.vm_id, &key).ok_or(Status::NotFound)?;
        (value.to_vec(), number)
    };
    call.give(&value, 2, 3)?;
    call.put(4, number)
}

pub(crate) fn set_data(call: &mut Call<'_>) -> Answer {
    let (key, value) = (call.bytes(0, 1)?, call.bytes(2, 3)?);
    let state = call.caller.data();
    state.world.borrow_mut().data.write(&state.vm_id, &key, &value, call.arg(4))
}

/// The queue's messages wake the root of whoever registers it last.
pub(crate) fn register_queue(call: &mut Call<'_>) -> Answer {
    let name = call.bytes(0, 1)?;
    let state = call.caller.data();
    let context = state.context().map_or(0, |context| context.root);
    let owner = QueueOwner { worker: state.worker, vm: state.vm, context };
    let token = state.world.borrow_mut().queues.register(&state.vm_id, &name, owner);
    call.put(2, token)
}

/// An empty VM id means the own.
pub(crate) fn resolve_queue(call: &mut Call<'_>) -> Answer {
    let (vm_id, name) = (call.bytes(0, 1)?, call.bytes(2, 3)?);
    let state = call.caller.data();
    let vm_id = if vm_id.is_empty() { state.vm_id.to_vec() } else { vm_id };
    let token = state.world.borrow().queues.resolve(&vm_id, &name).ok_or(Status::NotFound)?;
    call.put(4, token)
}

pub(crate) fn enqueue(call: &mut Call<'_>) -> Answer {
    let message = call.bytes(1, 2)?;
    let token = call.arg(0);
    let mut world = call.caller.data().world.borrow_mut();
    let owner = world.queues.enqueue(token, &message)?;
    world.posts.push(Post::QueueReady { owner, token });
    Ok(())
}

pub(crate) fn dequeue(call: &mut Call<'_>) -> Answer {
    let message = call.caller.data().world.borrow_mut().queues.dequeue(call.arg(0))?;
    call.give(&message, 1, 2)
}

/// Every definition has a number of its own, also of the same name, as in Envoy 1.40. The lowest two bits are the kind.
pub(crate) fn define_metric(call: &mut Call<'_>) -> Answer {
    let name = call.bytes(1, 2)?;
    let kind = MetricType::from_number(call.arg(0)).ok_or(Status::BadArgument)?;
    let state = call.caller.data_mut();
    let place = state.world.borrow_mut().metrics.define(kind, &name);
    let next = &mut state.next_metric[kind as usize];
    *next += 4;
    let id = *next | kind as u32;
    state.metrics.insert(id, place);
    call.put(3, id)
}

/// The place of a metric. A histogram's number is a mistake where only counters and gauges are meant, whether it is
/// defined or not; so is one of no kind.
fn metric(call: &Call<'_>, histograms: bool) -> Result<usize, Status> {
    let id = call.arg(0);
    match id & 3 {
        2 if !histograms => return Err(Status::BadArgument),
        3 if !histograms => return Err(Status::BadArgument),
        _ => {}
    }
    call.caller.data().metrics.get(&id).copied().ok_or(Status::NotFound)
}

pub(crate) fn increment_metric(call: &mut Call<'_>) -> Answer {
    let place = metric(call, false)?;
    call.caller.data().world.borrow_mut().metrics.increment(place, call.arguments[1] as i64)
}

pub(crate) fn record_metric(call: &mut Call<'_>) -> Answer {
    let place = metric(call, true)?;
    call.caller.data().world.borrow_mut().metrics.record(place, call.arguments[1]);
    Ok(())
}

pub(crate) fn get_metric(call: &mut Call<'_>) -> Answer {
    let place = metric(call, false)?;
    let value = call.caller.data().world.borrow().metrics.read(place)?;
    call.put_long(1, value)
}
