//! Pauses that grow.

use core::time::Duration;

/// The pause before the next try: the first, twice as long for each doubling up to the longest, and up to a quarter more by
/// what is random, so that those who failed together do not come back together.
pub(crate) fn backoff(first: Duration, longest: Duration, doublings: u32, random: u64) -> Duration {
    let times = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let pause = first.saturating_mul(times).min(longest);
    let spread = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).checked_div(4).unwrap_or(0).max(1);
    pause.saturating_add(Duration::from_millis(random.checked_rem(spread).unwrap_or(0)))
}
