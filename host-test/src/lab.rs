//! Everything that an end-to-end test needs, started together: the stand-in, an upstream, and Envoy with the filter.

mod answers;
mod control;
pub mod shipped;

pub use control::outbound;

use crate::{
    client::{Ask, Http2},
    envoy::{
        self, Envoy, Start,
        config::{self, Listener, Peers, Place, Surroundings},
    },
    eventually,
    fake::{Fake, KEY, Options},
    upstream::Upstream,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr, path::PathBuf};
use tempfile::TempDir;

/// The documentation ranges (RFC 5737, RFC 3849), which stand for public peers in tests.
pub const DOCUMENTATION: [&str; 4] = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

/// The longest `api.timeout` and `first_look.hold` that there may be: for tests that are not about them, which a busy machine
/// may need all of.
pub const LONGEST_WAIT: &str = "60s";

/// A configuration of the filter for tests: the documentation ranges are public, the key is the stand-in's, and lookups
/// and streams wait longer than any test takes. `changes` are merged in: objects key by key, everything else replaced; a
/// `key` of null goes.
pub fn plugin(changes: Value) -> Value {
    let mut plugin = json!({
        "api": {"cluster": "criminalip", "key": KEY, "timeout": LONGEST_WAIT},
        "first_look": {"hold": LONGEST_WAIT},
        "scope": {"treat_as_public": DOCUMENTATION},
    });
    merge(&mut plugin, changes);
    plugin
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                match change {
                    Value::Null if key == "key" => {
                        into.remove(&key);
                    }
                    change => merge(into.entry(key).or_insert(Value::Null), change),
                }
            }
        }
        (into, change) => *into = change,
    }
}

/// A lab in the making.
#[derive(Debug)]
pub struct Builder {
    listeners: Vec<Listener>,
    fake: Options,
    concurrency: u16,
    environment: Vec<(String, String)>,
    inject_key: bool,
    following: bool,
    drain_seconds: u32,
    clusters: Vec<(String, SocketAddr)>,
}

/// A running lab; all of it stops when dropped.
#[derive(Debug)]
pub struct Lab {
    // Dropped first, while what it talks to is still there.
    /// The proxy.
    pub envoy: Envoy,
    /// The stand-in for Criminal IP.
    pub fake: Fake,
    /// Where requests end up.
    pub upstream: Upstream,
    listeners: BTreeMap<String, SocketAddr>,
    /// The listeners as they were made.
    made: Vec<Listener>,
    module: PathBuf,
    environment: Vec<String>,
}

/// The name of the first listener.
pub const MAIN: &str = "main";

/// The name of the control listener.
pub const CONTROL: &str = "control";

/// The bearer token for reading at the control listener of [`Builder::control`].
pub const READ_TOKEN: &str = "read-0123456789abcdef";

/// The bearer token for reading and writing.
pub const WRITE_TOKEN: &str = "write-0123456789abcdef";

impl Lab {
    /// A lab with one listener that learns its peers by the PROXY protocol and has the configuration that [`plugin`]
    /// makes of `changes`.
    pub fn with(changes: Value) -> Builder {
        let builder = Builder {
            listeners: Vec::new(),
            fake: Options::default(),
            concurrency: 1,
            environment: Vec::new(),
            inject_key: false,
            following: false,
            drain_seconds: 1,
            clusters: Vec::new(),
        };
        builder.listener(MAIN, changes)
    }

    /// A request from this peer to the first listener.
    pub fn ask(&self, peer: IpAddr) -> Ask {
        self.ask_at(MAIN, Some(peer))
    }

    /// A request to this listener; without a peer, the connection has no PROXY protocol header.
    ///
    /// # Panics
    /// When there is no such listener.
    pub fn ask_at(&self, listener: &str, peer: Option<IpAddr>) -> Ask {
        Ask::new(self.address(listener), peer)
    }

    /// An HTTP/2 connection from this peer to the first listener.
    ///
    /// # Errors
    /// When Envoy does not accept it.
    pub async fn http2(&self, peer: IpAddr) -> Result<Http2> {
        Http2::connect(self.address(MAIN), Some(peer)).await
    }

    /// Where this listener listens.
    ///
    /// # Panics
    /// When there is no such listener.
    pub fn address(&self, listener: &str) -> SocketAddr {
        match self.listeners.get(listener) {
            Some(address) => *address,
            None => panic!("no listener {listener:?} in {:?}", self.listeners),
        }
    }

