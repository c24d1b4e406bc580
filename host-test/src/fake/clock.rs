//! Dates as the API writes them, so many days before now: evidence in the fixtures must stay fresh.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// A moment from which dates are counted back, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(pub(crate) i64);

impl Clock {
    pub(crate) fn now() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// `2026-01-31 23:59:59`, this many days ago.
    pub(crate) fn days_ago(self, days: i64) -> String {
        let (date, time) = self.parts(days);
        format!("{date} {time}")
    }

    /// `2026-01-31T23:59:59Z`, this many days ago (negative: ahead).
    pub(crate) fn iso_days_ago(self, days: i64) -> String {
        let (date, time) = self.parts(days);
        format!("{date}T{time}Z")
    }

    /// `2026-01-31`, this many days ago.
    pub(crate) fn date_days_ago(self, days: i64) -> String {
        self.parts(days).0
    }

    fn parts(self, days_ago: i64) -> (String, String) {
        let seconds = self.0 - days_ago * DAY;
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        (format!("{year:04}-{month:02}-{day:02}"), time)
    }
}

/// Year, month and day of the day that is so many days after 1970-01-01, counting years from 1 March so that the leap
/// day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (seconds, days_ago, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_709_251_199, 0, "2024-02-29T23:59:59Z"),
            (1_709_251_200, 0, "2024-03-01T00:00:00Z"),
            (1_735_689_600, 1, "2024-12-31T00:00:00Z"),
            (1_735_689_600, -1, "2025-01-02T00:00:00Z"),
        ] {
            assert_eq!(Clock(seconds).iso_days_ago(days_ago), expected, "{seconds} - {days_ago} d");
        }
    }
}
