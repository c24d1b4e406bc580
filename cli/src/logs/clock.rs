//! Times as logs write them.

use evaluator::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads times; those without a zone are of this one.
pub(super) struct Clock {
    /// `None` for UTC.
    zone: Option<TimeZone>,
}

/// Reads the name of a time zone.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "no time zone of that name; right would be Asia/Seoul or UTC".into())
}

impl Clock {
    pub(super) fn new(zone: Option<TimeZone>) -> Clock {
        Clock { zone }
    }

    /// Seconds since 1970. Reads RFC 3339 with its variants (a space or `T`, `+09:00` or `+0900`, slashes), and seconds,
    /// milliseconds, microseconds or nanoseconds since 1970.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        if (self.zone.is_none() || has_zone(text))
            && let Some(time) = Timestamp::parse(text)
        {
            return Some(time.unix().into());
        }
        let bytes = text.as_bytes();
        if bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
            return since_1970(text);
        }
        let mut written: Vec<u8> = bytes.iter().map(|byte| if *byte == b'/' { b'-' } else { *byte }).collect();
        // 2026-03-30T09:00:00.000+0900, as Suricata writes it.
        if let [.., b'+' | b'-', _, _, _, _] = bytes
            && bytes.len() > 20
        {
            written.insert(written.len() - 2, b':');
        }
        let written = String::from_utf8(written).ok()?;
        match &self.zone {
            Some(zone) if !has_zone(&written) => {
                let local: DateTime = written.replacen(' ', "T", 1).parse().ok()?;
                Some(local.to_zoned(zone.clone()).ok()?.timestamp().as_second())
            }
            _ => Timestamp::parse(&written).map(|time| time.unix().into()),
        }
    }
}

/// Whether a time says what zone it is of.
fn has_zone(text: &str) -> bool {
    text.ends_with(['Z', 'z']) || text.get(19..).is_some_and(|rest| rest.contains(['+', '-']))
}

fn since_1970(text: &str) -> Option<i64> {
    let whole = text.split('.').next()?;
    let number: i64 = whole.parse().ok()?;
    let unit = match whole.len() {
        0..=11 => 1,
        12..=14 => 1_000,
        15..=17 => 1_000_000,
        _ => 1_000_000_000,
    };
    Some(number / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_logs_write_them() {
        const NINE: i64 = 1_774_861_200;
        for (text, zone, expected) in [
            ("2026-03-30T09:00:00Z", None, Some(NINE)),
            ("2026-03-30T09:00:00.123Z", None, Some(NINE)),
            ("2026-03-30 09:00:00", None, Some(NINE)),
            ("2026-03-30T18:00:00+09:00", None, Some(NINE)),
            ("2026-03-30T18:00:00.123456+0900", None, Some(NINE)),
            ("2026-03-30T18:00:00.123456+0900", Some("America/New_York"), Some(NINE)),
            ("2026/03/30 09:00:00", None, Some(NINE)),
            ("2026/03/30 18:00:00", Some("Asia/Seoul"), Some(NINE)),
            ("2026-03-30 18:00:00", Some("Asia/Seoul"), Some(NINE)),
            ("2026-03-30T09:00:00Z", Some("Asia/Seoul"), Some(NINE)),
            ("1774861200", None, Some(NINE)),
            ("1774861200.5", Some("Asia/Seoul"), Some(NINE)),
            ("1774861200123", None, Some(NINE)),
            ("1774861200123456789", None, Some(NINE)),
            ("yesterday", None, None),
            ("2026-13-01T00:00:00Z", None, None),
            ("", None, None),
        ] {
            let clock = Clock::new(zone.map(|name| super::zone(name).unwrap()));
            assert_eq!(clock.read(text), expected, "{text} {zone:?}");
        }
        assert!(zone("Mars/Olympus").is_err());
    }
}
