//! The time as the gate is told it.

use core::time::Duration;
use evaluator::Timestamp;

/// A point in time in whole milliseconds since the start of 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

/// So many seconds have no number in milliseconds.
const SECONDS: u64 = u64::MAX / 1000;

/// For how long a busy machine may hold a worker up after it has read the clock. What it or others write down meanwhile may
/// lie so much further ahead of that time.
const HELD_UP: Duration = Duration::from_secs(1);

impl Moment {
    /// The moment this many milliseconds after the start of 1970.
    pub const fn from_millis(millis: u64) -> Moment {
        Moment(millis)
    }

    /// Milliseconds since the start of 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later.
    pub fn after(self, duration: Duration) -> Moment {
        // Without numbers of 128 bits, of which a 32-bit machine makes much ado.
        let millis = match duration.as_secs() {
            seconds @ 0..SECONDS => seconds.wrapping_mul(1000).wrapping_add(duration.subsec_millis().into()),
            _ => u64::MAX,
        };
        Moment(self.0.saturating_add(millis))
    }

    /// Whether this moment is still to come, and near enough to be meant: when the clock is set back, what was to happen
    /// soon would otherwise have to wait for the old time to come round again.
    pub(crate) fn is_ahead_of(self, now: Moment, most: Duration) -> bool {
        now < self && self <= now.horizon(most)
    }

    /// The last moment that is near enough to be meant, where nothing is to come later than after `most`.
    pub(crate) fn horizon(self, most: Duration) -> Moment {
        self.after(most).after(HELD_UP)
    }

    /// The time from this moment until `later`; zero where that has passed.
    pub fn until(self, later: Moment) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// The same in whole seconds.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_unix(i64::try_from(self.0.checked_div(1000).unwrap_or(0)).unwrap_or(i64::MAX))
    }

    /// The number of the day in UTC, since the start of 1970.
    pub(crate) fn day(self) -> u64 {
        self.0.checked_div(DAY).unwrap_or(0)
    }

    /// The number of the hour in UTC, since the start of 1970.
    pub(crate) fn hour(self) -> u64 {
        self.0.checked_div(HOUR).unwrap_or(0)
    }

    /// When this day begins.
    pub(crate) const fn start_of_day(day: u64) -> Moment {
        Moment(day.saturating_mul(DAY))
    }

    /// When the next day begins.
    pub(crate) fn midnight(self) -> Moment {
        Moment::start_of_day(self.day().saturating_add(1))
    }

    /// When this hour begins.
    pub(crate) const fn start_of_hour(hour: u64) -> Moment {
        Moment(hour.saturating_mul(HOUR))
    }
}

impl From<Timestamp> for Moment {
    /// The start of this second.
    fn from(timestamp: Timestamp) -> Moment {
        Moment(u64::from(timestamp.unix()).saturating_mul(1000))
    }
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
