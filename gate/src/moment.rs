//! The time as the gate is told it.

use evaluator::Timestamp;
use std::time::Duration;

/// A point in time in whole milliseconds since the start of 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

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
        Moment(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from this moment until `later`; zero where that has passed.
    pub fn until(self, later: Moment) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// The same in whole seconds.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_unix(i64::try_from(self.0.checked_div(1000).unwrap_or(0)).unwrap_or(i64::MAX))
    }
}
