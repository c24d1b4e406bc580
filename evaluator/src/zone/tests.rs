//! The clocks are compared with those of an independent library, `jiff`, which has the whole IANA database.

use super::*;
use jiff::tz::TimeZone as Theirs;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::vec::Vec;

/// 2024-01-01 and 2038-01-01, UTC.
const YEARS: core::ops::Range<i64> = 1_704_067_200..2_145_916_800;

fn theirs(name: &str) -> Theirs {
    Theirs::get(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn their_offset(zone: &Theirs, at: i64) -> i32 {
    zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds()
}

fn differ(ours: &TimeZone, theirs: &Theirs, at: i64) -> bool {
    ours.offset(Timestamp::from_unix(at)) != their_offset(theirs, at)
}

/// The moments in these years at which either clock is set, and the second before each.
fn telling_moments(ours: &TimeZone, theirs: &Theirs) -> BTreeSet<i64> {
    let start = jiff::Timestamp::from_second(YEARS.start).unwrap();
    let changes = theirs.following(start).map(|change| change.timestamp().as_second());
    let mut moments: BTreeSet<_> = changes.take_while(|change| *change < YEARS.end).chain([YEARS.start]).collect();
    if let Some(summer) = ours.summer {
        for year in 2024..2038 {
            moments.insert(summer.start.in_year(year) - i64::from(ours.standard));
            moments.insert(summer.end.in_year(year) - i64::from(summer.offset));
        }
    }
    moments.iter().flat_map(|moment| [moment - 1, *moment]).filter(|moment| YEARS.contains(moment)).collect()
}

/// The telling moments at which the clocks differ.
fn differences(name: &str) -> Vec<i64> {
    let (ours, theirs) = (TimeZone::named(name).unwrap(), theirs(name));
    telling_moments(&ours, &theirs).into_iter().filter(|at| differ(&ours, &theirs, *at)).collect()
}

#[test]
fn every_zone_of_the_database_is_known() {
    let ours: Vec<_> = TimeZone::names().collect();
    let mut sorted = ours.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), ours.len());
    let theirs: Vec<_> = jiff::tz::db().available().map(|name| format!("{name}")).collect();
    assert!(theirs.len() > 590, "{} names", theirs.len());
    for name in &theirs {
        // It stands for a clock that nobody has set.
        assert_eq!(TimeZone::named(name).is_some(), name != "Factory", "{name}");
    }
    assert_eq!(ours.len(), theirs.len() - 1);
    for other in ["", "/", "Africa/", "Africa", "Europe", "europe/berlin", "Berlin", "Europe/Berlin ", "#", "CET-1"] {
        assert_eq!(TimeZone::named(other), None, "{other:?}");
    }
}

/// The zones whose clock is not always as their rule says, and the last day (UTC) among the years compared on which it is
/// not. Nearly all changed their rule, and have kept it since.
const EXCEPTIONS: [(&str, &str); 18] = [
    ("Africa/Casablanca", "2026-09-20"),
    ("Africa/El_Aaiun", "2026-09-20"),
    ("America/Asuncion", "2024-10-06"),
    ("America/Coyhaique", "2024-09-08"),
    ("America/Edmonton", "2026-03-08"),
    ("America/Inuvik", "2026-03-08"),
    ("America/Rainy_River", "2026-03-08"),
    ("America/Scoresbysund", "2024-03-31"),
    ("America/Vancouver", "2026-03-08"),
    ("America/Winnipeg", "2026-03-08"),
    ("America/Yellowknife", "2026-03-08"),
    ("Asia/Almaty", "2024-02-29"),
    // Their clocks follow a table of years. It leaves the rule for three weeks, from October 2036 on.
    ("Asia/Gaza", "2037-10-23"),
    ("Asia/Hebron", "2037-10-23"),
    ("Asia/Qostanay", "2024-02-29"),
    ("Canada/Central", "2026-03-08"),
    ("Canada/Mountain", "2026-03-08"),
    ("Canada/Pacific", "2026-03-08"),
];

fn day(at: i64) -> std::string::String {
    format!("{}", jiff::Timestamp::from_second(at).unwrap().strftime("%F"))
}

#[test]
fn every_zone_but_these_keeps_its_rule() {
    let last_difference = |name: &str| differences(name).last().copied().map(day);
    let differing: BTreeMap<_, _> =
        TimeZone::names().filter_map(|name| last_difference(&name).map(|last| (name, last))).collect();
    assert_eq!(differing, EXCEPTIONS.map(|(name, last)| (name.into(), last.into())).into());
    for name in ["Asia/Gaza", "Asia/Hebron"] {
        let next = differences(name).into_iter().map(day).find(|day| day.as_str() >= "2026");
        assert_eq!(next.as_deref(), Some("2036-10-17"), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]
    #[test]
    fn at_any_time_any_clock_shows_what_an_independent_library_says(
        name in prop::sample::select(TimeZone::names().collect::<Vec<_>>()),
        at in YEARS,
    ) {
        let excepted = EXCEPTIONS.iter().any(|(exception, last)| name == *exception && day(at).as_str() <= *last);
        prop_assume!(!excepted);
        let (ours, theirs) = (TimeZone::named(&name).unwrap(), theirs(&name));
        prop_assert!(!differ(&ours, &theirs, at), "{name} at {at}: {}", ours.offset(Timestamp::from_unix(at)));
    }

    #[test]
    fn any_text_is_a_rule_or_none(text in "[=+:,./M0-9-]{0,30}") {
        if let Some(zone) = read(&text) {
            let _ = zone.offset(Timestamp::from_unix(YEARS.start));
        }
    }
}
