use super::*;
use crate::metrics::Counters;
use crate::store::memory::Memory;
use crate::{Config, Store};
use std::collections::BTreeMap;
use std::fmt::Write;

const START: Moment = Moment::from_millis(1_800_000_000_000);
const ROOT: RootId = RootId(1);

/// The workers of a proxy with one configuration, and the server of the feeds.
struct World {
    store: Memory,
    workers: Vec<Feeds>,
    counters: Counters,
    config: Config,
    now: Moment,
    log: Vec<(bool, String)>,
    /// What the server was asked for, by which worker.
    asked: Vec<(usize, Moment, Fetch)>,
}

impl World {
    fn new(workers: u64, feeds: &str) -> World {
        let document = format!(r#"{{"api": {{"cluster": "c"}}, "lists": {{"feeds": [{feeds}]}}}}"#);
        let config = Config::parse(document.as_bytes()).unwrap();
        let workers = (1..=workers).map(|number| Feeds::new(WorkerId(number))).collect();
        let (store, counters) = (Memory::default(), Counters::default());
        let mut world = World { store, workers, counters, config, now: START, log: Vec::new(), asked: Vec::new() };
        for worker in 0..world.workers.len() {
            world.join(worker);
        }
        world
    }

    fn at<R>(&mut self, worker: usize, event: impl FnOnce(&mut Feeds, &Config, &mut Surroundings<'_, '_>) -> R) -> R {
        let mut effects = Effects::default();
        let proxy = Proxy { now: self.now, store: &self.store };
        let mut around = Surroundings { proxy, counters: &mut self.counters, effects: &mut effects };
        let result = event(&mut self.workers[worker], &self.config, &mut around);
        self.log.extend(effects.news.into_iter().map(|news| (news.is_warning, news.line)));
        result
    }

    fn join(&mut self, worker: usize) {
        self.at(worker, |feeds, config, around| feeds.join(ROOT, &config.lists.feeds, around));
    }

    fn tick(&mut self, worker: usize) {
        let fetch = self.at(worker, |feeds, _, around| feeds.tend(ROOT, around));
        self.asked.extend(fetch.map(|fetch| (worker, self.now, fetch)));
    }

    /// Ticks as the proxy would, until there is a fetch to answer or this long is over.
    fn run(&mut self, time: Duration) -> bool {
        let end = self.now.after(time);
        while self.asked.is_empty() && self.now < end {
            let next = self.workers.iter().filter_map(Feeds::next_event).min().unwrap_or(end);
            self.now = next.max(self.now.after(Duration::from_millis(1))).min(end);
            for worker in 0..self.workers.len() {
                self.tick(worker);
            }
        }
        !self.asked.is_empty()
    }

    fn answer(&mut self, page: Result<Page, FeedError>) -> Fetch {
        let (worker, _, fetch) = self.asked.remove(0);
        self.at(worker, |feeds, _, around| feeds.fetched(fetch.id, page, around));
        fetch
    }

    /// Has the next fetch answered with this, and goes on until all workers know.
    fn serve(&mut self, body: &str) -> Fetch {
        self.serve_tagged(body, None)
    }

    fn serve_tagged(&mut self, body: &str, etag: Option<&str>) -> Fetch {
        assert!(self.run(HOUR.mul_f32(1.2)), "a feed is fetched");
        let etag = etag.map(|etag| etag.as_bytes().to_vec());
        let fetch = self.answer(Ok(Page::Body { bytes: body.as_bytes().to_vec(), etag }));
        self.settle();
        fetch
    }

    /// Long enough for reading and packing, and for everybody to look.
    fn settle(&mut self) {
        self.run(Duration::from_millis(2_000));
    }

    fn names(&mut self, worker: usize, ip: &str) -> bool {
        let now = self.now.timestamp();
        let served = self.workers[worker].served;
        let found = self.workers[worker].find(&self.config.lists.feeds, ip.parse().unwrap(), now).is_some();
        self.workers[worker].served = served;
        found
    }

    fn counted(&mut self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        self.counters.take(&mut |counter, count| {
            counted.insert(crate::Metric::Counter(counter).name(), count);
        });
        counted
    }

    fn figure(&mut self, gauge: Gauge) -> Option<u64> {
        let figures: Vec<_> = self.workers[0].figures().collect();
        figures.into_iter().rev().find(|(other, _)| *other == gauge).map(|(_, value)| value)
    }
}

/// By then the first fetch is due.
const FIRST_FETCH: Duration = Duration::from_millis(600);
const HOUR: Duration = Duration::from_secs(3_600);
const PLAIN: &str = r#"{"cluster": "f", "authority": "feeds.internal", "path": "/a.txt", "then": "deny"}"#;

fn lines(range: std::ops::Range<u32>) -> String {
    range.fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{}", std::net::Ipv4Addr::from(0x0800_0000 + n * 3));
        text
    })
}

