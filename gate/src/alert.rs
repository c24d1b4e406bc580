//! Security events, as the workers of one proxy share them: what was handed in, and what each worker found when it looked
//! back. A fixed number of values; the oldest event makes room for the newest.

use crate::crew::{Member, Pulse};
use crate::record;
use crate::store::{self, Store};
use crate::{Moment, WorkerId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use evaluator::{Action, Findings, Timestamp, decimal, how_many};

/// How many events are remembered.
pub(crate) const KEPT: u32 = 32;
/// The workers that look back; others of a larger proxy do not.
pub(crate) const CREW: usize = 128;
/// Destinations that one worker looks into for one event.
pub(crate) const FOUND: usize = 256;
/// Clients that are named for one destination.
pub(crate) const CLIENTS: usize = 8;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlertKind {
    Malware,
    Phishing,
    Login,
    AfterHours,
    UnusualPort,
    CriticalPort,
    Other,
}

record::variants!(AlertKind: Malware, Phishing, Login, AfterHours, UnusualPort, CriticalPort, Other);

impl AlertKind {
    /// Every kind.
    pub(crate) const ALL: &[AlertKind; 7] = &[
        AlertKind::Malware,
        AlertKind::Phishing,
        AlertKind::Login,
        AlertKind::AfterHours,
        AlertKind::UnusualPort,
        AlertKind::CriticalPort,
        AlertKind::Other,
    ];
    /// The stable names of [`AlertKind::ALL`].
    pub(crate) const NAMES: &[&str; 7] =
        &["malware", "phishing", "login", "after_hours", "unusual_port", "critical_port", "other"];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).copied().unwrap_or("other")
    }

    /// Whether it is about one machine, which must be named.
    pub(crate) fn is_about_a_source(self) -> bool {
        matches!(self, AlertKind::Malware | AlertKind::Phishing | AlertKind::Login)
    }

    /// Whether connections to this port are looked into.
    pub(crate) fn concerns(self, port: Option<u16>) -> bool {
        match self {
            AlertKind::UnusualPort => port.is_some_and(|port| ![80, 443].contains(&port)),
            AlertKind::CriticalPort => port.is_some_and(|port| [22, 445, 1104, 3306, 3389].contains(&port)),
            _ => true,
        }
    }
}

/// What is done about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlertAction {
    /// What the policy says.
    Policy,
    /// What the policy would only tag is denied as well.
    Deny,
}

record::variants!(AlertAction: Policy, Deny);

impl AlertAction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AlertAction::Policy => "policy",
            AlertAction::Deny => "deny",
        }
    }
}

/// A security event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    /// 1 for the first.
    pub(crate) number: u32,
    /// What outsiders call it.
    pub(crate) id: u64,
    /// Hashes of the key by which it is handed in but once, and of what was handed in.
    pub(crate) key: Option<(u64, u64)>,
    pub(crate) kind: AlertKind,
    pub(crate) at: Moment,
    /// How far to look back, in milliseconds.
    pub(crate) window: u64,
    pub(crate) source: Option<(IpAddr, u8)>,
    pub(crate) note: Option<Box<str>>,
    pub(crate) action: AlertAction,
    pub(crate) by: Box<str>,
    pub(crate) received: Moment,
    /// The workers that are to look back.
    pub(crate) crew: Vec<WorkerId>,
}

record::fields!(Alert: number, id, key, kind, at, window, source, note, action, by, received, crew);

/// What one worker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// That of the event.
    pub(crate) number: u32,
    /// When its last destination was settled.
    pub(crate) done: Option<Moment>,
    /// Destinations for which there was no room.
    pub(crate) too_many: u32,
    pub(crate) found: Vec<Found>,
}

record::fields!(Part: number, done, too_many, found);

/// A destination that one worker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) address: Option<IpAddr>,
    pub(crate) host: Option<Box<str>>,
    /// What clients call it.
    pub(crate) name: Option<Box<str>>,
    pub(crate) port: Option<u16>,
    pub(crate) is_egress: bool,
    pub(crate) clients: Vec<IpAddr>,
    pub(crate) connections: u32,
    pub(crate) first: Moment,
    pub(crate) last: Moment,
    /// What clients sent, of requests in their bodies.
    pub(crate) bytes: u64,
    pub(crate) state: State,
    /// The code of why there are no facts.
    pub(crate) reason: Option<Box<str>>,
    /// 0 to 2: allow, tag, deny.
    pub(crate) verdict: Option<u8>,
    pub(crate) rule: Option<Box<str>>,
    pub(crate) findings: u32,
    pub(crate) score: Option<u8>,
    pub(crate) denied_by: Option<DeniedBy>,
    /// Open connections that were closed.
    pub(crate) closed: u32,
    /// Lookups that this worker made for it.
    pub(crate) credits: u32,
}

