//! Slow start: a new endpoint, or one that just recovered, gets its share bit by bit.
//!
//! MODEL. A process that just began has cold caches, empty connection pools and code that is not compiled yet; it can
//! carry a part of its share at first, and all of it after a window of time.
//!
//! SOURCE. Envoy's slow start mode: a weight is multiplied by `max(minimum, time_factor ^ (1 / aggression))`, where
//! `time_factor = max(age, 1 s) / window`.
//!
//! DEFAULTS. Window 10 s: most runtimes fill pools and compile hot paths within a few thousand requests, and a deploy
//! that goes from one instance to the next is not held up by it. Aggression 1, a straight line, as nothing is known of
//! the curve of a program. Minimum weight 10 %: enough requests to warm up with.
//!
//! It protects the cold at the cost of the warm. So it does nothing when less than half of the weight is warm: were
//! all endpoints new, their shares would be equal anyway; were most of them new, as after an outage, the few warm ones
//! would have to carry more than twice their share. That is the bound of the panic threshold too.

use std::time::Duration;

use base::Instant;

use super::Weight;

/// How weight grows with age.
///
/// ```
/// use std::time::Duration;
/// use resilience::balance::{SlowStart, Weight};
///
/// let ramp = SlowStart::default();
/// assert_eq!(ramp.weight(Weight::USUAL, Duration::from_secs(4)), Weight::of_thousandths(400));
/// assert_eq!(ramp.weight(Weight::USUAL, Duration::from_secs(40)), Weight::USUAL);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long it takes to get the whole share. Zero: there is no slow start.
    pub window: Duration,
    /// Above 1 the weight grows faster at first, below 1 slower; above 0.
    pub aggression: f64,
    /// The least part of the weight, from 0 to 1.
    pub minimum: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), aggression: 1.0, minimum: 0.1 }
    }
}

impl SlowStart {
    /// Every endpoint gets its whole share at once.
    pub const OFF: Self = Self { window: Duration::ZERO, aggression: 1.0, minimum: 1.0 };

    /// The weight of an endpoint of this age.
    pub fn weight(&self, weight: Weight, age: Duration) -> Weight {
        if self.is_warm(age) {
            return weight;
        }
        let time_factor = age.as_secs_f64().max(1.0) / self.window.as_secs_f64();
        let factor = time_factor.powf(1.0 / self.aggression.max(0.01)).max(self.minimum);
        weight.scaled(factor.min(1.0))
    }

    /// Whether an endpoint of this age gets its whole share.
    pub fn is_warm(&self, age: Duration) -> bool {
        age >= self.window
    }

    /// Whether there is enough warm weight to spare the cold: each endpoint with its age.
    pub fn can_spare(&self, endpoints: impl Iterator<Item = (Weight, Duration)>) -> bool {
        let (mut warm, mut all) = (0u64, 0u64);
        for (weight, age) in endpoints {
            let weight = u64::from(weight.thousandths());
            all += weight;
            warm += if self.is_warm(age) { weight } else { 0 };
        }
        warm > 0 && warm * 2 >= all
    }

    /// How long after a change of weights the next one is worth making.
    pub fn step(&self, now: Instant) -> Instant {
        now + (self.window / 32).max(Duration::from_millis(50))
    }
}

#[cfg(test)]
mod tests;
