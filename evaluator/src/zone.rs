//! Clocks of places: time zones by their IANA names, daylight saving time included.
//!
//! `zone/names.txt` holds the rule that each zone follows at present, in the form that POSIX gives the variable `TZ`
//! (<https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap08.html>, section 8.3), as the compiled files of
//! the IANA database carry it (RFC 9636 section 3.3), but without the names of the clocks: where that of daylight saving
//! time would be is `=`. How clocks were set before that rule began is not kept.

use crate::time::days_from_civil;
use crate::{Timestamp, parse_number};
use alloc::string::String;

/// Rules and the names of the zones that follow them, one rule a line: the rule, then names. A name that ends in `/` stands
/// before those that follow it.
const NAMES: &str = include_str!("zone/names.txt");

/// A day in seconds.
const DAY: i64 = 86_400;

/// The clock of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeZone {
    /// Seconds that the clock is ahead of UTC, but for daylight saving time.
    standard: i32,
    summer: Option<Summer>,
}

/// Daylight saving time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summer {
    /// Seconds that the clock is ahead of UTC.
    offset: i32,
    /// By the clock of standard time.
    start: Change,
    /// By the clock of daylight saving time.
    end: Change,
}

/// A moment of each year: seconds from the midnight that begins a certain weekday of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    month: i32,
    /// 1 to 4, or 5 for the last of the month.
    week: i32,
    /// From Sunday.
    weekday: i32,
    time: i32,
}

impl TimeZone {
    /// The clock that is always so many seconds ahead of UTC.
    pub const fn fixed(seconds: i32) -> TimeZone {
        TimeZone { standard: seconds, summer: None }
    }

    /// The zone of this name in the IANA database, such as `Asia/Seoul`; `None` where there is none. Case counts.
    ///
    /// ```
    /// use evaluator::{TimeZone, Timestamp};
    /// let berlin = TimeZone::named("Europe/Berlin").unwrap();
    /// assert_eq!(berlin.offset(Timestamp::from_unix(1_774_745_999)), 3_600); // 2026-03-29 00:59:59 UTC
    /// assert_eq!(berlin.offset(Timestamp::from_unix(1_774_746_000)), 7_200);
    /// assert_eq!(TimeZone::named("Europe/Berlim"), None);
    /// ```
    pub fn named(name: &str) -> Option<TimeZone> {
        let is_it = |(region, rest): (&str, &str)| name.strip_prefix(region) == Some(rest);
        lines().find(|(_, names)| split(names).any(is_it)).and_then(|(rule, _)| read(rule))
    }

    /// Every name that [`TimeZone::named`] knows.
    pub fn names() -> impl Iterator<Item = String> {
        lines().flat_map(|(_, names)| split(names)).map(|(region, rest)| [region, rest].concat())
    }

    /// Seconds that the clock is ahead of UTC at this time.
    pub fn offset(&self, now: Timestamp) -> i32 {
        let Some(summer) = &self.summer else { return self.standard };
        let now = i64::from(now.unix());
        let year = year_of(now.saturating_add(self.standard.into()).div_euclid(DAY) as i32);
        let start = summer.start.in_year(year).saturating_sub(self.standard.into());
        let end = summer.end.in_year(year).saturating_sub(summer.offset.into());
        // South of the equator it is on over the turn of the year.
        let on = if start < end { (start..end).contains(&now) } else { !(end..start).contains(&now) };
        if on { summer.offset } else { self.standard }
    }
}

impl Change {
    /// When it is in this year, in seconds of local time since the start of 1970.
    fn in_year(&self, year: i32) -> i64 {
        let first = first_of(year, self.month);
        // The first day of Unix time was a Thursday.
        let until = self.weekday.wrapping_sub(first.wrapping_add(4)).rem_euclid(7);
        let mut day = first.wrapping_add(until).wrapping_add(self.week.wrapping_sub(1).wrapping_mul(7));
        if day >= first_of(year, self.month.wrapping_add(1)) {
            day = day.wrapping_sub(7);
        }
        i64::from(day).wrapping_mul(DAY).wrapping_add(self.time.into())
    }
}

/// The day, counted from the start of 1970, on which this month begins. The thirteenth is the first of the next year.
fn first_of(year: i32, month: i32) -> i32 {
    let (year, month) = if month > 12 { (year.wrapping_add(1), 1) } else { (year, month) };
    days_from_civil(year, month, 1).unwrap_or(0)
}

/// The year of a day counted from the start of 1970, which a [`Timestamp`] can have.
fn year_of(day: i32) -> i32 {
    // 400 years have 146,097 days; the estimate is out by a year at most.
    let estimate = day.wrapping_mul(400).div_euclid(146_097).wrapping_add(1970);
    let (this, next) = (first_of(estimate, 1), first_of(estimate, 13));
    estimate.wrapping_sub(i32::from(day < this)).wrapping_add(i32::from(day >= next))
}

/// Each rule, and the names of the zones that follow it.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

/// Each name in two parts: the region, which may be empty, and the rest.
fn split(names: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut region = "";
    names.split(' ').filter_map(move |name| {
        if name.ends_with('/') {
            region = name;
            return None;
        }
        Some((region, name))
    })
}

/// Reads a rule, such as `-1=,M3.5.0,M10.5.0/3`. Days of the year, which POSIX has as well, are in no zone's rule.
fn read(rule: &str) -> Option<TimeZone> {
    // POSIX counts from local time to UTC.
    let offset = |text| seconds(text)?.checked_neg();
    let Some((standard, summer)) = rule.split_once('=') else {
        return Some(TimeZone { standard: offset(rule)?, summer: None });
    };
    let (standard, mut summer) = (offset(standard)?, summer.split(','));
    let offset = match summer.next()? {
        "" => standard.checked_add(3_600)?,
        clock => offset(clock)?,
    };
    let (start, end) = (change(summer.next()?)?, change(summer.next()?)?);
    Some(TimeZone { standard, summer: Some(Summer { offset, start, end }) })
}

/// `Mm.w.d` or `Mm.w.d/time`.
fn change(text: &str) -> Option<Change> {
    let (day, time) = text.split_once('/').unwrap_or((text, "2"));
    let mut parts = day.strip_prefix('M')?.split('.').map(small);
    let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
    let possible = (1..=12).contains(&month) && (1..=5).contains(&week) && (0..=6).contains(&weekday);
    possible.then_some(Change { month, week, weekday, time: seconds(time)? })
}

fn small(digits: &str) -> Option<i32> {
    i32::try_from(parse_number(digits)?).ok()
}

/// Seconds in `[+-]h[:mm[:ss]]`; hours may be more than a day has.
fn seconds(text: &str) -> Option<i32> {
    let (sign, clock) = match text.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut unit = 3_600_i32;
    let mut sum = 0_i32;
    for part in clock.split(':') {
        sum = sum.checked_add(small(part)?.checked_mul(unit)?)?;
        unit = unit.checked_div(60)?;
    }
    sum.checked_mul(sign)
}

#[cfg(test)]
mod tests;
