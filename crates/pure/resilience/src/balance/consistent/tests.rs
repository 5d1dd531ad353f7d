//! Where keys go, how few move, and that nobody carries too much.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::fixtures::{NOW, percents, roster};
use super::*;
use crate::balance::{Roster, Standing};

/// Where keys go while nothing is in flight, so that no bound moves them: the key of the endpoint.
fn owners(ring: &Ring, roster: &Roster, keys: u64) -> Vec<u64> {
    let idle = roster.candidates(|_| 0);
    let key_at = |key| ring.pick(&idle, key, 0).map_or(0, |place| roster.seats()[place].key);
    (0..keys).map(key_at).collect()
}

#[track_caller]
fn check(seats: &str, expected: Expect) {
    let roster = roster(seats);
    let ring = Ring::new(&roster, RingPolicy::default());
    let mut counts = vec![0; roster.seats().len()];
    for owner in owners(&ring, &roster, 50_000) {
        if let Some(place) = roster.place(owner) {
            counts[place] += 1;
        }
    }
    expected.assert_eq(&percents(&counts));
}

#[test]
fn keys_are_spread_by_weight_over_the_usable() {
    check("open", expect!["100"]);
    check("open, open, open, open", expect!["25 26 26 22"]);
    check("open, 3 open, 0 open", expect!["22 78 0"]);
    check("open, out, open", expect!["46 0 54"]);
    check("draining", expect!["0"]);
    check("", expect![""]);
}

#[test]
fn a_hot_key_spreads_over_as_few_as_carry_it() {
    let roster = roster("open, open, open, open");
    let ring = Ring::new(&roster, RingPolicy::default());
    let mut loads = [0u32; 4];
    let mut shown = Vec::new();
    for in_flight in 0..12 {
        let place = ring.pick(&roster.candidates(|place| loads[place]), 77, in_flight).expect("all are open");
        loads[place] += 1;
        shown.push(place.to_string());
    }
    // At most ⌈1.25 m / 4⌉ each: 1 while there are up to 3, 2 up to 6, 3 up to 9, 4 up to 12.
    expect!["2 0 1 2 0 1 2 0 1 2 0 1"].assert_eq(&shown.join(" "));
}

#[test]
fn loads_that_contradict_the_count_do_not_stop_a_pick() {
    let roster = roster("open, open");
    let ring = Ring::new(&roster, RingPolicy::default());
    assert!(ring.pick(&roster.candidates(|_| 100), 5, 0).is_some());
}

#[test]
fn a_ring_of_another_roster_picks_what_is_usable_or_nothing() {
    let ring = Ring::new(&roster("open, open, open"), RingPolicy::default());
    let smaller = roster("open");
    assert!((0..100).all(|key| ring.pick(&smaller.candidates(|_| 0), key, 0) == Some(0)));
}

proptest! {
    /// Only keys of the one that leaves move, and only to it when it comes.
    #[test]
    fn little_moves(count in 2u64..12, seed: u64, gone in 0usize..12) {
        let mut rng = Rng::seeded(seed);
        let mut roster = Roster::default();
        let seats: Vec<_> = (0..count).map(|_| (rng.next_u64(), Weight::USUAL)).collect();
        roster.replace(seats.clone(), NOW);
        let before = owners(&Ring::new(&roster, RingPolicy::default()), &roster, 2_000);

        let gone = seats[gone % seats.len()].0;
        // In another order, which must not matter.
        roster.replace(seats.iter().rev().filter(|seat| seat.0 != gone).copied(), NOW);
        let without = owners(&Ring::new(&roster, RingPolicy::default()), &roster, 2_000);
        prop_assert!(before.iter().zip(&without).all(|(old, new)| old == new || *old == gone));

        // Taken out without a new ring, its keys go to the same ones.
        roster.replace(seats, NOW);
        let ring = Ring::new(&roster, RingPolicy::default());
        roster.stand(roster.place(gone).expect("it is back"), Standing::Out, NOW);
        roster.refresh(NOW);
        if roster.mode() == crate::balance::Mode::Usual {
            prop_assert_eq!(owners(&ring, &roster, 2_000), without);
        }
    }

    /// Over any course of requests and ends, none carries more than its bound at the moment it is picked.
    #[test]
    fn the_bound_holds(weights in prop::collection::vec(1u32..5, 1..10), hot in 1u64..6, seed: u64) {
        let text: Vec<_> = weights.iter().map(|weight| format!("{weight} open")).collect();
        let roster = roster(&text.join(", "));
        let ring = Ring::new(&roster, RingPolicy::default());
        let (mut rng, mut loads) = (Rng::seeded(seed), vec![0u32; weights.len()]);
        let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for _ in 0..500 {
            let in_flight: u32 = loads.iter().sum();
            if in_flight > 0 && rng.chance(0.45) {
                let busy: Vec<usize> = (0..loads.len()).filter(|place| loads[*place] > 0).collect();
                loads[*rng.pick(&busy).expect("one is busy")] -= 1;
                continue;
            }
            let candidates = roster.candidates(|place| loads[place]);
            let place = ring.pick(&candidates, rng.below(hot), u64::from(in_flight)).expect("all are open");
            let bound = 1.25 * f64::from(in_flight + 1) * f64::from(weights[place]) / all;
            loads[place] += 1;
            prop_assert!(f64::from(loads[place]) <= (bound - 1e-9).ceil(), "{loads:?} above {bound}");
        }
    }

    /// The table of parts finds what a search finds.
    #[test]
    fn a_point_is_found(count in 0u64..40, hash: u64) {
        let mut roster = Roster::default();
        roster.replace((0..count).map(|key| (key, Weight::of_thousandths(10 + 90 * key as u32))), NOW);
        let ring = Ring::new(&roster, RingPolicy::default());
        prop_assert_eq!(ring.find(hash), ring.hashes.partition_point(|point| *point < hash));
    }
}
