//! Outliers: an endpoint that does clearly worse than its pool is ejected for a while.
//!
//! MODEL. Every answer tells something, sooner and truer than a check. Worse means: failing several times in a row,
//! failing far more often than the others, or being several times as slow. What all do alike is no outlier: then a
//! dependency that all share fails, and taking endpoints away would make it worse.
//!
//! SOURCE. Envoy's outlier detection (consecutive errors, success rate, failure percentage); the latency rule is ours.
//!
//! DEFAULTS, and where they differ from Envoy's, which are made for pools of many:
//!
//! - 5 own errors in a row (500 and the like); a program that fails one in ten requests does so by chance once in
//!   100,000. 3 gateway errors in a row (no connection, no answer, 502, 503, 504): those seldom come by chance.
//! - Judged every 10 s, by what happened since.
//! - Success rate: below the mean by 1.9 standard deviations and by 5 points. At least 5 endpoints with 100 requests
//!   each: of n values none lies more than √(n-1) deviations from the mean, so with fewer than 5 the rule could never
//!   hold. Without the 5 points, a single failure in a flawless pool would be an outlier.
//! - Failure share: half of 20 requests or more, and twice the share of the others. This one works from 2 endpoints on,
//!   and is what small pools have in place of deviations.
//! - Latency: a median 4 times the median of the others' medians, and 50 ms above it; from 3 endpoints on with 20
//!   requests each. Of two, the slower may just be the smaller, and its half of the capacity is needed.
//! - At most 30 % out, rounded down, but one of any pool of two or more: three tenths is what a pool with the usual
//!   reserve loses without harm, it stays clear of the panic threshold of a half, and for 2 or 3 endpoints, where it
//!   would round to none, one broken endpoint is worth more than the last part of capacity. A pool of one keeps it.
//! - Out for 10 s, times the number of ejections that are not forgotten, at most 5 minutes; one is forgotten with each
//!   interval that passes without. Up to a fifth longer at random, so that several do not come back together. Envoy's
//!   30 s is long where a supervisor restarts within seconds what fails its checks.
//!
//! An endpoint comes back on trial: with all counts at zero and, by the roster, a slow start.

mod judge;
mod tally;

use std::time::Duration;

use base::{Instant, Rng};
use tally::Tally;

/// What is an outlier, and what is done to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlierPolicy {
    /// So many errors in a row, of the endpoint's own or gateway errors, eject; 0 for never.
    pub errors_in_a_row: u32,
    /// So many gateway errors in a row eject; 0 for never.
    pub gateway_errors_in_a_row: u32,
    /// How often the rules below are applied, to what happened since the last time.
    pub interval: Duration,
    /// The rule by standard deviations, if any.
    pub success_rate: Option<SuccessRate>,
    /// The rule by the share of failures, if any.
    pub failures: Option<FailureShare>,
    /// The rule by latency, if any.
    pub latency: Option<SlowerThanRest>,
    /// The most of the pool that is out, from 0 to 1.
    pub most_out: f64,
    /// How long the first ejection lasts.
    pub base_time: Duration,
    /// How long any ejection lasts at most, but for jitter.
    pub most_time: Duration,
    /// Part of the time by which an ejection may be longer, at random.
    pub jitter: f64,
}

/// A success rate far below the mean of the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate {
    /// How many standard deviations.
    pub deviations: f64,
    /// And at least so far below the mean, from 0 to 1.
    pub gap: f64,
    /// Endpoints with enough requests that there must be.
    pub endpoints: usize,
    /// Requests that an endpoint must have had.
    pub requests: u32,
}

/// A high share of failures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureShare {
    /// From 0 to 1. It must also be twice the share of the other endpoints.
    pub share: f64,
    /// Endpoints with enough requests that there must be.
    pub endpoints: usize,
    /// Requests that an endpoint must have had.
    pub requests: u32,
}

/// Latencies far above those of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowerThanRest {
    /// Which quantile is compared, from 0 to 1: 0.5 for the median, 0.9 for the slow tenth.
    pub quantile: f64,
    /// How many times that of the others.
    pub times: f64,
    /// And at least so far above it.
    pub gap: Duration,
    /// Endpoints with enough requests that there must be.
    pub endpoints: usize,
    /// Good answers that an endpoint must have given.
    pub requests: u32,
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self {
            errors_in_a_row: 5,
            gateway_errors_in_a_row: 3,
            interval: Duration::from_secs(10),
            success_rate: Some(SuccessRate { deviations: 1.9, gap: 0.05, endpoints: 5, requests: 100 }),
            failures: Some(FailureShare { share: 0.5, endpoints: 2, requests: 20 }),
            latency: Some(SlowerThanRest {
                quantile: 0.5,
                times: 4.0,
                gap: Duration::from_millis(50),
                endpoints: 3,
                requests: 20,
            }),
            most_out: 0.3,
            base_time: Duration::from_secs(10),
            most_time: Duration::from_secs(300),
            jitter: 0.2,
        }
    }
}

