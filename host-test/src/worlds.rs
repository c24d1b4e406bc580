//! Deterministic simulation testing of Portcullis: worlds made from seeds, in which nothing may ever go wrong.
//!
//! A [`World`] is a proxy with workers, peers of all kinds, an API in changing moods, updates of the configuration, and, in
//! some, workers that crash, clocks that jump and host calls that fail. After every step of the simulation what must hold is
//! checked ([`Mistake`]). What a world finds is found again by its seed, and [`shrunk`](World::shrunk) to the steps that it takes.

mod make;
mod peer;
mod shrink;
mod watch;

pub use peer::{Kind, PEERS};
pub use watch::Mistake;

use crate::{
    host::Module,
    scenario::{Scenario, Step, run_watched},
    sim::Outcome,
    trace::{Entry, Level, lint},
};
use anyhow::Result;
use std::{cell::RefCell, collections::BTreeSet, rc::Rc, time::Duration};
use watch::Watch;

/// A world: everything that happens in it follows from its seed.
#[derive(Clone, Debug)]
pub struct World {
    /// The proxy and the filter, and what is done there at the end. The steps come between.
    base: Scenario,
    /// What happens, with its place in the whole world.
    steps: Vec<(usize, Step)>,
    promises: Promises,
}

/// What the world's making says about it.
#[derive(Clone, Copy, Debug)]
struct Promises {
    trouble: Trouble,
    tcp: bool,
    judged: Judged,
    /// Denials are carried out.
    enforces: bool,
    /// Streams without facts may be denied.
    denies_unknown: bool,
    /// The longest that a stream is held, whatever the configuration.
    hold: Duration,
    /// The most streams that a worker holds.
    held: usize,
    /// How many lookups may be in flight.
    lanes: usize,
    /// How many lookups there may be in a day.
    budget: Option<usize>,
    /// How long facts count.
    lifetime: Duration,
    /// How long they still decide after that.
    stale: Duration,
    /// How many values the workers share at most.
    keys: usize,
    workers: usize,
}

/// The property in which the filter finds the address behind a name.
const UPSTREAM: &str = "upstream.address";

/// Whose address a world's filter judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// The client's.
    Source,
    /// That to which the client connected.
    Destination,
    /// The one behind the name for which the client asked: a request goes there before it is judged, and the answer waits.
    Behind,
}

/// What goes wrong besides the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Trouble {
    crashes: bool,
    clock: bool,
    faults: bool,
}

impl Trouble {
    fn none(self) -> bool {
        self == Trouble::default()
    }
}

/// What came of a world.
#[derive(Debug)]
pub struct Lived {
    /// What must not have happened.
    pub mistakes: Vec<Mistake>,
    /// What was observed.
    pub trace: Vec<Entry>,
    /// What became of the streams.
    pub outcomes: Vec<Outcome>,
}

impl World {
    /// The world of this seed.
    pub fn of(seed: u64) -> World {
        make::world(seed)
    }

    /// The world with only some of its steps.
    pub fn only(&self, places: &BTreeSet<usize>) -> World {
        let steps = self.steps.iter().filter(|(place, _)| places.contains(place)).cloned().collect();
        World { steps, ..self.clone() }
    }

    /// The places of its steps.
    pub fn places(&self) -> BTreeSet<usize> {
        self.steps.iter().map(|(place, _)| *place).collect()
    }

    /// The world as a scenario: the steps, then time to get well, then the end of every stream.
    pub fn scenario(&self) -> Scenario {
        let mut step: Vec<Step> = self.steps.iter().map(|(_, step)| step.clone()).collect();
        let ids: Vec<String> = step.iter().filter_map(|step| step.id.clone()).collect();
        step.extend(self.base.step.clone());
        step.extend(ids.into_iter().map(|id| Step { await_end: Some(id), ..Step::default() }));
        Scenario { step, ..self.base.clone() }
    }

    /// Lives through the world with this build of the filter. `level` is how much of it is recorded: of
    /// [`Level::Events`] at least.
    ///
    /// # Errors
    /// When the world makes no sense.
    pub fn live(&self, module: &Module, level: Level) -> Result<Lived> {
        let watch = Rc::new(RefCell::new(Watch::new(self.promises)));
        let watching = watch.clone();
        let report = run_watched(&self.scenario(), module, move |sim| {
            sim.set_trace(level);
            watching.borrow_mut().look(sim);
            sim.watch(move |sim| watching.borrow_mut().look(sim));
        })?;
        let mut mistakes = watch.borrow_mut().finish(&report.outcomes);
        // A mistake in the trace that only trouble makes is none: a filter can do no more than log that a host call failed.
        if self.promises.trouble.none() {
            for mismatch in &report.mismatches {
                mistakes.push(Mistake { kind: "unexpected", at: Duration::ZERO, what: mismatch.to_string() });
            }
        } else {
            let never = [lint::Kind::RepliedAndResumed, lint::Kind::ResumedTwice, lint::Kind::RepliedTwice];
            for lint in lint::lints(&report.trace).into_iter().filter(|lint| never.contains(&lint.kind)) {
                mistakes.push(Mistake { kind: lint.kind.code(), at: Duration::from_nanos(lint.at), what: lint.what });
            }
        }
        Ok(Lived { mistakes, trace: report.trace, outcomes: report.outcomes })
    }
}
