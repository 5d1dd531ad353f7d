//! Who is used, and with which weight.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::fixtures::{NOW, counts, percents, roster};
use super::*;

#[track_caller]
fn check(seats: &str, expected: Expect) {
    let roster = roster(seats);
    let candidates = roster.candidates(|_| 0);
    let used: Vec<_> = candidates
        .usable()
        .iter()
        .map(|place| format!("{place} x {:?}", candidates.weight(*place as usize)))
        .collect();
    expected.assert_eq(&format!("{:?}: {}", roster.mode(), used.join(", ")));
}

#[test]
fn only_the_open_are_used_unless_too_few_are_well() {
    check("open, out, open", expect!["Usual: 0 x 1.000, 2 x 1.000"]);
    check("open, out", expect!["Usual: 0 x 1.000"]);
    check("open, out, out", expect!["Panic: 0 x 1.000, 1 x 1.000, 2 x 1.000"]);
    check("out", expect!["Panic: 0 x 1.000"]);
    check("", expect!["Nobody: "]);
}

#[test]
fn who_said_not_now_is_well_and_yet_never_used() {
    check("open, spared, spared", expect!["Usual: 0 x 1.000"]);
    check("spared, spared, out", expect!["Spared: "]);
    check("spared, out, out", expect!["Panic: 1 x 1.000, 2 x 1.000"]);
}

#[test]
fn who_leaves_gets_nothing_new_not_even_in_panic() {
    check("draining, out, out", expect!["Panic: 1 x 1.000, 2 x 1.000"]);
    check("draining", expect!["Nobody: "]);
    check("draining, open", expect!["Usual: 1 x 1.000"]);
}

#[test]
fn weight_zero_takes_part_in_nothing() {
    check("0 open, open, out", expect!["Usual: 1 x 1.000"]);
    check("0 out, 0 out, 0.5 open", expect!["Usual: 2 x 0.500"]);
    check("0 open, 0 out", expect!["Nobody: "]);
}

#[test]
fn the_new_start_slowly_if_half_of_the_weight_is_warm() {
    check("open, open, open @3s", expect!["Usual: 0 x 1.000, 1 x 1.000, 2 x 0.300"]);
    check("open @1s, open @2s, open @3s", expect!["Usual: 0 x 1.000, 1 x 1.000, 2 x 1.000"]);
    check("open, open @3s, open @3s", expect!["Usual: 0 x 1.000, 1 x 1.000, 2 x 1.000"]);
    check("2 open, 4 open @5s", expect!["Usual: 0 x 2.000, 1 x 4.000"]);
    check("4 open, 2 open @5s", expect!["Usual: 0 x 4.000, 1 x 1.000"]);
    check("open @3s, out, out", expect!["Panic: 0 x 1.000, 1 x 1.000, 2 x 1.000"]);
}

#[test]
fn who_comes_back_from_being_out_starts_slowly_and_who_was_spared_does_not() {
    let mut roster = roster("open, open, out, spared");
    roster.stand(2, Standing::Open, NOW);
    roster.stand(3, Standing::Open, NOW);
    roster.refresh(NOW + Duration::from_secs(2));
    let weights = [0, 1, 2, 3].map(|place| roster.candidates(|_| 0).weight(place).thousandths());
    assert_eq!(weights, [1_000, 1_000, 200, 1_000]);
}

#[test]
fn a_ramp_calls_for_refreshes_until_it_ends() {
    let mut roster = roster("open, open, open @1s");
    let mut refreshes = 0;
    while let Some(next) = roster.next_refresh() {
        assert!(next > NOW && next < NOW + Duration::from_secs(10));
        roster.refresh(next);
        refreshes += 1;
    }
    assert_eq!(roster.candidates(|_| 0).weight(2), Weight::USUAL);
    assert!((20..40).contains(&refreshes), "{refreshes}");
}

#[test]
fn who_stays_keeps_age_and_standing_wherever_it_is_put() {
    let mut roster = roster("open, out");
    roster.replace([(7, Weight::USUAL), (101, Weight::USUAL.scaled(2.0)), (100, Weight::USUAL)], NOW);
    assert_eq!([7, 100, 101, 102].map(|key| roster.place(key)), [Some(0), Some(2), Some(1), None]);
    let seat = roster.seats()[1];
    assert_eq!((seat.standing, seat.weight), (Standing::Out, Weight::USUAL.scaled(2.0)));
    assert_eq!(roster.age(0, NOW), Some(Duration::ZERO));
    assert_eq!(roster.age(2, NOW), Some(Duration::from_secs(3_600)));
}

#[test]
fn a_place_that_is_not_there_changes_nothing() {
    let mut roster = roster("open");
    roster.stand(1, Standing::Out, NOW);
    roster.weigh(1, Weight::ZERO);
    roster.refresh(NOW);
    assert_eq!((roster.mode(), roster.age(1, NOW)), (Mode::Usual, None));
    assert!(!roster.candidates(|_| 0).is_available(1));
}

#[test]
fn draws_are_as_the_weights() {
    let roster = roster("open, 2 open, out, 0 open, 7 open");
    let drawn = counts(&roster, 100_000, |rng| roster.candidates(|_| 0).draw(rng));
    assert_eq!(percents(&drawn), "10 20 0 0 70");
}

#[test]
fn one_request_loads_an_endpoint_of_half_the_weight_like_two() {
    let roster = roster("open, 2 open, 3 open");
    let candidates = roster.candidates(|_| 6);
    assert_eq!([0, 1, 2].map(|place| candidates.relative_load(place)), [12.0, 6.0, 4.0]);
    assert_eq!((candidates.len(), candidates.total_load(), candidates.total_weight()), (3, 18, 6_000));
}

proptest! {
    /// The draws of the table against the weights, for any weights.
    #[test]
    fn the_table_draws_in_proportion(weights in prop::collection::vec(0u32..5_000, 1..40), seed: u64) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let mut roster = Roster::new(Rules { slow_start: SlowStart::OFF, ..Rules::default() });
        roster.replace((0..).zip(weights.iter().map(|weight| Weight::of_thousandths(*weight))), NOW);
        let (mut rng, mut drawn) = (Rng::seeded(seed), vec![0f64; weights.len()]);
        let draws = 20_000.0;
        for _ in 0..draws as usize {
            drawn[roster.candidates(|_| 0).draw(&mut rng).expect("a weight above zero")] += 1.0;
        }
        let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (weight, drawn) in weights.iter().zip(drawn) {
            let expected = draws * f64::from(*weight) / all;
            // Six standard deviations of the binomial distribution.
            prop_assert!((drawn - expected).abs() <= 6.0 * expected.sqrt() + 1.0, "{drawn} of {expected}");
            prop_assert!(*weight > 0 || drawn == 0.0);
        }
    }
}
