//! What goes into a gate and what comes out: streams, roots, answers; decisions, lookups, releases.

use crate::{
    Config, Decision, Histogram, Lists, LookupError, LookupId, Moment, Remote, Skip, Store, Subject, SubjectId,
};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Assessment, Needs};

/// Names a stream: the proxy's context id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// Names one loaded configuration in the worker: the proxy's root context id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub u32);

/// One loaded configuration. Several can be live in one worker: other listeners, or the one before an update.
#[derive(Debug)]
pub struct Site {
    /// Its root context.
    pub root: RootId,
    /// What the operator wrote.
    pub config: Config,
    /// What its rules look at, and the port where its selection does.
    pub needs: Needs,
    /// What its rules and its selection look at, for [`Gate::admit`](crate::Gate::admit) and
    /// [`Gate::refresh`](crate::Gate::refresh).
    pub needs_to_ask: Needs,
}

impl Site {
    /// A configuration loaded by this root.
    pub fn new(root: RootId, config: Config) -> Site {
        let needs = config.policy.needs();
        let selection = config.select.connections.needs();
        let needs_to_ask = needs.and(selection);
        // It is read together with the address.
        let needs = Needs { port: needs_to_ask.port, ..needs };
        Site { root, config, needs, needs_to_ask }
    }

    /// When the next entry of its lists stops counting, so that the warm path, which does not look at the clock, is told the
    /// time then.
    pub fn next_expiry(&self, now: Moment) -> Option<Moment> {
        let (Lists { allow, allow_hosts, deny, deny_hosts, .. }, now) = (&*self.config.lists, now.timestamp());
        let networks = [allow, deny].into_iter().filter_map(|list| list.next_expiry(now));
        let hosts = [allow_hosts, deny_hosts].into_iter().filter_map(|list| list.next_expiry(now));
        networks.chain(hosts).min().map(Moment::from)
    }
}

/// What the gate needs of the proxy in callbacks that may ask or answer.
#[derive(Clone, Copy)]
pub struct Proxy<'p> {
    /// The time.
    pub now: Moment,
    /// What the workers share.
    pub store: &'p dyn Store,
}

/// What is known about a peer without waiting.
#[derive(Debug, PartialEq)]
pub enum Consulted<'s> {
    /// The peer is none of the gate's business.
    Skip(Skip),
    /// Lists or facts decide.
    Decided(Decision<'s>),
    /// Stale facts would decide: [`Gate::refresh`](crate::Gate::refresh) them, which says what does.
    Stale(Decision<'static>),
    /// Nothing is known in this worker: [`Gate::admit`](crate::Gate::admit) the stream.
    Unknown,
}

/// What becomes of a stream whose peer is unknown.
#[derive(Debug, PartialEq)]
pub enum Admitted {
    /// It waits. Exactly one [`Release`] that is not late will name it, unless it [`leaves`](crate::Gate::leave) first.
    Held,
    /// It does not wait.
    Decided(Decision<'static>),
    /// Nothing is known about its peer, and it is not worth a lookup.
    Skip(Skip),
}

/// A stream whose wait is over, or a connection that passed and is now denied.
#[derive(Debug)]
pub struct Release {
    /// The stream.
    pub stream: StreamId,
    /// Its peer.
    pub remote: Remote,
    /// The configuration it arrived under.
    pub site: Rc<Site>,
    /// What to do with it.
    pub decision: Decision<'static>,
    /// Whether it passed before; it is then denied now.
    pub late: bool,
}

/// A lookup to send now.
#[derive(Debug)]
pub struct Lookup {
    /// To be handed back with the answer.
    pub id: LookupId,
    /// Whom to ask about.
    pub subject: Subject,
    /// The configuration that says how to ask.
    pub site: Rc<Site>,
}

/// The end of a lookup.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The facts, or why there are none.
    pub facts: Result<Assessment, LookupError>,
    /// How long Criminal IP asks callers to wait.
    pub retry_after: Option<Duration>,
}

/// What follows from an event, for the proxy to do.
#[derive(Debug, Default)]
pub struct Effects {
    /// Streams whose wait is over, and connections that passed and are now denied.
    pub released: Vec<Release>,
    /// Queues of other workers, and the peer that they are to [`hear`](crate::Gate::hear) of.
    pub tell: Vec<(u32, SubjectId)>,
    /// Queues of workers, this one's too, that are to [look](crate::Gate::tend_control) for changes.
    pub look: Vec<u32>,
    /// Roots of this worker that have something to do.
    pub wake: Vec<RootId>,
    /// How long it was until a stream was released, or a lookup ended.
    pub took: Vec<(Histogram, Duration)>,
    /// What is to be logged.
    pub news: Vec<News>,
}

/// Something for the log that no stream caused.
#[derive(Debug)]
pub struct News {
    /// Whether somebody should look into it.
    pub is_warning: bool,
    /// The line.
    pub line: String,
}

impl Effects {
    pub(crate) fn say(&mut self, is_warning: bool, line: String) {
        self.news.push(News { is_warning, line });
    }
}
