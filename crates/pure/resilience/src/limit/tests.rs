//! A limit against a simulated service: workers that each do one call at a time, behind one queue.

use std::collections::BinaryHeap;
use std::time::Duration;

use base::{Instant, Rng};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{AdaptiveLimit, Algorithm, Outcome, Policy};

#[test]
fn vegas_finds_the_workers_of_a_saturated_service() {
    for workers in [8, 32, 128] {
        let end = Service { workers, ms: 10, callers: 2_000, varies: true }.saturate(Policy::default(), 60);
        assert!(end.limit >= workers as f64, "{workers} workers, {end:?}");
        assert!(end.limit <= workers as f64 * 1.6 + 12.0, "{workers} workers, {end:?}");
        assert!(end.busy >= 0.97, "{workers} workers, {end:?}");
    }
}

#[test]
fn where_calls_end_together_none_waits_for_a_round() {
    for (workers, late) in [(10, 0.01), (64, 0.05)] {
        let service = Service { workers, ms: 50, callers: 2_000, varies: false };
        let end = service.saturate(Policy::default(), 120);
        assert!(end.busy >= 0.97, "{workers} workers, {end:?}");
        assert!(end.late < late, "{workers} workers, {end:?}");
    }
}

#[test]
fn a_service_that_takes_longer_from_now_on_keeps_its_limit() {
    let mut limit = AdaptiveLimit::new(Policy::default());
    let mut rng = Rng::seeded(5);
    let mut now = Instant::from_secs(1);
    let mut rounds = |limit: &mut AdaptiveLimit, ms: u64, rounds: u32| {
        for _ in 0..rounds {
            let all: Vec<_> = (0..40).filter_map(|_| limit.admit(now).ok()).collect();
            now = now + Duration::from_millis(ms);
            all.into_iter().for_each(|one| limit.settle(one, Outcome::Done, now, &mut rng));
        }
        limit.limit()
    };
    let before = rounds(&mut limit, 10, 50);
    let least = (0..100).map(|_| rounds(&mut limit, 30, 4)).min();
    assert!(before >= 40, "{before}");
    assert!(least >= Some(15), "it has not become slower by being asked: {least:?}");
    assert!(rounds(&mut limit, 30, 1) >= 40, "and is soon asked as before");
}

#[test]
fn a_service_with_more_workers_from_now_on_is_asked_more() {
    let few = Service { workers: 10, ms: 50, callers: 2_000, varies: false };
    let more = Service { workers: 40, ..few };
    let (mut limit, mut rng) = (AdaptiveLimit::new(Policy::default()), Rng::seeded(3));
    few.serve(&mut limit, &mut rng, 0, 30);
    assert!((10..=11).contains(&limit.limit()), "{}", limit.limit());
    let end = more.serve(&mut limit, &mut rng, 30, 40);
    assert!(end.busy >= 0.95, "{end:?}");
}

#[test]
fn gradient_keeps_the_workers_busy_too() {
    let policy = Policy { algorithm: Algorithm::Gradient, ..Policy::default() };
    let end = Service { workers: 32, ms: 10, callers: 2_000, varies: true }.saturate(policy, 20);
    assert!(end.busy >= 0.97, "{end:?}");
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let end = Service { workers: 1_000, ms: 10, callers: 6, varies: true }.saturate(Policy::default(), 30);
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
    assert_eq!((limits[8], limits[9], limits[19], limits[99]), (20, 10, 5, 1));
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

struct Service {
    workers: usize,
    ms: u64,
    callers: usize,
    /// Calls take between half and one and a half times `ms`, and not all the same.
    varies: bool,
}

#[derive(Debug)]
struct End {
    limit: f64,
    /// The share of the workers' time that was used, in the second half.
    busy: f64,
    /// The share of calls that took more than one and a half times `ms`, there.
    late: f64,
}

impl Service {
    /// Callers ask again and again for so many seconds, and are refused or admitted.
    fn saturate(&self, policy: Policy, seconds: u64) -> End {
        self.serve(&mut AdaptiveLimit::new(policy), &mut Rng::seeded(11), 0, seconds)
    }

    /// The same under a limit that knows something already, from this second on.
    fn serve(&self, limit: &mut AdaptiveLimit, rng: &mut Rng, from: u64, seconds: u64) -> End {
        let (start, half) = (from * 1_000_000_000, from * 1_000_000_000 + seconds * 500_000_000);
        let end = half + seconds * 500_000_000;
        let mut free_at = BinaryHeap::from(vec![std::cmp::Reverse(start); self.workers]);
        let mut done: BinaryHeap<(std::cmp::Reverse<u64>, u64)> = BinaryHeap::new();
        let mut out = std::collections::HashMap::new();
        let (mut now, mut number, mut busy, mut limits, mut late) = (start, 0, 0.0, Vec::new(), 0);
        while now < end {
            while out.len() < self.callers
                && let Ok(permit) = limit.admit(Instant(now))
            {
                let time = match self.varies {
                    true => self.ms * 500_000 + rng.below(self.ms * 1_000_000),
                    false => self.ms * 1_000_000,
                };
                let free = free_at.pop().map_or(now, |at| at.0.max(now));
                free_at.push(std::cmp::Reverse(free + time));
                done.push((std::cmp::Reverse(free + time), number));
                out.insert(number, (permit, now));
                number += 1;
                if now > half {
                    busy += time as f64;
                }
            }
            let Some((at, who)) = done.pop() else { break };
            now = at.0;
            let (permit, began) = out.remove(&who).expect("a call that is out");
            limit.settle(permit, Outcome::Done, Instant(now), rng);
            if now > half {
                limits.push(limit.limit);
                late += u32::from(now - began > self.ms * 1_500_000);
            }
        }
        for (permit, _) in out.into_values() {
            limit.settle(permit, Outcome::Ignored, Instant(now), rng);
        }
        let mean = limits.iter().sum::<f64>() / limits.len().max(1) as f64;
        let late = f64::from(late) / limits.len().max(1) as f64;
        End { limit: mean, late, busy: busy / (seconds as f64 * 0.5e9 * self.workers as f64) }
    }
}
