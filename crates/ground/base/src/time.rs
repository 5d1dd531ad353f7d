//! Time as a number that can be written down: in a test, a log or a replay.
//!
//! The only place that asks the machine what time it is.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on a clock that never goes back, in nanoseconds since about the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub u64);

impl Instant {
    /// So many seconds after zero; for tests and simulations.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// How long after `earlier`; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A moment by the calendar, in nanoseconds since 1970 began in Greenwich.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Reads RFC 3339, as in `2026-01-31T12:00:00Z`, with up to nine decimals.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let read: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(read.as_nanosecond()).ok().map(Self)
    }

    /// So many seconds after 1970 began.
    pub fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Seconds since 1970 began.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// How long after `earlier`; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Timestamp {
    /// As logs of web servers have it, to the second: `28/Nov/2026:06:40:00 +0000`.
    pub fn in_logs(self) -> String {
        let moment = jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or_default();
        moment.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with nine decimals, as docker prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or_default();
        write!(f, "{moment:.9}")
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, for durations.
    fn now(&self) -> Instant;
    /// Now, for people.
    fn wall(&self) -> Timestamp;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clocks, to hand around.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        use std::sync::OnceLock;
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        let start = *START.get_or_init(std::time::Instant::now);
        // One second ahead, so that subtracting a small duration early on does not stick at zero.
        Instant::from_secs(1) + start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}
