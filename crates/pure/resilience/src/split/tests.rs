//! That shares are what weights say, and who moves when something changes.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Sides with these weights; their keys are as unlike as hashes are.
fn split(weights: &[u32]) -> Split {
    let side = |(key, weight): (u64, &u32)| Side { key: mix(key ^ 0x5ea), weight: *weight };
    Split::new((1..).zip(weights).map(side))
}

fn owners(split: &Split, points: u64) -> Vec<Option<usize>> {
    (0..points).map(|point| split.owner(point)).collect()
}

/// Of 20,000 clients in a row, how many hundredths each side gets; `out` are the sides that cannot be used.
#[track_caller]
fn check(weights: &[u32], out: &[usize], expected: Expect) {
    let split = split(weights);
    let mut counts = vec![0u32; weights.len()];
    for point in 0..20_000 {
        if let Some(drawn) = split.draw(point, |side| !out.contains(&side)) {
            counts[drawn.side] += 1;
        }
    }
    let shown: Vec<_> = counts.iter().map(|count| format!("{:.1}", f64::from(*count) / 200.0)).collect();
    expected.assert_eq(&shown.join(" "));
}

#[test]
fn sides_get_what_their_weights_say() {
    check(&[90, 10], &[], expect!["90.0 10.0"]);
    check(&[9, 1], &[], expect!["90.0 10.0"]);
    check(&[99, 1], &[], expect!["99.0 1.0"]);
    check(&[1, 1, 1], &[], expect!["33.7 33.2 33.1"]);
    check(&[1, 0], &[], expect!["100.0 0.0"]);
    check(&[0, 5], &[], expect!["0.0 100.0"]);
    check(&[0, 0], &[], expect!["0.0 0.0"]);
    check(&[], &[], expect![""]);
}

#[test]
fn a_side_that_cannot_be_used_falls_to_the_others_by_their_weights() {
    check(&[90, 10], &[1], expect!["100.0 0.0"]);
    check(&[90, 10], &[0], expect!["0.0 100.0"]);
    check(&[60, 30, 10], &[0], expect!["0.0 74.9 25.1"]);
    // With none left each is at its own, and a side without weight helps nobody.
    check(&[90, 10], &[0, 1], expect!["90.0 10.0"]);
    check(&[90, 10, 0], &[0, 1], expect!["90.0 10.0 0.0"]);
}

#[test]
fn a_point_has_the_same_side_in_every_version_of_this_program() {
    let split = split(&[50, 30, 20]);
    let owners: String = owners(&split, 40).into_iter().flatten().map(|side| side.to_string()).collect();
    expect!["0220101110020221022200000201010010001000"].assert_eq(&owners);
}

#[test]
fn who_falls_is_told_and_nobody_else_moves() {
    let split = split(&[60, 30, 10]);
    for point in 0..2_000 {
        let own = split.owner(point).expect("there is weight");
        let drawn = split.draw(point, |side| side != 1).expect("there is weight");
        if own == 1 {
            assert_eq!(drawn.instead_of, Some(1));
            assert_ne!(drawn.side, 1);
        } else {
            assert_eq!(drawn, Drawn { side: own, instead_of: None });
        }
    }
}

/// How far a count may be from `share` of `all` by chance: eight standard deviations, and some for the rare, which nobody
/// lives to see exceeded.
fn slack(share: f64, all: u64) -> f64 {
    8.0 * (all as f64 * share * (1.0 - share)).sqrt() + 8.0
}

proptest! {
    /// Whatever points look like: in a row, by chance, or all alike in their low bits.
    #[test]
    fn shares_are_kept_within_what_chance_allows(
        weights in prop::collection::vec(0u32..1_000, 1..6), seed: u64, shift in 0u32..48,
    ) {
        let split = split(&weights);
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let all = 5_000;
        let mut rng = Rng::seeded(seed);
        let points: [Vec<u64>; 2] = [
            (0..all).map(|point| seed.wrapping_add(point << shift.min(40))).collect(),
            (0..all).map(|_| rng.next_u64()).collect(),
        ];
        for points in points {
            for side in 0..weights.len() {
                let count = points.iter().filter(|point| split.owner(**point) == Some(side)).count() as f64;
                let wanted = split.share(side);
                prop_assert!(
                    (count - wanted * all as f64).abs() <= slack(wanted, all),
                    "side {side} of {weights:?} got {count} of {all}"
                );
            }
        }
    }

    /// A weight that grows takes clients, and gives none away; and it takes no more than it has to.
    #[test]
    fn only_as_many_move_as_a_share_grows_and_none_moves_back(
        mut weights in prop::collection::vec(1u32..200, 2..5), which: prop::sample::Index, more in 1u32..400,
    ) {
        let which = which.index(weights.len());
        let all = 4_000;
        let before = split(&weights);
        weights[which] += more;
        let after = split(&weights);
        let mut moved = 0u64;
        for (old, new) in owners(&before, all).into_iter().zip(owners(&after, all)) {
            if old != new {
                prop_assert_eq!(new, Some(which), "from {:?}", old);
                moved += 1;
            }
        }
        let grown = after.share(which) - before.share(which);
        prop_assert!((moved as f64 - grown * all as f64).abs() <= slack(grown, all), "{moved} moved for {grown}");
    }

    /// Who comes to a side as it grows step by step leaves it in the opposite order, and nobody comes twice.
    #[test]
    fn growth_by_steps_is_growth_at_once(steps in prop::collection::vec(1u32..50, 1..6), point: u64) {
        let mut weight = 0;
        let mut came = false;
        for step in steps {
            weight += step;
            let there = split(&[100, weight]).owner(point) == Some(1);
            prop_assert!(there || !came, "it went back at {weight}");
            came = there;
        }
    }

    #[test]
    fn the_order_of_sides_does_not_matter(weights in prop::collection::vec(0u32..100, 1..6), point: u64) {
        let there = split(&weights);
        let turned = Split::new(there.sides.iter().rev().copied());
        let key = |split: &Split| split.owner(point).map(|place| split.sides[place].key);
        prop_assert_eq!(key(&there), key(&turned));
    }
}
