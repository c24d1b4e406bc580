//! What the ledger says, for people and their alarms.

use super::Halt;
use crate::Moment;
use core::time::Duration;

/// The state of lookups in the whole proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Credits spent since midnight, UTC.
    pub spent_today: u32,
    /// Credits spent since the hour began.
    pub spent_this_hour: u32,
    /// Credits spent in the hour before.
    pub spent_last_hour: u32,
    /// Credits of this day that only events may use.
    pub reserved: u32,
    /// Why nobody is asking, but for events where only the budget is spent, and until when.
    pub halted: Option<(Halt, Moment)>,
    /// Lanes in use.
    pub lanes: usize,
    /// When a lookup last brought facts.
    pub last_success: Option<Moment>,
}

const HOUR: u64 = 3600;
/// The answer where a day's budget lasts the day.
const ALL_DAY: Duration = Duration::from_secs(24 * HOUR);
/// How long figures that move by themselves may be wrong.
const MINUTE: Duration = Duration::from_secs(60);

impl Status {
    /// When the rest of a day's budget, but for what is reserved for events, will be spent if credits go on being spent as in the last 60 minutes: of what was
    /// spent in the hour before, the part counts that is still within them. A whole day where something will be left at
    /// midnight, when the budget begins anew.
    pub fn lasts(&self, per_day: u32, now: Moment) -> Duration {
        let left = u64::from(per_day.saturating_sub(self.spent_today).saturating_sub(self.reserved));
        if left == 0 {
            return Duration::ZERO;
        }
        let rest_of_hour = now.until(Moment::start_of_hour(now.hour().saturating_add(1))).as_secs();
        let still_counts = u64::from(self.spent_last_hour).saturating_mul(rest_of_hour).div_ceil(HOUR);
        let per_hour = u64::from(self.spent_this_hour).saturating_add(still_counts);
        let seconds = left.saturating_mul(HOUR).checked_div(per_hour);
        let lasts = seconds.map_or(ALL_DAY, Duration::from_secs);
        if lasts < now.until(now.midnight()) { lasts } else { ALL_DAY }
    }

    /// The next moment at which these figures are others although nobody does anything; `None` when they stay.
    pub(crate) fn changes_at(&self, now: Moment) -> Option<Moment> {
        let spent_lately = self.spent_this_hour > 0 || self.spent_last_hour > 0;
        let moving = (self.lanes > 0 || spent_lately).then(|| now.after(MINUTE));
        let midnight = (self.spent_today > 0).then(|| now.midnight());
        let halt_ends = self.halted.map(|(_, until)| until);
        [moving, midnight, halt_ends].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 20_000;

    /// So many minutes after midnight.
    fn at(minutes: u64) -> Moment {
        Moment::start_of_day(DAY).after(MINUTE * u32::try_from(minutes).unwrap())
    }

    fn spent(today: u32, this_hour: u32, last_hour: u32) -> Status {
        Status {
            spent_today: today,
            spent_this_hour: this_hour,
            spent_last_hour: last_hour,
            reserved: 0,
            halted: None,
            lanes: 0,
            last_success: None,
        }
    }

    #[test]
    fn a_budget_lasts_as_long_as_the_rate_of_the_last_sixty_minutes_says() {
        let all_day = 86_400;
        for (minutes, status, lasts) in [
            (0, spent(0, 0, 0), all_day),
            (60, spent(100, 0, 100), 9 * 3600),
            (90, spent(100, 0, 100), 18 * 3600),
            (90, spent(200, 100, 100), 8 * 3600 * 100 / 150),
            (90, spent(100, 100, 0), 9 * 3600),
            // Something will be left at midnight.
            (20 * 60, spent(200, 100, 100), all_day),
            (23 * 60 + 59, spent(999, 59, 0), all_day),
            (23 * 60 + 59, spent(999, 61, 0), 59),
            // Nothing is left, however long ago it was spent.
            (90, spent(1000, 0, 0), 0),
            (90, spent(1001, 5, 0), 0),
        ] {
            assert_eq!(status.lasts(1000, at(minutes)).as_secs(), lasts, "{minutes} {status:?}");
        }
        // What is reserved does not last longer.
        let reserved = Status { reserved: 100, ..spent(100, 0, 100) };
        assert_eq!(reserved.lasts(1000, at(60)).as_secs(), 8 * 3600);
        assert_eq!(Status { reserved: 900, ..reserved }.lasts(1000, at(60)).as_secs(), 0);
        assert_eq!(spent(0, u32::MAX, u32::MAX).lasts(u32::MAX, at(0)).as_secs(), 1800);
    }

    #[test]
    fn figures_that_move_by_themselves_are_looked_at_again_in_time_and_others_never() {
        let now = at(90);
        let until = now.after(Duration::from_secs(7));
        let halted = Status { halted: Some((Halt::BadKey, until)), ..spent(0, 0, 0) };
        for (status, next) in [
            (spent(0, 0, 0), None),
            (spent(5, 0, 0), Some(at(24 * 60))),
            (spent(5, 0, 5), Some(at(91))),
            (spent(5, 5, 0), Some(at(91))),
            (Status { lanes: 1, ..spent(0, 0, 0) }, Some(at(91))),
            (halted, Some(until)),
        ] {
            assert_eq!(status.changes_at(now), next, "{status:?}");
        }
    }
}
