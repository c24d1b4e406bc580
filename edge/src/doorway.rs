//! The gate of one isolate, for requests: facts about them and answers of Criminal IP go in, orders come out.

use crate::enforce::{Decided, Manner};
use crate::memory::Memory;
use crate::mistakes::{described, write_remarks};
use crate::{moment, object};
use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{net::IpAddr, time::Duration};
use evaluator::{Assessment, Connection, Direction, Timestamp, filled, ip_text, parse_peer, read_answer};
use fit::{refused, without_effect};
use gate::{
    Admitted, Answer, Config, Consulted, Effects, Gate, Key, LookupError, LookupId, Metric, Moment, Proxy, Remote,
    RootId, Sample, Site, Skip, Sorted, StreamId, Subject,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// The gate of one isolate.
#[wasm_bindgen]
pub struct Doorway {
    gate: Gate,
    memory: Memory,
    site: Rc<Site>,
    document: Box<[u8]>,
    /// How the clients of streams that wait want to be refused.
    waiting: Sorted<StreamId, Manner>,
    /// Lookups under way, by the numbers that they go by outside.
    asked: Sorted<u32, Asked>,
    next: u32,
    counts: Sorted<Metric, i64>,
}

struct Asked {
    id: LookupId,
    peer: IpAddr,
    sent: Moment,
}

/// The configuration's root: an isolate has one.
const ROOT: RootId = RootId(1);
/// How many peers that another memory knew can await their requests.
const RECALLED: u32 = 1024;
/// No answer takes so long: the longest `api.timeout`, and some.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// What the outside has to do.
#[derive(Default)]
struct Orders {
    /// The number of a new stream.
    stream: Option<u32>,
    /// The peer of a new stream about which nothing is known here.
    unknown: Option<IpAddr>,
    /// Whether lookups have become due.
    due: bool,
    decided: Vec<Decided>,
    lookups: Vec<Call>,
    /// Milliseconds until there is something to do.
    wake: Option<u64>,
    keep: Option<Keepsake>,
}

/// A call to send now.
struct Call {
    id: u32,
    path: String,
}

/// What a memory outside of the isolate is to keep about a peer, and for how long.
struct Keepsake {
    peer: IpAddr,
    fact: String,
    seconds: u64,
}

impl Orders {
    /// As JSON, without what there is none of.
    fn into_json(self) -> String {
        object(|json| {
            if let Some(stream) = self.stream {
                json.number("stream", stream.into());
            }
            if let Some(peer) = self.unknown {
                json.text("unknown", &ip_text(peer));
            }
            if self.due {
                json.flag("due", true);
            }
            if !self.decided.is_empty() {
                json.list("decided");
                self.decided.iter().for_each(|decided| decided.write(json));
                json.close(']');
            }
            if !self.lookups.is_empty() {
                json.list("lookups");
                for Call { id, path } in &self.lookups {
                    json.open('{');
                    json.number("id", (*id).into());
                    json.text("path", path);
                    json.close('}');
                }
                json.close(']');
            }
            if let Some(wake) = self.wake {
                json.number("wake", wake);
            }
            if let Some(Keepsake { peer, fact, seconds }) = &self.keep {
                json.object("keep");
                json.text("peer", &ip_text(*peer));
                json.text("fact", fact);
                json.number("seconds", *seconds);
                json.close('}');
            }
        })
    }
}

/// A request as rules and refusals see it.
struct Request<'a> {
    peer: &'a str,
    port: u16,
    path: &'a str,
    method: &'a str,
    host: &'a str,
}

impl Request<'_> {
    fn connection(&self, client: IpAddr, now: Timestamp) -> Connection<'_> {
        Connection {
            direction: Direction::Ingress,
            port: Some(self.port).filter(|port| *port != 0),
            product: None,
            path: Some(self.path.as_bytes()),
            method: Some(self.method.as_bytes()),
            host: Some(self.host.as_bytes()),
            route: None,
            client: Some(client),
            now,
        }
    }
}

