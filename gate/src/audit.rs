//! The audit log: who changed what, and when. A ring of shared values, and a line of the proxy's log for each entry.

use crate::crew::Pulse;
use crate::record;
use crate::store::{self, Store};
use crate::writer::Writer;
use crate::{Effects, Moment};
use alloc::boxed::Box;
use alloc::string::String;
use evaluator::decimal;

/// How many entries are kept; the proxy's log has all.
pub(crate) const KEPT: u32 = 256;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Event,
    OverridePut,
    OverrideDeleted,
    OverrideExpired,
    Lookup,
}

record::variants!(What: Event, OverridePut, OverrideDeleted, OverrideExpired, Lookup);

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            What::Event => "event",
            What::OverridePut => "override_put",
            What::OverrideDeleted => "override_deleted",
            What::OverrideExpired => "override_expired",
            What::Lookup => "lookup",
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    /// 1 for the first.
    pub(crate) seq: u32,
    pub(crate) at: Moment,
    pub(crate) by: Box<str>,
    pub(crate) what: What,
    /// The network, the peer, or the event's name.
    pub(crate) object: Box<str>,
    pub(crate) detail: Option<Box<str>>,
}

record::fields!(Act: seq, at, by, what, object, detail);

/// The number is the layout's: a module that writes another layout uses other keys.
fn key(seq: u32) -> String {
    ["portcullis/audit/2/", &decimal((seq % KEPT).into())].concat()
}

/// Writes an entry, whose number is still to be given, in the place of the oldest, and into the log.
pub(crate) fn write(store: &dyn Store, mut act: Act, effects: &mut Effects) {
    let seq = Pulse::change(store, |pulse| {
        pulse.audit = pulse.audit.saturating_add(1);
        pulse.audit
    });
    act.seq = seq.unwrap_or_default();
    effects.say(false, line(&act));
    if seq.is_some() {
        store::change(store, &key(act.seq), |_| (Some(record::encode(&act)), ()));
    }
}

/// The entries before this number, newest first, where `newest` is the last.
pub(crate) fn before(store: &dyn Store, newest: u32, before: Option<u32>) -> impl Iterator<Item = Act> {
    let last = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
    let first = newest.saturating_sub(KEPT).saturating_add(1).max(1);
    (first..=last).rev().filter_map(move |seq| {
        let (value, _) = store.read(&key(seq))?;
        record::decode::<Act>(&value).filter(|act| act.seq == seq)
    })
}

/// The log's line. Stable: other programs read it.
fn line(act: &Act) -> String {
    let Act { seq, by, what, object, detail, .. } = act;
    let mut line = Writer::default();
    line.open('{');
    line.text("event", "audit");
    line.number("seq", (*seq).into());
    line.text("by", by);
    line.text("what", what.name());
    line.text("object", object);
    if let Some(detail) = detail {
        line.text("detail", detail);
    }
    line.close('}');
    line.into_line()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    fn act(object: &str) -> Act {
        let (seq, at) = (0, Moment::from_millis(1_800_000_000_000));
        Act { seq, at, by: "token".into(), what: What::OverridePut, object: object.into(), detail: None }
    }

    #[test]
    fn invariant_6_the_audit_log_keeps_the_newest_and_the_proxys_log_all() {
        let (store, mut effects) = (Memory::default(), Effects::default());
        for number in 1..=1000 {
            write(&store, act(&number.to_string()), &mut effects);
        }
        let seqs = |from| before(&store, 1000, from).map(|act| act.seq).collect::<Vec<_>>();
        assert_eq!(seqs(None), (745..=1000).rev().collect::<Vec<_>>());
        assert_eq!(seqs(Some(750)), [749, 748, 747, 746, 745]);
        assert!(seqs(Some(5)).is_empty());
        assert_eq!((effects.news.len(), store.keys()), (1000, 257));
        assert_eq!(
            effects.news[6].line,
            r#"{"event":"audit","seq":7,"by":"token","what":"override_put","object":"7"}"#
        );
    }
}
