//! The functions of WASI, as far as Envoy has them: no files, no sockets; clock, randomness, environment and output.

use super::{
    abi::{LogLevel, Status},
    call::Call,
};
use crate::trace::Event;

pub(crate) const BADF: u32 = 8;
pub(crate) const EXIST: u32 = 20;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
pub(crate) const NOENT: u32 = 44;
pub(crate) const NOSYS: u32 = 52;
pub(crate) const NOTSUP: u32 = 58;
pub(crate) const NOTCAPABLE: u32 = 76;

const MOST_RANDOM_BYTES: u32 = 65_536;

/// How long the machine has been on when the simulation starts, in nanoseconds: as everywhere, the clock that only goes
/// forward is past 0. The runtime of Go takes 0 for a clock that does not work.
const UP: u64 = 3_600_000_000_000;

fn fault(_: Status) -> u32 {
    FAULT
}

pub(crate) fn args_sizes(call: &mut Call<'_>) -> Result<(), u32> {
    call.put(0, 0).map_err(fault)?;
    call.put(1, 0).map_err(fault)
}

pub(crate) fn environ(call: &mut Call<'_>) -> Result<(), u32> {
    let environment = call.caller.data().environment.clone();
    let (mut array, mut buffer) = (call.arg(0), call.arg(1));
    for (name, value) in environment.iter() {
        let entry = format!("{name}={value}\0");
        call.write(array, &buffer.to_le_bytes()).map_err(fault)?;
        call.write(buffer, entry.as_bytes()).map_err(fault)?;
        array = array.wrapping_add(4);
        buffer = buffer.wrapping_add(u32::try_from(entry.len()).unwrap_or(u32::MAX));
    }
    Ok(())
}

pub(crate) fn environ_sizes(call: &mut Call<'_>) -> Result<(), u32> {
    let environment = call.caller.data().environment.clone();
    let size: usize = environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    call.put(0, u32::try_from(environment.len()).unwrap_or(u32::MAX)).map_err(fault)?;
    call.put(1, u32::try_from(size).unwrap_or(u32::MAX)).map_err(fault)
}

pub(crate) fn clock_time(call: &mut Call<'_>) -> Result<(), u32> {
    let world = call.caller.data().world.clone();
    let time = match call.arg(0) {
        0 => world.borrow().time_of_day(),
        1 => UP.saturating_add(world.borrow().now),
        _ => return Err(NOTSUP),
    };
    call.put_long(2, time).map_err(fault)
}

pub(crate) fn clock_resolution(call: &mut Call<'_>) -> Result<(), u32> {
    if call.arg(0) > 1 {
        return Err(NOTSUP);
    }
    call.put_long(1, 1).map_err(fault)
}

pub(crate) fn random(call: &mut Call<'_>) -> Result<(), u32> {
    if call.arg(1) > MOST_RANDOM_BYTES {
        return Err(INVAL);
    }
    let mut bytes = vec![0; call.arg(1) as usize];
    call.caller.data().world.borrow_mut().random.fill(&mut bytes);
    call.write(call.arg(0), &bytes).map_err(fault)
}

/// There are only standard output and error.
pub(crate) fn of_output(call: &mut Call<'_>) -> Result<(), u32> {
    if matches!(call.arg(0), 1 | 2) { Ok(()) } else { Err(BADF) }
}

pub(crate) fn fd_renumber(call: &mut Call<'_>) -> Result<(), u32> {
    of_output(call)?;
    if matches!(call.arg(1), 1 | 2) { Err(NOTSUP) } else { Err(BADF) }
}

pub(crate) fn fdstat(call: &mut Call<'_>) -> Result<(), u32> {
    of_output(call)?;
    // All zero but for the right to write.
    let mut stat = [0; 24];
    stat[8] = 64;
    call.write(call.arg(1), &stat).map_err(fault)
}

pub(crate) fn fd_tell(call: &mut Call<'_>) -> Result<(), u32> {
    of_output(call)?;
    call.put(1, 0).map_err(fault)
}

pub(crate) fn fd_write(call: &mut Call<'_>) -> Result<(), u32> {
    let written = write(call)?;
    call.put(3, written).map_err(fault)
}

pub(crate) fn fd_pwrite(call: &mut Call<'_>) -> Result<(), u32> {
    let written = write(call)?;
    call.put(4, written).map_err(fault)
}

/// Writes the vectors as one line to the log; gives the number of bytes.
fn write(call: &mut Call<'_>) -> Result<u32, u32> {
    let level = match call.arg(0) {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Err(BADF),
    };
    let mut line = Vec::new();
    for index in 0..call.arg(2) {
        let vector = call.memory(call.arg(1).wrapping_add(index.wrapping_mul(8)), 8).map_err(fault)?;
        let number = |at: usize| u32::from_le_bytes([vector[at], vector[at + 1], vector[at + 2], vector[at + 3]]);
        line.extend(call.memory(number(0), number(4)).map_err(fault)?);
    }
    let written = u32::try_from(line.len()).unwrap_or(u32::MAX);
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if written > 0 {
        let state = call.caller.data();
        let event = || Event::Log { level, message: String::from_utf8_lossy(&line).into_owned() };
        state.world.borrow_mut().note(state.worker, event);
    }
    Ok(written)
}
