//! The one feed that a worker fetches, reads and packs at a time, each step a short one.

use super::copy::{FeedCopy, Packed, Packing};
use super::directory::{self, End, LEASE, Place, Settled};
use super::network::Refusal;
use super::read::Reader;
use super::{FeedError, FeedOutcome, Feeds, FetchId, Held, Page, Surroundings};
use crate::writer::Writer;
use crate::{Counter, Feed, Moment, RootId};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

/// How long traffic has the worker for itself between two steps.
const PAUSE: Duration = Duration::from_millis(2);
/// How many entries one step packs.
const PACK: usize = 1_536;
/// A copy with fewer entries may shrink as it likes.
const SHRINKING_MATTERS: usize = 100;
/// A feed that shrinks to less than one in so many is not believed at once.
const SHRUNK: usize = 10;

/// What is being done, named by what it waits for.
#[derive(Debug)]
pub(super) enum Work {
    None,
    /// For the answer.
    Asked {
        id: FetchId,
        root: RootId,
        feed: Arc<Feed>,
        until: Moment,
    },
    /// For the next step of reading.
    Reading {
        feed: Arc<Feed>,
        etag: Option<Box<str>>,
        reader: Reader,
        next: Moment,
    },
    /// For the next step of packing.
    Packing {
        feed: Arc<Feed>,
        etag: Option<Box<str>>,
        packing: Packing,
        refused: Refused,
        next: Moment,
    },
}

/// How many entries were left out, in the order of [`Refusal::ALL`].
type Refused = [u32; Refusal::ALL.len()];

impl Work {
    pub(super) fn asked(id: FetchId, root: RootId, feed: &Arc<Feed>, now: Moment) -> Work {
        Work::Asked { id, root, feed: Arc::clone(feed), until: now.after(LEASE) }
    }

    /// The feed that this root has asked for.
    pub(super) fn asked_by(&self, asking: RootId) -> Option<Arc<Feed>> {
        match self {
            Work::Asked { root, feed, .. } if *root == asking => Some(Arc::clone(feed)),
            _ => None,
        }
    }

    pub(super) fn next_step(&self) -> Option<Moment> {
        match self {
            Work::None => None,
            Work::Asked { until, .. } => Some(*until),
            Work::Reading { next, .. } | Work::Packing { next, .. } => Some(*next),
        }
    }
}

impl Feeds {
    /// Takes the answer to a fetch.
    pub(crate) fn fetched(&mut self, id: FetchId, page: Result<Page, FeedError>, around: &mut Surroundings<'_, '_>) {
        let now = around.proxy.now;
        let feed = match &self.work {
            Work::Asked { id: asked, feed, .. } if *asked == id => Arc::clone(feed),
            _ => return,
        };
        self.work = match page {
            Ok(Page::Body { bytes, etag }) => {
                let reader = Reader::new(&feed.format, bytes, now.timestamp());
                Work::Reading { feed, etag: etag.and_then(|etag| plain(&etag)), reader, next: now }
            }
            // Nobody asked whether it was.
            Ok(Page::NotModified) if self.copies.iter().all(|held| held.id != feed.id) => {
                return self.end(&feed, &End::Failed(FeedError::Status), None, around);
            }
            Ok(Page::NotModified) => return self.end(&feed, &End::Unchanged { etag: None }, None, around),
            Err(error) => return self.end(&feed, &End::Failed(error), None, around),
        };
    }

    /// Does the next step, if it is time for it.
    pub(super) fn work_on(&mut self, around: &mut Surroundings<'_, '_>) {
        let now = around.proxy.now;
        if self.work.next_step().is_none_or(|next| next.is_ahead_of(now, LEASE)) {
            return;
        }
        let next = now.after(PAUSE);
        self.work = match core::mem::replace(&mut self.work, Work::None) {
            Work::None => Work::None,
            Work::Asked { feed, .. } => return self.end(&feed, &End::Failed(FeedError::TimedOut), None, around),
            Work::Reading { feed, etag, mut reader, .. } => match reader.step() {
                Ok(false) => Work::Reading { feed, etag, reader, next },
                Ok(true) => match self.pack(&feed, reader, around) {
                    Ok((packing, refused)) => Work::Packing { feed, etag, packing, refused, next },
                    Err(error) => return self.end(&feed, &End::Failed(error), None, around),
                },
                Err(error) => return self.end(&feed, &End::Failed(error), None, around),
            },
            Work::Packing { feed, etag, mut packing, refused, .. } => {
                if packing.step(PACK) {
                    return self.publish(&feed, etag, packing.finish(), refused, around);
                }
                Work::Packing { feed, etag, packing, refused, next }
            }
        };
    }

