//! Where a layer's time and chance come from, so that a test can bring its own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Instant, Rng, SystemClock};

/// The clock that layers read and the source of their chance; layers that work together share one.
///
/// Waits are tokio's, so a simulated clock must move with tokio's: `tokio::time::pause`, and a [`Clock`] that reads
/// `tokio::time::Instant`.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Clock>,
    /// Deals a seed to each machine; the kernel does where it is none.
    seeds: Option<Arc<Mutex<Rng>>>,
}

impl World {
    /// The machine's clock, and chance that nobody can foresee.
    pub fn real() -> Self {
        Self { clock: SystemClock::shared(), seeds: None }
    }

    /// This clock, and chance that can be replayed.
    pub fn simulated(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self { clock, seeds: Some(Arc::new(Mutex::new(Rng::seeded(seed)))) }
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A stream for one machine.
    pub(crate) fn rng(&self) -> Rng {
        let seed = self.seeds.as_ref().map(|seeds| lock(seeds).next_u64());
        seed.map_or_else(Rng::from_kernel, Rng::seeded)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::real()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("simulated", &self.seeds.is_some()).finish_non_exhaustive()
    }
}

/// A machine is whole between two calls, so one that a panic interrupted elsewhere may be used on.
pub(crate) fn lock<T>(machine: &Mutex<T>) -> MutexGuard<'_, T> {
    machine.lock().unwrap_or_else(PoisonError::into_inner)
}
