//! A quantile of a stream of durations, in memory that does not grow.
//!
//! Model: durations are counted in buckets whose width grows with them, eight to each doubling, so an answer is too
//! high by an eighth at most. Every half-life all counts are halved, so that the past fades and the answer follows a
//! change. Durations below 1 µs count as 1 µs, and those above two minutes as two minutes. A machine holds 864 bytes.
//!
//! Source: Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
//! VLDB 2019; the buckets are those of HdrHistogram (Tene).
//!
//! Default half-life: 10 s, long enough for some thousand samples of a busy route, short enough to follow a release.
//!
//! ```
//! use std::time::Duration;
//! use base::Instant;
//! use resilience::quantile::Durations;
//!
//! let mut seen = Durations::new(Durations::HALF_LIFE);
//! for ms in 1..=100 {
//!     seen.observe(Duration::from_millis(ms), Instant::from_secs(1));
//! }
//! let p95 = seen.quantile(0.95).unwrap_or_default();
//! assert!(p95 >= Duration::from_millis(95) && p95 <= Duration::from_millis(107));
//! ```

use std::time::Duration;

use base::Instant;

/// Buckets to each doubling, as a power of two.
const STEPS_LOG2: u32 = 3;
/// Durations below `2^10` ns share the first bucket.
const LOWEST_LOG2: u32 = 10;
const DOUBLINGS: usize = 27;
const BUCKETS: usize = DOUBLINGS << STEPS_LOG2;

/// Counts of durations, the recent ones weighing more.
#[derive(Debug, Clone)]
pub struct Durations {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
    half_life: Duration,
    halve_at: Option<Instant>,
}

impl Durations {
    /// The half-life that fits most uses.
    pub const HALF_LIFE: Duration = Duration::from_secs(10);

    /// With nothing seen; after each half-life what was seen weighs half.
    pub fn new(half_life: Duration) -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, half_life, halve_at: None }
    }

    /// Takes in one duration.
    pub fn observe(&mut self, took: Duration, now: Instant) {
        let halve_at = *self.halve_at.get_or_insert(now + self.half_life);
        if now >= halve_at {
            self.halve(now);
        }
        let count = &mut self.counts[bucket(took)];
        if *count < u32::MAX {
            *count += 1;
            self.total += 1;
        }
    }

    /// The duration that this share (0 to 1) of the durations did not exceed, or a little more; none if none was seen.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total);
        let mut below = 0;
        let at = self.counts.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        })?;
        Some(Duration::from_nanos(upper_bound(at)))
    }

    /// How many durations the answer rests on, by their weight.
    pub fn weight(&self) -> u64 {
        self.total
    }

    /// Halves the counts; all of them go when several half-lives passed in silence.
    fn halve(&mut self, now: Instant) {
        let since = now.since(self.halve_at.unwrap_or(now)).as_nanos();
        let lives = 1 + since / self.half_life.as_nanos().max(1);
        let shift = u32::try_from(lives).unwrap_or(u32::MAX).min(31);
        for count in self.counts.iter_mut() {
            *count >>= shift;
        }
        self.total = self.counts.iter().map(|count| u64::from(*count)).sum();
        self.halve_at = Some(now + self.half_life);
    }
}

fn bucket(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1 << LOWEST_LOG2);
    let log2 = nanos.ilog2();
    let step = (nanos >> (log2 - STEPS_LOG2)) & ((1 << STEPS_LOG2) - 1);
    let at = (((log2 - LOWEST_LOG2) as usize) << STEPS_LOG2) + step as usize;
    at.min(BUCKETS - 1)
}

/// The longest duration of a bucket, in nanoseconds.
fn upper_bound(at: usize) -> u64 {
    let log2 = (at >> STEPS_LOG2) as u32 + LOWEST_LOG2;
    let step = (at & ((1 << STEPS_LOG2) - 1)) as u64;
    (1 << log2) + ((step + 1) << (log2 - STEPS_LOG2)) - 1
}

#[cfg(test)]
mod tests;