    /// Begins to make a copy of what was read, if it can be what was meant.
    fn pack(
        &self,
        feed: &Feed,
        reader: Reader,
        around: &mut Surroundings<'_, '_>,
    ) -> Result<(Packing, Refused), FeedError> {
        let found = reader.finish()?;
        for (refusal, count) in Refusal::ALL.into_iter().zip(found.refused) {
            around.counters.add_many(Counter::FeedRefused(refusal), count.into());
        }
        let before = self.copies.iter().find(|held| held.id == feed.id).map(|held| Rc::clone(&held.copy));
        let had = before.as_ref().map_or(0, |before| before.len());
        if had >= SHRINKING_MATTERS && found.entries.len().saturating_mul(SHRUNK) < had {
            let known = directory::look(around.proxy.store, &[], 0, around.proxy.now);
            let last = known.find(feed.id).and_then(|(_, place)| place.outcome());
            if last != Some(FeedOutcome::Failed(FeedError::Shrunk)) {
                return Err(FeedError::Shrunk);
            }
        }
        Ok((Packing::new(feed.id, found.entries, found.v4, before), found.refused))
    }

    /// Shares a copy with the other workers.
    fn publish(
        &mut self,
        feed: &Arc<Feed>,
        etag: Option<Box<str>>,
        packed: Packed,
        refused: Refused,
        around: &mut Surroundings<'_, '_>,
    ) {
        let (store, now) = (around.proxy.store, around.proxy.now);
        let is_held = |same: &Rc<FeedCopy>| self.copies.iter().any(|held| Rc::ptr_eq(&held.copy, same));
        if packed.same.as_ref().is_some_and(is_held) {
            return self.end(feed, &End::Unchanged { etag }, None, around);
        }
        let known = directory::look(store, &[], 0, now);
        let Some((number, _)) = known.find(feed.id) else { return };
        let key = directory::copy_key(number);
        let version = store.read(&key).map(|(_, version)| version);
        // Only now: whoever may take the feed on after this look writes another version.
        let known = directory::look(store, &[], 0, now);
        if !known.find(feed.id).is_some_and(|(_, place)| place.is_taken_by(self.worker)) {
            return;
        }
        if store.write(&key, packed.copy.bytes(), version).is_err() {
            return directory::give_back(store, feed, self.worker);
        }
        let entries = u32::try_from(packed.copy.len()).unwrap_or(u32::MAX);
        let change = Change { copy: packed.copy, added: packed.added, removed: packed.removed, refused };
        self.end(feed, &End::Updated { entries, etag }, Some(change), around);
    }

    /// The end of a fetch: told to the other workers, counted, and logged if it is news.
    fn end(&mut self, feed: &Arc<Feed>, end: &End, change: Option<Change>, around: &mut Surroundings<'_, '_>) {
        let now = around.proxy.now;
        self.work = Work::None;
        // The next may be due.
        self.joined.iter_mut().for_each(|joined| joined.look_at = now);
        let settled = directory::settle(around.proxy.store, feed, self.worker, end, now);
        let Some(Settled { before, place }) = settled else { return };
        let Some(outcome) = place.outcome() else { return };
        around.counters.add(Counter::Feed(outcome));
        let failed = |outcome| matches!(outcome, FeedOutcome::Failed(_));
        let is_news = match before {
            _ if outcome == FeedOutcome::Updated => true,
            Some(last) => last != outcome && (failed(last) || failed(outcome)),
            None => true,
        };
        if is_news {
            let line = line(feed, &place, change.as_ref(), now);
            around.effects.say(failed(outcome), line);
        }
        if let (Some(Change { copy, .. }), Some(known)) = (change, place.copy) {
            self.hold(Held { id: feed.id, version: known.version, fetched: known.fetched, copy: Rc::new(copy) });
        }
    }
}

/// A new copy, and how it differs from the one before.
struct Change {
    copy: FeedCopy,
    added: usize,
    removed: usize,
    refused: Refused,
}

/// The log's line about a fetch. Stable: other programs read it.
fn line(feed: &Feed, place: &Place, change: Option<&Change>, now: Moment) -> String {
    let mut line = Writer::default();
    line.open('{');
    line.text("event", "feed");
    line.text("feed", &feed.name());
    line.text("outcome", place.outcome().map_or("", FeedOutcome::code));
    line.number("entries", place.copy.as_ref().map_or(0, |copy| copy.entries).into());
    // Of the copy that there is.
    line.number("age", place.age(now).as_secs());
    if let Some(&Change { added, removed, refused, .. }) = change {
        line.number("added", u64::try_from(added).unwrap_or(u64::MAX));
        line.number("removed", u64::try_from(removed).unwrap_or(u64::MAX));
        line.object("refused");
        for (refusal, count) in Refusal::ALL.iter().zip(refused) {
            line.number(refusal.code(), count.into());
        }
        line.close('}');
    }
    line.close('}');
    line.into_line()
}

/// A name that can be sent back in a header as it came.
fn plain(etag: &[u8]) -> Option<Box<str>> {
    const LONGEST: usize = 128;
    let fits = !etag.is_empty() && etag.len() <= LONGEST && etag.iter().all(|byte| matches!(byte, b' '..=b'~'));
    core::str::from_utf8(etag).ok().filter(|_| fits).map(Box::from)
}
