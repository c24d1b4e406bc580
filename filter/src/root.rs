//! The root context: configuration, time, and lookups.

use crate::callout::{self, Broken};
use crate::control::{self, Tokens};
use crate::enforce::enforce;
use crate::feeds::{self, Fetches};
use crate::host::{self, Buffer, Level, SharedData};
use crate::network;
use crate::notify::{self, Deliveries};
use crate::secrets::Secrets;
use crate::upstream::{self, Resolved};
use crate::worker::{self, Worker};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::{Assessment, filled, how_many, ip_text, read_answer, read_domain_answer};
use gate::{
    Answer, Config, Effects, Lookup, LookupError, LookupId, Mistake, Moment, Proxy, Release, Role, RootId, Site,
    Sorted, Subject,
};

/// The longest time between two ticks: how far behind the time of the warm path may be.
const LONGEST_TICK: u64 = 1000;

/// The shortest time between two ticks.
const SHORTEST_TICK: u64 = 1;

/// How many streams one callback releases; the others follow in the next turn of the proxy's event loop. Envoy carries
/// releases out after the callback, one inside the other where a stream ends at once: hundreds would overflow the VM's
/// stack, and a trap would end all of them.
const RELEASES_AT_ONCE: usize = 16;

/// How many mistakes of one configuration the log names one by one.
const MISTAKES_LOGGED: usize = 100;

/// One loaded configuration.
pub(crate) struct Root {
    id: RootId,
    loaded: Option<Loaded>,
    /// What is asked for by the proxy's callout tokens.
    asked: Sorted<u32, (LookupId, Subject)>,
    fetches: Fetches,
    deliveries: Deliveries,
    tick: u32,
    ending: bool,
}

pub(crate) struct Loaded {
    site: Rc<Site>,
    key: Option<String>,
    /// What lets operators in.
    tokens: Rc<Tokens>,
}

impl Loaded {
    pub(crate) fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site)
    }

    pub(crate) fn tokens(&self) -> Rc<Tokens> {
        Rc::clone(&self.tokens)
    }
}

impl Root {
    pub(crate) fn new(id: u32) -> Root {
        Root {
            id: RootId(id),
            loaded: None,
            asked: Sorted::default(),
            fetches: Fetches::default(),
            deliveries: Deliveries::default(),
            tick: 0,
            ending: false,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id.0
    }

    /// Its configuration, once there is one.
    pub(crate) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }

    /// Loads the configuration. Returns whether it is one.
    pub(crate) fn on_configure(&mut self) -> bool {
        let document = host::buffer(Buffer::PluginConfiguration, usize::MAX).unwrap_or_default();
        let words = |mistakes: Vec<Mistake>| mistakes.iter().map(Mistake::line).collect();
        let loaded = Config::parse(&document)
            .map_err(words)
            .and_then(|config| Secrets::of(&config).map(|secrets| (config, secrets)));
        match loaded {
            Ok((config, secrets)) => {
                self.start(config, secrets);
                true
            }
            Err(mistakes) => {
                for mistake in mistakes.iter().take(MISTAKES_LOGGED) {
                    host::log(Level::Error, &["portcullis: configuration refused: ", mistake].concat());
                }
                if mistakes.len() > MISTAKES_LOGGED {
                    let all =
                        filled("portcullis: configuration refused: {} mistakes in all", &[&how_many(mistakes.len())]);
                    host::log(Level::Error, &all);
                }
                false
            }
        }
    }

    pub(crate) fn on_tick(&mut self) {
        let id = self.id;
        let mut fetches = core::mem::take(&mut self.fetches);
        let listens = self.loaded.as_ref().is_some_and(|loaded| loaded.site.config.role == Role::Control);
        self.run(|worker, proxy, effects| {
            worker.unfinished.drain(..).for_each(|release| worker.releases.push_back(release));
            worker.undecided.drain(..).for_each(|resolved| worker.resolved.push_back(resolved));
            fetches.tend(id, worker, proxy, effects);
            if listens {
                worker.gate.tend_listener(proxy, effects);
                control::give_up(worker, proxy.now);
                let _ = host::act_on(id.0);
            }
            let queue = worker.queue(id);
            worker.gate.tend_control(queue, false, proxy, effects);
        });
        self.fetches = fetches;
    }

    pub(crate) fn on_queue_ready(&mut self) {
        let id = self.id;
        self.run(|worker, proxy, effects| {
            let (peers, look) = worker.woken(id);
            for peer in peers {
                worker.gate.hear(peer, proxy, effects);
            }
            if look {
                let queue = worker.queue(id);
                worker.gate.tend_control(queue, true, proxy, effects);
            }
        });
    }