#[wasm_bindgen]
impl Doorway {
    /// Reads a configuration. `random` must be: it keeps outsiders from choosing addresses that collide.
    ///
    /// # Errors
    /// The mistakes, as JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(document: &[u8], random: u64) -> Result<Doorway, String> {
        let mut config = Config::parse(document).map_err(|mistakes| described(&mistakes))?;
        if let Some(mistakes) = refused(&config) {
            return Err(mistakes);
        }
        config.cache.shared_slots = RECALLED;
        let memory = Memory::default();
        let mut gate = Gate::new(random, &memory);
        gate.configure(&config, &memory);
        Ok(Doorway {
            gate,
            memory,
            site: Rc::new(Site::new(ROOT, config)),
            document: document.into(),
            waiting: Sorted::default(),
            asked: Sorted::default(),
            next: 0,
            counts: Sorted::default(),
        })
    }

    /// What the outside has to know of the configuration, as JSON. The key is in it.
    pub fn settings(&self) -> String {
        let config = &self.site.config;
        let (key_env, key) = match &config.api.key {
            Key::Environment(name) => (Some(&**name), None),
            Key::Given(key) => (None, Some(key.expose())),
            Key::Injected => (None, None),
        };
        object(|json| {
            json.text("cluster", &config.api.cluster);
            json.text("authority", &config.api.authority);
            json.number("timeout", millis(config.api.timeout));
            json.number("max_body", config.api.max_body.into());
            json.text_or_null("key_env", key_env);
            json.text_or_null("key", key);
            json.number("hold", millis(config.first_look.hold));
            json.text("request_header", &config.tag.request_header);
            json.text_or_null("response_header", config.tag.response_header.as_deref());
            json.number("layout", Gate::KEEPSAKE_LAYOUT.into());
            json.name("without_effect");
            write_remarks(json, without_effect(&self.document).into_iter());
        })
    }

    /// A request has come: it is decided by lists and what is known, or its peer is `unknown`.
    #[expect(clippy::too_many_arguments, reason = "each is a string that JavaScript has at hand")]
    pub fn knock(
        &mut self,
        peer: &str,
        port: u16,
        path: &str,
        method: &str,
        host: &str,
        accept: &str,
        content_type: &str,
        now: f64,
    ) -> String {
        let (request, now) = (Request { peer, port, path, method, host }, moment(now));
        let stream = self.next;
        self.next = stream.wrapping_add(1);
        let mut orders = Orders { stream: Some(stream), ..Orders::default() };
        let Ok(peer) = parse_peer(request.peer.as_bytes()) else {
            self.gate.skip(Skip::NoAddress);
            orders.decided.push(Decided::skipped(stream));
            return orders.into_json();
        };
        let site = Rc::clone(&self.site);
        let (connection, time) = (request.connection(peer.ip, now.timestamp()), now.timestamp());
        let remote = Remote::from(peer.ip);
        let consulted = self.gate.consult(&site, &remote, &connection, time);
        let decision = match consulted {
            Consulted::Decided(decision) => decision,
            Consulted::Stale(decision) => {
                orders.due = true;
                let proxy = Proxy { now, store: &self.memory };
                self.gate.refresh(&site, &remote, &connection, decision, proxy)
            }
            Consulted::Skip(_) => {
                orders.decided.push(Decided::skipped(stream));
                return orders.into_json();
            }
            Consulted::Unknown => {
                orders.unknown = Some(peer.ip);
                return orders.into_json();
            }
        };
        let manner = Manner::of(accept, content_type);
        orders.decided.push(Decided::new(stream, &site.config, &remote, &decision, manner));
        orders.into_json()
    }

    /// Takes in a request whose peer is unknown, after other memories have been asked: it is decided, or it waits.
    /// `arrived` is when it came.
    #[expect(clippy::too_many_arguments, reason = "each is a string that JavaScript has at hand")]
    pub fn admit(
        &mut self,
        stream: u32,
        peer: &str,
        port: u16,
        path: &str,
        method: &str,
        host: &str,
        accept: &str,
        content_type: &str,
        arrived: f64,
    ) -> String {
        let (request, arrived) = (Request { peer, port, path, method, host }, moment(arrived));
        let Ok(peer) = parse_peer(request.peer.as_bytes()) else { return Orders::default().into_json() };
        let (site, id) = (Rc::clone(&self.site), StreamId(stream));
        let proxy = Proxy { now: arrived, store: &self.memory };
        let manner = Manner::of(accept, content_type);
        let mut orders = Orders { due: true, ..Orders::default() };
        let remote = Remote::from(peer.ip);
        match self.gate.admit(&site, id, &remote, &request.connection(peer.ip, arrived.timestamp()), proxy) {
            Admitted::Held => {
                self.waiting.insert(id, manner);
            }
            Admitted::Skip(_) => orders.decided.push(Decided::skipped(stream)),
            Admitted::Decided(decision) => {
                orders.decided.push(Decided::new(stream, &site.config, &remote, &decision, manner));
            }
        }
        orders.into_json()
    }

    /// Forgets a request that ended by itself.
    pub fn leave(&mut self, stream: u32) {
        self.gate.leave(StreamId(stream));
        self.waiting.remove(&StreamId(stream));
    }

    /// Lets go of the requests that have waited long enough.
    pub fn sweep(&mut self, now: f64) -> String {
        let mut effects = Effects::default();
        self.gate.sweep(Proxy { now: moment(now), store: &self.memory }, &mut effects);
        Orders { decided: self.carried_out(effects), ..Orders::default() }.into_json()
    }

    /// Lets go of the requests that have waited long enough, and says which lookups are to be sent now: so many at most.
    pub fn next(&mut self, most: usize, now: f64) -> String {
        let now = moment(now);
        self.asked.retain(|_, asked| asked.sent.until(now) < ANSWER_LIMIT);
        let proxy = Proxy { now, store: &self.memory };
        let (mut effects, mut lookups) = (Effects::default(), Vec::new());
        self.gate.sweep(proxy, &mut effects);
        while lookups.len() < most
            && let Some(lookup) = self.gate.next_lookup(ROOT, 0, proxy, &mut effects)
        {
            let Subject::Address(peer) = lookup.subject else {
                let answer = Answer { facts: Err(LookupError::NotSent), retry_after: None };
                self.gate.answer(lookup.id, &answer, proxy, &mut effects);
                continue;
            };
            let number = self.next;
            self.next = number.wrapping_add(1);
            self.asked.insert(number, Asked { id: lookup.id, peer, sent: now });
            let full = if self.site.config.api.full { "true" } else { "false" };
            let path = filled("/v1/asset/ip/report?ip={}&full={}", &[&ip_text(peer), full]);
            lookups.push(Call { id: number, path });
        }
        let wake = self.gate.next_event().map(|next| millis(now.until(next)));
        Orders { decided: self.carried_out(effects), lookups, wake, ..Orders::default() }.into_json()
    }

    /// Criminal IP has answered a lookup: with this status of HTTP, body and `retry-after`.
    pub fn answered(&mut self, id: u32, status: u16, body: &[u8], retry_after: &str, now: f64) -> String {
        let now = moment(now);
        let most = usize::try_from(self.site.config.api.max_body).unwrap_or(usize::MAX);
        let facts = match self.asked.get(&id) {
            _ if body.len() > most => Err(LookupError::TooLarge),
            Some(asked) => read(status, body, asked.peer, now),
            None => Err(LookupError::NotSent),
        };
        // RFC 9110 section 10.2.3; the gate has its own pause where nothing is said, or a date.
        const DAY: u64 = 86_400;
        let retry_after = retry_after.trim().parse().ok().map(|seconds: u64| Duration::from_secs(seconds.min(DAY)));
        self.end(id, &Answer { facts, retry_after }, now)
    }

    /// A lookup has failed before there was a whole answer: `timeout`, `connection`, `reset`, `too_large` or `not_sent`.
    pub fn failed(&mut self, id: u32, code: &str, now: f64) -> String {
        let error = LookupError::all().find(|error| error.code() == code).unwrap_or(LookupError::NotSent);
        self.end(id, &Answer { facts: Err(error), retry_after: None }, moment(now))
    }

    /// A memory outside of the isolate has kept this about a peer.
    pub fn recall(&mut self, peer: &str, fact: &str, now: f64) -> String {
        let Ok(peer) = parse_peer(peer.as_bytes()) else { return Orders::default().into_json() };
        let Some(fact) = from_hex(fact) else { return Orders::default().into_json() };
        let (mut effects, proxy) = (Effects::default(), Proxy { now: moment(now), store: &self.memory });
        self.gate.take_back(&self.site.config, peer.ip, &fact, proxy, &mut effects);
        Orders { decided: self.carried_out(effects), ..Orders::default() }.into_json()
    }

    /// Whether a peer is to be looked up, or is being.
    pub fn wants(&self, peer: &str) -> bool {
        parse_peer(peer.as_bytes()).is_ok_and(|peer| self.gate.wants(peer.ip))
    }

    /// What was counted so far and how things stand, as JSON: names of metrics, and their values.
    pub fn counts(&mut self, now: f64) -> String {
        let Doorway { gate, memory, counts, .. } = self;
        gate.measure(Proxy { now: moment(now), store: memory }, &mut |metric, sample| {
            let count = match sample {
                Sample::Add(more) => counts.get(&metric).copied().unwrap_or_default().saturating_add(more),
                Sample::Record(value) => i64::try_from(value).unwrap_or(i64::MAX),
            };
            counts.insert(metric, count);
        });
        object(|json| counts.iter().for_each(|(metric, count)| json.integer(&metric.name(), *count)))
    }
}

