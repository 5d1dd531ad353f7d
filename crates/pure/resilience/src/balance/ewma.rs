//! What one more request at an endpoint is likely to cost: its remembered latency times its load.
//!
//! MODEL. Latency is remembered as a mean in which the past counts half after a half-life. It halves without answers
//! too, so that an endpoint which was left alone is tried again. The cost is that latency times the requests that one
//! more would make: of two endpoints as fast the less loaded is cheaper, of two as loaded the faster, and a slow one
//! gets its part when the fast ones are busy.
//!
//! SOURCE. The load metric `PeakEwma` of Finagle (Twitter, 2014), which with [`Rise::Peak`] this is. There, a latency
//! above the mean replaces it: trouble is believed at once and its end slowly.
//!
//! DEFAULTS. [`Rise::Mean`]. Service times have tails, and a peak remembers for seconds the one request in a thousand
//! that was slow by itself; in the simulation (`tests/balance_sim.rs`) the mean did better by a tenth at the 99th
//! percentile. Sudden trouble is seen at once nonetheless, by the requests in flight. Half-life 4 s: an endpoint ten
//! times as slow as the rest is tried about every 13 s, with a request or two. With 1 or 2 s those tries were
//! themselves the 99th percentile of a quiet service, and replicas that are slowed for seconds fared only by a tenth
//! better.
//!
//! An endpoint that was never tried costs nothing while it has nothing in flight, so that it is tried soon; and with a
//! request in flight a penalty beyond any latency, so that it gets one request at a time until its first answer. A
//! newcomer that hangs, or that answers slowly at first, costs one request.
//!
//! A failure must not make an endpoint look fast, or one that fails at once would get everything. It counts as an
//! answer after `failure_cost`, 1 s: what a client loses that has to ask again. So an endpoint that begins to fail is
//! avoided within a second, long before checks or the end of a sweep; ejection by
//! [`health::outliers`](crate::health::outliers) then spares the rest.

use std::time::Duration;

use base::Instant;

/// What an untried endpoint costs with requests in flight, in nanoseconds: more than eleven days.
const PENALTY_NS: f64 = 1e15;

/// Latencies up to so many times the least in the pool are taken for alike by [`Ewma::cost_alike`]. The quickest of
/// several like endpoints changes by chance, and a quiet pool would be served by one of them for seconds. In the
/// simulation it raises the 99th percentile by 4 % (geometric mean over the table in [`balance`](super)).
pub const ALIKE: f64 = 1.5;

/// How latencies are remembered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EwmaPolicy {
    /// After this time the past counts half.
    pub half_life: Duration,
    /// What a latency above the remembered one does.
    pub rise: Rise,
    /// A failure counts as an answer that took so long, or as long as it took.
    pub failure_cost: Duration,
}

/// What a latency above the remembered one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rise {
    /// It counts as any other.
    Mean,
    /// It replaces it.
    Peak,
}

impl Default for EwmaPolicy {
    fn default() -> Self {
        Self { half_life: Duration::from_secs(4), rise: Rise::Mean, failure_cost: Duration::from_secs(1) }
    }
}

/// The latency of one endpoint, as one picker remembers it. Told of every answer.
///
/// ```
/// use std::time::Duration;
/// use base::Instant;
/// use resilience::balance::{Ewma, EwmaPolicy};
///
/// let (policy, now) = (EwmaPolicy::default(), Instant::from_secs(1));
/// let mut latency = Ewma::default();
/// latency.answered(Duration::from_millis(10), now, policy);
/// let later = now + policy.half_life;
/// latency.answered(Duration::from_millis(30), later, policy);
/// assert_eq!(latency.value(later, policy), Some(Duration::from_millis(20)));
/// // With two requests in flight, a third.
/// assert_eq!(latency.cost(2.0, later, policy), 3.0 * 20e6);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ewma {
    /// In nanoseconds; zero before the first answer.
    value: f64,
    /// When it was that.
    at: Instant,
}

impl Ewma {
    /// Notes how long a good answer took.
    pub fn answered(&mut self, took: Duration, now: Instant, policy: EwmaPolicy) {
        let took = nanos(took).max(1.0);
        let kept = self.kept(now, policy);
        let mean = self.value * kept + took * (1.0 - kept);
        self.value = match policy.rise {
            _ if self.value == 0.0 => took,
            Rise::Peak => mean.max(took),
            Rise::Mean => mean,
        };
        self.at = now.max(self.at);
    }

    /// Notes a failure after this time.
    pub fn failed(&mut self, took: Duration, now: Instant, policy: EwmaPolicy) {
        self.answered(took.max(policy.failure_cost), now, policy);
    }

    /// What one more request costs with so many in flight, relative to weight: nanoseconds times requests.
    pub fn cost(&self, load: f64, now: Instant, policy: EwmaPolicy) -> f64 {
        if self.value == 0.0 {
            return if load > 0.0 { PENALTY_NS * (load + 1.0) } else { 0.0 };
        }
        self.value * self.kept(now, policy) * (load + 1.0)
    }

    /// The same with a latency below `alike` counted as that one: endpoints that differ by less than matters cost the
    /// same, so that a quiet pool is used evenly and not by its quickest alone. See [`quickest`].
    pub fn cost_alike(&self, load: f64, alike: Duration, now: Instant, policy: EwmaPolicy) -> f64 {
        if self.value == 0.0 {
            return self.cost(load, now, policy);
        }
        (self.value * self.kept(now, policy)).max(nanos(alike)) * (load + 1.0)
    }

    /// The remembered latency; nothing before the first answer.
    pub fn value(&self, now: Instant, policy: EwmaPolicy) -> Option<Duration> {
        (self.value > 0.0).then(|| Duration::from_nanos((self.value * self.kept(now, policy)) as u64))
    }

    /// The part of the value that time has left.
    fn kept(&self, now: Instant, policy: EwmaPolicy) -> f64 {
        let gone = now.0.saturating_sub(self.at.0) as f64;
        half_power(gone / nanos(policy.half_life).max(1.0))
    }
}

/// The least of the remembered latencies, if there are any.
pub fn quickest<'a>(
    of: impl IntoIterator<Item = &'a Ewma>,
    now: Instant,
    policy: EwmaPolicy,
) -> Option<Duration> {
    of.into_iter().filter_map(|ewma| ewma.value(now, policy)).min()
}

/// By 64 bits, as nothing lasts for centuries: the conversion of 128 costs as much as all the rest.
fn nanos(time: Duration) -> f64 {
    time.as_secs() as f64 * 1e9 + f64::from(time.subsec_nanos())
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
