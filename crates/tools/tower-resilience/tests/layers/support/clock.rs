//! A clock that moves with tokio's, so that a paused runtime moves both.

use std::sync::Arc;

use base::{Clock, Instant, Timestamp};

/// Begins at one second, and in 1970.
pub(crate) struct SimulatedClock {
    start: tokio::time::Instant,
}

impl SimulatedClock {
    /// Begins now; to be called within a runtime.
    pub(crate) fn shared() -> Arc<dyn Clock> {
        Arc::new(Self { start: tokio::time::Instant::now() })
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Instant {
        Instant::from_secs(1) + self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_secs(i64::try_from(self.start.elapsed().as_secs()).unwrap_or(i64::MAX))
    }
}
