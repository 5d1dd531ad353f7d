//! The order of turns.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::fixtures::{NOW, roster};
use super::*;
use crate::balance::{Standing, Weight};

/// The picks as letters, from equal credit on.
#[track_caller]
fn check(seats: &str, picks: usize, expected: Expect) {
    let roster = roster(seats);
    let mut turns = RoundRobin { credit: vec![0; roster.seats().len()] };
    let mut rng = Rng::seeded(1);
    let picked: String = (0..picks)
        .map(|_| {
            turns.pick(&roster.candidates(|_| 0), &mut rng).map_or('-', |place| (b'a' + place as u8).into())
        })
        .collect();
    expected.assert_eq(&picked);
}

#[test]
fn the_heavy_come_more_often_but_not_in_a_row() {
    check("open, open, open", 7, expect!["abcabca"]);
    check("5 open, open, open", 14, expect!["aabacaaaabacaa"]);
    check("open, 2 open", 6, expect!["babbab"]);
    check("open, out, open", 4, expect!["acac"]);
    check("out, out", 4, expect!["abab"]);
    check("draining", 2, expect!["--"]);
}

#[test]
fn weights_and_standing_may_change_between_turns() {
    let mut roster = roster("open, open, open");
    let (mut turns, mut rng) = (RoundRobin { credit: vec![0; 3] }, Rng::seeded(1));
    let mut picked = String::new();
    for turn in 0..24 {
        match turn {
            6 => roster.stand(1, Standing::Out, NOW),
            12 => roster.weigh(0, Weight::USUAL.scaled(3.0)),
            18 => roster.replace([(100, Weight::USUAL)], NOW),
            _ => {}
        }
        roster.refresh(NOW);
        let place = turns.pick(&roster.candidates(|_| 0), &mut rng).expect("one is open");
        picked.push((b'a' + place as u8).into());
    }
    expect!["abcabcacacacaacaaaaaaaaa"].assert_eq(&picked);
}

#[test]
fn many_that_begin_together_do_not_begin_with_the_same() {
    let roster = roster("open, open, open, open");
    let mut rng = Rng::seeded(1);
    let firsts = (0..400).map(|_| RoundRobin::default().pick(&roster.candidates(|_| 0), &mut rng));
    let of_first_place = firsts.filter(|place| *place == Some(0)).count();
    assert!((60..140).contains(&of_first_place), "{of_first_place}");
}

proptest! {
    /// Over any window, everyone is within two turns of its exact share.
    #[test]
    fn shares_are_exact(weights in prop::collection::vec(1u32..20, 1..12), seed: u64) {
        let roster = roster(&weights.iter().map(|weight| format!("{weight} open")).collect::<Vec<_>>().join(", "));
        let (mut turns, mut rng) = (RoundRobin::default(), Rng::seeded(seed));
        let mut picked = vec![0f64; weights.len()];
        let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for turn in 1..=500 {
            picked[turns.pick(&roster.candidates(|_| 0), &mut rng).expect("all are open")] += 1.0;
            for (weight, picked) in weights.iter().zip(&picked) {
                let exact = f64::from(turn) * f64::from(*weight) / all;
                prop_assert!((picked - exact).abs() <= 2.0, "{picked} instead of {exact} at {turn}");
            }
        }
    }
}