    /// Waits until so many requests are under way at the first listener: received, and not answered yet.
    ///
    /// # Errors
    /// When there are more or fewer after [`crate::PATIENCE`].
    pub async fn wait_for_active(&self, requests: u64) -> Result<()> {
        self.envoy.wait_for_stat(&format!("http.{MAIN}.downstream_rq_active"), requests).await
    }

    /// The filter's counter of this name and labels: `criminalip_lookups_total;outcome=ok`. Counters whose labels
    /// include the given ones are added up.
    ///
    /// # Errors
    /// When Envoy does not say.
    pub async fn metric(&self, metric: &str) -> Result<u64> {
        let wanted: Vec<_> = metric.split(';').collect();
        let stats = self.envoy.stats().await?;
        let fits = |name: &str| {
            let labels: Vec<_> = name.trim_start_matches("wasmcustom.").split(';').collect();
            labels.first() == wanted.first() && wanted.iter().all(|wanted| labels.contains(wanted))
        };
        Ok(stats.iter().filter(|(name, _)| fits(name)).map(|(_, value)| value).sum())
    }

    /// Waits until [`Lab::metric`] gives this value.
    ///
    /// # Errors
    /// When it gives another after [`crate::PATIENCE`]; the message lists the filter's counters.
    pub async fn wait_for_metric(&self, metric: &str, expected: u64) -> Result<()> {
        eventually(async || {
            let value = self.metric(metric).await?;
            if value != expected {
                let stats = self.envoy.stats().await?;
                let own: Vec<_> = stats.iter().filter(|(name, _)| name.starts_with("wasmcustom.")).collect();
                bail!("{metric} is {value}, not {expected}; there are {own:?}");
            }
            Ok(())
        })
        .await
    }

    /// The filter's decisions in Envoy's log, oldest first.
    pub fn decisions(&self) -> Vec<Value> {
        self.envoy.log().iter().filter_map(|line| decision(line)).collect()
    }

    /// Waits for a decision about this peer in Envoy's log.
    ///
    /// # Errors
    /// When there was none within [`crate::PATIENCE`].
    pub async fn wait_for_decision(&self, peer: IpAddr) -> Result<Value> {
        let line = self.envoy.wait_for_log(&format!("\"peer\":\"{peer}\"")).await?;
        decision(&line).with_context(|| format!("not a decision: {line}"))
    }

    /// The access log's entry for the request with this path.
    ///
    /// # Errors
    /// When there was none within [`crate::PATIENCE`].
    pub async fn wait_for_access(&self, path: &str) -> Result<Value> {
        let line = self.envoy.wait_for_access(&format!("\"path\":\"{path}\"")).await?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Gives Envoy another configuration of the filter for the first listener. The lab must have been built as
    /// [`Builder::following`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn update(&self, plugin: impl Into<String>) -> Result<()> {
        let mut listeners = self.made.clone();
        if let Some(first) = listeners.first_mut() {
            first.plugin = plugin.into();
        }
        let resources = listeners.iter().map(|listener| listener.resource(&self.module, &self.environment)).collect();
        write_listeners(self.envoy.folder(), resources)?;
        Ok(())
    }

    /// Looks up again where the listeners listen: an update may have moved them.
    ///
    /// # Errors
    /// When Envoy does not say.
    pub async fn refresh(&mut self) -> Result<()> {
        self.listeners = self.envoy.listeners().await?;
        Ok(())
    }
}

/// The decision in a line of Envoy's log, if it is one.
pub fn decision(line: &str) -> Option<Value> {
    let json: Value = serde_json::from_str(line.get(line.find('{')?..)?).ok()?;
    json.get("peer").is_some().then_some(json)
}

fn write_listeners(folder: &std::path::Path, listeners: Vec<Value>) -> Result<PathBuf> {
    let place = folder.join("listeners.json");
    config::replace_listeners(&place, listeners)?;
    Ok(place)
}

impl Builder {
    /// Adds a listener with the configuration that [`plugin`] makes of `changes`.
    pub fn listener(self, name: &str, changes: Value) -> Builder {
        self.verbatim(name, &plugin(changes).to_string())
    }

    /// Adds a control listener.
    pub fn control(self) -> Builder {
        let tokens = json!({"read_token_env": "READ_TOKEN", "write_token_env": "WRITE_TOKEN"});
        let plugin = json!({"role": "control", "control": tokens,
            "api": {"cluster": "criminalip", "key": KEY, "timeout": LONGEST_WAIT}, "scope": {"treat_as_public": DOCUMENTATION}});
        self.verbatim(CONTROL, &plugin.to_string())
            .place(Place::Control)
            .peers(Peers::Forwarded { use_remote_address: true, trusted_hops: 0 })
            .environment("READ_TOKEN", READ_TOKEN)
            .environment("WRITE_TOKEN", WRITE_TOKEN)
    }

