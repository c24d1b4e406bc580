//! The threads of a proxy and the VMs in them: starting, configuring, failing, starting again.

use super::{
    NotStarted, Sim, StartError,
    config::{FailurePolicy, PluginKind},
    event::Task,
};
use crate::{
    host::{
        Action, MemoryLimit, PluginNames, VmState,
        abi::{LogLevel, StreamType},
        context::{Context, Kind},
        vm::{Callback, Vm},
    },
    trace::Event,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

/// A thread of the proxy.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    pub(crate) slots: Vec<Slot>,
    /// The root of each plugin here, if it was configured.
    pub(crate) roots: Vec<Option<u32>>,
    /// Fuel that VMs burned which are no more.
    pub(crate) burned: u64,
    ticks: BTreeMap<(usize, u32), (Duration, u64)>,
    tick_generations: u64,
}

/// The place of a VM in a thread.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) vm: Vm,
    /// Grows with each VM in this place, so that contexts of an earlier one are known.
    pub(crate) generation: u64,
    /// When a VM may be put here again, should this one fail.
    reload_at: u64,
    /// Roots that are no longer configured, which end with their last stream.
    old_roots: BTreeSet<u32>,
}

impl Thread {
    pub(crate) fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.slots.iter().map(|slot| &slot.vm)
    }
}

/// How long Envoy waits at least before it puts a new VM in the place of one that failed.
const RELOAD_INTERVAL: u64 = 1_000_000_000;

impl Sim {
    pub(super) fn start_threads(&mut self) -> Result<(), StartError> {
        if self.config.whole {
            for vm in 0..self.config.vms.len() {
                let base = self.new_vm(0, vm, "base");
                self.expect_alive(&base)?;
            }
            for plugin in 0..self.config.plugins.len() {
                self.try_out(plugin)?;
            }
        }
        for thread in 0..self.threads.len() {
            self.threads[thread].roots = vec![None; self.config.plugins.len()];
            if thread == 0 && !self.config.whole {
                continue;
            }
            for vm in 0..self.config.vms.len() {
                let purpose = if thread == 0 { "main" } else { "worker" };
                let vm = self.new_vm(thread, vm, purpose);
                self.threads[thread].slots.push(Slot { vm, generation: 1, reload_at: 0, old_roots: BTreeSet::new() });
            }
            for plugin in 0..self.config.plugins.len() {
                let service = self.config.plugins[plugin].kind == PluginKind::Service;
                if service && thread > 0 {
                    continue;
                }
                let started = self.start_plugin(thread, plugin);
                if !self.config.whole {
                    self.refused(thread, plugin, started)?;
                }
            }
        }
        self.take_posts();
        Ok(())
    }

    /// Tries a configuration out in a VM of its own, which nobody sees afterwards but for the queues that it registered.
    fn try_out(&mut self, plugin: usize) -> Result<(), StartError> {
        let mut vm = self.new_vm(0, self.config.plugins[plugin].vm, "canary");
        self.expect_alive(&vm)?;
        let configuration = self.config.plugins[plugin].configuration.as_slice().into();
        let (started, _) = configure(&mut vm, plugin, configuration);
        let outcome = self.refused(0, plugin, started);
        self.world.borrow_mut().upstreams.cancel(0, usize::MAX, None);
        self.threads[0].burned += vm.state().fuel_used;
        outcome
    }

    fn expect_alive(&self, vm: &Vm) -> Result<(), StartError> {
        vm.state().failed.clone().map_or(Ok(()), |why| Err(self.start_error(NotStarted::VmFailed(why))))
    }

    fn refused(&self, thread: usize, plugin: usize, started: Started) -> Result<(), StartError> {
        let name = self.config.plugins[plugin].name.clone();
        match started {
            Started::Yes => Ok(()),
            Started::Failed(why) => Err(self.start_error(NotStarted::VmFailed(why))),
            Started::No => Err(self.start_error(NotStarted::VmStart(name))),
            Started::Refused => {
                self.note(thread, || Event::ConfigurationRefused { plugin: name.clone() });
                Err(self.start_error(NotStarted::Configuration(name)))
            }
        }
    }

    fn start_error(&self, why: NotStarted) -> StartError {
        let world = self.world.borrow();
        let lines = world.trace.entries().iter().filter_map(|entry| match &entry.event {
            Event::Log { level, message } if *level >= LogLevel::Warn => Some(message.clone()),
            _ => None,
        });
        StartError { why, log: lines.collect() }
    }

