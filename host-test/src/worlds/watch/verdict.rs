//! What must hold of verdicts: who passes, who is refused, and what the tag says.

use super::{MILLISECOND, SLACK, Watch, nanos};
use crate::{
    host::HeaderMap,
    sim::{Sim, StreamId},
    worlds::{Judged, Kind, make::FORGED},
};
use std::net::IpAddr;

impl Watch {
    /// The filter refused a stream: `why` is the rule or the reason that its details name.
    pub(super) fn denied(&mut self, at: u64, number: usize, why: Option<&str>) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (peer, kind) = (stream.peer, stream.kind);
        self.judged(at, peer, kind);
        let told = format!("{peer}, for {}", why.unwrap_or("whatever reason"));
        match kind {
            Kind::Private => return self.mistake("denied-private", at, told),
            Kind::Allowed => return self.mistake("denied-allowed", at, told),
            _ if !self.promises.enforces => return self.mistake("denied-in-shadow", at, told),
            Kind::Listed => return,
            Kind::Clean | Kind::Tagged | Kind::Denied => {}
        }
        let by_evidence = kind == Kind::Denied && self.reported.contains(&peer);
        let reason = why.is_some_and(is_reason);
        // A connection is closed without a word.
        let may_be_for_a_reason = why.is_none() && self.promises.denies_unknown;
        if reason && !self.promises.denies_unknown {
            self.mistake("denied-without-leave", at, told);
        } else if !(reason || by_evidence || may_be_for_a_reason) {
            self.mistake("denied-without-facts", at, told);
        } else if why == Some("hold_expired") {
            self.waited_in_vain(at, number);
        }
    }

    /// A stream may pass. Returns whether that is right.
    fn let_pass(&mut self, at: u64, number: usize) -> bool {
        let Some(stream) = self.streams.get(&number).filter(|stream| !stream.lost) else { return false };
        let (peer, kind, started) = (stream.peer, stream.kind, stream.started);
        self.judged(at, peer, kind);
        if kind == Kind::Listed && self.promises.enforces && !self.promises.trouble.faults {
            self.mistake("passed-listed", at, format!("{peer} is on the deny list"));
            return false;
        }
        if kind == Kind::Denied && self.promises.enforces && self.calm() && self.knows(peer, started) {
            self.mistake("passed-denied", at, format!("{peer} is known to be bad"));
            return false;
        }
        true
    }

    /// A stream passes or is refused: there is a decision in the log, unless it is none of the filter's business.
    fn judged(&mut self, at: u64, peer: IpAddr, kind: Kind) {
        let (ended, logged) = self.judgements.entry(peer).or_default();
        *ended += 1;
        if *ended > *logged && kind != Kind::Private && self.promises.trouble.none() {
            let what = format!("{ended} streams of {peer}, and {logged} decisions");
            self.mistake("unjudged", at, what);
        }
    }

    /// A stream is over of which only the answer had to wait for a verdict.
    pub(super) fn answered(&mut self, sim: &Sim, at: u64, number: usize) {
        let outcome = sim.outcome(StreamId(number));
        if outcome.status.is_some() && outcome.details == "via_upstream" {
            self.let_pass(at, number);
        }
    }

    /// A stream passed all filters.
    pub(super) fn passed(&mut self, at: u64, number: usize, headers: Option<&HeaderMap>) {
        let behind = self.promises.judged == Judged::Behind;
        if !behind && !self.let_pass(at, number) {
            return;
        }
        let Some(stream) = self.streams.get(&number).filter(|stream| !stream.lost) else { return };
        let (peer, kind) = (stream.peer, stream.kind);
        let Some(headers) = headers else { return };
        let tags: Vec<String> = headers
            .iter()
            .filter(|(name, _)| *name == b"x-criminalip")
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect();
        if tags.iter().any(|tag| tag.contains(FORGED)) {
            return self.mistake("forged-tag", at, format!("{peer} brought {tags:?}"));
        }
        // A host that refuses to change headers may leave a request without the tag.
        if self.promises.trouble.faults {
            return;
        }
        match (kind, tags.as_slice()) {
            // The name was judged by nobody, and the address not yet.
            (_, []) if behind => {}
            (_, _) if behind => self.mistake("strange-tag", at, format!("before {peer} was judged: {tags:?}")),
            (Kind::Private, []) => {}
            (Kind::Private, _) => self.mistake("tagged-private", at, format!("{peer}: {tags:?}")),
            (_, [tag]) => self.tagged(at, number, tag),
            _ => self.mistake("not-one-tag", at, format!("{peer}: {tags:?}")),
        }
    }

    fn tagged(&mut self, at: u64, number: usize, tag: &str) {
        let stream = &self.streams[&number];
        let (peer, kind, started) = (stream.peer, stream.kind, stream.started);
        let part = |key: &str| tag.split(", ").find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        let (verdict, source) =
            (part("verdict").or(part("would")).unwrap_or_default(), part("source").unwrap_or_default());
        let told = format!("{peer}: {tag}");
        let listed = matches!(kind, Kind::Allowed | Kind::Listed);
        let right = match kind {
            Kind::Clean | Kind::Allowed | Kind::Private => "allow",
            Kind::Tagged => "tag",
            Kind::Denied | Kind::Listed => "deny",
        };
        match source {
            "list" if listed && verdict == right => {}
            "api" | "cache" | "shared" if !listed => {
                if !self.reported.contains(&peer) {
                    self.mistake("verdict-without-facts", at, told);
                } else if verdict != right {
                    self.mistake("wrong-verdict", at, told);
                } else if self.calm() && self.is_worthless(peer, at) {
                    self.mistake("expired-facts", at, told);
                }
            }
            "first_look" | "on_error" if !listed => {
                if verdict == "deny" && !self.promises.denies_unknown {
                    self.mistake("denied-without-leave", at, told);
                } else if self.calm() && self.knows(peer, started) {
                    self.mistake("unused-facts", at, told);
                } else if source == "first_look" {
                    self.waited_in_vain(at, number);
                }
            }
            _ => self.mistake("strange-tag", at, told),
        }
    }

    /// Whether facts about the peer had come before a stream started, and are good.
    fn knows(&self, peer: IpAddr, started: u64) -> bool {
        self.learned.get(&peer).is_some_and(|learned| *learned < started && started - learned < self.fresh())
    }

    /// How long facts are good for sure: less a tenth, by which they differ, and a second, in which the filter counts.
    pub(super) fn fresh(&self) -> u64 {
        (nanos(self.promises.lifetime) / 10 * 9).saturating_sub(1_000 * MILLISECOND)
    }

    fn is_worthless(&self, peer: IpAddr, at: u64) -> bool {
        let most = nanos(self.promises.lifetime + self.promises.stale) + SLACK + 1_000 * MILLISECOND;
        self.learned.get(&peer).is_none_or(|learned| at - learned > most)
    }

    /// A worker logged a decision: where it was that too many wait, they do.
    pub(super) fn logged(&mut self, at: u64, worker: usize, line: &str) {
        let decided = line.strip_prefix(r#"{"event":"decision","peer":""#).and_then(|rest| rest.split_once('"'));
        if let Some(Ok(peer)) = decided.map(|(peer, _)| peer.parse()) {
            self.judgements.entry(peer).or_default().1 += 1;
        }
        if !self.calm() || !line.contains(r#""reason":"held_full""#) {
            return;
        }
        let waits = |stream: &&usize| self.streams.get(*stream).is_some_and(|stream| stream.worker == worker);
        let (held, most) = (self.paused.iter().filter(waits).count(), self.promises.held);
        if held < most {
            self.mistake("not-held-with-room", at, format!("{held} of {most} wait: {line}"));
        }
    }

    /// A stream was let go without facts: were there any while it waited?
    fn waited_in_vain(&mut self, at: u64, number: usize) {
        let Some(stream) = self.streams.get(&number) else { return };
        let (peer, paused) = (stream.peer, stream.paused);
        let learned = self.learned.get(&peer).copied();
        if let (true, Some(learned), Some(paused)) = (self.calm(), learned, paused)
            && learned >= paused
            && at - learned > SLACK
        {
            let what = format!("a stream of {peer} waited {} ms after the answer", (at - learned) / MILLISECOND);
            self.mistake("waited-in-vain", at, what);
        }
    }
}

/// Whether details name a reason for which there were no facts, not a rule.
fn is_reason(why: &str) -> bool {
    const REASONS: [&str; 19] = [
        "hold_expired",
        "held_full",
        "queue_full",
        "no_credit",
        "concurrency_refused",
        "bad_key",
        "invalid_address",
        "server_error",
        "rate_limited",
        "malformed",
        "unknown",
        "other_address",
        "timeout",
        "connection",
        "reset",
        "too_large",
        "not_sent",
        "breaker_open",
        "budget_spent",
    ];
    why.starts_with("halted_") || REASONS.contains(&why)
}
