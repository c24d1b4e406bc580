//! One call from a module to its host: arguments, memory, and what surrounds every call.

use super::{
    abi::Status,
    fault::{ALLOCATE, Effect},
    restriction::Restriction,
    state::VmState,
    table::{HostFunction, Run, TABLE},
    wasi,
};
use crate::trace::{Event, Level};
use wasmtime::{Caller, Error, Linker, Result, Val};

/// A host call that is being answered.
pub(crate) struct Call<'a> {
    pub(crate) caller: Caller<'a, VmState>,
    pub(crate) arguments: [u64; 12],
}

/// Registers every function of this version of the ABI.
pub(crate) fn link(linker: &mut Linker<VmState>, version: super::abi::AbiVersion) -> Result<()> {
    for (index, function) in TABLE.iter().enumerate().filter(|(_, function)| function.is_in(version)) {
        for module in function.modules {
            let name: &'static str = format!("{module}.{}", function.name).leak();
            let ty = super::module::function_type(linker.engine(), function);
            linker.func_new(module, function.name, ty, move |caller, arguments, results| {
                answer(index, name, function, caller, arguments, results)
            })?;
        }
    }
    Ok(())
}

fn answer(
    index: usize,
    name: &'static str,
    function: &'static HostFunction,
    caller: Caller<'_, VmState>,
    arguments: &[Val],
    results: &mut [Val],
) -> Result<()> {
    let mut numbers = [0; 12];
    for (number, argument) in numbers.iter_mut().zip(arguments) {
        *number = match argument {
            Val::I32(value) => u64::from(*value as u32),
            Val::I64(value) => *value as u64,
            _ => 0,
        };
    }
    let mut call = Call { caller, arguments: numbers };
    let result = call.run(index, name, function)?;
    if let Some(place) = results.first_mut() {
        *place = Val::I32(result as i32);
    }
    Ok(())
}