    /// Takes the answer to a callout. Returns whether it is the last one, for which a root waited that was done before.
    pub(crate) fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize) -> bool {
        if let Some(fetch) = self.fetches.answered(token) {
            let page = feeds::read(headers, body_size);
            self.run(|worker, proxy, effects| worker.gate.fetched(fetch, page, proxy, effects));
            return false;
        }
        if let Some(delivery) = self.deliveries.answered(token) {
            let receipt = notify::read(headers);
            self.run(|worker, proxy, effects| worker.gate.delivered(delivery, &receipt, proxy.now, effects));
            return false;
        }
        let Some((lookup, subject)) = self.asked.remove(&token) else { return false };
        let most = self.loaded.as_ref().map_or(0, |loaded| loaded.site.config.api.max_body);
        self.run(|worker, proxy, effects| {
            let facts = read(headers, body_size, most, &subject, proxy.now);
            let answer = Answer { facts, retry_after: callout::retry_after() };
            worker.gate.answer(lookup, &answer, proxy, effects);
        });
        self.ending && self.retire()
    }

    /// Returns whether nothing is to come any more, so that the root may go.
    pub(crate) fn on_done(&mut self) -> bool {
        self.ending = true;
        self.retire()
    }

    fn start(&mut self, config: Config, secrets: Secrets) {
        self.deliveries.secret = secrets.webhook;
        self.deliveries.path = secrets.webhook_path;
        if let Some(name) = config.tag.filter_state.as_ref().filter(|_| config.role != Role::Control) {
            declare_text(name, config.role);
        }
        let site = Rc::new(Site::new(self.id, config));
        worker::with(|worker| {
            worker.gate.enter(&site);
            worker.gate.configure(&site.config, &SharedData);
            worker.gate.join_notify(&site);
            worker.add_root(self.id);
        });
        self.loaded = Some(Loaded { site: Rc::clone(&site), key: secrets.key, tokens: Rc::new(secrets.tokens) });
        self.run(|worker, proxy, effects| worker.gate.join_feeds(&site, proxy, effects));
    }

    /// Hands over what is not sent yet. Returns whether nothing is to come any more, so that the root may go.
    fn retire(&mut self) -> bool {
        let retire = |worker: &mut Worker| {
            let proxy = worker.proxy();
            worker.gate.leave_feeds(self.id, proxy);
            worker.gate.leave_notify(self.id, proxy.now);
            worker.gate.retire(self.id)
        };
        let waits = worker::with(retire).unwrap_or(false);
        // Wakes the roots that took something over.
        self.run(|_, _, _| {});
        if !waits {
            worker::with(|worker| worker.remove_root(self.id));
        }
        !waits
    }

    /// What every callback of the root does around its own business: read the clock, release who waited long enough,
    /// send lookups, count, and see to it that the next tick comes in time.
    fn run(&mut self, business: impl FnOnce(&mut Worker, Proxy<'_>, &mut Effects)) {
        let mut business = Some(business);
        self.run_around(&mut |worker, proxy, effects| {
            if let Some(business) = business.take() {
                business(worker, proxy, effects);
            }
        });
    }

    /// What is around the business, once in the module for all.
    #[inline(never)]
    fn run_around(&mut self, business: &mut dyn FnMut(&mut Worker, Proxy<'_>, &mut Effects)) {
        let ran = worker::with(|worker| {
            let proxy = worker.proxy();
            let mut effects = Effects::default();
            business(worker, proxy, &mut effects);
            let batch = worker.resolved.len().min(RELEASES_AT_ONCE);
            if batch > 0 {
                for _ in 0..batch {
                    let Some(mut resolved) = worker.resolved.pop_front() else { break };
                    if let Err(status) = resolved.decide(worker) {
                        try_again(status);
                        worker.undecided.push(resolved);
                    }
                }
                let _ = host::act_on(self.id.0);
            }
            worker.gate.sweep(proxy, &mut effects);
            self.send_lookups(worker, proxy, &mut effects);
            self.deliveries.send(self.id, worker, proxy, &mut effects);
            worker.flush_metrics(&effects.took);
            carry_out(worker, &mut effects);
            let batch = worker.releases.len().min(RELEASES_AT_ONCE);
            for _ in 0..batch {
                let Some(release) = worker.releases.pop_front() else { break };
                if let Err(status) = finish(worker, &release) {
                    try_again(status);
                    worker.unfinished.push(release);
                }
            }
            let _ = host::act_on(self.id.0);
            let next = worker.releases.front().map(|next| next.site.root);
            if let Some(root) = next.or(worker.resolved.front().map(Resolved::root)) {
                worker.wake(root);
                return SHORTEST_TICK;
            }
            let expiry = self.loaded.as_ref().and_then(|loaded| loaded.site.next_expiry(proxy.now));
            worker.gate.next_event().into_iter().chain(expiry).min().map_or(LONGEST_TICK, |next| {
                u64::try_from(proxy.now.until(next).as_millis())
                    .unwrap_or(LONGEST_TICK)
                    .clamp(SHORTEST_TICK, LONGEST_TICK)
            })
        });
        let tick = ran.map_or(0, |tick| u32::try_from(tick).unwrap_or(0));
        if tick != 0 && tick != self.tick && host::tick_every(tick).is_ok() {
            self.tick = tick;
        }
    }

    fn send_lookups(&mut self, worker: &mut Worker, proxy: Proxy<'_>, effects: &mut Effects) {
        let queue = worker.queue(self.id);
        while let Some(lookup) = worker.gate.next_lookup(self.id, queue, proxy, effects) {
            match self.send(&lookup) {
                Some(token) => {
                    self.asked.insert(token, (lookup.id, lookup.subject));
                }
                None => {
                    let answer = Answer { facts: Err(LookupError::NotSent), retry_after: None };
                    worker.gate.answer(lookup.id, &answer, proxy, effects);
                }
            }
        }
        if let Some(other) = worker.gate.next_root(proxy.now) {
            worker.wake(other);
        }
    }

    fn send(&self, lookup: &Lookup) -> Option<u32> {
        let api = &lookup.site.config.api;
        let path = match &lookup.subject {
            Subject::Address(address) => {
                let full = if api.full { "true" } else { "false" };
                filled("/v1/asset/ip/report?ip={}&full={}", &[&ip_text(*address), full])
            }
            // Normalised, so nothing in it needs escaping.
            Subject::Domain(name) => ["/v1/domain/quick/malicious/view?domain=", name].concat(),
        };
        let mut headers = vec![
            (":method", "GET"),
            (":path", path.as_str()),
            (":authority", &*api.authority),
            ("accept", "application/json"),
        ];
        if let Some(key) = self.loaded.as_ref().and_then(|loaded| loaded.key.as_deref()) {
            headers.push(("x-api-key", key));
        }
        callout::send(&api.cluster, headers, None, api.timeout)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        worker::with(|worker| {
            worker.remove_root(self.id);
            worker.leave_gauges();
        });
    }
}

/// Does what followed from an event, but for what the current context is to do.
pub(crate) fn carry_out(worker: &mut Worker, effects: &mut Effects) {
    for news in effects.news.drain(..) {
        host::log(if news.is_warning { Level::Warn } else { Level::Info }, &news.line);
    }
    for (queue, peer) in effects.tell.drain(..) {
        worker::tell(queue, peer);
    }
    effects.look.drain(..).for_each(worker::tell_to_look);
    effects.wake.drain(..).for_each(|root| worker.wake(root));
    effects.released.drain(..).for_each(|release| worker.releases.push_back(release));
}

/// Reads the answer to a lookup.
fn read(headers: usize, body_size: usize, most: u32, asked: &Subject, now: Moment) -> Result<Assessment, LookupError> {
    let status = callout::status(headers).map_err(|broken| match broken {
        Broken::Reset => LookupError::Reset,
        Broken::TimedOut => LookupError::TimedOut,
        Broken::Connection => LookupError::Connection,
    })?;
    if body_size > usize::try_from(most).unwrap_or(usize::MAX) {
        return Err(LookupError::TooLarge);
    }
    let body = match body_size {
        0 => Vec::new(),
        size => host::buffer(Buffer::CalloutResponseBody, size).map_err(|_| LookupError::Reset)?,
    };
    let (assessment, is_about_another) = match asked {
        Subject::Address(asked) => {
            let reading = read_answer(status, &body, now.timestamp()).map_err(LookupError::Answer)?;
            (reading.assessment, reading.subject.is_some_and(|subject| subject != *asked))
        }
        Subject::Domain(asked) => {
            let reading = read_domain_answer(status, &body, now.timestamp()).map_err(LookupError::Answer)?;
            (reading.assessment, reading.subject.is_some_and(|subject| *subject != **asked))
        }
    };
    if is_about_another { Err(LookupError::OtherAddress) } else { Ok(assessment) }
}

fn try_again(status: host::Status) {
    host::log(Level::Error, &filled("portcullis: cannot end a wait: {}; trying again", &[&status.text()]));
}

/// Ends a stream's wait. A stream that is gone needs nothing any more. After an error it waits still.
fn finish(worker: &mut Worker, release: &Release) -> Result<(), host::Status> {
    if !host::act_on(release.stream.0)? {
        return Ok(());
    }
    if release.site.config.role == Role::Network {
        return network::finish(worker, release);
    }
    if let Some(host) = worker.answers.get(&release.stream).cloned() {
        upstream::finish(worker, release, host)?;
        worker.answers.remove(&release.stream);
        return Ok(());
    }
    let refused = enforce(worker, &release.site.config, release.stream, &release.remote, &release.decision)?;
    if refused { Ok(()) } else { host::resume_request() }
}

/// Declares the filter state as text, so that the proxy's expressions compare it with strings. The argument is the
/// protobuf message `DeclarePropertyArguments`: name = 1, type = 3 (String = 1), span = 5 (DownstreamConnection = 2).
/// <https://github.com/envoyproxy/envoy/blob/main/source/extensions/common/wasm/declare_property.proto>
fn declare_text(name: &str, role: Role) {
    let Ok(length) = u8::try_from(name.len()) else { return };
    let mut argument = vec![0x0a, length];
    argument.extend_from_slice(name.as_bytes());
    argument.extend_from_slice(&[0x18, 0x01]);
    if role == Role::Network {
        argument.extend_from_slice(&[0x28, 0x02]);
    }
    if let Err(status) = host::call_foreign("declare_property", &argument) {
        host::log(Level::Warn, &filled("portcullis: cannot declare {}: {}", &[name, &status.text()]));
    }
}
