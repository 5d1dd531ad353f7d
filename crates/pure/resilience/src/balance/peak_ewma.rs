//! Peak EWMA: what one more request at an endpoint is likely to cost, from its latencies and its load.
//!
//! MODEL. Trouble comes at once and is worth fleeing at once; that it is over is worth believing slowly. So a latency
//! above the average replaces it, and below it the average decays with a half-life. It decays without answers too:
//! an endpoint that was left alone is tried again. The cost is that latency times the requests that one more would
//! make.
//!
//! SOURCE. Finagle's `P2CPeakEwma` load metric (Twitter, 2014), used under [`two_choices`](super::two_choices).
//!
//! DEFAULTS. Half-life 2 s. An endpoint ten times as slow as the rest is then tried about every seven seconds, one
//! request at a time: far less than the hundredth of the traffic that a 99th percentile would show, and soon enough
//! to use a replica again that was slowed for a while. Finagle's 7 s left recovered replicas idle for 20 s and more.
//!
//! An endpoint that was never tried costs nothing while it has nothing in flight, so that it is tried soon; and with a
//! request in flight a penalty beyond any latency, so that it gets one request at a time until its first answer. A
//! newcomer that hangs, or that answers slowly at first, costs one request.
//!
//! Failures must not make an endpoint look fast: tell them by [`PeakEwma::failed`].

use std::time::Duration;

use base::Instant;

/// What an untried endpoint costs with requests in flight, in nanoseconds: more than eleven days.
const PENALTY_NS: f64 = 1e15;
/// What is assumed of an endpoint whose first answer was a failure.
const FAILED_NS: f64 = 1e9;

/// The default of the half-life.
pub const HALF_LIFE: Duration = Duration::from_secs(2);

/// The latency of one endpoint, remembered at its peak. One a picker; told of every answer.
///
/// ```
/// use std::time::Duration;
/// use base::Instant;
/// use resilience::balance::{PeakEwma, peak_ewma::HALF_LIFE};
///
/// let (mut latency, now) = (PeakEwma::default(), Instant::from_secs(1));
/// latency.answered(Duration::from_millis(10), now, HALF_LIFE);
/// latency.answered(Duration::from_millis(30), now, HALF_LIFE);
/// assert_eq!(latency.value(now, HALF_LIFE), Some(Duration::from_millis(30)));
/// let later = now + HALF_LIFE;
/// assert_eq!(latency.value(later, HALF_LIFE), Some(Duration::from_millis(15)));
/// assert_eq!(latency.cost(2.0, later, HALF_LIFE), 3.0 * 15e6);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PeakEwma {
    /// In nanoseconds; zero before the first answer.
    value: f64,
    /// When it was that.
    at: Instant,
}

impl PeakEwma {
    /// Notes how long a good answer took.
    pub fn answered(&mut self, took: Duration, now: Instant, half_life: Duration) {
        let took = (took.as_nanos() as f64).max(1.0);
        let kept = self.kept(now, half_life);
        self.value = if took > self.value * kept { took } else { self.value * kept + took * (1.0 - kept) };
        self.at = now.max(self.at);
    }

    /// Notes a failure after this time: it can raise the latency, never lower it.
    pub fn failed(&mut self, took: Duration, now: Instant, half_life: Duration) {
        let known = if self.value == 0.0 { FAILED_NS } else { self.value * self.kept(now, half_life) };
        self.value = known.max(took.as_nanos() as f64);
        self.at = now.max(self.at);
    }

    /// What one more request costs with so many in flight, relative to weight: nanoseconds times requests.
    pub fn cost(&self, load: f64, now: Instant, half_life: Duration) -> f64 {
        if self.value == 0.0 {
            return if load > 0.0 { PENALTY_NS * (load + 1.0) } else { 0.0 };
        }
        self.value * self.kept(now, half_life) * (load + 1.0)
    }

    /// The remembered latency; nothing before the first answer.
    pub fn value(&self, now: Instant, half_life: Duration) -> Option<Duration> {
        (self.value > 0.0).then(|| Duration::from_nanos((self.value * self.kept(now, half_life)) as u64))
    }

    /// The part of the value that time has left.
    fn kept(&self, now: Instant, half_life: Duration) -> f64 {
        let (gone, half) = (now.since(self.at).as_nanos() as f64, half_life.as_nanos() as f64);
        half_power(gone / half.max(1.0))
    }
}

/// 2 to the power of minus this, for a number that is not negative; within 0.03 %.
fn half_power(x: f64) -> f64 {
    if x >= 60.0 {
        return 0.0;
    }
    let whole = x as u64;
    let part = x - whole as f64;
    // A cubic that is right at both ends of the unit interval, so there is no step from one to the next.
    let between = 1.0 - part * (0.69 - part * (0.226_2 - part * 0.036_2));
    between / (1u64 << whole) as f64
}

#[cfg(test)]
mod tests;