    fn new_vm(&mut self, thread: usize, vm: usize, purpose: &str) -> Vm {
        let config = &self.config.vms[vm];
        self.note(thread, || Event::VmCreated { vm, purpose: purpose.to_owned() });
        // What a canary asks for goes nowhere.
        let number = if purpose == "canary" { usize::MAX } else { vm };
        let plugins = self.config.plugins.iter();
        let state = VmState {
            world: self.world.clone(),
            worker: thread,
            vm: number,
            vm_id: config.id.as_bytes().into(),
            configuration: config.configuration.as_slice().into(),
            environment: config.environment.clone().into(),
            allowed: config.allowed.clone().map(Rc::new),
            abi: config.module.abi(),
            memory: None,
            allocator: None,
            contexts: BTreeMap::new(),
            next_context: 1,
            current: 0,
            effective: 0,
            restricted: None,
            stop_next: false,
            actions: VecDeque::new(),
            failed: None,
            pending_done: BTreeSet::new(),
            metrics: BTreeMap::new(),
            next_metric: [0; 3],
            last_tokens: [0, 1, 2],
            grpc: BTreeMap::new(),
            fuel_used: 0,
            limit: MemoryLimit::of(config.limits),
            plugins: plugins
                .map(|plugin| PluginNames { name: plugin.name.clone().into(), root_id: plugin.root_id.clone().into() })
                .collect(),
        };
        Vm::new(&config.module, state, config.limits)
    }

    fn start_plugin(&mut self, thread: usize, plugin: usize) -> Started {
        let place = self.config.plugins[plugin].vm;
        let configuration = self.config.plugins[plugin].configuration.as_slice().into();
        let Some(slot) = self.threads[thread].slots.get_mut(place) else { return Started::No };
        let (started, root) = configure(&mut slot.vm, plugin, configuration);
        self.threads[thread].roots[plugin] = matches!(started, Started::Yes).then_some(root);
        self.after_call(thread, place);
        started
    }

    /// Pushes a new configuration to a plugin, as a listener update does: it is tried out first; each thread makes a new
    /// root in the same VM; an old root ends with its last stream.
    ///
    /// # Errors
    /// When it is refused: the old one keeps serving.
    pub fn update(&mut self, plugin: usize, configuration: impl Into<Vec<u8>>) -> Result<(), StartError> {
        let old = std::mem::replace(&mut self.config.plugins[plugin].configuration, configuration.into());
        if let Err(error) = self.try_out(plugin) {
            self.config.plugins[plugin].configuration = old;
            return Err(error);
        }
        let place = self.config.plugins[plugin].vm;
        for thread in 0..self.threads.len() {
            let Some(old) = self.threads[thread].roots.get(plugin).copied().flatten() else { continue };
            // A VM that has failed is not used again.
            if self.threads[thread].slots[place].vm.has_failed() {
                self.replace_vm(thread, place);
                continue;
            }
            self.start_plugin(thread, plugin);
            self.threads[thread].slots[place].old_roots.insert(old);
            self.end_old_roots(thread, place);
        }
        self.take_posts();
        Ok(())
    }

    /// Ends the roots that are no longer configured and have no stream left.
    pub(super) fn end_old_roots(&mut self, thread: usize, place: usize) {
        let slot = &self.threads[thread].slots[place];
        let state = slot.vm.state();
        let in_use =
            |root: u32| state.contexts.values().any(|context| context.root == root && context.kind != Kind::Root);
        let idle: Vec<u32> = slot.old_roots.iter().copied().filter(|root| !in_use(*root)).collect();
        for root in idle {
            let slot = &mut self.threads[thread].slots[place];
            slot.old_roots.remove(&root);
            let has_done = slot.vm.has(Callback::OnDone);
            // Whoever says no ends later, by `proxy_done`: only once it has said so.
            if has_done && slot.vm.call(Callback::OnDone, root, &[]) == Some(0) {
                slot.vm.state_mut().pending_done.insert(root);
            } else {
                self.delete_context(thread, place, root);
            }
            self.after_call(thread, place);
        }
    }

    /// The last of a context: `on_delete`, and its callouts end without an answer.
    pub(super) fn delete_context(&mut self, thread: usize, place: usize, context: u32) {
        let vm = &mut self.threads[thread].slots[place].vm;
        vm.call(Callback::OnDelete, context, &[]);
        vm.state_mut().contexts.remove(&context);
        vm.state_mut().grpc.retain(|_, grpc| grpc.request.context != context);
        self.threads[thread].ticks.remove(&(place, context));
        let cancelled = self.world.borrow_mut().upstreams.cancel(thread, place, Some(context));
        for callout in cancelled {
            self.note(thread, || Event::CalloutCancelled { callout });
        }
    }

    /// Does what a module asked for while it was called, and takes over what it posted.
    pub(super) fn after_call(&mut self, thread: usize, place: usize) {
        while let Some(slot) = self.threads[thread].slots.get_mut(place) {
            slot.vm.state_mut().stop_next = false;
            let Some(action) = slot.vm.state_mut().actions.pop_front() else { break };
            match action {
                Action::Done { root } => self.delete_context(thread, place, root),
                Action::GrpcFailed { root, token, why } => self.grpc_closes(thread, place, root, token, 14, why),
                Action::Continue { context, which: StreamType::Downstream } => {
                    self.continue_reading(thread, place, context)
                }
                Action::Continue { context, which } => self.continue_stream(thread, place, context, which),
                Action::Close { context, which } => self.close_stream(thread, place, context, which),
                Action::Reply(reply) => self.reply(thread, place, reply),
            }
        }
        self.take_posts();
    }

