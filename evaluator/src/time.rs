//! Points in time, as the reports and the caches need them.

use alloc::string::String;

/// A point in time in whole seconds of UTC, from 1970 to 2106.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u32);

impl Timestamp {
    /// The time this many seconds after the start of 1970; times outside the range become its nearest end.
    pub fn from_unix(seconds: i64) -> Timestamp {
        Timestamp(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
    }

    /// Seconds since the start of 1970.
    pub const fn unix(self) -> u32 {
        self.0
    }

    /// Seconds from `earlier` to this time; zero where `earlier` is later.
    pub const fn seconds_since(self, earlier: Timestamp) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads a date, `2024-03-22`, or a date and time, `2024-03-22 09:32:02` or `2024-03-22T09:32:02.5+09:00`.
    ///
    /// The zone is `Z` or an offset with a colon; where there is none the time is UTC. Fractions of a second are
    /// dropped, a leap second counts as the second before it, and years outside 1970 to 2106 become the nearest end of
    /// the range. `None` for anything else, and for days that no calendar has.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
        let year = pair(*y1, *y2)?.wrapping_mul(100).wrapping_add(pair(*y3, *y4)?);
        let days = days_from_civil(year, pair(*m1, *m2)?, pair(*d1, *d2)?)?;
        let clock = match rest.split_first() {
            None => 0,
            Some((b' ' | b'T' | b't', clock)) => seconds_of_clock(clock)?,
            Some(_) => return None,
        };
        Some(Timestamp::from_unix(i64::from(days).wrapping_mul(86_400).wrapping_add(clock.into())))
    }

    /// As RFC 3339 writes it, in UTC: `2024-03-22T09:32:02Z`.
    pub fn to_rfc3339(self) -> String {
        let (year, month, day) = civil_from_days(self.0 / SECONDS_OF_DAY);
        let second = self.0 % SECONDS_OF_DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let parts =
            [(year / 100, ""), (year % 100, "-"), (month, "-"), (day, "T"), (hour, ":"), (minute, ":"), (second, "Z")];
        let mut text = String::with_capacity(20);
        for (number, end) in parts {
            text.extend([number / 10, number % 10].map(|digit| char::from_digit(digit % 10, 10).unwrap_or('0')));
            text.push_str(end);
        }
        text
    }
}

const SECONDS_OF_DAY: u32 = 86_400;

/// The seconds that `HH:MM:SS[.fraction][zone]` adds to the midnight of UTC.
fn seconds_of_clock(text: &[u8]) -> Option<i32> {
    let (clock, rest) = text.split_first_chunk::<8>()?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hours, minutes, seconds) = (pair(*h1, *h2)?, pair(*m1, *m2)?, pair(*s1, *s2)?);
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let local = seconds_of(hours, minutes).wrapping_add(seconds.min(59));
    let zone = match rest.split_first() {
        Some((b'.', digits)) => {
            let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
            let (fraction, zone) = digits.split_at_checked(end)?;
            if fraction.is_empty() {
                return None;
            }
            zone
        }
        _ => rest,
    };
    let (sign, offset) = match zone {
        [] | [b'Z' | b'z'] => return Some(local),
        [b'+', offset @ ..] => (-1, offset),
        [b'-', offset @ ..] => (1, offset),
        _ => return None,
    };
    let [h1, h2, b':', m1, m2] = offset else { return None };
    let (hours, minutes) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(seconds_of(hours, minutes).wrapping_mul(sign).wrapping_add(local))
}

fn seconds_of(hours: i32, minutes: i32) -> i32 {
    hours.wrapping_mul(60).wrapping_add(minutes).wrapping_mul(60)
}

/// Two ASCII digits as a number.
fn pair(tens: u8, ones: u8) -> Option<i32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i32::from(tens).wrapping_mul(10).wrapping_add(ones.into()))
}

