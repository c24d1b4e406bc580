//! A stand-in for Criminal IP: the report and the quick domain look-up as they really answer, with the ways they fail, on a
//! local port.
//!
//! It starts in its own thread and stops when dropped. Tests tell it what to do and await what it saw:
//!
//! ```
//! # use host_test::fake::{Answer, Fake, Options, Rule, peer};
//! # fn main() -> anyhow::Result<()> {
//! let fake = Fake::start(Options::default())?;
//! fake.tell(Rule::answer(Answer::NoCredit).only(peer::TOR).times(1));
//! assert_eq!(fake.calls().len(), 0);
//! # Ok(()) }
//! ```

mod clock;
mod domain;
mod fixtures;
mod json;
mod report;
mod rules;
mod server;
mod simulated;
mod synthetic;

pub use domain::host;
pub use fixtures::peer;
pub use rules::{Answer, Rule};
pub use simulated::simulated;

use crate::{background::Background, changes::Watched};
use anyhow::{Result, anyhow};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// What the stand-in is like from its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 for any free one.
    pub listen: SocketAddr,
    /// The key that calls must bring in `x-api-key`.
    pub key: String,
    /// How many calls may be in flight; `None` for any number (an Enterprise plan).
    pub concurrency: Option<u32>,
    /// How many reports it gives before the credits are used up; `None` for no end.
    pub credits: Option<u64>,
}

impl Default for Options {
    /// Any free local port, the key [`KEY`], one call at a time, no end of credits.
    fn default() -> Options {
        Options { listen: ([127, 0, 0, 1], 0).into(), key: KEY.into(), concurrency: Some(1), credits: None }
    }
}

/// The key of the default options.
pub const KEY: &str = "stand-in-key";

/// A call that reached the stand-in.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came, since the stand-in's start.
    pub at: Duration,
    /// The address asked about, if it was one.
    pub ip: Option<IpAddr>,
    /// The domain asked about, if it was one.
    pub domain: Option<String>,
    /// Path and query, as sent.
    pub target: String,
    /// The request headers.
    pub headers: Vec<(String, String)>,
    /// Whether another call was in flight when it came.
    pub overlapped: bool,
    /// What became of it, by the names of [`Answer::name`]: `abandoned` if the caller left, `None` while under way.
    pub outcome: Option<&'static str>,
}

impl Call {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A running stand-in.
#[derive(Debug)]
pub struct Fake {
    address: SocketAddr,
    state: Arc<Watched<server::State>>,
    doors: mpsc::UnboundedSender<server::Door>,
    _background: Background,
}

impl Fake {
    /// Starts a stand-in.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn start(options: Options) -> Result<Fake> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Watched::new(server::State::new(options)));
        let (doors, door_changes) = mpsc::unbounded_channel();
        let background = Background::start("fake-criminalip", {
            let state = state.clone();
            move || server::serve(listener, state, door_changes)
        })?;
        Ok(Fake { address, state, doors, _background: background })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a rule; the newest that fits a call decides.
    pub fn tell(&self, rule: Rule) {
        self.state.change(|state| state.rules.add(rule));
    }

    /// Drops all rules: every call gets its report again. Calls under way keep the rule that they came in under.
    pub fn forget_rules(&self) {
        self.state.change(|state| state.rules.clear());
    }

    /// Lets go of all calls that [`Rule::hold`] holds back now.
    pub fn release(&self) {
        self.state.change(|state| state.releases += 1);
    }

    /// Sets the credits that are left; `None` for no end.
    pub fn set_credits(&self, credits: Option<u64>) {
        self.state.change(|state| state.options.credits = credits);
    }

    /// Sets how many calls may be in flight; `None` for any number.
    pub fn set_concurrency(&self, concurrency: Option<u32>) {
        self.state.change(|state| state.options.concurrency = concurrency);
    }

    /// Closes all connections and refuses new ones, until [`Fake::open_doors`].
    ///
    /// # Errors
    /// When the stand-in has stopped, or cannot keep its port.
    pub async fn close_doors(&self) -> Result<()> {
        self.move_doors(server::Door::Close).await
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// When the stand-in has stopped, or cannot listen.
    pub async fn open_doors(&self) -> Result<()> {
        self.move_doors(server::Door::Open).await
    }

    async fn move_doors(&self, door: impl FnOnce(oneshot::Sender<Result<()>>) -> server::Door) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        self.doors.send(door(done)).map_err(|_| anyhow!("the stand-in has stopped"))?;
        is_done.await?
    }

    /// The calls so far, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.state.read(|state| state.calls.clone())
    }

    /// The calls about one address so far.
    pub fn calls_about(&self, ip: IpAddr) -> Vec<Call> {
        self.state.read(|state| state.calls.iter().filter(|call| call.ip == Some(ip)).cloned().collect())
    }

    /// The calls about one domain so far.
    pub fn calls_about_domain(&self, domain: &str) -> Vec<Call> {
        let is_about = |call: &&Call| call.domain.as_deref() == Some(domain);
        self.state.read(|state| state.calls.iter().filter(is_about).cloned().collect())
    }

    /// Waits until there have been `count` calls; gives them all.
    ///
    /// # Errors
    /// When there were not so many within [`crate::PATIENCE`].
    pub async fn wait_for_calls(&self, count: usize) -> Result<Vec<Call>> {
        let reached = |state: &server::State| (state.calls.len() >= count).then(|| state.calls.clone());
        self.state.reach_soon(&format!("{count} calls"), reached, server::State::summary).await
    }

    /// Waits until there has been a call about this address; gives the first.
    ///
    /// # Errors
    /// When there was none within [`crate::PATIENCE`].
    pub async fn wait_for_call_about(&self, ip: IpAddr) -> Result<Call> {
        let reached = |state: &server::State| state.calls.iter().find(|call| call.ip == Some(ip)).cloned();
        self.state.reach_soon(&format!("a call about {ip}"), reached, server::State::summary).await
    }

    /// Waits until no call is under way.
    ///
    /// # Errors
    /// When one still was after [`crate::PATIENCE`].
    pub async fn wait_until_idle(&self) -> Result<()> {
        let reached = |state: &server::State| (state.in_flight == 0).then_some(());
        self.state.reach_soon("no call in flight", reached, server::State::summary).await
    }
}
