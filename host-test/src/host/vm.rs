//! One VM: an instance of a module with its contexts, called as Envoy calls it.

use super::{
    abi::AbiVersion,
    context::{Context, Kind},
    module::Module,
    restriction::Restriction,
    state::{Limits, MemoryLimit, VmState},
};
use crate::trace::Event;
use wasmtime::{Func, Store, Val};

/// A function that the host looks for in a module.
#[derive(Debug)]
pub struct CallbackName {
    /// The export.
    pub name: &'static str,
    parameters: usize,
    /// Whether it returns a number.
    pub returns: bool,
}

impl CallbackName {
    /// How many numbers it takes.
    pub fn parameters(&self, abi: AbiVersion) -> usize {
        // Before 0.2.0 the headers callbacks were not told whether the stream ends with them.
        let shorter =
            abi == AbiVersion::V0_1_0 && matches!(self.name, "proxy_on_request_headers" | "proxy_on_response_headers");
        self.parameters - usize::from(shorter)
    }

    /// Whether a module of this version is called so.
    pub fn is_in(&self, abi: AbiVersion) -> bool {
        abi != AbiVersion::V0_1_0 || self.name != "proxy_on_foreign_function"
    }
}

macro_rules! callbacks {
    ($($variant:ident $name:literal $parameters:literal $returns:literal,)*) => {
        /// Everything that a host may call in a module.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is named as the export")]
        pub enum Callback { $($variant,)* }

        /// The callbacks in the order of [`Callback`].
        pub static CALLBACKS: [CallbackName; [$($name),*].len()] =
            [$(CallbackName { name: $name, parameters: $parameters, returns: $returns },)*];
    };
}

callbacks! {
    OnContextCreate "proxy_on_context_create" 2 false,
    OnVmStart "proxy_on_vm_start" 2 true,
    ValidateConfiguration "proxy_validate_configuration" 2 true,
    OnConfigure "proxy_on_configure" 2 true,
    OnTick "proxy_on_tick" 1 false,
    OnQueueReady "proxy_on_queue_ready" 2 false,
    OnForeignFunction "proxy_on_foreign_function" 3 false,
    OnNewConnection "proxy_on_new_connection" 1 true,
    OnDownstreamData "proxy_on_downstream_data" 3 true,
    OnDownstreamClose "proxy_on_downstream_connection_close" 2 false,
    OnUpstreamData "proxy_on_upstream_data" 3 true,
    OnUpstreamClose "proxy_on_upstream_connection_close" 2 false,
    OnRequestHeaders "proxy_on_request_headers" 3 true,
    OnRequestBody "proxy_on_request_body" 3 true,
    OnRequestTrailers "proxy_on_request_trailers" 2 true,
    OnRequestMetadata "proxy_on_request_metadata" 2 true,
    OnResponseHeaders "proxy_on_response_headers" 3 true,
    OnResponseBody "proxy_on_response_body" 3 true,
    OnResponseTrailers "proxy_on_response_trailers" 2 true,
    OnResponseMetadata "proxy_on_response_metadata" 2 true,
    OnHttpCallResponse "proxy_on_http_call_response" 5 false,
    OnGrpcInitialMetadata "proxy_on_grpc_receive_initial_metadata" 3 false,
    OnGrpcReceive "proxy_on_grpc_receive" 3 false,
    OnGrpcTrailingMetadata "proxy_on_grpc_receive_trailing_metadata" 3 false,
    OnGrpcClose "proxy_on_grpc_close" 3 false,
    OnDone "proxy_on_done" 1 true,
    OnLog "proxy_on_log" 1 false,
    OnDelete "proxy_on_delete" 1 false,
}

impl Callback {
    /// The export.
    pub fn name(self) -> &'static str {
        CALLBACKS[self as usize].name
    }
}

/// A VM.
#[derive(Debug)]
pub(crate) struct Vm {
    store: Store<VmState>,
    callbacks: [Option<Func>; CALLBACKS.len()],
    fuel: u64,
}

impl Vm {
    /// Instantiates a module and runs its start functions. A VM that fails at that is there all the same, but failed.
    pub(crate) fn new(module: &Module, state: VmState, limits: Limits) -> Vm {
        let mut store = Store::new(module.pre.module().engine(), state);
        store.limiter(|state| &mut state.limit);
        let mut vm = Vm { store, callbacks: [None; CALLBACKS.len()], fuel: limits.fuel };
        vm.refuel();
        if let Err(error) = vm.start(module) {
            vm.store.data_mut().fail(&format!("{error:#}"));
        }
        vm
    }

