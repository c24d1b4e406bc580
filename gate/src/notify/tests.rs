use super::outbox::{BATCH, GATHER, GIVE_UP, LOST_AFTER, QUEUE};
use super::*;
use crate::{Config, WebhookPath};
use evaluator::{Country, Finding, Findings, Level, Score, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

const START: Moment = Moment::from_millis(1_800_000_000_000);
const ROOT: RootId = RootId(1);

/// The notices of one worker, and what came of them.
struct World {
    notices: Notices,
    counters: Counters,
    now: Moment,
    random: u64,
    log: Vec<(bool, String)>,
}

impl World {
    fn new(notify: Value) -> World {
        let notices = Notices::default();
        let mut world = World { notices, counters: Counters::default(), now: START, random: 0, log: Vec::new() };
        world.join(ROOT, "ingress", notify);
        world
    }

    fn join(&mut self, root: RootId, direction: &str, more: Value) {
        let mut notify = json!({"cluster": "soc", "authority": "hooks.internal", "path": "/p"});
        notify.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let document = json!({"api": {"cluster": "c"}, "direction": direction, "notify": notify}).to_string();
        let config = Config::parse(document.as_bytes()).unwrap();
        self.notices.join(root, config.direction, config.notify.as_ref().unwrap());
    }

    fn at<R>(&mut self, event: impl FnOnce(&mut Notices, &mut Surroundings<'_>) -> R) -> R {
        let mut effects = Effects::default();
        self.random += 1;
        let (now, random) = (self.now, self.random);
        let mut around = Surroundings { now, random, counters: &mut self.counters, effects: &mut effects };
        let result = event(&mut self.notices, &mut around);
        self.log.extend(effects.news.into_iter().map(|news| (news.is_warning, news.line)));
        result
    }

    fn learn(&mut self, subject: impl Into<Subject>, learned: Assessment, before: Option<Assessment>) {
        let subject = subject.into();
        self.at(|notices, around| notices.learn(&subject, &learned, before.as_ref(), around));
    }

    fn next(&mut self) -> Option<Delivery> {
        self.at(|notices, around| notices.next(ROOT, around))
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// The next message, whenever it is due.
    fn message(&mut self) -> Delivery {
        self.now = self.notices.next_event().expect("something is to be told").max(self.now);
        assert_eq!(self.notices.next_root(self.now), Some(ROOT));
        self.next().expect("it is due")
    }

    fn settle(&mut self, delivery: &Delivery, outcome: Result<(), DeliveryError>) {
        self.settle_after(delivery, outcome, None);
    }

    fn settle_after(&mut self, delivery: &Delivery, outcome: Result<(), DeliveryError>, retry_after: Option<Duration>) {
        let receipt = Receipt { outcome, retry_after };
        self.at(|notices, around| notices.delivered(delivery.id, &receipt, around));
    }

    fn counted(&mut self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        self.counters.take(&mut |counter, count| {
            let name = crate::Metric::Counter(counter).name();
            counted.insert(name.trim_start_matches("criminalip_").to_owned(), count);
        });
        counted
    }
}

fn peer(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0800_0000 + number))
}

fn assessment(inbound: Level, outbound: Level, findings: &[Finding]) -> Assessment {
    Assessment {
        learned: START.timestamp(),
        findings: Findings::of(findings),
        published: Findings::EMPTY,
        asn: std::num::NonZeroU32::new(64_500),
        country: Country::parse("KR"),
        score: Score { inbound: Some(inbound), outbound: Some(outbound) },
    }
}

fn bad() -> Assessment {
    assessment(Level::Critical, Level::Safe, &[Finding::Reputation, Finding::Tor])
}

fn json_of(delivery: &Delivery) -> Value {
    serde_json::from_str(&delivery.body).unwrap()
}

fn path_of(delivery: &Delivery) -> &str {
    match &delivery.to.path {
        WebhookPath::Given(path) => path.expose(),
        WebhookPath::Environment(variable) => variable,
    }
}

fn told(delivery: &Delivery) -> Vec<String> {
    let notifications = json_of(delivery)["notifications"].as_array().unwrap().clone();
    notifications.iter().map(|told| told["peer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_peer_is_told_from_the_score_on_that_the_configuration_says_in_its_direction() {
    for (direction, min_score, inbound, outbound, is_told) in [
        ("ingress", 80, Level::Dangerous, Level::Safe, true),
        ("ingress", 80, Level::Moderate, Level::Critical, false),
        ("ingress", 100, Level::Dangerous, Level::Safe, false),
        ("egress", 80, Level::Critical, Level::Moderate, false),
        ("egress", 60, Level::Safe, Level::Moderate, true),
    ] {
        let mut world = World::new(json!({}));
        world.join(ROOT, direction, json!({"min_score": min_score}));
        world.learn(peer(1), assessment(inbound, outbound, &[]), None);
        assert_eq!(world.notices.next_event().is_some(), is_told, "{direction} {min_score} {inbound:?} {outbound:?}");
    }
    let mut world = World::new(json!({}));
    world.learn(peer(1), Assessment { score: Score::default(), ..bad() }, None);
    assert_eq!(world.notices.next_event(), None, "an unknown score is none");
}

#[test]
fn what_was_known_to_be_bad_is_no_news_and_what_became_bad_is() {
    let mut world = World::new(json!({}));
    world.learn(peer(1), bad(), Some(bad()));
    assert_eq!(world.notices.next_event(), None);
    world.learn(peer(1), bad(), Some(assessment(Level::Moderate, Level::Critical, &[])));
    assert_eq!(told(&world.message()), ["8.0.0.1"]);
}

#[test]
fn what_is_learned_within_a_second_goes_out_in_one_message_and_the_next_waits_for_its_receipt() {
    let mut world = World::new(json!({}));
    world.learn(peer(1), bad(), None);
    world.wait(Duration::from_millis(600));
    world.learn(peer(2), bad(), None);
    assert!(world.next().is_none());
    world.wait(Duration::from_millis(400));
    let first = world.next().expect("a second is over");
    assert_eq!(told(&first), ["8.0.0.1", "8.0.0.2"]);
    world.learn(peer(3), bad(), None);
    world.wait(Duration::from_secs(2));
    assert!(world.next().is_none(), "one message at a time");
    world.settle(&first, Ok(()));
    assert!(world.next().is_none(), "and one a second");
    assert_eq!(told(&world.message()), ["8.0.0.3"]);
    let counted = world.counted();
    assert_eq!(
        (counted["notifications_total;outcome=delivered"], counted["deliveries_total;outcome=delivered"]),
        (2, 1)
    );
    assert!(world.log.is_empty(), "what goes well is no news: {:?}", world.log);
}

#[test]
fn a_message_that_fails_is_tried_again_under_its_name_after_ever_longer_pauses() {
    let mut world = World::new(json!({}));
    world.learn(peer(1), bad(), None);
    let first = world.message();
    world.settle(&first, Err(DeliveryError::Connection));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let failed = world.now;
        let again = world.message();
        pauses.push(failed.until(world.now).as_secs());
        assert_eq!((&again.message_id, &again.body), (&first.message_id, &first.body));
        assert_ne!(again.id, first.id);
        world.settle(&again, Err(DeliveryError::Busy));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let last = world.message();
    world.settle(&last, Ok(()));
    assert_eq!(world.notices.next_event(), None);
    let counted = world.counted();
    assert_eq!(counted["deliveries_total;outcome=connection"], 1);
    assert_eq!(counted["deliveries_total;outcome=busy"], 8);
    assert_eq!(counted["notifications_total;outcome=delivered"], 1);
    let lines: Vec<_> = world.log.iter().map(|(warning, line)| (*warning, line.as_str())).collect();
    assert_eq!(
        lines,
        [
            (true, r#"{"event":"notify","to":"hooks.internal","outcome":"connection","notifications":1,"tries":1}"#),
            (true, r#"{"event":"notify","to":"hooks.internal","outcome":"busy","notifications":1,"tries":2}"#),
            (false, r#"{"event":"notify","to":"hooks.internal","outcome":"delivered","notifications":1,"tries":10}"#),
        ]
    );
}

#[test]
fn a_receiver_that_asks_for_time_gets_it_up_to_five_minutes() {
    for (asked, expected) in [(0, 1), (30, 30), (10_000, 300)] {
        let mut world = World::new(json!({}));
        world.learn(peer(1), bad(), None);
        let first = world.message();
        world.settle_after(&first, Err(DeliveryError::Busy), Some(Duration::from_secs(asked)));
        let failed = world.now;
        world.message();
        assert_eq!(failed.until(world.now).as_secs(), expected, "{asked}");
    }
}

#[test]
fn what_is_refused_or_fails_for_an_hour_is_dropped_and_counted() {
    let mut world = World::new(json!({}));
    world.learn(peer(1), bad(), None);
    let refused = world.message();
    world.settle(&refused, Err(DeliveryError::Refused));
    world.learn(peer(2), bad(), None);
    let begun = world.now;
    loop {
        let failing = world.message();
        assert_eq!(told(&failing), ["8.0.0.2"]);
        world.settle(&failing, Err(DeliveryError::TimedOut));
        if world.notices.next_event().is_none() {
            break;
        }
    }
    let tried = begun.until(world.now);
    assert!((GIVE_UP..GIVE_UP + Duration::from_secs(90)).contains(&tried), "{tried:?}");
    let counted = world.counted();
    assert_eq!(counted["notifications_total;outcome=refused"], 1);
    assert_eq!(counted["notifications_total;outcome=given_up"], 1);
    let (warning, line) = world.log.last().unwrap();
    assert!(*warning && line.contains(r#""outcome":"given_up""#), "{line}");
}

#[test]
fn an_answer_that_the_proxy_lost_is_a_failed_try_and_one_that_comes_later_is_ignored() {
    let mut world = World::new(json!({}));
    world.learn(peer(1), bad(), None);
    let lost = world.message();
    world.wait(LOST_AFTER);
    assert!(world.next().is_none());
    let again = world.message();
    assert_eq!(again.message_id, lost.message_id);
    world.settle(&lost, Ok(()));
    assert_eq!(world.counted().get("notifications_total;outcome=delivered"), None);
    world.settle(&again, Ok(()));
    assert_eq!(world.counted()["notifications_total;outcome=delivered"], 1);
}

#[test]
fn invariant_6_so_many_notices_wait_and_the_oldest_make_room_which_the_receiver_is_told() {
    let mut world = World::new(json!({}));
    let more = 10;
    for number in 0..u32::try_from(QUEUE).unwrap() + more {
        world.learn(peer(number), bad(), None);
    }
    assert_eq!(world.counted()["notifications_total;outcome=overflow"], u64::from(more));
    let (mut all, mut dropped) = (Vec::new(), Vec::new());
    while world.notices.next_event().is_some() {
        let message = world.message();
        assert!(told(&message).len() <= BATCH);
        all.extend(told(&message));
        dropped.push(json_of(&message)["dropped"].as_u64().unwrap());
        world.settle(&message, Ok(()));
    }
    let expected: Vec<_> =
        (more..more + u32::try_from(QUEUE).unwrap()).map(|number| peer(number).to_string()).collect();
    assert_eq!(all, expected);
    assert_eq!((dropped[0], dropped[1..].iter().sum::<u64>()), (more.into(), 0));
}

#[test]
fn two_listeners_with_one_webhook_tell_once_and_with_two_each_its_own() {
    let mut world = World::new(json!({}));
    world.join(RootId(2), "egress", json!({}));
    world.learn(peer(1), assessment(Level::Critical, Level::Critical, &[]), None);
    let delivery = world.message();
    assert_eq!(told(&delivery), ["8.0.0.1"]);
    world.settle(&delivery, Ok(()));
    assert_eq!(world.notices.next_event(), None);

    world.join(RootId(2), "egress", json!({"path": "/other"}));
    world.learn(peer(2), assessment(Level::Critical, Level::Critical, &[]), None);
    world.wait(GATHER);
    for (root, path) in [(ROOT, "/p"), (RootId(2), "/other")] {
        let delivery = world.at(|notices, around| notices.next(root, around)).unwrap();
        assert_eq!((path_of(&delivery), told(&delivery)), (path, vec!["8.0.0.2".to_owned()]));
    }
}

#[test]
fn an_update_keeps_what_is_to_be_told_and_sends_again_what_its_root_had_sent() {
    let mut world = World::new(json!({}));
    world.learn(peer(1), bad(), None);
    let sent = world.message();
    world.learn(peer(2), bad(), None);
    world.join(RootId(2), "ingress", json!({}));
    let (now, counters) = (world.now, &mut world.counters);
    world.notices.leave(ROOT, now, counters);
    let again = world.at(|notices, around| notices.next(RootId(2), around)).unwrap();
    assert_eq!((again.message_id, told_by(&again.body)), (sent.message_id, vec!["8.0.0.1".to_owned()]));
    // When nobody wants to be told any more, that is the end of it.
    let (now, counters) = (world.now, &mut world.counters);
    world.notices.leave(RootId(2), now, counters);
    assert_eq!(world.notices.next_event(), None);
    assert_eq!(world.counted()["notifications_total;outcome=abandoned"], 2);
}

fn told_by(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    body["notifications"].as_array().unwrap().iter().map(|told| told["peer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_format_says_what_was_learned_of_addresses_and_domains() {
    let message = |format: &str| {
        let mut world = World::new(json!({"format": format}));
        world.learn(peer(1), bad(), None);
        let listed = Assessment { score: Score::default(), ..assessment(Level::Safe, Level::Safe, &[Finding::Domain]) };
        let listed = Assessment { asn: None, country: None, ..listed };
        world.learn(Subject::Domain("bad.example".into()), listed, None);
        json_of(&world.message())
    };
    let (at, report) = ("2027-01-15T08:00:00Z", "https://www.criminalip.io/asset/report/8.0.0.1");
    assert_eq!(
        message("json"),
        json!({
            "type": "portcullis.notifications", "timestamp": "2027-01-15T08:00:01Z", "dropped": 0,
            "notifications": [
                {"event": "peer", "at": at, "peer": "8.0.0.1", "direction": "ingress", "class": "malicious", "score": 100,
                 "findings": ["reputation", "anonymity.tor"], "asn": 64500, "country": "KR", "report": report},
                {"event": "peer", "at": at, "host": "bad.example", "direction": "ingress", "class": "malicious",
                 "score": null, "findings": ["domain.malicious"], "asn": null, "country": null, "report": null},
            ]
        })
    );
    let page = include_str!("../../../docs/notifications.md");
    let documented = page.split("\n```json\n").nth(2).and_then(|rest| rest.split("\n```").next()).unwrap();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let (documented, sent): (Value, _) = (serde_json::from_str(documented).unwrap(), message("json"));
    assert_eq!(members(&documented), members(&sent));
    assert_eq!(members(&documented["notifications"][0]), members(&sent["notifications"][0]));
    let words = "scored 100 as a client: reputation, anonymity.tor";
    let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    assert_eq!(
        message("slack"),
        json!({
            "text": format!("Portcullis: 8.0.0.1 {words}; bad.example is listed as malicious as a client: domain.malicious"),
            "blocks": [
                section(format!("*<{report}|8.0.0.1>* {words} · AS64500 · KR")),
                section("*bad.example* is listed as malicious as a client: domain.malicious".into()),
            ]
        })
    );
    let [address, domain] = &serde_json::from_value::<Vec<Value>>(message("ecs")).unwrap()[..] else { panic!("two") };
    let end = json!({"ip": "8.0.0.1", "as": {"number": 64500}, "geo": {"country_iso_code": "KR"}});
    let mut indicator = end.clone();
    indicator.as_object_mut().unwrap().extend(
        json!({"type": "ipv4-addr", "provider": "Criminal IP", "last_seen": at, "reference": report})
            .as_object()
            .unwrap()
            .clone(),
    );
    let id = address["event"]["id"].clone();
    assert!(id.as_str().unwrap().starts_with("msg_") && id.as_str().unwrap().ends_with("-0"), "{id}");
    assert_eq!(
        *address,
        json!({
            "@timestamp": at, "ecs": {"version": "8.17.0"}, "message": format!("8.0.0.1 {words}"),
            "event": {"id": id, "kind": "alert", "category": ["threat"], "type": ["indicator"], "action": "peer-learned",
                      "module": "portcullis", "dataset": "portcullis.peer", "risk_score": 100, "reference": report},
            "threat": {"indicator": indicator}, "source": end, "network": {"direction": "ingress"},
            "observer": {"product": "Portcullis", "type": "proxy"}, "related": {"ip": ["8.0.0.1"]},
            "tags": ["reputation", "anonymity.tor"],
        })
    );
    assert_eq!(
        (&domain["source"], &domain["threat"]["indicator"]["type"]),
        (&json!({"domain": "bad.example"}), &json!("domain-name"))
    );
    assert_eq!(domain["related"], json!({"hosts": ["bad.example"]}));
}

#[test]
fn each_format_says_that_an_event_ended() {
    for (format, pointer, expected) in [
        ("json", "/notifications/0", json!({"event": "event", "id": "00000000000000ab"})),
        ("slack", "/blocks/0/text/text", json!("Event malware of 10.20.0.7/32 ended: 3 destinations, 2 denied")),
        ("slack", "/text", json!("Portcullis: Event malware of 10.20.0.7/32 ended: 3 destinations, 2 denied")),
        ("ecs", "/0/message", json!("Event malware of 10.20.0.7/32 ended: 3 destinations, 2 denied")),
        ("ecs", "/0/event/action", json!("event-ended")),
        ("ecs", "/0/labels/portcullis_event", json!("00000000000000ab")),
    ] {
        let mut world = World::new(json!({"format": format}));
        let ended = Ended {
            id: "00000000000000ab".into(),
            words: "Event malware of 10.20.0.7/32 ended: 3 destinations, 2 denied".into(),
            json: r#"{"event":"event","id":"00000000000000ab"}"#.into(),
            at: START.timestamp(),
        };
        let now = world.now;
        world.notices.tell(&Notice::Ended(ended), now, &mut world.counters);
        assert_eq!(json_of(&world.message()).pointer(pointer), Some(&expected), "{format}");
    }
}

#[test]
fn the_slack_message_says_how_many_were_dropped() {
    let mut world = World::new(json!({"format": "slack"}));
    for number in 0..=u32::try_from(QUEUE).unwrap() {
        world.learn(peer(number), bad(), None);
    }
    let blocks = json_of(&world.message())["blocks"].as_array().unwrap().clone();
    assert_eq!(blocks.len(), BATCH + 1);
    assert!(blocks.last().unwrap().to_string().contains("1 older notifications were dropped"));
}

#[test]
fn a_secret_is_taken_in_the_form_of_the_specification_and_never_shown() {
    let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    assert_eq!(format!("{secret:?}"), "***");
    for wrong in
        ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_c2hvcnQ="]
    {
        assert_eq!(WebhookSecret::parse(wrong), None, "{wrong}");
    }
    let longest = format!("whsec_{}", "QUFB".repeat(21));
    assert!(WebhookSecret::parse(&longest).is_some() && WebhookSecret::parse(&(longest + "QUFB")).is_none());
    let sign = |id, at, body| sign_webhook(&secret, id, Timestamp::from_unix(at), body);
    let signature = sign("msg_1", 1, "{}");
    for other in [sign("msg_2", 1, "{}"), sign("msg_1", 2, "{}"), sign("msg_1", 1, "{} ")] {
        assert_ne!(signature, other);
    }
}