/// What became of a request. A "not now" is none of these: see [`readiness`](super::readiness).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that is the client's or nobody's fault.
    Good,
    /// The endpoint answered that it failed: 500, 501, 505 and above.
    OwnError,
    /// There was no answer, or one that tells of what lies behind: 502, 503 without "not now", 504.
    GatewayError,
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// So many errors in a row.
    Errors(u32),
    /// So many gateway errors in a row.
    GatewayErrors(u32),
    /// A success rate below what the pool's mean and deviation allow.
    SuccessRate {
        /// The endpoint's.
        rate: f64,
        /// The least that would have been borne.
        least: f64,
    },
    /// A share of failures, and that of the others.
    Failures {
        /// The endpoint's.
        share: f64,
        /// All others' together.
        others: f64,
    },
    /// A latency, and that of the others.
    Slow {
        /// The endpoint's.
        latency: Duration,
        /// The median of the others'.
        others: Duration,
    },
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// An endpoint is out.
    Ejected {
        /// Which.
        place: usize,
        /// When it comes back.
        until: Instant,
        /// Why.
        reason: Reason,
    },
    /// An endpoint is back.
    Returned {
        /// Which.
        place: usize,
    },
}

/// What is known of the endpoints of a pool, by place.
///
/// ```
/// use std::time::Duration;
/// use base::{Instant, Rng};
/// use resilience::health::outliers::{Change, Outcome, OutlierPolicy, Outliers, Reason};
///
/// let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
/// let mut outliers = Outliers::new(OutlierPolicy::default(), 3, now);
/// let took = Duration::from_millis(1);
/// for _ in 0..4 {
///     assert_eq!(outliers.settle(0, Outcome::OwnError, took, now, &mut rng), None);
/// }
/// let change = outliers.settle(0, Outcome::OwnError, took, now, &mut rng);
/// assert!(matches!(change, Some(Change::Ejected { place: 0, reason: Reason::Errors(5), .. })));
/// assert_eq!(outliers.poll(now + Duration::from_secs(12), &mut rng), [Change::Returned { place: 0 }]);
/// ```
#[derive(Debug, Clone)]
pub struct Outliers {
    policy: OutlierPolicy,
    endpoints: Vec<Endpoint>,
    /// When the pool is judged next.
    judged_at: Instant,
    out: usize,
    otherwise_out: usize,
}

#[derive(Debug, Clone, Default)]
struct Endpoint {
    tally: Tally,
    errors: u32,
    gateway_errors: u32,
    out_until: Option<Instant>,
    /// Ejections that are not forgotten.
    times: u32,
    /// It was in all through this interval.
    was_in: bool,
}

impl Endpoint {
    /// Back in the pool; only its ejections are remembered.
    fn begin_trial(&mut self) {
        *self = Self { times: self.times, ..Self::default() };
    }
}

impl Outliers {
    /// So many endpoints, none of them out.
    pub fn new(policy: OutlierPolicy, endpoints: usize, now: Instant) -> Self {
        let endpoint = Endpoint { was_in: true, ..Endpoint::default() };
        Self {
            policy,
            endpoints: vec![endpoint; endpoints],
            judged_at: now + policy.interval,
            out: 0,
            otherwise_out: 0,
        }
    }