/// Days from the start of 1970 to this day of the Gregorian calendar, of a year up to 9999; `None` where there is no such day.
pub(crate) fn days_from_civil(year: i32, month: i32, day: i32) -> Option<i32> {
    let leap = is_leap(year);
    let (before, length): (i32, i32) = match month {
        1 => (0, 31),
        2 => (31, if leap { 29 } else { 28 }),
        3 => (59, 31),
        4 => (90, 30),
        5 => (120, 31),
        6 => (151, 30),
        7 => (181, 31),
        8 => (212, 31),
        9 => (243, 30),
        10 => (273, 31),
        11 => (304, 30),
        12 => (334, 31),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Leap days of all years before this one; the year 0 counts as a leap year.
    let last = year.wrapping_sub(1);
    let leap_days = last.div_euclid(4).wrapping_sub(last.div_euclid(100)).wrapping_add(last.div_euclid(400));
    let of_year = before.wrapping_add(day).wrapping_add(i32::from(leap && month > 2));
    // 719,163 days lie between the first day of the year 1 and the first of 1970, counted with that day itself.
    Some(last.wrapping_mul(365).wrapping_add(leap_days).wrapping_add(of_year).wrapping_sub(719_163))
}

/// The year, month and day that lie so many days after the start of 1970.
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let (mut year, mut left) = (1970_u32, days);
    while let Some(rest) = left.checked_sub(if is_leap(year as i32) { 366 } else { 365 }) {
        (year, left) = (year.saturating_add(1), rest);
    }
    let february = if is_leap(year as i32) { 29 } else { 28 };
    let mut month = 1_u32;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        let Some(rest) = left.checked_sub(length) else { break };
        (month, left) = (month.saturating_add(1), rest);
    }
    (year, month, left.saturating_add(1))
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_and_times_of_every_form_are_read() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-01 00:00:01", 1),
            ("2000-02-29", 951_782_400),
            ("2023-06-15", 1_686_787_200),
            ("2024-03-22 09:32:02", 1_711_099_922),
            ("2024-03-22T09:32:02Z", 1_711_099_922),
            ("2024-03-22t09:32:02z", 1_711_099_922),
            ("2024-03-22T09:32:02", 1_711_099_922),
            ("2024-03-22T09:32:02.999Z", 1_711_099_922),
            ("2024-03-22T18:32:02+09:00", 1_711_099_922),
            ("2024-03-21T23:02:02.5-10:30", 1_711_099_922),
            ("2016-12-31 23:59:60", 1_483_228_799),
            ("2100-03-01", 4_107_542_400),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::unix), Some(seconds), "{text}");
        }
    }

    #[test]
    fn years_out_of_range_become_its_ends() {
        for text in ["0000-01-01", "1969-12-31 23:59:59", "1950-06-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::unix), Some(0), "{text}");
        }
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59Z").map(Timestamp::unix), Some(u32::MAX));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2024",
            "2024-3-22",
            "2024-13-01",
            "2024-00-10",
            "2023-02-29",
            "2100-02-29",
            "2024-04-31",
            "2024-01-00",
            "2024-01-01 ",
            "2024-01-01 1:02:03",
            "2024-01-01 24:00:00",
            "2024-01-01 10:60:00",
            "2024-01-01 10:00:61",
            "2024-01-01 10:00",
            "2024-01-01 10:00:00.",
            "2024-01-01 10:00:00 UTC",
            "2024-01-01T10:00:00+0900",
            "2024-01-01T10:00:00+24:00",
            "2024-01-01T10:00:00+09:60",
            "2024-01-01T10:00:00Zx",
            "2024/01/01",
            "２０２４-01-01",
            "N/A",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2024-12-31T09:05:07Z", "2100-03-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_rfc3339(), text);
        }
        assert_eq!(Timestamp::from_unix(i64::MAX).to_rfc3339(), "2106-02-07T06:28:15Z");
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(seconds in any::<u32>()) {
            let time = Timestamp::from_unix(seconds.into());
            prop_assert_eq!(Timestamp::parse(&time.to_rfc3339()), Some(time));
        }

        #[test]
        fn days_follow_one_another(year in 1970..2106, month in 1..=12, day in 1..=31) {
            prop_assume!(days_from_civil(year, month, day).is_some());
            let today = days_from_civil(year, month, day).unwrap();
            let tomorrow = days_from_civil(year, month, day + 1)
                .or_else(|| days_from_civil(year, month + 1, 1))
                .or_else(|| days_from_civil(year + 1, 1, 1));
            prop_assert_eq!(tomorrow, Some(today + 1));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*", near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.Z+-]*") {
            let _ = (Timestamp::parse(&text), Timestamp::parse(&near));
        }
    }
}
