//! A proxy with its threads, clients, upstreams and clock, simulated: no threads, no waiting, no randomness but the seed.
//!
//! ```no_run
//! use host_test::{host::Module, sim::{Config, Request, Rule, Answer, Sim}};
//!
//! let module = Module::load(&std::fs::read("filter.wasm").unwrap()).unwrap();
//! let mut sim = Sim::start(Config::of(module, "{}").cluster("api")).unwrap();
//! sim.tell("api", Rule::always(Answer::response(200, "{}")));
//! let stream = sim.request(Request::get("/").source("203.0.113.7:5555"));
//! sim.run();
//! assert_eq!(sim.outcome(stream).status, Some(200));
//! ```

pub mod upstream;

mod actions;
mod callout;
mod client;
mod config;
mod ends;
mod event;
mod grpc;
mod http;
mod stream;
mod tcp;
mod thread;

pub use client::{Connection, End, Origin, Outcome, Request, StreamId};
pub use config::{Config, FailurePolicy, PluginConfig, PluginKind, VmConfig};
pub use upstream::{Answer, Failure, Rule};

use crate::{
    host::{
        Fault, Faults, Metric, Metrics, Queues, Random, SharedData,
        table::TABLE,
        world::{Post, World},
    },
    trace::{Event, Level, Trace},
};
use event::{Step, Task, Tasks};
use std::{
    cell::{Ref, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};
use stream::Stream;
use thread::Thread;

/// A running simulation. Everything that happens in it is decided by its configuration, its seed, and what it is told.
#[derive(Debug)]
pub struct Sim {
    world: Rc<RefCell<World>>,
    config: Config,
    threads: Vec<Thread>,
    tasks: Tasks,
    interleaving: Random,
    streams: BTreeMap<usize, Stream>,
    next_stream: usize,
    next_connection: u64,
    watcher: Watcher,
}

/// Looks at the simulation after each step.
#[derive(Default)]
struct Watcher(Option<Look>);

type Look = Box<dyn FnMut(&Sim)>;

impl std::fmt::Debug for Watcher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.0.is_some() { "Watcher" } else { "no watcher" })
    }
}

/// What a run has cost, over all VMs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Fuel that modules burned: about one unit an instruction.
    pub fuel: u64,
    /// Host calls, by name, where there were any.
    pub calls: BTreeMap<&'static str, u64>,
    /// Bytes that host calls read from modules' memory.
    pub bytes_out: u64,
    /// Bytes that host calls wrote to modules' memory.
    pub bytes_in: u64,
    /// Bytes of linear memory of all VMs.
    pub memory: u64,
}

impl Cost {
    /// All host calls.
    pub fn host_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// What was added since an earlier look.
    pub fn since(&self, earlier: &Cost) -> Cost {
        let calls = self.calls.iter().map(|(name, count)| (*name, count - earlier.calls.get(name).unwrap_or(&0)));
        Cost {
            fuel: self.fuel - earlier.fuel,
            calls: calls.filter(|(_, count)| *count > 0).collect(),
            bytes_out: self.bytes_out - earlier.bytes_out,
            bytes_in: self.bytes_in - earlier.bytes_in,
            memory: self.memory.saturating_sub(earlier.memory),
        }
    }
}

/// Why a proxy would not start or would not take a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// What went wrong.
    pub why: NotStarted,
    /// The warnings and errors that the module logged, a panic's message among them.
    pub log: Vec<String>,
}

/// What kept a proxy from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// A VM failed: a trap, out of fuel, out of memory.
    VmFailed(String),
    /// `on_vm_start` of the plugin of this name said no.
    VmStart(String),
    /// The plugin of this name refused its configuration.
    Configuration(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            NotStarted::VmFailed(why) => write!(out, "the module failed: {}", why.trim_end())?,
            NotStarted::VmStart(plugin) => write!(out, "plugin {plugin:?}: proxy_on_vm_start returned false")?,
            NotStarted::Configuration(plugin) => write!(out, "plugin {plugin:?} refused its configuration")?,
        }
        match self.log.as_slice() {
            [] => write!(out, " (and logged nothing)"),
            log => write!(out, "; it logged:\n  {}", log.join("\n  ")),
        }
    }
}

