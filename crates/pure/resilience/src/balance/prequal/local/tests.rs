//! The rule of hot and cold on what the picker sees itself.

use expect_test::{Expect, expect};

use super::*;
use crate::balance::fixtures::{counts, percents, roster};

/// Loads, and latencies in milliseconds, 0 for unknown.
#[track_caller]
fn check(seats: &str, quantile: f64, loads: &[u32], latencies: &[u64], expected: Expect) {
    let roster = roster(seats);
    let mut prequal = Local::new(LocalPolicy { rif_quantile: quantile, ..LocalPolicy::default() });
    let picked = counts(&roster, 10_000, |rng| {
        prequal.pick(&roster.candidates(|place| loads[place]), rng, |place, _| {
            Some(Duration::from_millis(latencies[place])).filter(|took| !took.is_zero())
        })
    });
    expected.assert_eq(&percents(&picked));
}

#[test]
fn the_fastest_of_those_that_are_not_overfull_is_taken() {
    check("open, open, open", 0.5, &[1, 2, 9], &[50, 40, 1], expect!["0 100 0"]);
    check("open, open, open", 1.0, &[1, 2, 9], &[50, 40, 1], expect!["0 0 100"]);
    check("open, open, open", 0.0, &[1, 2, 9], &[50, 40, 1], expect!["100 0 0"]);
    check("open, open, out", 0.5, &[1, 2, 0], &[50, 40, 1], expect!["100 0 0"]);
    check("draining", 0.5, &[1], &[1], expect!["0"]);
}

#[test]
fn the_untried_get_one_request_at_a_time() {
    check("open, open", 0.84, &[1, 0], &[5, 0], expect!["0 100"]);
    check("open, open", 0.84, &[1, 1], &[5, 0], expect!["100 0"]);
}
