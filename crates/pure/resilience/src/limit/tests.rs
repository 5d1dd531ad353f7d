//! A limit against a simulated service: workers that each do one call at a time, behind one queue.

use std::collections::BinaryHeap;
use std::time::Duration;

use base::{Instant, Rng};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{AdaptiveLimit, Algorithm, Outcome, Policy};

#[test]
fn vegas_finds_the_workers_of_a_saturated_service() {
    for workers in [8, 32, 128] {
        let end = Service { workers, ms: 10, callers: 2_000 }.saturate(Policy::default(), 60);
        assert!(end.limit >= workers as f64, "{workers} workers, {end:?}");
        assert!(end.limit <= workers as f64 * 1.6 + 12.0, "{workers} workers, {end:?}");
        assert!(end.busy >= 0.97, "{workers} workers, {end:?}");
    }
}

#[test]
fn gradient_keeps_the_workers_busy_too() {
    let policy = Policy { algorithm: Algorithm::Gradient, ..Policy::default() };
    let end = Service { workers: 32, ms: 10, callers: 2_000 }.saturate(policy, 20);
    assert!(end.busy >= 0.97, "{end:?}");
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let end = Service { workers: 1_000, ms: 10, callers: 6 }.saturate(Policy::default(), 30);
    assert_eq!(end.limit, 20.0);
}

#[test]
fn drops_shrink_the_limit_to_its_least_and_no_further() {
    let mut limit = AdaptiveLimit::new(Policy { samples: 10, ..Policy::default() });
    let mut rng = Rng::seeded(1);
    let mut limits = Vec::new();
    for ms in 0..100 {
        let now = Instant(ms * 1_000_000);
        let permit = limit.admit(now).expect("one at a time");
        limit.settle(permit, Outcome::Dropped, now, &mut rng);
        limits.push(limit.limit());
    }
    assert_eq!((limits[8], limits[9], limits[19], limits[99]), (20, 10, 5, 4));
}

#[test]
fn what_is_ignored_teaches_nothing() {
    let mut limit = AdaptiveLimit::new(Policy { samples: 1, ..Policy::default() });
    for _ in 0..100 {
        let permit = limit.admit(Instant(0)).expect("one at a time");
        limit.settle(permit, Outcome::Ignored, Instant::from_secs(9), &mut Rng::seeded(1));
    }
    assert_eq!((limit.limit(), limit.in_flight()), (20, 0));
}

proptest! {
    #[test]
    fn places_never_leak_and_the_limit_keeps_its_bounds(
        seed in proptest::num::u64::ANY,
        gradient in proptest::bool::ANY,
        steps in proptest::collection::vec((0u64..50, 0u8..8), 1..400),
    ) {
        let algorithm = if gradient { Algorithm::Gradient } else { Algorithm::Vegas };
        let probe_every = Duration::from_millis(500);
        let policy = Policy { algorithm, initial: 8, least: 3, most: 12, samples: 3, probe_every };
        let mut limit = AdaptiveLimit::new(policy);
        let mut rng = Rng::seeded(seed);
        let (mut now, mut out) = (Instant(0), Vec::new());
        for (later_ms, act) in steps {
            now = now + Duration::from_millis(later_ms);
            if act < 4 {
                let before = out.len();
                out.extend(limit.admit(now).ok());
                prop_assert!(out.len() > before || before >= 3, "refused with {before} in flight");
            } else if !out.is_empty() {
                let permit = out.swap_remove(rng.below(out.len() as u64) as usize);
                let outcome = [Outcome::Done, Outcome::Done, Outcome::Dropped, Outcome::Ignored];
                limit.settle(permit, outcome[act as usize - 4], now, &mut rng);
            }
            prop_assert_eq!(limit.in_flight() as usize, out.len());
            prop_assert!((3..=12).contains(&limit.limit()) && out.len() <= 12);
        }
    }
}

/// Calls take between half and one and a half times `ms`.
struct Service {
    workers: usize,
    ms: u64,
    callers: usize,
}

#[derive(Debug)]
struct End {
    limit: f64,
    /// The share of the workers' time that was used, in the second half.
    busy: f64,
}

impl Service {
    /// Callers ask again and again for so many seconds, and are refused or admitted.
    fn saturate(&self, policy: Policy, seconds: u64) -> End {
        let mut limit = AdaptiveLimit::new(policy);
        let mut rng = Rng::seeded(11);
        let mut free_at = BinaryHeap::from(vec![std::cmp::Reverse(0u64); self.workers]);
        let mut done: BinaryHeap<(std::cmp::Reverse<u64>, u64)> = BinaryHeap::new();
        let mut out = std::collections::HashMap::new();
        let (mut now, mut number, mut busy, mut limits) = (0, 0, 0.0, Vec::new());
        while now < seconds * 1_000_000_000 {
            while out.len() < self.callers
                && let Ok(permit) = limit.admit(Instant(now))
            {
                let time = self.ms * 500_000 + rng.below(self.ms * 1_000_000);
                let free = free_at.pop().map_or(now, |at| at.0.max(now));
                free_at.push(std::cmp::Reverse(free + time));
                done.push((std::cmp::Reverse(free + time), number));
                out.insert(number, permit);
                number += 1;
                if now > seconds * 500_000_000 {
                    busy += time as f64;
                }
            }
            let Some((at, who)) = done.pop() else { break };
            now = at.0;
            let permit = out.remove(&who).expect("a call that is out");
            limit.settle(permit, Outcome::Done, Instant(now), &mut rng);
            if now > seconds * 500_000_000 {
                limits.push(limit.limit);
            }
        }
        let mean = limits.iter().sum::<f64>() / limits.len().max(1) as f64;
        End { limit: mean, busy: busy / (seconds as f64 * 0.5e9 * self.workers as f64) }
    }
}
