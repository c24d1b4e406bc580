//! Times of the week, such as working hours.

use crate::{TimeZone, Timestamp, parse_number};
use alloc::{boxed::Box, vec::Vec};
use core::fmt;

/// A part of each week, by the clock of one place.
///
/// The clock is the one on the wall. Where daylight saving time begins, what lies in the hour left out never comes: a
/// window that would open in it opens at its end, and one that would close in it closes then. Where it ends, an hour
/// comes twice, and what lies in it holds both times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    zone: TimeZone,
    parts: Box<[Part]>,
}

/// The same times on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// The days on which the times start, Monday as the lowest of seven bits.
    days: u8,
    /// In minutes of the day.
    start: u16,
    /// In minutes of the day, exclusive; of the next day where it is not after the start.
    end: u16,
}

impl TimeWindow {
    /// Reads a window, such as `Mon-Fri 09:00-18:00, Sat 10:00-14:00` by the clock of `Asia/Seoul`.
    ///
    /// `time_zone` is a name of the IANA database, `UTC` among them, or an offset from UTC of at most 14 hours, `+HH:MM` or
    /// `-HH:MM`. `within` is a comma-separated list of
    /// parts, each a day (`Mon` ... `Sun`) or a range of days, a space, and a range of times. A time may be `24:00`. A range
    /// of times that ends no later than it starts ends on the next day: `Fri 22:00-06:00` ends on Saturday. A range of days
    /// may run over the week's end: `Sat-Mon`.
    ///
    /// # Errors
    /// What is wrong with the zone or the first wrong part.
    ///
    /// ```
    /// use evaluator::{TimeWindow, Timestamp};
    /// let working = TimeWindow::parse("Asia/Seoul", "Mon-Fri 09:00-18:00")?;
    /// let monday_morning_in_seoul = Timestamp::from_unix(1_774_828_800); // 2026-03-30 00:00 UTC
    /// assert!(working.contains(monday_morning_in_seoul));
    /// # Ok::<(), evaluator::WindowError>(())
    /// ```
    pub fn parse(time_zone: &str, within: &str) -> Result<TimeWindow, WindowError> {
        let zone = parse_zone(time_zone)?;
        let parts = within.split(',').map(Part::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(TimeWindow { zone, parts: parts.into() })
    }

    /// Whether this moment lies in the window.
    pub fn contains(&self, now: Timestamp) -> bool {
        let local = i64::from(now.unix()).saturating_add(self.zone.offset(now).into());
        let minute = local.rem_euclid(86_400) / 60;
        // The first day of Unix time was a Thursday.
        let weekday = local.div_euclid(86_400).saturating_add(3).rem_euclid(7);
        let day = usize::try_from(weekday).ok().and_then(|index| WEEKDAYS.get(index)).map_or(0, |(_, bit)| *bit);
        self.parts.iter().any(|part| part.contains(day, minute))
    }
}

impl Part {
    fn parse(text: &str) -> Result<Part, WindowError> {
        let (days, times) = text.trim().split_once(' ').ok_or(WindowError::Part)?;
        let days = parse_days(days)?;
        let (start, end) = parse_times(times.trim_start())?;
        Ok(Part { days, start, end })
    }

    fn contains(self, day: u8, minute: i64) -> bool {
        let (after_start, before_end) = (minute >= i64::from(self.start), minute < i64::from(self.end));
        let (started_today, started_yesterday) = (self.days & day != 0, next_day(self.days) & day != 0);
        if self.start < self.end {
            started_today && after_start && before_end
        } else {
            started_today && after_start || started_yesterday && before_end
        }
    }
}

/// Why a window was refused; the text says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowError {
    /// The time zone is a name that the IANA database does not have.
    UnknownZone,
    /// The time zone is neither a name nor an offset.
    Zone,
    /// A part is not days, a space and times.
    Part,
    /// A day is unknown.
    Day,
    /// A time is not one of 00:00 to 24:00, or the range lacks its end.
    Time,
    /// The times of a range are the same, which could mean all day or never.
    SameTime,
}

impl WindowError {
    /// The stable code: `unknown_zone`, `zone`, `part`, `day`, `time` or `same_time`.
    pub const fn code(self) -> &'static str {
        match self {
            WindowError::UnknownZone => "unknown_zone",
            WindowError::Zone => "zone",
            WindowError::Part => "part",
            WindowError::Day => "day",
            WindowError::Time => "time",
            WindowError::SameTime => "same_time",
        }
    }

    /// In words, which say what would be right.
    pub const fn message(self) -> &'static str {
        match self {
            WindowError::UnknownZone => "there is no such time zone in the IANA database; one is Asia/Seoul",
            WindowError::Zone => {
                "a time zone is a name such as Asia/Seoul, or an offset from UTC of at most 14 hours, such as +09:00"
            }
            WindowError::Part => "each part is days and times, such as Mon-Fri 09:00-18:00 or Sat 00:00-24:00",
            WindowError::Day => "a day is one of Mon, Tue, Wed, Thu, Fri, Sat, Sun",
            WindowError::Time => "times are a range from 00:00 to 24:00, such as 09:00-18:00",
            WindowError::SameTime => "the times are the same; all day is 00:00-24:00",
        }
    }
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for WindowError {}