    /// Adds a listener whose filter gets this text as its configuration.
    pub fn verbatim(mut self, name: &str, plugin: &str) -> Builder {
        let peers = Peers::ProxyProtocol;
        self.listeners.push(Listener {
            name: name.into(),
            plugin: plugin.into(),
            peers,
            place: Place::Http,
            routes: Vec::new(),
            answers: false,
        });
        self
    }

    /// Drops the listeners so far.
    pub fn without_listeners(mut self) -> Builder {
        self.listeners.clear();
        self
    }

    /// Has the last listener learn its peers otherwise.
    pub fn peers(mut self, peers: Peers) -> Builder {
        if let Some(listener) = self.listeners.last_mut() {
            listener.peers = peers;
        }
        self
    }

    /// Has the filter elsewhere on the last listener.
    pub fn place(mut self, place: Place) -> Builder {
        if let Some(listener) = self.listeners.last_mut() {
            listener.place = place;
        }
        self
    }

    /// Adds a route to the last listener, before the one for everything. It says all but where it leads.
    pub fn route(mut self, route: Value) -> Builder {
        if let Some(listener) = self.listeners.last_mut() {
            listener.routes.push(route);
        }
        self
    }

    /// Has Envoy answer by itself at the last listener, see [`Listener::answers`].
    pub fn answering(mut self) -> Builder {
        if let Some(listener) = self.listeners.last_mut() {
            listener.answers = true;
        }
        self
    }

    /// Sets what the stand-in is like.
    pub fn fake(self, fake: Options) -> Builder {
        Builder { fake, ..self }
    }

    /// Sets the number of workers.
    pub fn workers(self, concurrency: u16) -> Builder {
        Builder { concurrency, ..self }
    }

    /// Sets a variable in Envoy's environment, which the filter may read.
    pub fn environment(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Has the callout cluster add the key, from Envoy's environment.
    pub fn inject_key(self) -> Builder {
        Builder { inject_key: true, ..self }.environment("CRIMINALIP_API_KEY", KEY)
    }

    /// Has Envoy follow changes of the listeners, for [`Lab::update`].
    pub fn following(self) -> Builder {
        Builder { following: true, ..self }
    }

    /// Lets connections of a replaced listener go on for so long, instead of a second.
    pub fn drain_seconds(self, drain_seconds: u32) -> Builder {
        Builder { drain_seconds, ..self }
    }

    /// Adds a cluster that leads there.
    pub fn cluster(mut self, name: &str, address: SocketAddr) -> Builder {
        self.clusters.push((name.into(), address));
        self
    }

    /// Starts everything.
    ///
    /// # Errors
    /// When the module or Envoy is missing, or Envoy does not come up: the message then carries its log.
    pub async fn start(self) -> Result<Lab> {
        let module = envoy::module()?;
        let fake = Fake::start(self.fake)?;
        let upstream = Upstream::start()?;
        let folder = TempDir::new()?;
        let surroundings =
            Surroundings { upstream: upstream.address(), api: fake.address(), inject_key: self.inject_key };
        // A key that the cluster injects is not for the filter to see.
        let names = if self.inject_key { &[][..] } else { &self.environment[..] };
        let environment: Vec<_> = names.iter().map(|(name, _)| name.clone()).collect();
        let listeners = self.listeners.iter().map(|listener| listener.resource(&module, &environment)).collect();
        let mut bootstrap = if self.following {
            config::following_bootstrap(surroundings, &write_listeners(folder.path(), listeners)?)
        } else {
            config::bootstrap(surroundings, listeners)
        };
        if let Some(clusters) = bootstrap["static_resources"]["clusters"].as_array_mut() {
            clusters.extend(self.listeners.iter().filter_map(Listener::cluster));
        }
        if let Some(clusters) = bootstrap["static_resources"]["clusters"].as_array_mut() {
            clusters.extend(self.clusters.iter().map(|(name, address)| config::cluster(name, *address)));
        }
        let start = Start {
            envoy: envoy::find()?,
            bootstrap: bootstrap.to_string(),
            json: true,
            concurrency: self.concurrency,
            drain_seconds: self.drain_seconds,
            environment: self.environment,
            folder,
        };
        let envoy = Envoy::start(start).await?;
        let addresses = envoy.listeners().await?;
        if addresses.len() != self.listeners.len() {
            bail!("Envoy has only the listeners {addresses:?}: {}", envoy.log().join("\n"));
        }
        Ok(Lab { envoy, fake, upstream, listeners: addresses, made: self.listeners, module, environment })
    }
}
