//! Durations and sizes with their units, as the configuration writes them: `750ms`, `12h`, `4MiB`.

use core::fmt;
use core::time::Duration;

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`, `d` without a space between, as in `250ms` or `7d`.
///
/// # Errors
/// [`UnitError::NotADuration`] for any other form, [`UnitError::DurationTooLong`] beyond 4,294,967,295 seconds (about 136
/// years), which is as far as a [`Timestamp`](crate::Timestamp) reaches.
///
/// ```
/// use core::time::Duration;
/// assert_eq!(evaluator::parse_duration("15m"), Ok(Duration::from_secs(900)));
/// assert_eq!(evaluator::parse_duration("15"), Err(evaluator::UnitError::NotADuration));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (digits, unit) = split(text).ok_or(UnitError::NotADuration)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(UnitError::NotADuration),
    };
    scale(digits, milliseconds)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= Duration::from_secs(u32::MAX as u64))
        .ok_or(UnitError::DurationTooLong)
}

/// Reads a size in bytes: a whole number and one of `B`, `kB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB`, `GiB` (powers of
/// 1024) without a space between, as in `4MiB`.
///
/// # Errors
/// [`UnitError::NotASize`] for any other form, [`UnitError::SizeTooLarge`] for 2^64 bytes and more.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (digits, unit) = split(text).ok_or(UnitError::NotASize)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(UnitError::NotASize),
    };
    scale(digits, bytes).ok_or(UnitError::SizeTooLarge)
}

/// Why a duration or a size was refused; the text says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnitError {
    /// Not a whole number with a unit of time.
    NotADuration,
    /// More than 4,294,967,295 seconds.
    DurationTooLong,
    /// Not a whole number with a unit of size.
    NotASize,
    /// 2^64 bytes or more.
    SizeTooLarge,
}

impl UnitError {
    /// The stable code: `not_a_duration`, `duration_too_long`, `not_a_size` or `size_too_large`.
    pub const fn code(self) -> &'static str {
        match self {
            UnitError::NotADuration => "not_a_duration",
            UnitError::DurationTooLong => "duration_too_long",
            UnitError::NotASize => "not_a_size",
            UnitError::SizeTooLarge => "size_too_large",
        }
    }

    /// In words, which say what would be right.
    pub const fn message(self) -> &'static str {
        match self {
            UnitError::NotADuration => {
                "a duration is a whole number and one of ms, s, m, h, d without a space, such as 250ms, 30s or 7d"
            }
            UnitError::DurationTooLong => "a duration is at most 49710d",
            UnitError::NotASize => {
                "a size is a whole number and one of B, kB, MB, GB, KiB, MiB, GiB without a space, such as 512KiB or 4MiB"
            }
            UnitError::SizeTooLarge => "a size is less than 2^64 bytes",
        }
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for UnitError {}

/// The leading digits, of which there is at least one, and what follows them.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())
}

/// The number that the text is, in digits alone; `None` beyond 64 bits.
pub fn parse_number(text: &str) -> Option<u64> {
    let append = |number: u64, byte: u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    text.bytes().try_fold(0, append).filter(|_| !text.is_empty())
}

/// The number in these digits times `unit`, where 64 bits hold it.
fn scale(digits: &str, unit: u64) -> Option<u64> {
    parse_number(digits)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn what_is_not_a_number_with_a_unit_is_refused_with_its_reason() {
        use UnitError::*;
        for text in ["", "s", "15", "15 s", " 15s", "15s ", "-1s", "+1s", "1.5h", "1h30m", "15S", "15sec", "1MiB", "٣s"]
        {
            assert_eq!(parse_duration(text), Err(NotADuration), "{text:?}");
        }
        for text in ["49711d", "4294967296s", "18446744073709551616s", "99999999999999999999999d"] {
            assert_eq!(parse_duration(text), Err(DurationTooLong), "{text:?}");
        }
        for text in ["", "MiB", "4", "4 MiB", "-4MiB", "4.5MiB", "4M", "4KB", "4mib", "4TB", "30s"] {
            assert_eq!(parse_size(text), Err(NotASize), "{text:?}");
        }
        for text in ["18446744073709551616B", "17179869184GiB"] {
            assert_eq!(parse_size(text), Err(SizeTooLarge), "{text:?}");
        }
    }

    #[test]
    fn the_largest_values_are_read() {
        assert_eq!(parse_duration("4294967295s"), Ok(Duration::from_secs(u32::MAX.into())));
        assert_eq!(parse_duration("49710d"), Ok(Duration::from_secs(49_710 * 86_400)));
        assert_eq!(parse_duration("0ms"), Ok(Duration::ZERO));
        assert_eq!(parse_size("18446744073709551615B"), Ok(u64::MAX));
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(number in 0..49_710u64, unit in 0..5usize) {
            let (name, millis) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)][unit];
            prop_assert_eq!(parse_duration(&format!("{number}{name}")), Ok(Duration::from_millis(number * millis)));
        }

        #[test]
        fn a_written_size_reads_back(number in 0..1u64 << 33, unit in 0..7usize) {
            let units = [("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
            let binary = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
            let (name, bytes) = *units.iter().chain(&binary).nth(unit).unwrap();
            prop_assert_eq!(parse_size(&format!("{number}{name}")), Ok(number * bytes));
        }

        #[test]
        fn any_text_has_an_answer(text in ".{0,12}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
