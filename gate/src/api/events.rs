//! `/v1/events`: security events.

use super::query::Query;
use super::reply::{Problem, Reply};
use super::{Call, Task};
use crate::alert::{self, Alert, CREW, DeniedBy, FOUND, Found, Part, State};
use crate::audit::What;
use crate::config::read_new_alert;
use crate::core::audit;
use crate::crew::{self, Pulse};
use crate::hash::hash;
use crate::notify::Ended;
use crate::writer::Writer;
use crate::{Effects, Gate, Moment, Proxy, Sorted};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use evaluator::{Runs, Timestamp, decimal, hexadecimal, how_many, ip_text, network_text};
use ipnet::IpNet;

/// How far ahead of the proxy's the clock of whoever hands an event in may be.
const AHEAD: Duration = Duration::from_secs(60);
/// The longest key.
const LONGEST_KEY: usize = 128;

impl Gate {
    #[inline(never)]
    pub(super) fn post_event(&mut self, task: Task<'_>, effects: &mut Effects) -> Result<Reply, Problem> {
        let Task { call, body, proxy } = task;
        let new = read_new_alert(body).map_err(Problem::mistaken)?;
        let now = proxy.now;
        if call.key.as_ref().is_some_and(|key| !(1..=LONGEST_KEY).contains(&key.len())) {
            return Err(Problem::invalid("idempotency-key", "out_of_range", "the key has 1 to 128 bytes"));
        }
        if new.at.is_some_and(|at| Moment::from(at) > now.after(AHEAD)) {
            return Err(Problem::invalid("at", "out_of_range", "it is more than a minute ahead of the proxy's clock"));
        }
        let members = crew::members(proxy.store, now);
        let key = call.key.as_ref().map(|key| (self.hash(key), self.hash(body)));
        let alert = Alert {
            number: 0,
            id: 0,
            key,
            kind: new.kind,
            // The second that is named is in the window to its end, but nothing that is still to come.
            at: new.at.map_or(now, |at| alert::end_of(at).min(now)),
            window: u64::try_from(new.window.as_millis()).unwrap_or(u64::MAX),
            source: new.source.map(|net| (net.network(), net.prefix_len())),
            note: new.note,
            action: new.action,
            by: call.by.clone(),
            received: now,
            crew: members.iter().take(CREW).map(|member| member.worker).collect(),
        };
        let posted = alert::post(proxy.store, alert, |number| self.hash(&number.to_le_bytes()));
        let (alert, is_new) = posted.ok_or_else(Problem::busy)?;
        if !is_new && alert.key != key {
            return Err(Problem::new(409, "conflict", "another event was handed in with this Idempotency-Key"));
        }
        if is_new {
            let source = source(&alert).map_or(String::new(), |net| [" of ", &network_text(net)].concat());
            let detail = [alert.kind.name(), &source].concat();
            audit(What::Event, &name(&alert), &alert.by, Some(&detail), proxy, effects);
            self.tell_crew(proxy, effects);
        }
        let mut writer = Writer::default();
        writer.open('{');
        let running = alert::is_running(proxy.store, &alert, &members);
        write(&mut writer, &alert, running, &alert::parts(proxy.store, &alert));
        writer.close('}');
        let location = ["/v1/events/", &name(&alert)].concat();
        Ok(Reply::json(202, writer).with("location", location))
    }

    #[inline(never)]
    pub(super) fn list_events(&self, query: &mut Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
        let limit = query.limit()?;
        query.end()?;
        let pulse = Pulse::read(proxy.store).unwrap_or_default();
        let members = crew::members(proxy.store, proxy.now);
        let mut writer = Writer::default();
        writer.open('{');
        writer.list("events");
        for alert in alert::newest(proxy.store, pulse.alert).take(limit) {
            writer.open('{');
            let running = alert::is_running(proxy.store, &alert, &members);
            write(&mut writer, &alert, running, &alert::parts(proxy.store, &alert));
            writer.close('}');
        }
        writer.close(']');
        writer.close('}');
        Ok(Reply::json(200, writer))
    }

