//! What goes wrong on purpose, at the border between module and proxy.

use super::abi::Status;
use serde::{Deserialize, Serialize};

/// Makes something fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The host call, by its name in the table (`proxy_http_call`, `random_get`), or `allocate` for the allocator of the
    /// module.
    pub call: String,
    /// The first of the calls that fails, counted from 1 over all VMs from the moment when the fault is set.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many calls fail.
    #[serde(default = "one")]
    pub times: u64,
    /// The only thread where it happens: 0 is the main thread. Absent: everywhere.
    #[serde(default)]
    pub worker: Option<usize>,
    /// What happens in the place of the call.
    pub effect: Effect,
}

fn one() -> u64 {
    1
}

/// What happens in the place of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It returns this status. For WASI, the number of the error.
    Status(u32),
    /// The module traps.
    Trap,
    /// The module's allocator has nothing to give: for `allocate` only.
    Null,
    /// From now on the module's memory cannot grow.
    OutOfMemory,
}

impl Effect {
    /// Returns this status.
    pub fn status(status: Status) -> Effect {
        Effect::Status(status as u32)
    }
}

/// The name under which the module's allocator can fail.
pub(crate) const ALLOCATE: &str = "allocate";

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u64)>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether there are none, which is the usual case.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a call; tells what is to happen in its place.
    pub(crate) fn meet(&mut self, call: &str, worker: usize) -> Option<Effect> {
        let mut effect = None;
        for (fault, seen) in &mut self.0 {
            if fault.call == call && fault.worker.is_none_or(|only| only == worker) {
                *seen += 1;
                let due = *seen >= fault.nth && *seen - fault.nth < fault.times;
                effect = effect.or(due.then_some(fault.effect));
            }
        }
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_the_calls_that_it_names_and_no_others() {
        let mut faults = Faults::default();
        let effect = Effect::status(Status::InternalFailure);
        faults.add(Fault { call: "proxy_http_call".into(), nth: 2, times: 2, worker: Some(1), effect });
        let met = |faults: &mut Faults, call, worker| faults.meet(call, worker).is_some();
        assert!(!met(&mut faults, "proxy_http_call", 1));
        assert!(!met(&mut faults, "proxy_log", 1));
        assert!(!met(&mut faults, "proxy_http_call", 0));
        assert!(met(&mut faults, "proxy_http_call", 1));
        assert!(met(&mut faults, "proxy_http_call", 1));
        assert!(!met(&mut faults, "proxy_http_call", 1));
    }
}
