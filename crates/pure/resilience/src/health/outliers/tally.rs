//! What one endpoint did in an interval: how often it failed, and how long its good answers took.

use std::time::Duration;

use super::Outcome;

/// Four buckets to each doubling of microseconds, up to 134 s: a quantile is off by a tenth at most.
const BUCKETS: usize = 104;

#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) good: u32,
    pub(super) failed: u32,
    latencies: [u32; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        Self { good: 0, failed: 0, latencies: [0; BUCKETS] }
    }
}

impl Tally {
    pub(super) fn note(&mut self, outcome: Outcome, took: Duration) {
        match outcome {
            Outcome::Good => {
                self.good = self.good.saturating_add(1);
                let count = &mut self.latencies[bucket(took)];
                *count = count.saturating_add(1);
            }
            Outcome::OwnError | Outcome::GatewayError => self.failed = self.failed.saturating_add(1),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn requests(&self) -> u32 {
        self.good.saturating_add(self.failed)
    }

    /// From 0 to 1; zero without requests.
    pub(super) fn failure_share(&self) -> f64 {
        f64::from(self.failed) / f64::from(self.requests().max(1))
    }

    /// What this part of the good answers did not exceed, to a tenth.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let wanted = (part.clamp(0.0, 1.0) * f64::from(self.good)).ceil().max(1.0);
        let mut seen = 0u64;
        let found = self.latencies.iter().position(|count| {
            seen += u64::from(*count);
            seen as f64 >= wanted
        });
        middle(found.unwrap_or(0))
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < 4 {
        return micros as usize;
    }
    let doublings = micros.ilog2() as usize;
    ((doublings - 1) * 4 + (micros >> (doublings - 2)) as usize % 4).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> Duration {
    if bucket < 4 {
        return Duration::from_micros(bucket as u64);
    }
    let (doublings, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
    let width = 1u64 << (doublings - 2);
    Duration::from_micros((4 + quarter) * width + width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_off_by_a_tenth_at_most() {
        for micros in (0..100_000).chain([1_000_000, 60_000_000, 134_000_000]) {
            let mut tally = Tally::default();
            tally.note(Outcome::Good, Duration::from_micros(micros));
            let (got, want) = (tally.quantile(0.5).as_micros() as f64, micros as f64);
            assert!((got - want).abs() <= want / 8.0 + 0.5, "{want} became {got}");
        }
    }

    #[test]
    fn what_is_beyond_the_last_bucket_counts_there() {
        let mut tally = Tally::default();
        tally.note(Outcome::Good, Duration::from_secs(1_000_000));
        assert_eq!(tally.quantile(1.0).as_secs(), 125);
    }
}