    #[inline(never)]
    pub(super) fn event(&self, call: &Call, query: &Query<'_>, proxy: Proxy<'_>) -> Result<Reply, Problem> {
        query.end()?;
        let pulse = Pulse::read(proxy.store).unwrap_or_default();
        let mut all = alert::newest(proxy.store, pulse.alert);
        let alert = all.find(|alert| name(alert) == call.subject).ok_or_else(Problem::not_found)?;
        let (members, parts) = (crew::members(proxy.store, proxy.now), alert::parts(proxy.store, &alert));
        let mut writer = Writer::default();
        writer.open('{');
        let running = alert::is_running(proxy.store, &alert, &members);
        write(&mut writer, &alert, running, &parts);
        writer.list("found");
        for found in merged(&parts) {
            destination(&mut writer, &found);
        }
        writer.close(']');
        writer.close('}');
        Ok(Reply::json(200, writer))
    }

    /// The same on every worker of the proxy, and nobody else can tell.
    fn hash(&self, bytes: &[u8]) -> u64 {
        hash((self.seed(), 0), &bytes).h1
    }
}

fn name(alert: &Alert) -> String {
    hexadecimal(alert.id)
}

/// What is told of an event that ended.
pub(crate) fn ended(alert: &Alert, parts: &[Option<Part>], at: Timestamp) -> Ended {
    let mut writer = Writer::default();
    writer.open('{');
    writer.text("event", "event");
    write(&mut writer, alert, false, parts);
    writer.close('}');
    let (found, source) = (merged(parts), source(alert));
    let denied = found.iter().filter(|found| found.denied_by.is_some()).count();
    let source = source.map_or(String::new(), |net| [" of ", &network_text(net)].concat());
    let (found, denied) = (how_many(found.len()), how_many(denied));
    let words =
        ["Event ", alert.kind.name(), &source, " ended: ", &found, " destinations, ", &denied, " denied"].concat();
    Ended { id: name(alert), words, json: writer.into_text(), at }
}

fn source(alert: &Alert) -> Option<IpNet> {
    alert.source.and_then(|(address, length)| IpNet::new(address, length).ok())
}

/// The members of an event, but for its destinations.
fn write(writer: &mut Writer, alert: &Alert, running: bool, parts: &[Option<Part>]) {
    let found = merged(parts);
    let answered: Vec<&Part> = parts.iter().flatten().collect();
    let done = if running { None } else { answered.iter().filter_map(|part| part.done).max() };
    writer.text("id", &name(alert));
    writer.text("type", alert.kind.name());
    writer.text("at", &alert.at.timestamp().to_rfc3339());
    writer.text("window", &window(alert.window));
    let source = source(alert);
    writer.text_or_null("source", source.map(network_text).as_deref());
    writer.text_or_null("note", alert.note.as_deref());
    writer.text("action", alert.action.name());
    writer.text("by", &alert.by);
    writer.text("received", &alert.received.timestamp().to_rfc3339());
    writer.text("state", if running { "running" } else { "done" });
    writer.text_or_null("done", done.map(|done| done.timestamp().to_rfc3339()).as_deref());
    writer.object("workers");
    writer.number("expected", count(alert.crew.len()));
    writer.number("answered", count(answered.len()));
    writer.close('}');
    writer.number("connections", found.iter().map(|found| u64::from(found.connections)).sum());
    writer.number("destinations", count(found.len()));
    let validated = |found: &&Found| matches!(found.state, State::Known | State::LookedUp);
    writer.number("validated", count(found.iter().filter(validated).count()));
    writer.number("denied", count(found.iter().filter(|found| found.denied_by.is_some()).count()));
    writer.number("closed", found.iter().map(|found| u64::from(found.closed)).sum());
    writer.number("credits", found.iter().map(|found| u64::from(found.credits)).sum());
    let (mut skipped, mut findings) = (Sorted::default(), Sorted::default());
    for part in answered.iter().filter(|part| part.too_many > 0) {
        add(&mut skipped, "too_many", part.too_many.into());
    }
    for found in &found {
        match found.state {
            State::NotPublic => add(&mut skipped, "not_public", 1),
            State::Failed => add(&mut skipped, found.reason.as_deref().unwrap_or("unknown"), 1),
            State::Known | State::LookedUp | State::Waiting => {}
        }
        found.findings().iter().for_each(|finding| add(&mut findings, finding.code(), 1));
    }
    for (name, counts) in [("skipped", skipped), ("findings", findings)] {
        writer.object(name);
        counts.into_iter().for_each(|(name, count)| writer.number(name, count));
        writer.close('}');
    }
}