#[test]
fn one_worker_fetches_and_all_have_it() {
    let mut world = World::new(4, PLAIN);
    let fetch = world.serve("9.9.9.9\n8.8.8.0/24\n");
    assert_eq!((&*fetch.feed.authority, &*fetch.feed.path, fetch.etag), ("feeds.internal", "/a.txt", None));
    for worker in 0..4 {
        assert!(world.names(worker, "9.9.9.9") && world.names(worker, "8.8.8.77") && !world.names(worker, "8.8.9.1"));
    }
    assert!(!world.run(Duration::from_secs(3_000)), "until the hour is nearly over");
    assert!(world.run(Duration::from_secs(1_000)));
    let (_, at, _) = &world.asked[0];
    let after = START.until(*at);
    assert!(after >= HOUR && after < HOUR.mul_f32(1.11), "{after:?}");
    assert_eq!(world.counted(), BTreeMap::from([("criminalip_feed_fetches_total;outcome=updated".into(), 1)]));
    assert_eq!(world.store.keys(), 2, "the directory and the copy");
}

#[test]
fn the_first_fetch_is_soon_and_not_while_the_configuration_is_loaded() {
    let mut world = World::new(1, PLAIN);
    assert!(world.asked.is_empty() && world.run(Duration::from_millis(501)));
}

#[test]
fn a_worker_without_traffic_goes_first() {
    for (busy, expected) in [([true, false], 1), ([false, true], 0), ([true, true], 0)] {
        let mut world = World::new(2, PLAIN);
        for _ in 0..20 {
            for (feeds, busy) in world.workers.iter_mut().zip(busy) {
                feeds.served = if busy { world.now.timestamp() } else { Timestamp::from_unix(0) };
            }
            if world.run(Duration::from_millis(500)) {
                break;
            }
        }
        assert_eq!(world.asked[0].0, expected, "{busy:?}");
        let waited = START.until(world.asked[0].1);
        assert_eq!(waited >= PATIENCE, busy == [true, true], "{waited:?}");
    }
}