impl Doorway {
    fn end(&mut self, id: u32, answer: &Answer, now: Moment) -> String {
        let Some(asked) = self.asked.remove(&id) else { return Orders::default().into_json() };
        let mut effects = Effects::default();
        self.gate.answer(asked.id, answer, Proxy { now, store: &self.memory }, &mut effects);
        let keepsake = match answer.facts {
            Ok(_) => self.gate.keepsake(&self.site.config, asked.peer, now.timestamp()),
            Err(_) => None,
        };
        let keep =
            keepsake.map(|(fact, left)| Keepsake { peer: asked.peer, fact: hex(&fact), seconds: left.as_secs() });
        Orders { decided: self.carried_out(effects), keep, ..Orders::default() }.into_json()
    }

    fn carried_out(&mut self, effects: Effects) -> Vec<Decided> {
        let mut decided = Vec::new();
        for release in effects.released {
            let Some(manner) = self.waiting.remove(&release.stream) else { continue };
            let config = &release.site.config;
            decided.push(Decided::new(release.stream.0, config, &release.remote, &release.decision, manner));
        }
        decided
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read(status: u16, body: &[u8], peer: IpAddr, now: Moment) -> Result<Assessment, LookupError> {
    let reading = read_answer(status, body, now.timestamp()).map_err(LookupError::Answer)?;
    match reading.subject {
        Some(subject) if subject != peer => Err(LookupError::OtherAddress),
        _ => Ok(reading.assessment),
    }
}

/// The bytes in text that any store can hold.
fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value & 15), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

mod fit;
#[cfg(test)]
mod tests;