impl Call<'_> {
    fn run(&mut self, index: usize, name: &'static str, function: &'static HostFunction) -> Result<u32> {
        let state = self.caller.data();
        let (worker, acting) = (state.worker, state.acting());
        let fault = {
            let mut world = state.world.borrow_mut();
            world.calls[index] += 1;
            if world.trace.records(Level::Calls) {
                let arguments = self.arguments[..function.parameters.len()].to_vec();
                let (at, event) = (world.now, Event::Call { function: name.into(), arguments, context: acting });
                world.trace.push(at, worker, event);
            }
            if world.faults.is_empty() { None } else { world.faults.meet(function.name, worker) }
        };
        if state.restricted.is_some_and(|restriction| !restriction.allows(function)) {
            return Err(Error::msg(format!("restricted_callback: {name} is not allowed here")));
        }
        let allowed = state.allowed.as_ref().is_none_or(|allowed| allowed.contains(function.name));
        let result = match fault {
            Some(effect) => self.fail(name, effect)?,
            None if !allowed => match function.run {
                Run::Proxy(_) => Status::InternalFailure as u32,
                _ => wasi::NOTCAPABLE,
            },
            None => match function.run {
                Run::Proxy(run) => run(self).err().unwrap_or(Status::Ok) as u32,
                Run::Wasi(run) => run(self).err().unwrap_or(0),
                Run::Errno(errno) => errno,
                Run::Number(run) => run(self),
                Run::Nothing => 0,
            },
        };
        let returned = (!matches!(function.run, Run::Nothing)).then_some(u64::from(result));
        let mut world = self.caller.data().world.borrow_mut();
        world.note_call(worker, || Event::Return { function: name.into(), result: returned });
        Ok(result)
    }

    fn fail(&mut self, name: &str, effect: Effect) -> Result<u32> {
        let state = self.caller.data_mut();
        let what = || Event::Fault { what: format!("{name}: {effect:?}") };
        state.world.borrow_mut().note(state.worker, what);
        match effect {
            Effect::Status(status) => Ok(status),
            Effect::Trap => Err(Error::msg(format!("a fault at {name}"))),
            Effect::Null => Ok(Status::InvalidMemoryAccess as u32),
            Effect::OutOfMemory => {
                state.limit.bytes = 0;
                Ok(Status::InternalFailure as u32)
            }
        }
    }

    /// An argument of 32 bits.
    pub(crate) fn arg(&self, index: usize) -> u32 {
        self.arguments[index] as u32
    }

    /// The bytes at the pointer and size that are these arguments.
    pub(crate) fn bytes(&mut self, pointer: usize, size: usize) -> Result<Vec<u8>, Status> {
        let (start, length) = (self.arg(pointer), self.arg(size));
        self.memory(start, length)
    }

    /// Bytes of the module's memory.
    pub(crate) fn memory(&mut self, start: u32, length: u32) -> Result<Vec<u8>, Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let start = start as usize;
        let end = start + length as usize;
        let bytes = memory.data(&self.caller).get(start..end).ok_or(Status::InvalidMemoryAccess)?.to_vec();
        self.caller.data().world.borrow_mut().bytes_out += u64::from(length);
        Ok(bytes)
    }

    /// Writes into the module's memory.
    pub(crate) fn write(&mut self, start: u32, bytes: &[u8]) -> Result<(), Status> {
        let memory = self.caller.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let start = start as usize;
        let place = memory.data_mut(&mut self.caller).get_mut(start..start + bytes.len());
        place.ok_or(Status::InvalidMemoryAccess)?.copy_from_slice(bytes);
        self.caller.data().world.borrow_mut().bytes_in += bytes.len() as u64;
        Ok(())
    }

    /// Writes a number to the place that is this argument.
    pub(crate) fn put(&mut self, pointer: usize, value: u32) -> Result<(), Status> {
        self.write(self.arg(pointer), &value.to_le_bytes())
    }

    /// The same for one of 64 bits.
    pub(crate) fn put_long(&mut self, pointer: usize, value: u64) -> Result<(), Status> {
        self.write(self.arg(pointer), &value.to_le_bytes())
    }

    /// Hands bytes over in memory from the module's allocator; pointer and size go where these arguments say.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer: usize, size: usize) -> Result<(), Status> {
        let place = if bytes.is_empty() { 0 } else { self.allocate(bytes)? };
        self.put(pointer, place)?;
        self.put(size, u32::try_from(bytes.len()).unwrap_or(u32::MAX))
    }

    /// Copies bytes into memory from the module's allocator, and says where.
    pub(crate) fn allocate(&mut self, bytes: &[u8]) -> Result<u32, Status> {
        let size = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let place = self.call_allocator(size).ok_or(Status::InvalidMemoryAccess)?;
        self.write(place, bytes)?;
        Ok(place)
    }

    /// Calls the module's allocator. When that traps, the VM has failed, but the callback that made the host call goes on
    /// to its end, as in Envoy.
    fn call_allocator(&mut self, size: u32) -> Option<u32> {
        let (allocator, name) = self.caller.data().allocator?;
        let worker = self.caller.data().worker;
        {
            let mut world = self.caller.data().world.borrow_mut();
            if !world.faults.is_empty()
                && let Some(effect) = world.faults.meet(ALLOCATE, worker)
            {
                world.note(worker, || Event::Fault { what: format!("{ALLOCATE}: {effect:?}") });
                match effect {
                    Effect::Trap => {
                        drop(world);
                        self.caller.data_mut().fail("a fault in the allocator");
                    }
                    Effect::OutOfMemory => {
                        drop(world);
                        self.caller.data_mut().limit.bytes = 0;
                    }
                    Effect::Null | Effect::Status(_) => {}
                }
                return None;
            }
            world.note_call(worker, || Event::Enter { function: name.into(), arguments: vec![u64::from(size)] });
        }
        let state = self.caller.data_mut();
        let before = (state.restricted.replace(Restriction::Allocator), state.current, state.effective);
        (state.current, state.effective) = (0, 0);
        let mut results = [Val::I32(0)];
        let outcome = allocator.call(&mut self.caller, &[Val::I32(size as i32)], &mut results);
        let state = self.caller.data_mut();
        (state.restricted, state.current, state.effective) = before;
        if let Err(error) = outcome {
            state.fail(&format!("{name}: {error:#}"));
            return None;
        }
        let place = results[0].i32().unwrap_or(0) as u32;
        let event = || Event::Leave { function: name.into(), result: Some(u64::from(place)) };
        state.world.borrow_mut().note_call(worker, event);
        (place != 0).then_some(place)
    }
}
