//! The ramp at some ages, and when there is none.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(ramp: SlowStart, expected: Expect) {
    let weights: Vec<_> = [0, 500, 1_000, 2_500, 5_000, 9_999, 10_000, 60_000]
        .iter()
        .map(|age| format!("{:?}", ramp.weight(Weight::USUAL, Duration::from_millis(*age))))
        .collect();
    expected.assert_eq(&weights.join(" "));
}

#[test]
fn the_weight_grows_from_the_minimum_to_the_whole() {
    let usual = SlowStart::default();
    check(usual, expect!["0.100 0.100 0.100 0.250 0.500 1.000 1.000 1.000"]);
    check(SlowStart { minimum: 0.3, ..usual }, expect!["0.300 0.300 0.300 0.300 0.500 1.000 1.000 1.000"]);
    check(SlowStart { aggression: 2.0, ..usual }, expect!["0.316 0.316 0.316 0.500 0.707 1.000 1.000 1.000"]);
    check(SlowStart { aggression: 0.5, ..usual }, expect!["0.100 0.100 0.100 0.100 0.250 1.000 1.000 1.000"]);
    check(SlowStart { aggression: 0.0, ..usual }, expect!["0.100 0.100 0.100 0.100 0.100 0.990 1.000 1.000"]);
    check(SlowStart::OFF, expect!["1.000 1.000 1.000 1.000 1.000 1.000 1.000 1.000"]);
}

#[test]
fn the_cold_are_spared_while_half_of_the_weight_is_warm() {
    let can_spare = |endpoints: &[(f64, u64)]| {
        let endpoints = endpoints.iter();
        SlowStart::default().can_spare(
            endpoints.map(|(weight, age)| (Weight::USUAL.scaled(*weight), Duration::from_secs(*age))),
        )
    };
    assert!(!can_spare(&[]));
    assert!(!can_spare(&[(1.0, 1), (1.0, 2), (1.0, 3)]), "all are new");
    assert!(can_spare(&[(1.0, 60), (1.0, 2)]));
    assert!(!can_spare(&[(1.0, 60), (1.0, 2), (1.0, 3)]), "one would carry what three do");
    assert!(can_spare(&[(2.0, 60), (1.0, 2), (1.0, 3)]));
}
