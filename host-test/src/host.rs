//! A proxy-wasm host on wasmtime that answers as Envoy 1.40 does.
//!
//! [`Module`] is what a file of bytecode becomes, once for a process. The simulation ([`crate::sim`]) makes VMs of it and
//! calls them. [`table::TABLE`] lists every function that a module may import.

pub mod abi;
pub mod table;

pub(crate) mod call;
mod calls;
pub(crate) mod context;
mod fault;
mod headers;
pub(crate) mod module;
mod property;
mod random;
mod restriction;
mod shared;
mod state;
pub(crate) mod vm;
mod wasi;
pub(crate) mod world;

pub use fault::{Effect, Fault};
pub use headers::HeaderMap;
pub use module::{Inspection, LoadError, Module, inspect};
pub use random::Random;
pub use shared::Metric;
pub use state::Limits;
pub use vm::{CALLBACKS, Callback};

pub(crate) use fault::Faults;
pub(crate) use shared::{Metrics, Queues, SharedData};
pub(crate) use state::{Action, CalloutKind, Grpc, MemoryLimit, PluginNames, Reply, VmState};