const WEEKDAYS: [(&str, u8); 7] =
    [("Mon", 1), ("Tue", 1 << 1), ("Wed", 1 << 2), ("Thu", 1 << 3), ("Fri", 1 << 4), ("Sat", 1 << 5), ("Sun", 1 << 6)];

/// Each of these days moved by one, Sunday to Monday.
const fn next_day(days: u8) -> u8 {
    (days << 1 | days >> 6) & 0b111_1111
}

fn parse_zone(text: &str) -> Result<TimeZone, WindowError> {
    let (sign, clock) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(clock), _) => (60, clock),
        (_, Some(clock)) => (-60, clock),
        _ if text.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            return TimeZone::named(text).ok_or(WindowError::UnknownZone);
        }
        _ => return Err(WindowError::Zone),
    };
    let minutes = parse_clock(clock).filter(|minutes| *minutes <= 14 * 60).ok_or(WindowError::Zone)?;
    Ok(TimeZone::fixed(i32::from(minutes).saturating_mul(sign)))
}

fn parse_days(text: &str) -> Result<u8, WindowError> {
    let day =
        |name: &str| WEEKDAYS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit).ok_or(WindowError::Day);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (mut today, last) = (day(first)?, day(last)?);
    let mut days = today;
    while today != last {
        today = next_day(today);
        days |= today;
    }
    Ok(days)
}

/// Start and end in minutes of the day.
fn parse_times(text: &str) -> Result<(u16, u16), WindowError> {
    let (start, end) = text.split_once('-').ok_or(WindowError::Time)?;
    let start = parse_clock(start).filter(|start| *start < 24 * 60).ok_or(WindowError::Time)?;
    let end = parse_clock(end).filter(|end| *end <= 24 * 60).ok_or(WindowError::Time)?;
    if start == end { Err(WindowError::SameTime) } else { Ok((start, end)) }
}

