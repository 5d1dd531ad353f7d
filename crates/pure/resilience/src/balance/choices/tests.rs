//! Who wins, and what share can be won.

use base::Rng;
use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::fixtures::{NOW, counts, percents, roster};
use super::*;
use crate::balance::{Ewma, EwmaPolicy};

/// Shares with fixed costs.
#[track_caller]
fn check(seats: &str, choices: usize, costs: &[f64], expected: Expect) {
    let roster = roster(seats);
    let picked =
        counts(&roster, 50_000, |rng| pick(&roster.candidates(|_| 0), choices, rng, |place| costs[place]));
    expected.assert_eq(&percents(&picked));
}

#[test]
fn the_cheaper_wins_and_even_contests_keep_the_weights() {
    check("open, open", 2, &[2.0, 1.0], expect!["0 100"]);
    check("open, open, open", 2, &[3.0, 2.0, 1.0], expect!["0 33 67"]);
    check("open, open, open", 3, &[3.0, 2.0, 1.0], expect!["0 0 100"]);
    check("open, open, open", 1, &[3.0, 2.0, 1.0], expect!["33 33 33"]);
    check("open, 3 open, 6 open", 2, &[1.0, 1.0, 1.0], expect!["10 30 60"]);
    check("open, 3 open, 6 open", 5, &[1.0, 1.0, 1.0], expect!["10 30 60"]);
    check("out, open, draining", 2, &[1.0, 9.0, 1.0], expect!["0 100 0"]);
    check("draining", 2, &[1.0], expect!["0"]);
}

#[test]
fn the_best_of_light_weight_wins_no_more_than_its_share_times_the_choices() {
    check("open, open @1s", 2, &[2.0, 1.0], expect!["81 19"]);
    check("open, open, open @1s", 2, &[2.0, 2.0, 1.0], expect!["45 45 10"]);
    check("open, open, open @1s", 5, &[2.0, 2.0, 1.0], expect!["43 43 14"]);
}

#[test]
fn a_newcomer_gets_one_request_until_it_has_answered() {
    let roster = roster("open, open, open");
    let mut latencies = [Ewma::default(); 3];
    let policy = EwmaPolicy::default();
    latencies[0].answered(Duration::from_millis(10), NOW, policy);
    latencies[1].answered(Duration::from_millis(10), NOW, policy);
    let (mut loads, mut rng) = ([0u32; 3], Rng::seeded(1));
    for _ in 0..100 {
        let candidates = roster.candidates(|place| loads[place]);
        let cost = |place: usize| latencies[place].cost(candidates.relative_load(place), NOW, policy);
        let place = pick(&candidates, DEFAULT_CHOICES, &mut rng, cost).expect("all are open");
        loads[place] += 1;
    }
    assert_eq!(loads[2], 1);
    assert!(loads[0].abs_diff(loads[1]) <= 1, "{loads:?}");
}

proptest! {
    /// However costs are, nobody gets more than its share times the choices, or is picked without being usable.
    #[test]
    fn shares_are_bounded(
        weights in prop::collection::vec(1u32..10, 2..8),
        choices in 1usize..6,
        costs in prop::collection::vec(0u32..5, 8),
        seed: u64,
    ) {
        let text: Vec<_> = weights.iter().map(|weight| format!("{weight} open")).collect();
        let roster = roster(&text.join(", "));
        let (mut rng, mut picked) = (Rng::seeded(seed), vec![0f64; weights.len()]);
        let picks = 4_000.0;
        for _ in 0..picks as usize {
            let place = pick(&roster.candidates(|_| 0), choices, &mut rng, |place| costs[place]);
            picked[place.expect("all are open")] += 1.0;
        }
        let all: u32 = weights.iter().sum();
        for (weight, picked) in weights.iter().zip(picked) {
            let most = picks * f64::from(*weight) / f64::from(all) * choices as f64;
            prop_assert!(picked <= most + 6.0 * most.sqrt(), "{picked} above {most}");
        }
    }
}
