//! How long to wait before the next try: by chance, up to a bound that doubles.
//!
//! Source: Brooker: "Exponential backoff and jitter", AWS Architecture Blog, 2015, whose "full jitter" makes the fewest
//! calls among clients that compete.
//!
//! Defaults: `first` 25 ms, about the time of a short answer, so that a pause of an instance is passed; `most` 1 s, for
//! somebody waits.
//!
//! ```
//! use std::time::Duration;
//! use resilience::retry::Backoff;
//!
//! let wait = Backoff::default().wait(2, &mut base::Rng::seeded(1));
//! assert!(wait <= Duration::from_millis(50));
//! ```

use std::time::Duration;

use base::Rng;

/// Waits between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first try.
    pub first: Duration,
    /// The longest wait of all.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(25), most: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// The wait after so many tries: anything up to [`bound`](Self::bound), each as likely.
    pub fn wait(&self, tries: u32, rng: &mut Rng) -> Duration {
        let bound = u64::try_from(self.bound(tries).as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(rng.below(bound.saturating_add(1)))
    }

    /// The longest wait after so many tries: `first`, doubled with each try, at most `most`.
    pub fn bound(&self, tries: u32) -> Duration {
        let factor = 1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}
