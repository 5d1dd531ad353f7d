//! How long to wait before the next try: doubling, up to a bound.

use std::time::Duration;

/// The wait before the first restart of an instance.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// A run this long makes a restart the first again.
pub const LONG_RUN: Duration = Duration::from_secs(10);

/// The wait before the next start of an instance that ended, after so many restarts in a row.
pub fn restart_delay(restarts: u32) -> Duration {
    doubling(FIRST, restarts, LONGEST)
}

/// The number of restarts in a row, the next one included.
pub fn restarts_after(restarts: u32, run: Duration) -> u32 {
    if run >= LONG_RUN { 1 } else { restarts.saturating_add(1) }
}

/// `first` doubled `times` times, but no more than `longest`.
pub fn doubling(first: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}