    fn start(&mut self, module: &Module) -> wasmtime::Result<()> {
        let store = &mut self.store;
        store.data_mut().contexts.insert(0, Context::new(Kind::Vm, 0, usize::MAX));
        store.data_mut().restricted = Some(Restriction::Start);
        let instance = module.pre.instantiate(&mut *store)?;
        store.data_mut().memory = instance.get_memory(&mut *store, "memory");
        let allocator = ["malloc", "proxy_on_memory_allocate"]
            .into_iter()
            .find_map(|name| Some((instance.get_func(&mut *store, name)?, name)));
        store.data_mut().allocator = allocator;
        for (place, callback) in self.callbacks.iter_mut().zip(&CALLBACKS) {
            let allowed = store.data().allowed.as_ref().is_none_or(|allowed| allowed.contains(callback.name));
            if allowed && callback.is_in(module.abi()) {
                *place = instance.get_func(&mut *store, callback.name);
            }
        }
        if let Some(initialize) = instance.get_func(&mut *store, "_initialize") {
            self.call_named("_initialize", initialize, &[], 0)?;
            if let Some(main) = instance.get_func(&mut self.store, "main") {
                // Compilers disagree about main's parameters; those that it has are zero.
                let ty = main.ty(&self.store);
                self.call_named("main", main, &[0, 0][..ty.params().len().min(2)], ty.results().len())?;
            }
        } else if let Some(start) = instance.get_func(&mut *store, "_start") {
            self.call_named("_start", start, &[], 0)?;
        }
        self.store.data_mut().restricted = None;
        Ok(())
    }

    pub(crate) fn state(&self) -> &VmState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut VmState {
        self.store.data_mut()
    }

    pub(crate) fn has(&self, callback: Callback) -> bool {
        self.callbacks[callback as usize].is_some()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.store.data().failed.is_some()
    }

    /// Bytes of linear memory.
    pub(crate) fn memory_size(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    fn refuel(&mut self) {
        // It only fails on engines without fuel.
        let _ = self.store.set_fuel(self.fuel);
    }

    /// Calls the module, on behalf of a context. `None` when it has no such callback, when the VM has failed before, and
    /// when it fails now; a callback without a result gives 0.
    ///
    /// What the module asked for meanwhile waits in the state's actions.
    pub(crate) fn call(&mut self, callback: Callback, context: u32, arguments: &[u32]) -> Option<u32> {
        let function = self.callbacks[callback as usize]?;
        if self.has_failed() {
            return None;
        }
        let mut all = [0; 5];
        all[0] = context;
        all[1..=arguments.len()].copy_from_slice(arguments);
        let count = CALLBACKS[callback as usize].parameters(self.store.data().abi);
        self.store.data_mut().current = context;
        let results = usize::from(CALLBACKS[callback as usize].returns);
        let outcome = self.call_named(callback.name(), function, &all[..count], results);
        self.store.data_mut().current = 0;
        match outcome {
            Ok(_) if self.has_failed() => None,
            Ok(result) => Some(result),
            Err(error) => {
                self.store.data_mut().fail(&format!("{}: {error:?}", callback.name()));
                None
            }
        }
    }

    fn call_named(&mut self, name: &str, function: Func, arguments: &[u32], results: usize) -> wasmtime::Result<u32> {
        let state = self.store.data_mut();
        state.effective = 0;
        let worker = state.worker;
        let event =
            || Event::Enter { function: name.into(), arguments: arguments.iter().map(|a| u64::from(*a)).collect() };
        state.world.borrow_mut().note_call(worker, event);
        let mut values = [const { Val::I32(0) }; 5];
        for (value, argument) in values.iter_mut().zip(arguments) {
            *value = Val::I32(*argument as i32);
        }
        let count = results;
        let mut results = [Val::I32(0)];
        self.refuel();
        let outcome = function.call(&mut self.store, &values[..arguments.len()], &mut results[..count]);
        let left = self.store.get_fuel().unwrap_or(0);
        let state = self.store.data_mut();
        state.fuel_used += self.fuel.saturating_sub(left);
        outcome?;
        let result = (count == 1).then(|| results[0].i32().unwrap_or(0) as u32);
        let event = || Event::Leave { function: name.into(), result: result.map(u64::from) };
        state.world.borrow_mut().note_call(worker, event);
        Ok(result.unwrap_or(0))
    }
}

impl MemoryLimit {
    pub(crate) fn of(limits: Limits) -> MemoryLimit {
        MemoryLimit { bytes: limits.memory }
    }
}
