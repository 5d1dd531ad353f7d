//! Prequal without probes, for a picker through which all traffic of its endpoints goes.
//!
//! MODEL. Every RIF is known exactly and now; every latency was seen. So the readings of up to `choices` endpoints are
//! made at the moment of the pick, and the rule of hot and cold decides. The rest of the machine, the pool, its ages
//! and budgets, answers the staleness of probes, which is not there.
//!
//! DEFAULTS. 5 choices, as in [`choices`], and the paper's quantile. The RIF is relative to
//! weight. An endpoint of which no answer is known counts as the fastest while it has nothing in flight, and as hot
//! while it has, so it gets one request at a time.

use std::time::Duration;

use base::Rng;

use super::quantile::RecentRif;
use super::{nanos, rank};
use crate::balance::{Candidates, choices};

const MOST_CHOICES: usize = 16;

/// How many endpoints are compared, and what is hot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalPolicy {
    /// From 1 to 16.
    pub choices: usize,
    /// Which part of the recent RIFs is not hot, from 0 to 1: 0 goes by RIF alone, 1 by latency alone.
    pub rif_quantile: f64,
}

impl Default for LocalPolicy {
    fn default() -> Self {
        Self { choices: 5, rif_quantile: 0.84 }
    }
}

/// What was seen of RIFs at recent picks.
///
/// ```
/// use std::time::Duration;
/// use base::{Instant, Rng};
/// use resilience::balance::prequal::{Local, LocalPolicy};
/// use resilience::balance::{Roster, Rules, Weight};
///
/// let mut roster = Roster::new(Rules::default());
/// roster.replace([(1, Weight::USUAL), (2, Weight::USUAL)], Instant::from_secs(1));
/// let latency = [Duration::from_millis(20), Duration::from_millis(5)];
/// let mut prequal = Local::new(LocalPolicy::default());
/// let picked = prequal.pick(&roster.candidates(|_| 1), &mut Rng::seeded(1), |place, _rif| Some(latency[place]));
/// assert_eq!(picked, Some(1));
/// ```
#[derive(Debug, Clone)]
pub struct Local {
    choices: usize,
    recent: RecentRif,
}

impl Local {
    /// A picker that has seen nothing yet.
    pub fn new(policy: LocalPolicy) -> Self {
        Self { choices: policy.choices.clamp(1, MOST_CHOICES), recent: RecentRif::new(policy.rif_quantile) }
    }

    /// Where the query goes; `latency` tells of a place and its RIF what [`LatencyByRif::at`](super::LatencyByRif::at)
    /// does.
    pub fn pick<L: Fn(usize) -> u32>(
        &mut self,
        candidates: &Candidates<'_, L>,
        rng: &mut Rng,
        latency: impl Fn(usize, u32) -> Option<Duration>,
    ) -> Option<usize> {
        let Self { choices, recent } = self;
        let limit = recent.limit();
        choices::pick(candidates, *choices, rng, |place| {
            let rif = candidates.load(place);
            // Rounded up: with little weight, one request may be a lot.
            let relative = candidates.relative_load(place).ceil() as u32;
            recent.note(relative);
            match latency(place, rif) {
                Some(latency) => rank(relative, nanos(latency), limit),
                None if rif == 0 => 0,
                None => u64::MAX,
            }
        })
    }
}

#[cfg(test)]
mod tests;