#[test]
fn a_feed_that_turns_bad_changes_nothing() {
    let mut world = World::new(2, PLAIN);
    world.serve_tagged(&lines(0..500), Some("\"one\""));
    world.log.clear();
    for (page, code) in [
        (Ok(String::new()), "empty"),
        (Ok("<html><body>\nbusy\n</body></html>\n".into()), "malformed"),
        (Ok("9.9.9.9\n".into()), "shrunk"),
        (Ok(lines(0..200_001)), "too_large"),
        (Err(FeedError::NotSent), "not_sent"),
        (Err(FeedError::Connection), "connection"),
        (Err(FeedError::TimedOut), "timeout"),
        (Err(FeedError::Reset), "reset"),
        (Err(FeedError::Status), "status"),
    ] {
        assert!(world.run(HOUR.mul_f32(1.2)), "{code}");
        assert_eq!(world.asked[0].2.etag.as_deref(), Some("\"one\""), "{code}: of the copy that there is");
        world.answer(page.map(|body| Page::Body { bytes: body.into_bytes(), etag: Some(b"\"bad\"".to_vec()) }));
        // Reading takes a while, and what failed is tried again soon.
        world.run(Duration::from_millis(600));
        assert!(world.names(0, "8.0.0.3") && world.names(1, "8.0.5.217") && !world.names(0, "9.9.9.9"), "{code}");
        let (warning, line) = world.log.pop().unwrap();
        assert!(warning && line.contains(&format!(r#""outcome":"{code}","entries":500,"age":"#)), "{line}");
        assert!(world.log.is_empty());
        assert_eq!(world.counted()[&format!("criminalip_feed_fetches_total;outcome={code}")], 1);
    }
    world.serve(&lines(0..501));
    assert!(world.names(1, "8.0.5.220"));
    assert!(
        world.log[0].1.contains(r#""outcome":"updated","entries":501,"age":0,"added":1,"removed":0"#),
        "{:?}",
        world.log
    );
}

#[test]
fn a_feed_that_shrinks_is_believed_when_it_says_so_twice() {
    let mut world = World::new(1, PLAIN);
    world.serve(&lines(0..500));
    world.serve("9.9.9.9\n");
    assert!(world.names(0, "8.0.0.3") && !world.names(0, "9.9.9.9"));
    let doubted = world.now;
    world.serve("9.9.9.9\n");
    assert!(doubted.until(world.now) >= Duration::from_secs(3_500), "at its own pace");
    assert!(!world.names(0, "8.0.0.3") && world.names(0, "9.9.9.9"));
    world.serve("8.8.8.8\n");
    assert!(world.names(0, "8.8.8.8"), "short feeds may shrink and change");
}

#[test]
fn failures_are_tried_again_after_pauses_that_grow() {
    let mut world = World::new(1, PLAIN);
    let mut pauses = Vec::new();
    for _ in 0..14 {
        let before = world.now;
        assert!(world.run(HOUR));
        pauses.push(before.until(world.now).as_secs());
        world.answer(Err(FeedError::NotSent));
    }
    let least = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300];
    for (pause, least) in pauses.iter().zip(least) {
        assert!((least..=least + least / 10 + 1).contains(pause), "{pauses:?}");
    }
    assert_eq!(world.log.len(), 1, "said once: {:?}", world.log);
    world.serve("9.9.9.9\n");
    assert_eq!(world.log.len(), 2);
    assert!(world.log[1].1.contains(r#""outcome":"updated""#) && !world.log[1].0);
}

#[test]
fn a_copy_that_is_still_the_newest_is_younger_again() {
    let mut world = World::new(1, PLAIN);
    world.serve_tagged("9.9.9.9\n", Some("\"one\""));
    assert_eq!(world.figure(Gauge::FeedEntries(0)), Some(1));
    world.run(Duration::from_secs(3_000));
    let age = world.figure(Gauge::FeedAge(0)).unwrap();
    assert!((2_990..=3_002).contains(&age), "{age}");
    assert!(world.run(HOUR));
    assert_eq!(world.answer(Ok(Page::NotModified)).etag.as_deref(), Some("\"one\""));
    world.settle();
    assert!(world.names(0, "9.9.9.9") && world.figure(Gauge::FeedAge(0)).unwrap() <= 2);
    // The same once more, and said in full.
    world.serve_tagged("9.9.9.9\n", Some("\"two\""));
    assert!(world.run(HOUR * 2));
    assert_eq!(world.answer(Ok(Page::NotModified)).etag.as_deref(), Some("\"two\""));
    assert_eq!(
        world.counted(),
        BTreeMap::from([
            ("criminalip_feed_fetches_total;outcome=unchanged".into(), 3),
            ("criminalip_feed_fetches_total;outcome=updated".into(), 1),
        ])
    );
    assert_eq!(world.log.len(), 1, "{:?}", world.log);
}

#[test]
fn who_did_not_ask_whether_it_changed_does_not_believe_that_it_did_not() {
    let mut world = World::new(1, PLAIN);
    assert!(world.run(HOUR));
    assert_eq!(world.answer(Ok(Page::NotModified)).etag, None);
    assert_eq!(world.counted()["criminalip_feed_fetches_total;outcome=status"], 1);
}

#[test]
fn a_new_worker_has_the_copy_before_its_first_stream() {
    let mut world = World::new(1, PLAIN);
    world.serve(&lines(0..1_000));
    world.workers[0] = Feeds::new(WorkerId(99));
    assert!(!world.names(0, "8.0.0.3"));
    world.join(0);
    assert!(world.names(0, "8.0.0.3"));
    assert!(!world.run(Duration::from_secs(3_000)), "and nothing is fetched for it");
}

#[test]
fn what_a_root_asked_for_before_it_ended_another_asks_for_again() {
    let mut world = World::new(2, PLAIN);
    assert!(world.run(HOUR));
    let (worker, ..) = world.asked.remove(0);
    world.at(worker, |feeds, _, around| feeds.leave(ROOT, around.proxy));
    assert_eq!(world.workers[worker].next_event(), None);
    assert!(world.run(Duration::from_millis(1_001)));
    assert_ne!(world.asked[0].0, worker);
}

#[test]
fn a_fetch_whose_worker_died_is_made_again_by_another() {
    let mut world = World::new(2, PLAIN);
    assert!(world.run(HOUR));
    let (worker, asked, _) = world.asked.remove(0);
    world.workers.remove(worker);
    assert!(!world.run(Duration::from_secs(59)) && world.run(Duration::from_secs(2)));
    assert_eq!(asked.until(world.asked[0].1).as_secs(), 60);
}

#[test]
fn an_answer_that_never_comes_is_a_timeout() {
    let mut world = World::new(1, PLAIN);
    assert!(world.run(HOUR));
    let (_, _, lost) = world.asked.remove(0);
    assert!(world.run(Duration::from_secs(120)));
    let late = Ok(Page::Body { bytes: b"9.9.9.9\n".to_vec(), etag: None });
    world.at(0, |feeds, _, around| feeds.fetched(lost.id, late, around));
    world.run(Duration::from_secs(1));
    assert!(!world.names(0, "9.9.9.9"), "nobody waits for it any more");
}

#[test]
fn a_worker_that_was_held_up_leaves_a_feed_to_who_has_taken_it_on_meanwhile() {
    let mut world = World::new(2, PLAIN);
    world.now = START.after(FIRST_FETCH);
    world.tick(0);
    assert_eq!(world.asked.len(), 1);
    // It has read the clock before the other.
    world.now = Moment::from_millis(world.now.millis() - 5);
    world.tick(1);
    assert_eq!(world.asked.len(), 1, "{:?}", world.asked);
}

#[test]
fn a_worker_that_was_held_up_for_too_long_does_not_share_what_is_older() {
    let mut world = World::new(3, PLAIN);
    world.now = START.after(FIRST_FETCH);
    world.tick(0);
    world.answer(Ok(Page::Body { bytes: lines(0..50).into_bytes(), etag: None }));
    world.now = world.now.after(directory::LEASE);
    world.tick(1);
    world.answer(Ok(Page::Body { bytes: lines(0..60).into_bytes(), etag: None }));
    let mut ticks = |worker: usize| {
        for _ in 0..10 {
            world.now = world.now.after(Duration::from_millis(200));
            world.tick(worker);
        }
    };
    for worker in [1, 0, 2] {
        ticks(worker);
    }
    for worker in 0..3 {
        assert!(world.names(worker, "8.0.0.177"), "{worker}");
    }
    assert_eq!(world.counted(), BTreeMap::from([("criminalip_feed_fetches_total;outcome=updated".into(), 1)]));
}

#[test]
fn a_clock_that_is_set_back_delays_a_fetch_by_no_more_than_its_time() {
    let mut world = World::new(1, PLAIN);
    world.serve("9.9.9.9\n");
    world.now = Moment::from_millis(START.millis() - 30 * 86_400_000);
    world.serve("8.8.8.8\n");
    assert!(world.names(0, "8.8.8.8"));
}

#[test]
fn entries_count_until_the_feed_says_so() {
    let mut world = World::new(
        1,
        r#"{"cluster": "f", "authority": "f", "path": "/s", "format": "stix", "then": "deny", "every": "7d"}"#,
    );
    let until = "2027-01-15T08:10:00Z";
    world.serve(&format!(
        r#"{{"objects": [{{"type": "indicator", "pattern": "[ipv4-addr:value = '9.9.9.9']", "valid_until": "{until}"}}]}}"#
    ));
    let until = Timestamp::parse(until).unwrap().unix();
    assert!(START.timestamp().unix() + 60 < until);
    world.now = Moment::from_millis(u64::from(until) * 1000 - 1);
    assert!(world.names(0, "9.9.9.9"));
    world.now = world.now.after(Duration::from_millis(1));
    assert!(!world.names(0, "9.9.9.9"));
}

#[test]
fn the_first_feed_that_names_a_peer_decides() {
    let feed = |path, then| format!(r#"{{"cluster": "f", "authority": "f", "path": "{path}", "then": "{then}"}}"#);
    let mut world = World::new(1, &[feed("/a", "allow"), feed("/b", "tag"), feed("/c", "deny")].join(","));
    for _ in 0..3 {
        assert!(world.run(HOUR));
        let body = match &*world.asked[0].2.feed.path {
            "/a" => "8.8.8.8\n",
            "/b" => "8.8.8.0/24\n",
            _ => "8.8.0.0/16\n",
        };
        world.answer(Ok(Page::Body { bytes: body.into(), etag: None }));
        world.run(Duration::from_millis(100));
    }
    for (ip, path) in [("8.8.8.8", Some("/a")), ("8.8.8.9", Some("/b")), ("8.8.9.9", Some("/c")), ("9.9.9.9", None)] {
        let now = world.now.timestamp();
        let feeds = &world.config.lists.feeds;
        let named = world.workers[0].find(feeds, ip.parse().unwrap(), now);
        assert_eq!(named.map(|named| &*feeds[named.feed].path), path, "{ip}");
    }
}

#[test]
fn invariant_6_a_proxy_has_so_many_feeds_and_no_more() {
    let mut world = World::new(1, "");
    for round in 0..5 {
        let feeds: Vec<String> = (0..10)
            .map(|n| format!(r#"{{"cluster": "f", "authority": "f", "path": "/{round}/{n}", "then": "deny"}}"#))
            .collect();
        let document = format!(r#"{{"api": {{"cluster": "c"}}, "lists": {{"feeds": [{}]}}}}"#, feeds.join(","));
        world.config = Config::parse(document.as_bytes()).unwrap();
        world.join(0);
        while world.run(Duration::from_secs(3)) {
            world.answer(Ok(Page::Body { bytes: b"9.9.9.9\n".to_vec(), etag: None }));
        }
        let left_out =
            world.log.iter().filter(|(warning, line)| *warning && line.contains("this proxy has 16")).count();
        assert_eq!(left_out, if round == 1 { 4 } else { 0 }, "{:?}", world.log);
        world.log.clear();
        // Later those that nobody wants any more give their places up.
        world.now = world.now.after(if round == 0 { Duration::ZERO } else { HOUR });
    }
    assert_eq!(world.store.keys(), 1 + usize::from(PLACES));
    assert!(world.workers[0].copies.len() <= 10, "and copies that nobody wants are dropped");
}

#[test]
fn a_directory_of_anything_is_none() {
    let mut world = World::new(1, PLAIN);
    world.serve("9.9.9.9\n");
    let key = "portcullis/feeds/2";
    let (_, version) = world.store.read(key).unwrap();
    world.store.write(key, b"\xff\xff\xff", Some(version)).unwrap();
    world.serve("8.8.8.8\n");
    assert!(world.names(0, "8.8.8.8"));
}
