//! Who has the least, and how ties are spread.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::fixtures::{counts, percents, roster};
use super::*;

#[track_caller]
fn check(seats: &str, loads: &[u32], expected: Expect) {
    let roster = roster(seats);
    let picked = counts(&roster, 10_000, |rng| pick(&roster.candidates(|place| loads[place]), rng));
    expected.assert_eq(&percents(&picked));
}

#[test]
fn the_least_loaded_for_its_weight_gets_it_and_ties_are_spread_by_weight() {
    check("open, open, open", &[3, 1, 2], expect!["0 100 0"]);
    check("open, open, open", &[1, 1, 2], expect!["50 50 0"]);
    check("open, out, open", &[2, 0, 3], expect!["100 0 0"]);
    check("open, 4 open", &[1, 3], expect!["0 100"]);
    check("open, 4 open", &[1, 5], expect!["100 0"]);
    check("open, 4 open", &[1, 4], expect!["20 80"]);
    check("open, open @2s, open", &[0, 0, 0], expect!["45 9 46"]);
    check("draining", &[0], expect!["0"]);
}

proptest! {
    #[test]
    fn nobody_usable_has_less(loads in prop::collection::vec(0u32..50, 1..20), seed: u64) {
        let roster = roster(&vec!["open"; loads.len()].join(", "));
        let picked = pick(&roster.candidates(|place| loads[place]), &mut Rng::seeded(seed));
        prop_assert_eq!(picked.map(|place| loads[place]), loads.iter().min().copied());
    }
}
