//! One edge or thread: a policy and what it remembers.

use std::time::Duration;

use base::{Instant, Rng};
use resilience::balance::choices::{self, DEFAULT_CHOICES};
use resilience::balance::prequal::{LatencyByRif, Local, LocalPolicy, Prequal, PrequalPolicy, Reading};
use resilience::balance::{Candidates, Ewma, EwmaPolicy, Rise, RoundRobin, ewma, least_requests};
use resilience::health::outliers::Outcome;

/// For the memory of latencies that Prequal's readings come from.
const HALF_LIFE: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    RoundRobin,
    LeastRequests,
    /// Two choices by peak EWMA, as Finagle has them.
    TwoByPeak,
    /// Five choices by the mean, our default.
    FiveByMean,
    /// The same, where latencies near the least are alike.
    FiveAlike,
    /// Prequal by what the edge sees itself.
    PrequalLocal,
    /// Prequal as in the paper.
    PrequalProbes,
}

impl Policy {
    fn ewma(self) -> EwmaPolicy {
        let rise = if self == Self::TwoByPeak { Rise::Peak } else { Rise::Mean };
        EwmaPolicy { rise, ..EwmaPolicy::default() }
    }
}

pub(crate) struct Picker {
    policy: Policy,
    turns: RoundRobin,
    ewmas: Vec<Ewma>,
    /// What this picker saw.
    seen: Vec<LatencyByRif>,
    /// What the replicas know of themselves.
    served: Vec<LatencyByRif>,
    local: Local,
    probing: Prequal,
}

impl Picker {
    pub(crate) fn new(policy: Policy, replicas: usize) -> Self {
        Self {
            policy,
            turns: RoundRobin::default(),
            ewmas: vec![Ewma::default(); replicas],
            seen: vec![LatencyByRif::default(); replicas],
            served: vec![LatencyByRif::default(); replicas],
            local: Local::new(LocalPolicy::default()),
            probing: Prequal::new(PrequalPolicy::default()),
        }
    }

    pub(crate) fn pick<L: Fn(usize) -> u32>(
        &mut self,
        candidates: &Candidates<'_, L>,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<usize> {
        let Self { policy, turns, ewmas, seen, local, probing, .. } = self;
        match policy {
            Policy::RoundRobin => turns.pick(candidates, rng),
            Policy::LeastRequests => least_requests::pick(candidates, rng),
            Policy::TwoByPeak | Policy::FiveByMean => {
                let count = if *policy == Policy::TwoByPeak { 2 } else { DEFAULT_CHOICES };
                choices::pick(candidates, count, rng, |place| {
                    ewmas[place].cost(candidates.relative_load(place), now, policy.ewma())
                })
            }
            Policy::FiveAlike => {
                let quickest = ewma::quickest(ewmas.iter(), now, policy.ewma()).unwrap_or_default();
                choices::pick(candidates, DEFAULT_CHOICES, rng, |place| {
                    let load = candidates.relative_load(place);
                    ewmas[place].cost_alike(load, quickest.mul_f64(ewma::ALIKE), now, policy.ewma())
                })
            }
            Policy::PrequalLocal => {
                local.pick(candidates, rng, |place, rif| seen[place].at(rif, now, HALF_LIFE))
            }
            Policy::PrequalProbes => probing.pick(candidates, now, rng),
        }
    }

    pub(crate) fn answered(
        &mut self,
        place: usize,
        rif: u32,
        took: Duration,
        outcome: Outcome,
        now: Instant,
    ) {
        match outcome {
            Outcome::Good => {
                self.ewmas[place].answered(took, now, self.policy.ewma());
                self.seen[place].answered(rif, took, now);
            }
            Outcome::OwnError | Outcome::GatewayError => {
                self.ewmas[place].failed(took, now, self.policy.ewma());
            }
        }
    }

    pub(crate) fn served(&mut self, place: usize, rif: u32, took: Duration, now: Instant) {
        if self.policy == Policy::PrequalProbes {
            self.served[place].answered(rif, took, now);
        }
    }

    pub(crate) fn probes<L: Fn(usize) -> u32>(
        &mut self,
        candidates: &Candidates<'_, L>,
        rng: &mut Rng,
    ) -> Vec<usize> {
        if self.policy != Policy::PrequalProbes {
            return Vec::new();
        }
        self.probing.probes(candidates, rng).collect()
    }

    /// What a replica would answer to a probe.
    pub(crate) fn reading(&self, place: usize, rif: u32, now: Instant) -> Reading {
        let latency = self.served[place].at(rif, now, HALF_LIFE).unwrap_or_default();
        Reading { rif, latency }
    }

    pub(crate) fn probed<L: Fn(usize) -> u32>(
        &mut self,
        place: usize,
        reading: Reading,
        candidates: &Candidates<'_, L>,
        now: Instant,
        rng: &mut Rng,
    ) {
        self.probing.answered(place, reading, candidates, now, rng);
    }
}