/// The minutes in `HH:MM`; hours up to 99.
fn parse_clock(text: &str) -> Option<u16> {
    let number = |text: &str| parse_number(text).filter(|_| text.len() == 2);
    let (hours, minutes) = text.split_once(':')?;
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    u16::try_from(number(hours)?.checked_mul(60)?.checked_add(minutes)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{format, string::String};

    const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    /// Monday 2026-03-30 00:00 UTC.
    const MONDAY: i64 = 1_774_828_800;

    #[test]
    fn windows_hold_by_the_clock_of_their_place() {
        for (zone, within, inside, outside) in [
            (
                "UTC",
                "Mon-Fri 09:00-18:00",
                &["Mon 09:00", "Fri 17:59"][..],
                &["Mon 08:59", "Fri 18:00", "Sat 12:00"][..],
            ),
            ("+09:00", "Mon-Fri 09:00-18:00", &["Mon 00:00", "Fri 08:59"], &["Mon 09:00", "Sun 23:59"]),
            ("-05:30", "Mon 00:00-24:00", &["Mon 05:30", "Tue 05:29"], &["Mon 05:29", "Tue 05:30"]),
            ("UTC", "Fri 22:00-06:00", &["Fri 22:00", "Sat 05:59"], &["Fri 05:00", "Sat 06:00"]),
            ("UTC", "Sun 22:00-06:00", &["Sun 23:59", "Mon 00:00", "Mon 05:59"], &["Mon 06:00", "Sun 21:59"]),
            ("UTC", "Sat-Mon 10:00-11:00", &["Sat 10:00", "Sun 10:30", "Mon 10:59"], &["Tue 10:00", "Fri 10:00"]),
            ("UTC", "Sat 10:00-12:00,  Mon 00:00-00:01", &["Sat 11:59", "Mon 00:00"], &["Mon 00:01", "Sun 11:00"]),
            ("UTC", "Mon-Sun 00:00-24:00", &["Mon 00:00", "Sun 23:59"], &[]),
        ] {
            let window = TimeWindow::parse(zone, within).unwrap();
            for (moments, expected) in [(inside, true), (outside, false)] {
                for moment in moments {
                    let (day, clock) = moment.split_once(' ').unwrap();
                    let day = NAMES.iter().position(|name| *name == day).unwrap() as i64;
                    let minutes = day * 1_440 + i64::from(parse_clock(clock).unwrap());
                    let now = Timestamp::from_unix(MONDAY + minutes * 60 + 59);
                    assert_eq!(window.contains(now), expected, "{zone} {within}: {moment}");
                }
            }
        }
    }

    #[test]
    fn windows_follow_the_clock_on_the_wall_over_changes_of_it() {
        // In Berlin it is 02:00 to 03:00 never on 2026-03-29, a Sunday, and twice on 2026-10-25.
        let (spring, autumn) = (1_774_746_000, 1_792_890_000); // 01:00 UTC
        for (within, sunday, inside, outside) in [
            ("Sun 02:15-02:45", spring, &[][..], &[-1, 0, 1_800, 3_600][..]),
            ("Sun 02:30-03:30", spring, &[0, 1_799], &[-1, 1_800]),
            ("Sun 01:30-02:30", spring, &[-1_800, -1], &[-1_801, 0]),
            ("Sun 09:00-18:00", spring, &[6 * 3_600, 15 * 3_600 - 1], &[6 * 3_600 - 1, 15 * 3_600]),
            ("Sat 09:00-18:00", spring, &[-17 * 3_600, -8 * 3_600 - 1], &[-17 * 3_600 - 1, -8 * 3_600]),
            ("Sun 02:15-02:45", autumn, &[-2_700, -901, 900, 2_699], &[-2_701, -900, 0, 899, 2_700]),
            ("Sun 09:00-18:00", autumn, &[7 * 3_600, 16 * 3_600 - 1], &[7 * 3_600 - 1, 16 * 3_600]),
        ] {
            let window = TimeWindow::parse("Europe/Berlin", within).unwrap();
            for (moments, expected) in [(inside, true), (outside, false)] {
                for seconds in moments {
                    let now = Timestamp::from_unix(sunday + seconds);
                    assert_eq!(window.contains(now), expected, "{within}: {seconds} after {sunday}");
                }
            }
        }
    }

    #[test]
    fn each_mistake_has_its_error() {
        use WindowError::*;
        for (zone, within, error) in [
            ("Asia/Soul", "Mon 09:00-18:00", UnknownZone),
            ("utc", "Mon 09:00-18:00", UnknownZone),
            ("", "Mon 09:00-18:00", Zone),
            ("09:00", "Mon 09:00-18:00", Zone),
            ("+9", "Mon 09:00-18:00", Zone),
            ("+14:01", "Mon 09:00-18:00", Zone),
            ("+01:60", "Mon 09:00-18:00", Zone),
            ("UTC", "", Part),
            ("UTC", "Mon", Part),
            ("UTC", "Mon,Tue 09:00-18:00", Part),
            ("UTC", "Mon 09:00-18:00,", Part),
            ("UTC", "09:00-18:00", Part),
            ("UTC", "mon 09:00-18:00", Day),
            ("UTC", "Mon- 09:00-18:00", Day),
            ("UTC", "Mon-Wed-Fri 09:00-18:00", Day),
            ("UTC", "Mon 09:00", Time),
            ("UTC", "Mon 9:00-18:00", Time),
            ("UTC", "Mon 24:00-18:00", Time),
            ("UTC", "Mon 09:00-24:01", Time),
            ("UTC", "Mon 09:00 - 18:00", Time),
            ("UTC", "Mon 09:00-18:00-19:00", Time),
            ("UTC", "Mon 09:00-18:00; Tue 09:00-18:00", Time),
            ("UTC", "Mon 09:00-09:00", SameTime),
        ] {
            assert_eq!(TimeWindow::parse(zone, within), Err(error), "{zone:?} {within:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_minute_of_a_week_is_as_a_walk_over_the_clock_says(
            parts in prop::collection::vec((0..7u32, 0..7u32, 0..1_440u32, 0..=1_440u32), 1..4),
            offset in -840..=840i32,
            week in 0..2_000i64,
        ) {
            prop_assume!(parts.iter().all(|(_, _, start, end)| start != end));
            let clock = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let mut within = String::new();
            let mut open = [false; 10_080];
            for (first, last, start, end) in &parts {
                let separator = if within.is_empty() { "" } else { ", " };
                let (first_name, last_name) = (NAMES[*first as usize], NAMES[*last as usize]);
                within += &format!("{separator}{first_name}-{last_name} {}-{}", clock(*start), clock(*end));
                let mut day = *first;
                loop {
                    let mut minute = *start;
                    while minute % 1_440 != end % 1_440 || minute == *start {
                        open[((day * 1_440 + minute) % 10_080) as usize] = true;
                        minute += 1;
                    }
                    if day == *last {
                        break;
                    }
                    day = (day + 1) % 7;
                }
            }
            let zone = format!("{}{}", if offset < 0 { '-' } else { '+' }, clock(offset.unsigned_abs()));
            let window = TimeWindow::parse(&zone, &within).unwrap();
            // A Monday 00:00 by this clock, in UTC.
            let monday = 4 * 86_400 + (week + 1) * 604_800 - i64::from(offset) * 60;
            for (minute, open) in open.iter().enumerate() {
                let now = Timestamp::from_unix(monday + minute as i64 * 60);
                prop_assert_eq!(window.contains(now), *open, "{} {} minute {}", zone, within, minute);
            }
        }

        #[test]
        fn any_text_has_an_answer(zone in ".{0,8}", within in "[A-Za-z0-9:, -]{0,40}") {
            let _ = TimeWindow::parse(&zone, &within);
        }
    }
}