record::fields!(Found: address, host, name, port, is_egress, clients, connections, first, last, bytes, state, reason, verdict, rule, findings, score, denied_by, closed, credits);

impl Found {
    /// The verdict, once there is one.
    pub(crate) fn action(&self) -> Option<Action> {
        [Action::Allow, Action::Tag, Action::Deny].get(usize::from(self.verdict?)).copied()
    }

    pub(crate) fn findings(&self) -> Findings {
        Findings::from_bits(self.findings)
    }
}

/// How far a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Nobody may ask about it.
    NotPublic,
    /// Nothing could be learned.
    Failed,
    /// It was known.
    Known,
    /// It was looked up.
    LookedUp,
    /// It is being looked up.
    Waiting,
}

record::variants!(State: NotPublic, Failed, Known, LookedUp, Waiting);

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::NotPublic => "not_public",
            State::Failed => "failed",
            State::Known => "known",
            State::LookedUp => "looked_up",
            State::Waiting => "waiting",
        }
    }
}

/// What denies a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeniedBy {
    Policy,
    Override,
}

record::variants!(DeniedBy: Policy, Override);

/// The number is the layout's: a module that writes another layout uses other keys.
fn key(number: u32) -> String {
    ["portcullis/alert/3/", &decimal((number % KEPT).into())].concat()
}

fn part_key(number: u32, place: usize) -> String {
    [&*key(number), "/", &how_many(place)].concat()
}

/// Shares an event, in the place of the oldest.
#[cfg(test)]
pub(crate) fn write(store: &dyn Store, alert: &Alert) {
    store::change(store, &key(alert.number), |_| (Some(record::encode(alert)), ()));
}

/// The event of this number, if it is remembered.
pub(crate) fn read(store: &dyn Store, number: u32) -> Option<Alert> {
    let (value, _) = store.read(&key(number))?;
    record::decode::<Alert>(&value).filter(|alert| alert.number == number)
}

/// The events that are remembered, newest first, where this is the number of the newest.
pub(crate) fn newest(store: &dyn Store, number: u32) -> impl Iterator<Item = Alert> {
    (0..KEPT).filter_map(move |back| read(store, number.checked_sub(back).filter(|number| *number > 0)?))
}

/// Shares what the worker in this place of the crew found.
pub(crate) fn write_part(store: &dyn Store, place: usize, part: &Part) {
    if place < CREW {
        store::change(store, &part_key(part.number, place), |_| (Some(record::encode(part)), ()));
    }
}

/// What the workers of the crew found, each in its place; `None` where one has not looked yet.
pub(crate) fn parts(store: &dyn Store, alert: &Alert) -> Vec<Option<Part>> {
    let read = |place| {
        let (value, _) = store.read(&part_key(alert.number, place))?;
        record::decode::<Part>(&value).filter(|part| part.number == alert.number)
    };
    (0..alert.crew.len().min(CREW)).map(read).collect()
}

/// Whether an event is still under way: some worker that is there has not settled all of its part. Workers that are gone are
/// not waited for.
pub(crate) fn is_running(store: &dyn Store, alert: &Alert, members: &[Member]) -> bool {
    let is_there = |worker| members.iter().any(|member| member.worker == worker);
    let settled = |place| {
        let (value, _) = store.read(&part_key(alert.number, place))?;
        // How a part begins.
        let (number, done) = record::decode_start::<(u32, Option<Moment>)>(&value)?;
        (number == alert.number).then_some(done).flatten()
    };
    let mut workers = (0..CREW).zip(&alert.crew);
    workers.any(|(place, worker)| is_there(*worker) && settled(place).is_none())
}

