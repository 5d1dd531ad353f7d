//! A ring against a plain list of what happened.

use std::time::Duration;

use base::Instant;
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use super::Ring;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_sums_are_those_of_the_slots_that_are_left(
        slots in 1usize..6,
        steps in proptest::collection::vec((0u64..60, 0usize..2, 0u32..4), 1..60),
    ) {
        let width = 10;
        let mut ring = Ring::<2>::new(Duration::from_nanos(width * slots as u64), slots);
        let mut seen: Vec<(u64, usize, u32)> = Vec::new();
        let mut now = 0;
        for (later, kind, count) in steps {
            now += later;
            ring.add(kind, count, Instant(now));
            seen.push((now, kind, count));
            let newest = now / width;
            let left = |kind: usize| -> u64 {
                let within = seen.iter().filter(|(at, k, _)| *k == kind && newest - at / width < slots as u64);
                within.map(|(_, _, count)| u64::from(*count)).sum()
            };
            prop_assert_eq!(ring.sums(Instant(now)), [left(0), left(1)]);
        }
    }
}
