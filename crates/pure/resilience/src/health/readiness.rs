//! Handshaking: an endpoint may say "not now", and is left alone for the time it asks for.
//!
//! MODEL. An endpoint knows best when it is overloaded, collects garbage or warms up. It says so by a header, or by 503
//! with `Retry-After`, and means it for a time. That is no failure: it is not counted for ejection, and its session
//! cookies stay valid. When all say so, the pool is full, and that is what the client should hear, with the time at
//! which to come back, instead of waiting in a queue that nobody serves.
//!
//! SOURCE. Nygard, "Release It!", 2nd edition, 2018, the pattern "Handshaking"; RFC 9110, 10.2.3 for `Retry-After`.
//!
//! DEFAULTS. 1 s when no time is told. At most 30 s, so that a number that went wrong cannot take an endpoint away for
//! an hour; at least 50 ms, below which sparing costs more than it saves. The endpoint comes back up to a quarter of the
//! time later than it asked for, never sooner: several that were told the same, by one thread or many, do not all get
//! the waiting crowd at the same moment.

use std::time::Duration;

use base::{Instant, Rng};

/// What is made of a "not now".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadinessPolicy {
    /// For how long, when the endpoint did not tell.
    pub untold: Duration,
    /// The least time.
    pub least: Duration,
    /// The most time.
    pub most: Duration,
    /// Part of the time by which it may be longer, at random.
    pub jitter: f64,
}

impl Default for ReadinessPolicy {
    fn default() -> Self {
        Self {
            untold: Duration::from_secs(1),
            least: Duration::from_millis(50),
            most: Duration::from_secs(30),
            jitter: 0.25,
        }
    }
}

/// Who of a pool said "not now", and until when, by place.
///
/// ```
/// use std::time::Duration;
/// use base::{Instant, Rng};
/// use resilience::health::readiness::{Readiness, ReadinessPolicy, retry_after_secs};
///
/// let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
/// let mut readiness = Readiness::new(ReadinessPolicy::default(), 2);
/// readiness.not_now(0, Some(Duration::from_secs(4)), now, &mut rng);
/// assert_eq!(readiness.soonest(now), None, "the other one takes requests");
/// readiness.not_now(1, Some(Duration::from_secs(2)), now, &mut rng);
/// let soonest = readiness.soonest(now).unwrap();
/// assert_eq!(retry_after_secs(soonest, now), 3);
/// ```
#[derive(Debug, Clone)]
pub struct Readiness {
    policy: ReadinessPolicy,
    /// In the past for those that take requests.
    until: Vec<Instant>,
}

impl Readiness {
    /// So many endpoints, all of which take requests.
    pub fn new(policy: ReadinessPolicy, endpoints: usize) -> Self {
        Self { policy, until: vec![Instant::default(); endpoints] }
    }

    /// Notes that an endpoint said "not now", for this long if it told. Tells until when it is spared, for the owner to
    /// mark it so and to look again then. What it says later counts, be it sooner.
    pub fn not_now(
        &mut self,
        place: usize,
        asked: Option<Duration>,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<Instant> {
        let ReadinessPolicy { untold, least, most, jitter } = self.policy;
        let time = asked.unwrap_or(untold).min(most).max(least);
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let until = self.until.get_mut(place)?;
        *until = now + time.mul_f64(1.0 + jitter.max(0.0) * unit);
        Some(*until)
    }

    /// Notes that an endpoint takes requests again, as it said so itself or as it answered one.
    pub fn ready(&mut self, place: usize) {
        if let Some(until) = self.until.get_mut(place) {
            *until = Instant::default();
        }
    }

    /// Takes these endpoints, in this order: each with the place that it had, or none if it is new.
    pub fn rearrange(&mut self, from: impl IntoIterator<Item = Option<usize>>) {
        let old = |place: usize| self.until.get(place).copied();
        self.until = from.into_iter().map(|place| place.and_then(old).unwrap_or_default()).collect();
    }

    /// Whether an endpoint is spared.
    pub fn is_spared(&self, place: usize, now: Instant) -> bool {
        self.until.get(place).is_some_and(|until| *until > now)
    }

    /// When the first comes back, if all are spared. Nothing while one takes requests, or when there is none.
    pub fn soonest(&self, now: Instant) -> Option<Instant> {
        self.soonest_of(0..self.until.len(), now)
    }

    /// The same for some of them, as those that are not out.
    pub fn soonest_of(&self, places: impl IntoIterator<Item = usize>, now: Instant) -> Option<Instant> {
        let mut soonest = None;
        for until in places.into_iter().filter_map(|place| self.until.get(place)) {
            if *until <= now {
                return None;
            }
            soonest = Some(soonest.map_or(*until, |first: Instant| first.min(*until)));
        }
        soonest
    }
}

/// The value of a `Retry-After` header: whole seconds, rounded up, at least 1.
pub fn retry_after_secs(soonest: Instant, now: Instant) -> u64 {
    let wait = soonest.since(now);
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