    /// Notes what became of a request, and ejects the endpoint if that was one error too many. What an endpoint does
    /// while it is out decides nothing: those are requests from before, or of a panic. Takes no memory.
    pub fn settle(
        &mut self,
        place: usize,
        outcome: Outcome,
        took: Duration,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<Change> {
        let endpoint = self.endpoints.get_mut(place).filter(|endpoint| endpoint.out_until.is_none())?;
        endpoint.tally.note(outcome, took);
        match outcome {
            Outcome::Good => (endpoint.errors, endpoint.gateway_errors) = (0, 0),
            Outcome::OwnError => {
                (endpoint.errors, endpoint.gateway_errors) = (endpoint.errors.saturating_add(1), 0);
            }
            Outcome::GatewayError => {
                endpoint.errors = endpoint.errors.saturating_add(1);
                endpoint.gateway_errors = endpoint.gateway_errors.saturating_add(1);
            }
        }
        let reached = |limit: u32, count: u32| limit > 0 && count >= limit;
        let reason = if reached(self.policy.gateway_errors_in_a_row, endpoint.gateway_errors) {
            Reason::GatewayErrors(endpoint.gateway_errors)
        } else if reached(self.policy.errors_in_a_row, endpoint.errors) {
            Reason::Errors(endpoint.errors)
        } else {
            return None;
        };
        self.eject(place, reason, now, rng)
    }

    /// Lets back whose time is over, and judges the pool when an interval is. To be called when [`Outliers::next_at`]
    /// has come; it may be later.
    pub fn poll(&mut self, now: Instant, rng: &mut Rng) -> Vec<Change> {
        let mut changes = Vec::new();
        for (place, endpoint) in self.endpoints.iter_mut().enumerate() {
            if endpoint.out_until.is_some_and(|until| until <= now) {
                endpoint.begin_trial();
                self.out -= 1;
                changes.push(Change::Returned { place });
            }
        }
        while self.out > self.most_out() {
            changes.extend(self.release_first());
        }
        if now < self.judged_at {
            return changes;
        }
        for (place, reason) in judge::outliers(&self.policy, &self.endpoints) {
            changes.extend(self.eject(place, reason, now, rng));
        }
        for endpoint in &mut self.endpoints {
            endpoint.tally.clear();
            if endpoint.was_in {
                endpoint.times = endpoint.times.saturating_sub(1);
            }
            endpoint.was_in = endpoint.out_until.is_none();
        }
        self.judged_at = now + self.policy.interval;
        changes
    }

    /// Takes these endpoints, in this order: each with the place that it had, or none if it is new. If so many left
    /// that more are out than may be, the next poll lets those back that would come first.
    pub fn rearrange(&mut self, from: impl IntoIterator<Item = Option<usize>>) {
        let new = Endpoint { was_in: true, ..Endpoint::default() };
        let old = |place: usize| self.endpoints.get(place).cloned();
        let endpoints = from.into_iter().map(|place| place.and_then(old).unwrap_or_else(|| new.clone()));
        self.endpoints = endpoints.collect();
        self.out = self.endpoints.iter().filter(|endpoint| endpoint.out_until.is_some()).count();
    }

    /// When there is something to do by time alone.
    pub fn next_at(&self) -> Instant {
        let returns = self.endpoints.iter().filter_map(|endpoint| endpoint.out_until);
        returns.fold(self.judged_at, Instant::min)
    }

    /// Whether an endpoint is ejected.
    pub fn is_out(&self, place: usize) -> bool {
        self.endpoints.get(place).is_some_and(|endpoint| endpoint.out_until.is_some())
    }

    /// How many are ejected.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Tells how many endpoints are out for other reasons, as by checks. They count against the most that may be out:
    /// a suspicion must not take what certainty has left.
    pub fn set_otherwise_out(&mut self, count: usize) {
        self.otherwise_out = count;
    }

    /// The most that may be out at once.
    pub fn most_out(&self) -> usize {
        match self.endpoints.len() {
            0 | 1 => 0,
            count => ((self.policy.most_out.clamp(0.0, 1.0) * count as f64) as usize).max(1),
        }
    }

    fn release_first(&mut self) -> Option<Change> {
        let out = self.endpoints.iter_mut().enumerate().filter(|(_, endpoint)| endpoint.out_until.is_some());
        let (place, first) = out.min_by_key(|(_, endpoint)| endpoint.out_until)?;
        first.begin_trial();
        self.out -= 1;
        Some(Change::Returned { place })
    }

    /// When there is room for it. A count that was reached without room stays reached, so that the next error of that
    /// endpoint asks again.
    fn eject(&mut self, place: usize, reason: Reason, now: Instant, rng: &mut Rng) -> Option<Change> {
        if self.out + self.otherwise_out >= self.most_out() {
            return None;
        }
        let endpoint = self.endpoints.get_mut(place).filter(|endpoint| endpoint.out_until.is_none())?;
        endpoint.times = endpoint.times.saturating_add(1);
        let time = self.policy.base_time.saturating_mul(endpoint.times).min(self.policy.most_time);
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let until = now + time.mul_f64(1.0 + self.policy.jitter.max(0.0) * unit);
        endpoint.out_until = Some(until);
        endpoint.was_in = false;
        self.out += 1;
        Some(Change::Ejected { place, until, reason })
    }
}

#[cfg(test)]
mod tests;