impl std::error::Error for StartError {}

impl Sim {
    /// Starts a proxy: as Envoy does, a VM that only tries the configuration out, then one in the main thread and one in
    /// each worker.
    ///
    /// # Errors
    /// When Envoy would not start: a VM fails or a plugin refuses its configuration when it is tried out. What only fails
    /// in a worker is no error, as in Envoy: the filter is then silently absent there.
    pub fn start(config: Config) -> Result<Sim, StartError> {
        let mut random = Random::new(config.seed);
        let interleaving = Random::new(random.number());
        let world = World {
            now: 0,
            wall: i128::from(config.start),
            random,
            data: SharedData::default(),
            queues: Queues::default(),
            metrics: Metrics::default(),
            trace: Trace::new(config.trace),
            faults: Faults::default(),
            upstreams: upstream::Upstreams::default(),
            posts: Vec::new(),
            log_level: config.log_level,
            calls: vec![0; TABLE.len()],
            bytes_in: 0,
            bytes_out: 0,
        };
        let threads = config.workers + 1;
        let mut sim = Sim {
            world: Rc::new(RefCell::new(world)),
            threads: (0..threads).map(|_| Thread::default()).collect(),
            tasks: Tasks::new(threads),
            interleaving,
            streams: BTreeMap::new(),
            next_stream: 0,
            next_connection: 0,
            watcher: Watcher::default(),
            config,
        };
        for (cluster, rules) in sim.config.clusters.clone() {
            sim.world.borrow_mut().upstreams.add_cluster(&cluster);
            for rule in rules.into_iter().rev() {
                sim.tell(&cluster, rule);
            }
        }
        sim.start_threads()?;
        Ok(sim)
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.world.borrow().now)
    }

    /// The time of day in Unix nanoseconds, as modules read it.
    pub fn time_of_day(&self) -> u64 {
        self.world.borrow().time_of_day()
    }

    /// Whether something still is to go wrong, or may.
    pub fn has_faults(&self) -> bool {
        !self.world.borrow().faults.is_empty()
    }

    /// Adds a rule to a cluster's script, before those that there are. Makes the cluster if there is none of this name.
    pub fn tell(&mut self, cluster: &str, rule: Rule) {
        self.world.borrow_mut().upstreams.tell(cluster, rule);
    }

    /// Drops all rules of a cluster: it then has no host, and Envoy refuses at once to call it.
    pub fn forget_rules(&mut self, cluster: &str) {
        self.world.borrow_mut().upstreams.forget(cluster);
    }

    /// Lets something go wrong from now on.
    pub fn fault(&mut self, fault: Fault) {
        self.world.borrow_mut().faults.add(fault);
    }

    /// Ends all faults.
    pub fn forget_faults(&mut self) {
        self.world.borrow_mut().faults.clear();
    }

    /// Sets the time of day forward or back. Virtual time goes on as before.
    pub fn set_clock(&mut self, seconds: i64) {
        self.world.borrow_mut().wall += i128::from(seconds) * 1_000_000_000;
    }

    /// Does one thing; `false` when there is nothing to do.
    pub fn step(&mut self) -> bool {
        let Some((thread, at, task)) = self.tasks.take(&mut self.interleaving) else { return false };
        {
            let mut world = self.world.borrow_mut();
            world.now = world.now.max(at);
        }
        match task {
            Task::Tick { vm, context, generation } => self.tick(thread, vm, context, generation),
            Task::QueueReady { vm, context, token } => self.queue_ready(thread, vm, context, token),
            Task::Callout(callout) => self.callout_ends(thread, callout),
            Task::Stream { stream, step } => self.stream_step(stream, step),
        }
        self.take_posts();
        if let Some(mut look) = self.watcher.0.take() {
            look(self);
            self.watcher.0 = Some(look);
        }
        true
    }

    /// Has this look at the simulation after each step from now on.
    pub fn watch(&mut self, look: impl FnMut(&Sim) + 'static) {
        self.watcher = Watcher(Some(Box::new(look)));
    }

    /// Runs until nothing is left to do but ticks.
    pub fn run(&mut self) {
        while !self.tasks.only_ticks() && self.step() {}
    }

    /// Runs for so much virtual time.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.world.borrow().now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        while self.tasks.next_at().is_some_and(|at| at <= end) && self.step() {}
        self.world.borrow_mut().now = end;
    }

    /// Runs until this stream is over, or for `patience` of virtual time at most. Tells whether it is over.
    pub fn run_until_over(&mut self, stream: StreamId, patience: Duration) -> bool {
        let end = (self.now() + patience).as_nanos();
        let is_over = |sim: &Sim| sim.streams.get(&stream.0).is_none_or(|stream| stream.outcome.end.is_some());
        while !is_over(self) && self.tasks.next_at().is_some_and(|at| u128::from(at) <= end) && self.step() {}
        is_over(self)
    }

    /// What has become of a stream so far.
    ///
    /// # Panics
    /// When the stream was taken before.
    pub fn outcome(&self, stream: StreamId) -> &Outcome {
        &self.streams[&stream.0].outcome
    }

    /// The peer of a stream as the proxy finds it: address and port. `None` when the stream was taken.
    pub fn peer(&self, stream: StreamId) -> Option<&str> {
        self.streams.get(&stream.0).map(|stream| stream.input.source())
    }

    /// The address to which a stream's client connected, with its port. `None` when the stream was taken.
    pub fn destination(&self, stream: StreamId) -> Option<&str> {
        self.streams.get(&stream.0).map(|stream| stream.input.destination())
    }

    /// A property that a stream was given, by its path with dots. `None` when it was not, or the stream was taken.
    pub fn given(&self, stream: StreamId, path: &str) -> Option<&[u8]> {
        self.streams.get(&stream.0)?.input.properties().get(path).map(Vec::as_slice)
    }

    /// Takes a stream that is over out of the simulation; `None` when it is not over.
    pub fn take_outcome(&mut self, stream: StreamId) -> Option<Outcome> {
        self.streams.get(&stream.0)?.outcome.end?;
        self.streams.remove(&stream.0).map(|stream| stream.outcome)
    }

    /// The numbers of all streams that are not over.
    pub fn open_streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.iter().filter(|(_, stream)| stream.outcome.end.is_none()).map(|(id, _)| StreamId(*id))
    }

    /// What was observed.
    pub fn trace(&self) -> Ref<'_, Trace> {
        Ref::map(self.world.borrow(), |world| &world.trace)
    }

    /// Changes how much is recorded from now on.
    pub fn set_trace(&mut self, level: Level) {
        self.world.borrow_mut().trace.set_level(level);
    }

    /// Forgets what was observed so far.
    pub fn clear_trace(&mut self) {
        self.world.borrow_mut().trace.clear();
    }

    /// The lines in the log that hold this text.
    pub fn log_lines(&self, text: &str) -> Vec<String> {
        let world = self.world.borrow();
        let lines = world.trace.entries().iter().filter_map(|entry| match &entry.event {
            Event::Log { message, .. } if message.contains(text) => Some(message.clone()),
            _ => None,
        });
        lines.collect()
    }

    /// A metric by its name, as the module defined it.
    pub fn metric(&self, name: &str) -> Option<Metric> {
        let world = self.world.borrow();
        world.metrics.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, metric)| metric.clone())
    }

    /// All metrics by name.
    pub fn metrics(&self) -> BTreeMap<String, Metric> {
        let world = self.world.borrow();
        world
            .metrics
            .iter()
            .map(|(name, metric)| (String::from_utf8_lossy(name).into_owned(), metric.clone()))
            .collect()
    }

    /// A value that VMs share.
    pub fn shared_data(&self, vm_id: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.world.borrow().data.read(vm_id.as_bytes(), key).map(|(value, _)| value.to_vec())
    }

    /// How many keys VMs of this id share.
    pub fn shared_keys(&self, vm_id: &str) -> usize {
        self.world.borrow().data.keys(vm_id.as_bytes())
    }

    /// How many messages wait in queues.
    pub fn queued_messages(&self) -> usize {
        self.world.borrow().queues.waiting()
    }

    /// How many callouts are under way, were sent in all, and were under way at once at most.
    pub fn callouts(&self) -> (usize, usize, usize) {
        let world = self.world.borrow();
        let (open, sent) = world.upstreams.counts();
        (open, sent, world.upstreams.most_open)
    }

    /// What it has cost so far.
    pub fn cost(&self) -> Cost {
        let world = self.world.borrow();
        let calls = TABLE.iter().zip(&world.calls).filter(|(_, count)| **count > 0);
        let vms = || self.threads.iter().flat_map(Thread::vms);
        Cost {
            fuel: self.threads.iter().map(|thread| thread.burned).sum::<u64>()
                + vms().map(|vm| vm.state().fuel_used).sum::<u64>(),
            calls: calls.map(|(function, count)| (function.name, *count)).collect(),
            bytes_out: world.bytes_out,
            bytes_in: world.bytes_in,
            memory: self.memory(),
        }
    }

    /// Bytes of linear memory of all VMs.
    pub fn memory(&self) -> u64 {
        self.threads.iter().flat_map(Thread::vms).map(|vm| vm.memory_size() as u64).sum()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.config.workers
    }

    /// Whether the VMs of this thread are alive: 0 is the main thread.
    pub fn is_alive(&self, thread: usize) -> bool {
        self.threads.get(thread).is_some_and(|thread| thread.vms().all(|vm| !vm.has_failed()))
    }

    /// Whether every stream of this thread meets all plugins. One that this worker alone could not load is skipped without a
    /// word, as in Envoy.
    pub fn has_all_plugins(&self, thread: usize) -> bool {
        self.threads.get(thread).is_some_and(|thread| thread.roots.iter().all(Option::is_some))
    }

    fn note(&self, thread: usize, event: impl FnOnce() -> Event) {
        self.world.borrow_mut().note(thread, event);
    }

    fn records(&self) -> bool {
        self.world.borrow().trace.records(Level::Events)
    }

    /// Takes over what the VMs asked of the event loops.
    fn take_posts(&mut self) {
        let posts = std::mem::take(&mut self.world.borrow_mut().posts);
        if posts.is_empty() {
            return;
        }
        let now = self.world.borrow().now;
        for post in posts {
            match post {
                Post::QueueReady { owner, token } => {
                    let task = Task::QueueReady { vm: owner.vm, context: owner.context, token };
                    self.tasks.add(owner.worker, now, task);
                }
                Post::TickEvery { worker, vm, context, period } => self.set_tick(worker, vm, context, period),
                Post::Callout(id) => self.plan_callout(id),
            }
        }
    }

    fn plan_callout(&mut self, id: usize) {
        let plan = {
            let world = self.world.borrow();
            world.upstreams.get(id).and_then(|callout| Some((callout.request.worker, callout.end.as_ref()?.0)))
        };
        if let Some((worker, at)) = plan {
            self.tasks.add(worker, at, Task::Callout(id));
        }
    }

    fn plan(&mut self, stream: usize, thread: usize, after: Duration, step: Step) {
        let at = self.world.borrow().now.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        self.tasks.add(thread, at, Task::Stream { stream, step });
    }
}