    /// Puts a new VM in the place of one that failed, where the policy says so and it is time.
    pub(super) fn reload(&mut self, thread: usize, plugin: usize) {
        let place = self.config.plugins[plugin].vm;
        let now = self.world.borrow().now;
        let slot = &self.threads[thread].slots[place];
        if !slot.vm.has_failed()
            || self.config.plugins[plugin].policy != FailurePolicy::FailReload
            || now < slot.reload_at
        {
            return;
        }
        self.replace_vm(thread, place);
    }

    /// Puts a new VM in the place of one that failed, with all its plugins.
    fn replace_vm(&mut self, thread: usize, place: usize) {
        let now = self.world.borrow().now;
        let slot = &self.threads[thread].slots[place];
        let generation = slot.generation + 1;
        let burned = slot.vm.state().fuel_used;
        self.threads[thread].burned += burned;
        self.threads[thread].ticks.retain(|(vm, _), _| *vm != place);
        let cancelled = self.world.borrow_mut().upstreams.cancel(thread, place, None);
        for callout in cancelled {
            self.note(thread, || Event::CalloutCancelled { callout });
        }
        let vm = self.new_vm(thread, place, "reload");
        let jitter = self.interleaving.below(RELOAD_INTERVAL / 2);
        let reload_at = now + RELOAD_INTERVAL + jitter;
        self.threads[thread].slots[place] = Slot { vm, generation, reload_at, old_roots: BTreeSet::new() };
        for plugin in 0..self.config.plugins.len() {
            let had_root = self.threads[thread].roots[plugin].is_some();
            if self.config.plugins[plugin].vm == place && had_root {
                self.start_plugin(thread, plugin);
            }
        }
    }

    pub(super) fn set_tick(&mut self, thread: usize, place: usize, context: u32, period: Duration) {
        // That of a canary.
        if place == usize::MAX {
            return;
        }
        let state = &mut self.threads[thread];
        state.tick_generations += 1;
        let generation = state.tick_generations;
        if period.is_zero() {
            state.ticks.remove(&(place, context));
            return;
        }
        state.ticks.insert((place, context), (period, generation));
        self.plan_tick(thread, place, context, period, generation);
    }

    fn plan_tick(&mut self, thread: usize, vm: usize, context: u32, period: Duration, generation: u64) {
        let at = self.world.borrow().now + u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        self.tasks.add(thread, at, Task::Tick { vm, context, generation });
    }

    pub(super) fn tick(&mut self, thread: usize, place: usize, context: u32, generation: u64) {
        let current = self.threads[thread].ticks.get(&(place, context));
        let Some((period, _)) = current.copied().filter(|(_, current)| *current == generation) else { return };
        // A root that asked for ticks in its last callback gets none.
        if !self.threads[thread].slots[place].vm.state().contexts.contains_key(&context) {
            self.threads[thread].ticks.remove(&(place, context));
            return;
        }
        self.threads[thread].slots[place].vm.call(Callback::OnTick, context, &[]);
        self.after_call(thread, place);
        // The callback may have set another period.
        if self.threads[thread].ticks.get(&(place, context)).is_some_and(|(_, current)| *current == generation) {
            self.plan_tick(thread, place, context, period, generation);
        }
    }

    pub(super) fn queue_ready(&mut self, thread: usize, place: usize, context: u32, token: u32) {
        let Some(slot) = self.threads[thread].slots.get_mut(place) else { return };
        if slot.vm.state().contexts.contains_key(&context) {
            slot.vm.call(Callback::OnQueueReady, context, &[token]);
            self.after_call(thread, place);
        }
    }

    /// Makes a worker's VM fail, as a trap would.
    pub fn crash(&mut self, thread: usize, why: &str) {
        for slot in &mut self.threads[thread].slots {
            slot.vm.state_mut().fail(why);
        }
    }
}

enum Started {
    Yes,
    No,
    Refused,
    Failed(String),
}

/// Makes a root context and configures it.
fn configure(vm: &mut Vm, plugin: usize, configuration: Rc<[u8]>) -> (Started, u32) {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let root = vm.state_mut().add_context(|id| Context::new(Kind::Root, id, plugin));
    let context = |vm: &mut Vm, configuration: Option<Rc<[u8]>>| {
        if let Some(context) = vm.state_mut().contexts.get_mut(&root) {
            context.configuration = configuration;
        }
    };
    context(vm, Some(configuration.clone()));
    vm.call(Callback::OnContextCreate, root, &[0]);
    context(vm, None);
    let vm_size = size(&vm.state().configuration);
    let started = !vm.has(Callback::OnVmStart) || vm.call(Callback::OnVmStart, root, &[vm_size]) != Some(0);
    let mut accepted = true;
    if started && !vm.has_failed() && vm.has(Callback::OnConfigure) {
        context(vm, Some(configuration.clone()));
        accepted = vm.call(Callback::OnConfigure, root, &[size(&configuration)]) != Some(0);
        context(vm, None);
    }
    let outcome = match vm.state().failed.clone() {
        Some(why) => Started::Failed(why),
        None if !started => Started::No,
        None if !accepted => Started::Refused,
        None => Started::Yes,
    };
    (outcome, root)
}