/// Takes it on to tell of the end of this event, which nobody else does then.
pub(crate) fn take_end(store: &dyn Store, number: u32) -> bool {
    let key = [&*key(number), "/told"].concat();
    let told = number.to_le_bytes();
    store::change(store, &key, |value| match value == Some(&told[..]) {
        true => (None, false),
        false => (Some(told.to_vec()), true),
    })
    .unwrap_or(false)
}

/// The latest moment of a second.
pub(crate) fn end_of(time: Timestamp) -> Moment {
    Moment::from_millis(Moment::from(time).millis().saturating_add(999))
}

/// How often an event is handed in again when others are faster.
const TRIES: u32 = 32;

/// Shares a new event, in the place of the oldest, unless one with the same key is remembered: then that one. Returns
/// whether it is new; `None` where others were always faster. `id` names it by its number.
pub(crate) fn post(store: &dyn Store, mut alert: Alert, id: impl Fn(u32) -> u64) -> Option<(Alert, bool)> {
    let key = alert.key.map(|(key, _)| key);
    for _ in 0..TRIES {
        let number = Pulse::read(store).unwrap_or_default().alert;
        let same =
            key.and_then(|key| newest(store, number).find(|known| known.key.is_some_and(|(known, _)| known == key)));
        if let Some(same) = same {
            return Some((same, false));
        }
        alert.number = number.checked_add(1)?;
        alert.id = id(alert.number);
        // Whoever writes the record owns the number; whoever finds it taken helps to make that known, and tries the next.
        let owned = store::change(store, &self::key(alert.number), |value| {
            let taken = value.and_then(record::decode::<Alert>);
            match taken.is_some_and(|taken| taken.number == alert.number) {
                true => (None, false),
                false => (Some(record::encode(&alert)), true),
            }
        })?;
        Pulse::change(store, |pulse| pulse.alert = pulse.alert.max(alert.number))?;
        if owned {
            return Some((alert, true));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    fn alert(key: Option<(u64, u64)>) -> Alert {
        let at = Moment::from_millis(1_800_000_000_000);
        Alert {
            number: 0,
            id: 0,
            key,
            kind: AlertKind::Malware,
            at,
            window: 300_000,
            source: Some(([10, 0, 0, 1].into(), 32)),
            note: None,
            action: AlertAction::Policy,
            by: "token".into(),
            received: at,
            crew: vec![WorkerId(1), WorkerId(2)],
        }
    }

    fn post_one(store: &Memory, key: Option<(u64, u64)>) -> (u32, bool) {
        let (alert, is_new) = post(store, alert(key), |number| u64::from(number) * 7).unwrap();
        assert_eq!(alert.id, u64::from(alert.number) * 7);
        (alert.number, is_new)
    }

    #[test]
    fn an_event_with_a_key_is_handed_in_but_once() {
        let store = Memory::default();
        assert_eq!(post_one(&store, Some((5, 1))), (1, true));
        assert_eq!(post_one(&store, None), (2, true));
        assert_eq!(post_one(&store, Some((5, 1))), (1, false));
        assert_eq!(post_one(&store, Some((6, 1))), (3, true));
        assert_eq!(newest(&store, 3).map(|alert| alert.number).collect::<Vec<_>>(), [3, 2, 1]);
    }

    #[test]
    fn an_event_whose_number_was_taken_but_not_made_known_gets_the_next() {
        let store = Memory::default();
        write(&store, &Alert { number: 1, id: 7, ..alert(Some((5, 1))) });
        assert_eq!(post_one(&store, None), (2, true));
        assert_eq!(post_one(&store, Some((5, 1))), (1, false), "it was helped");
    }

    #[test]
    fn invariant_6_events_are_bounded_and_the_oldest_makes_room() {
        let store = Memory::default();
        for number in 1..=100 {
            assert_eq!(post_one(&store, None), (number, true));
            for place in 0..CREW + 5 {
                write_part(&store, place, &Part { number, ..Part::default() });
            }
        }
        assert_eq!(
            newest(&store, 100).map(|alert| alert.number).collect::<Vec<_>>(),
            (69..=100).rev().collect::<Vec<_>>()
        );
        assert_eq!(store.keys(), KEPT as usize * (1 + CREW) + 1);
        let (old, new) = (Alert { number: 68, ..alert(None) }, read(&store, 100).unwrap());
        assert!(parts(&store, &old).iter().all(Option::is_none), "another event's parts are none of its own");
        assert!(parts(&store, &new).iter().all(Option::is_some));
    }
}
