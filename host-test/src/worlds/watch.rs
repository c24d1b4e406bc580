//! What must hold in a world, checked after every step of the simulation.

mod verdict;

use super::{Judged, Kind, Promises, UPSTREAM, peer};
use crate::{
    host::HeaderMap,
    sim::{Outcome, Sim, StreamId},
    trace::{Entry, Event},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Something that must not happen in any world, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which rule was broken.
    pub kind: &'static str,
    /// When, in virtual time.
    pub at: Duration,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {:.3} s: {}", self.kind, self.at.as_secs_f64(), self.what)
    }
}

/// A tick, and what is between it and a decision.
const SLACK: u64 = 1_200 * MILLISECOND;
const MILLISECOND: u64 = 1_000_000;
/// The longest until a root has its turn.
const TURN: u64 = 50 * MILLISECOND;
/// The longest that a stream is held, whatever becomes of the clock.
const LONGEST_HOLD: u64 = 60_000 * MILLISECOND;
/// The most steps of the simulation in so much time when nobody waits, for each worker: ticks, clients that come and go.
const STEPS: u64 = 400;
const SECONDS: u64 = 5_000 * MILLISECOND;
/// The most messages that wait in the queues of one worker, but for what updates of the configuration leave behind.
const MESSAGES: usize = 64;
/// The most memory that a VM takes.
const MEMORY: u64 = 16 << 20;

struct Stream {
    peer: IpAddr,
    kind: Kind,
    worker: usize,
    started: u64,
    /// Since when a filter stops it.
    paused: Option<u64>,
    /// Its VM failed, so that it hangs until its client leaves, as in a proxy; or the filter is not there for it.
    lost: bool,
    ended: bool,
}

struct Callout {
    peer: IpAddr,
    sent: u64,
    /// The day of the time of day when it was sent.
    day: u64,
}

pub(super) struct Watch {
    promises: Promises,
    /// How much of the trace was read.
    read: usize,
    streams: BTreeMap<usize, Stream>,
    /// The streams that are stopped.
    paused: BTreeSet<usize>,
    /// How many streams of a peer passed or were refused, and how many decisions about it were logged.
    judgements: BTreeMap<IpAddr, (usize, usize)>,
    /// The peers about which a report reached the filter, which may have failed while it read it.
    reported: BTreeSet<IpAddr>,
    /// When the last report about a peer reached the filter, which lived on.
    learned: BTreeMap<IpAddr, u64>,
    callouts: BTreeMap<usize, Callout>,
    /// What was spent, by day.
    spent: BTreeMap<u64, usize>,
    /// When the clock was last set, or a host call last failed, or could have.
    disturbed: u64,
    /// How far the time of day was ahead of virtual time.
    ahead: Option<u64>,
    ended: usize,
    /// Since when nobody waits for anything, and how many steps there were since.
    quiet: Option<(u64, u64)>,
    /// Since when streams wait although nobody is being looked up.
    idle: Option<u64>,
    found: Vec<Mistake>,
}

impl Watch {
    pub(super) fn new(promises: Promises) -> Watch {
        Watch {
            promises,
            read: 0,
            streams: BTreeMap::new(),
            paused: BTreeSet::new(),
            judgements: BTreeMap::new(),
            reported: BTreeSet::new(),
            learned: BTreeMap::new(),
            callouts: BTreeMap::new(),
            spent: BTreeMap::new(),
            disturbed: 0,
            ahead: None,
            ended: 0,
            quiet: None,
            idle: None,
            found: Vec::new(),
        }
    }

    /// Reads what happened since it last looked, and checks the state of the proxy.
    pub(super) fn look(&mut self, sim: &Sim) {
        let now = nanos(sim.now());
        let ahead = sim.time_of_day().wrapping_sub(now);
        if sim.has_faults() || self.ahead.replace(ahead).is_some_and(|before| before != ahead) {
            self.disturbed = now;
        }
        let trace = sim.trace();
        for entry in &trace.entries()[self.read..] {
            self.event(sim, entry);
        }
        self.read = trace.entries().len();
        self.state(sim, now);
    }

    /// What must hold when the world is over.
    pub(super) fn finish(&mut self, outcomes: &[Outcome]) -> Vec<Mistake> {
        let open = outcomes.iter().filter(|outcome| outcome.end.is_none()).count();
        if open > 0 || self.ended != outcomes.len() {
            let what = format!("{open} of {} streams are open, {} ended", outcomes.len(), self.ended);
            self.mistake("stream-without-end", self.disturbed, what);
        }
        std::mem::take(&mut self.found)
    }

