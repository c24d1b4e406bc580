//! What the host keeps for one VM: the data of its wasmtime store.

use super::{
    abi::{AbiVersion, StreamType},
    context::Context,
    headers::HeaderMap,
    restriction::Restriction,
    world::World,
};
use crate::sim::upstream::Request;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};
use wasmtime::{Func, Memory, ResourceLimiter};

/// What a module asked to be done as soon as its callback returns.
#[derive(Debug)]
pub(crate) enum Action {
    Continue {
        context: u32,
        which: StreamType,
    },
    Close {
        context: u32,
        which: StreamType,
    },
    Reply(Box<Reply>),
    /// A call or stream of gRPC that could not begin is over.
    GrpcFailed {
        root: u32,
        token: u32,
        why: String,
    },
    /// A root that had asked for more time is done.
    Done {
        root: u32,
    },
}

/// An answer in the place of the upstream's.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) context: u32,
    pub(crate) status: u32,
    pub(crate) details: Vec<u8>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) grpc_status: Option<u32>,
}

/// What a VM may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory. Envoy allows 1 GiB.
    pub memory: usize,
    /// Fuel of one callback: about one unit an instruction. It stands in for time, which Envoy does not limit: a callback
    /// that never returns is a VM that failed.
    pub fuel: u64,
}

impl Default for Limits {
    /// 1 GiB, and as much fuel as takes many seconds to burn.
    fn default() -> Limits {
        Limits { memory: 1 << 30, fuel: 50_000_000_000 }
    }
}

/// The data of a store.
#[derive(Debug)]
pub(crate) struct VmState {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) worker: usize,
    pub(crate) vm: usize,
    pub(crate) vm_id: Rc<[u8]>,
    pub(crate) configuration: Rc<[u8]>,
    pub(crate) environment: Rc<[(String, String)]>,
    pub(crate) allowed: Option<Rc<BTreeSet<String>>>,
    pub(crate) abi: AbiVersion,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocator: Option<(Func, &'static str)>,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) next_context: u32,
    /// The context whose callback is running, and the one on which it acts instead; 0 for none.
    pub(crate) current: u32,
    pub(crate) effective: u32,
    /// What keeps most host calls from being made at this moment.
    pub(crate) restricted: Option<Restriction>,
    /// A reply was sent in this callback: the stream goes no further.
    pub(crate) stop_next: bool,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) failed: Option<String>,
    /// Roots that asked for more time before they end.
    pub(crate) pending_done: BTreeSet<u32>,
    /// The VM's numbers of metrics: kind in the lowest two bits.
    pub(crate) metrics: BTreeMap<u32, usize>,
    pub(crate) next_metric: [u32; 3],
    /// The last number of each kind of callout: the kind is in the lowest two bits.
    pub(crate) last_tokens: [u32; 3],
    /// Calls and streams of gRPC that the VM may still name.
    pub(crate) grpc: BTreeMap<u32, Grpc>,
    pub(crate) fuel_used: u64,
    pub(crate) limit: MemoryLimit,
    /// Names of a plugin by its number.
    pub(crate) plugins: Rc<[PluginNames]>,
}

/// How a plugin is called.
#[derive(Debug)]
pub(crate) struct PluginNames {
    pub(crate) name: Vec<u8>,
    pub(crate) root_id: Vec<u8>,
}

/// Keeps a VM's memory within its limit.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    pub(crate) bytes: usize,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.bytes)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // As V8.
        Ok(desired <= 10_000_000)
    }
}

/// What a callout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CalloutKind {
    Http,
    GrpcCall,
    GrpcStream,
}

/// A call or a stream of gRPC.
#[derive(Debug)]
pub(crate) struct Grpc {
    /// What it is about; without a message.
    pub(crate) request: Request,
    /// Whether the module has said its last message.
    pub(crate) said_all: bool,
    /// Whether the module has closed it.
    pub(crate) closed: bool,
    /// Whether the upstream has.
    pub(crate) over: bool,
    /// Whether there was an answer.
    pub(crate) answered: bool,
    /// Messages of which the answer is awaited.
    pub(crate) awaited: usize,
}

impl CalloutKind {
    /// The kind of the callout with this number.
    pub(crate) fn of(token: u32) -> Option<CalloutKind> {
        [CalloutKind::Http, CalloutKind::GrpcCall, CalloutKind::GrpcStream].get(token as usize & 3).copied()
    }
}

impl VmState {
    /// The number of the next callout of this kind.
    pub(crate) fn next_token(&mut self, kind: CalloutKind) -> u32 {
        let last = &mut self.last_tokens[kind as usize];
        *last = last.wrapping_add(4);
        *last
    }

    /// The root of the context on which a host call acts: it has the callouts of all its contexts.
    pub(crate) fn root(&self) -> u32 {
        self.context().map_or(0, |context| context.root)
    }

    /// The context on which a host call acts.
    pub(crate) fn acting(&self) -> u32 {
        if self.effective != 0 && self.contexts.contains_key(&self.effective) { self.effective } else { self.current }
    }

    /// The same as a context; the VM's own if there is no other.
    pub(crate) fn context(&self) -> Option<&Context> {
        self.contexts.get(&self.acting())
    }

    pub(crate) fn context_mut(&mut self) -> Option<&mut Context> {
        let acting = self.acting();
        self.contexts.get_mut(&acting)
    }

    /// Adds a context under the next number.
    pub(crate) fn add_context(&mut self, context: impl FnOnce(u32) -> Context) -> u32 {
        while self.contexts.contains_key(&self.next_context) {
            self.next_context += 1;
        }
        let id = self.next_context;
        self.next_context += 1;
        self.contexts.insert(id, context(id));
        id
    }

    /// Marks the VM as failed: it is not called again.
    pub(crate) fn fail(&mut self, reason: &str) {
        if self.failed.is_none() {
            self.failed = Some(reason.to_owned());
            let event = || crate::trace::Event::VmFailed { vm: self.vm, reason: reason.to_owned() };
            self.world.borrow_mut().note(self.worker, event);
        }
    }
}