fn add<'n>(counts: &mut Sorted<&'n str, u64>, name: &'n str, more: u64) {
    match counts.get_mut(name) {
        Some(count) => *count = count.saturating_add(more),
        None => drop(counts.insert(name, more)),
    }
}

fn destination(writer: &mut Writer, found: &Found) {
    writer.open('{');
    match (found.address, &found.host) {
        (Some(address), _) => writer.text("peer", &ip_text(address)),
        (None, host) => writer.text("peer", host.as_deref().unwrap_or_default()),
    }
    writer.text_or_null("name", found.host.as_deref().or(found.name.as_deref()));
    writer.number_or_null("port", found.port.map(u64::from));
    writer.text("direction", if found.is_egress { "egress" } else { "ingress" });
    writer.list("clients");
    found.clients.iter().for_each(|client| writer.item(&ip_text(*client)));
    writer.close(']');
    writer.number("connections", found.connections.into());
    writer.text("first", &found.first.timestamp().to_rfc3339());
    writer.text("last", &found.last.timestamp().to_rfc3339());
    writer.number("received_bytes", found.bytes);
    writer.text("state", found.state.name());
    writer.text_or_null("reason", found.reason.as_deref());
    writer.text_or_null("verdict", found.action().map(evaluator::Action::name));
    writer.text_or_null("rule", found.rule.as_deref());
    writer.findings(found.findings());
    writer.number_or_null("score", found.score.map(u64::from));
    let denied_by = found.denied_by.map(|by| if by == DeniedBy::Policy { "policy" } else { "override" });
    writer.text_or_null("denied_by", denied_by);
    writer.number("closed", found.closed.into());
    writer.report(found.address);
    writer.close('}');
}

/// What all workers found, each destination once.
fn merged(parts: &[Option<Part>]) -> Vec<Found> {
    let mut all: Runs<_, Found> = Runs::default();
    for found in parts.iter().flatten().flat_map(|part| part.found.iter().take(FOUND)) {
        let key = (found.address, &found.host, found.port, found.is_egress);
        match all.get_mut(&key) {
            Some(known) => known.join(found),
            None => drop(all.insert(key, found.clone())),
        }
    }
    all.into_iter().map(|(_, found)| found).collect()
}

impl Found {
    /// Takes in what another worker found of the same destination.
    fn join(&mut self, other: &Found) {
        // The one that is furthest says what is known; one that still waits may change that.
        if other.state > self.state {
            let (mine, closed, credits) = (self.clone(), self.closed, self.credits);
            *self = Found { closed, credits, ..other.clone() };
            self.closed = self.closed.saturating_add(other.closed);
            self.credits = self.credits.saturating_add(other.credits);
            return self.join_traffic(&mine);
        }
        self.closed = self.closed.saturating_add(other.closed);
        self.credits = self.credits.saturating_add(other.credits);
        self.join_traffic(other);
    }

    fn join_traffic(&mut self, other: &Found) {
        self.connections = self.connections.saturating_add(other.connections);
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
        self.bytes = self.bytes.saturating_add(other.bytes);
        if self.name.is_none() {
            self.name.clone_from(&other.name);
        }
        for client in &other.clients {
            if self.clients.len() < alert::CLIENTS && !self.clients.contains(client) {
                self.clients.push(*client);
            }
        }
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The window as it is written.
fn window(millis: u64) -> String {
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis.checked_rem(unit) == Some(0) {
            return [&*decimal(millis.checked_div(unit).unwrap_or(0)), name].concat();
        }
    }
    [&*decimal(millis), "ms"].concat()
}