    fn mistake(&mut self, kind: &'static str, at: u64, what: String) {
        self.found.push(Mistake { kind, at: Duration::from_nanos(at), what });
    }

    /// Nothing went wrong but the API.
    fn calm(&self) -> bool {
        self.promises.trouble.none()
    }

    fn event(&mut self, sim: &Sim, entry: &Entry) {
        match &entry.event {
            Event::StreamStarted { stream, .. } => self.start(sim, entry, *stream),
            Event::Paused { stream, .. } => {
                self.paused.insert(*stream);
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.paused = Some(entry.at);
                }
            }
            Event::Resumed { stream, .. } => self.go_on(*stream),
            Event::Replied { stream, details, .. } => {
                self.denied(entry.at, *stream, details.split_once(':').map(|(_, why)| why));
                self.go_on(*stream);
            }
            Event::Closed { stream, .. } => {
                // A request is only reset when the host refuses what else there is.
                if self.promises.tcp || !self.promises.trouble.faults {
                    self.denied(entry.at, *stream, None);
                }
                self.go_on(*stream);
            }
            Event::Forwarded { stream, headers } => self.passed(entry.at, *stream, headers.as_ref()),
            Event::StreamEnded { stream } => {
                self.ended += 1;
                self.go_on(*stream);
                if self.promises.judged == Judged::Behind {
                    self.answered(sim, entry.at, *stream);
                }
                if let Some(stream) = self.streams.get_mut(stream)
                    && std::mem::replace(&mut stream.ended, true)
                {
                    let what = format!("a stream of {} ended twice", stream.peer);
                    self.mistake("ended-twice", entry.at, what);
                }
            }
            Event::Log { message, .. } => self.logged(entry.at, entry.worker, message),
            Event::VmFailed { reason, .. } => {
                for stream in self.streams.values_mut().filter(|stream| stream.worker == entry.worker) {
                    stream.lost = true;
                }
                if self.calm() {
                    self.mistake("vm-failed", entry.at, format!("the VM of thread {}: {reason}", entry.worker));
                }
            }
            Event::CalloutSent { callout, headers, .. } => self.sent(sim, entry.at, *callout, headers),
            Event::CalloutEnded { callout, outcome, answer } => {
                let Some(callout) = self.callouts.remove(callout) else { return };
                let reached = outcome != "504" && outcome != "reset";
                let refunded = matches!(answer.as_str(), "concurrency_refused" | "close") && reached;
                if !refunded {
                    *self.spent.entry(callout.day).or_default() += 1;
                }
                if answer == "report" && reached {
                    self.reported.insert(callout.peer);
                    if sim.is_alive(entry.worker) {
                        self.learned.insert(callout.peer, entry.at);
                    }
                }
            }
            Event::CalloutCancelled { callout } => drop(self.callouts.remove(callout)),
            _ => {}
        }
    }

    fn start(&mut self, sim: &Sim, entry: &Entry, number: usize) {
        let open = StreamId(number);
        let judged = match self.promises.judged {
            Judged::Source => sim.peer(open),
            Judged::Destination => sim.destination(open),
            Judged::Behind => sim.given(open, UPSTREAM).and_then(|address| str::from_utf8(address).ok()),
        };
        let Some(peer) = judged.and_then(|judged| judged.parse::<SocketAddr>().ok()).map(|judged| judged.ip()) else {
            return;
        };
        let kind = peer::kind(peer).unwrap_or(Kind::Clean);
        let lost = !(sim.is_alive(entry.worker) && sim.has_all_plugins(entry.worker));
        let stream = Stream { peer, kind, worker: entry.worker, started: entry.at, paused: None, lost, ended: false };
        self.streams.insert(number, stream);
    }

    fn go_on(&mut self, stream: usize) {
        self.paused.remove(&stream);
    }

    fn sent(&mut self, sim: &Sim, at: u64, callout: usize, headers: &HeaderMap) {
        let path = String::from_utf8_lossy(headers.first(":path").unwrap_or_default()).into_owned();
        let asked = path.split(['?', '&']).find_map(|part| part.strip_prefix("ip=")).unwrap_or_default();
        let Ok(peer) = asked.parse::<IpAddr>() else {
            return self.mistake("strange-lookup", at, path);
        };
        if !matches!(peer::kind(peer), Some(Kind::Clean | Kind::Tagged | Kind::Denied)) {
            self.mistake("needless-lookup", at, format!("{peer} is not to be looked up"));
        }
        if self.calm() {
            if self.callouts.values().any(|callout| callout.peer == peer) {
                self.mistake("asked-twice", at, format!("{peer} is being looked up already"));
            }
            let fresh = self.fresh();
            if let Some(learned) = self.learned.get(&peer).filter(|learned| at - **learned < fresh) {
                let what = format!("{peer} was looked up {} ms ago", (at - learned) / MILLISECOND);
                self.mistake("asked-again", at, what);
            }
        }
        let day = sim.time_of_day() / (86_400_000 * MILLISECOND);
        self.callouts.insert(callout, Callout { peer, sent: at, day });
    }

    fn state(&mut self, sim: &Sim, now: u64) {
        let Promises { trouble, lanes, budget, hold, held, keys, workers, .. } = self.promises;
        let (open, _, _) = sim.callouts();
        if open > lanes && !trouble.clock {
            self.mistake("too-many-lookups", now, format!("{open} are in flight, and {lanes} are allowed"));
        }
        if let Some(budget) = budget.filter(|_| !trouble.clock) {
            let over = self.spent.iter().find(|(_, spent)| **spent > budget).map(|(day, spent)| (*day, *spent));
            if let Some((day, spent)) = over {
                self.spent.remove(&day);
                self.mistake("over-budget", now, format!("{spent} lookups in a day, and {budget} are allowed"));
            }
        }
        let (shared, messages) = (sim.shared_keys(""), sim.queued_messages());
        if shared > keys || (self.calm() && messages > MESSAGES * workers) {
            self.mistake("growth", now, format!("{shared} shared values, {messages} messages"));
        }
        // The main thread's VM, those that tried configurations out, and one a worker.
        let memory = sim.memory();
        if memory > MEMORY * (workers as u64 + 1) {
            self.mistake("growth", now, format!("{memory} bytes of memory"));
        }
        let longest = if self.calm() { nanos(hold) } else { LONGEST_HOLD } + SLACK;
        let mut waiting = BTreeMap::<usize, usize>::new();
        let mut forgotten = Vec::new();
        for number in &self.paused {
            let Some(stream) = self.streams.get(number).filter(|stream| !stream.lost) else { continue };
            let paused = stream.paused.unwrap_or(now);
            // Any answer from behind a name waits for the root's next turn.
            if self.promises.judged != Judged::Behind || now - paused > TURN {
                *waiting.entry(stream.worker).or_default() += 1;
            }
            let since = paused.max(if self.calm() { 0 } else { self.disturbed });
            if now - since > longest {
                forgotten.push((*number, stream.peer, now - since));
            }
        }
        for (number, peer, since) in forgotten {
            self.go_on(number);
            let what = format!("stream {number} of {peer} has been stopped for {} ms", since / MILLISECOND);
            self.mistake("held-for-ever", now, what);
        }
        self.rest(now, open == 0 && self.paused.is_empty());
        self.idle = (self.calm() && open == 0 && !waiting.is_empty()).then_some(self.idle.unwrap_or(now));
        if self.idle.is_some_and(|since| now - since > SLACK) {
            self.idle = None;
            self.mistake(
                "nobody-asks",
                now,
                format!("streams wait on {} workers, and no lookup is sent", waiting.len()),
            );
        }
        if let Some((worker, waiting)) = waiting.into_iter().find(|(_, waiting)| self.calm() && *waiting > held) {
            self.mistake("too-many-held", now, format!("{waiting} on worker {worker}, and {held} are allowed"));
        }
        self.stuck(now);
    }

    /// A proxy in which nobody waits for anything has next to nothing to do.
    fn rest(&mut self, now: u64, quiet: bool) {
        let steps = self.promises.workers as u64 * STEPS;
        self.quiet = match self.quiet {
            _ if !quiet || !self.calm() => None,
            None => Some((now, 0)),
            Some((since, _)) if now - since > SECONDS => Some((now, 0)),
            Some((since, count)) if count < steps => Some((since, count + 1)),
            Some((since, count)) => {
                let what = format!("{count} steps within {} ms, in which nobody waits", (now - since) / MILLISECOND);
                self.mistake("restless", now, what);
                None
            }
        };
    }

    fn stuck(&mut self, now: u64) {
        let stuck = |callout: &Callout| now - callout.sent > 2 * LONGEST_HOLD;
        if let Some(peer) = self.callouts.values().find(|callout| stuck(callout)).map(|callout| callout.peer) {
            self.callouts.retain(|_, callout| !stuck(callout));
            self.mistake("lookup-without-end", now, format!("of {peer}"));
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
