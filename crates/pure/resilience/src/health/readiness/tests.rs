//! For how long an endpoint is spared, and what is told when all are.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant(100_000_000_000);
const EXACT: ReadinessPolicy = ReadinessPolicy {
    untold: Duration::from_secs(1),
    least: Duration::from_millis(50),
    most: Duration::from_secs(30),
    jitter: 0.0,
};

/// What each of some endpoints said, in milliseconds, `?` without a time and `+` for ready: for how long each is
/// spared, and the soonest.
#[track_caller]
fn check(said: &str, expected: Expect) {
    let said: Vec<_> = said.split(' ').filter(|word| !word.is_empty()).collect();
    let (mut readiness, mut rng) = (Readiness::new(EXACT, said.len()), Rng::seeded(1));
    let mut shown = Vec::new();
    for (place, word) in said.iter().enumerate() {
        let asked = word.parse().ok().map(Duration::from_millis);
        let until = readiness.not_now(place, asked, NOW, &mut rng).expect("the place is there");
        if *word == "+" {
            readiness.ready(place);
        }
        let spared = readiness.is_spared(place, NOW);
        shown.push(if spared { format!("{:?}", until.since(NOW)) } else { "ready".into() });
    }
    let soonest = readiness.soonest(NOW).map(|soonest| retry_after_secs(soonest, NOW));
    expected.assert_eq(&format!("{}: {soonest:?}", shown.join(", ")));
}

#[test]
fn the_time_that_was_asked_for_is_given_within_bounds() {
    check("4000 ? 1 86400000", expect!["4s, 1s, 50ms, 30s: Some(1)"]);
    check("4000", expect!["4s: Some(4)"]);
    check("4001 9000", expect!["4.001s, 9s: Some(5)"]);
}

#[test]
fn nothing_is_told_while_one_is_ready_or_none_is_there() {
    check("4000 +", expect!["4s, ready: None"]);
    check("", expect![": None"]);
}

#[test]
fn those_that_count_may_be_chosen() {
    let (mut readiness, mut rng) = (Readiness::new(EXACT, 3), Rng::seeded(1));
    readiness.not_now(1, None, NOW, &mut rng);
    assert_eq!(readiness.soonest_of([1], NOW), Some(NOW + Duration::from_secs(1)));
    assert_eq!(readiness.soonest_of([0, 1], NOW), None);
    assert_eq!(readiness.soonest_of([], NOW), None);
    assert_eq!(readiness.not_now(3, None, NOW, &mut rng), None);
}

#[test]
fn time_brings_it_back_and_a_later_word_counts() {
    let (mut readiness, mut rng) = (Readiness::new(EXACT, 1), Rng::seeded(1));
    readiness.not_now(0, Some(Duration::from_secs(20)), NOW, &mut rng);
    let until = readiness.not_now(0, Some(Duration::from_secs(2)), NOW, &mut rng).expect("it is there");
    assert!(readiness.is_spared(0, until - Duration::from_nanos(1)));
    assert!(!readiness.is_spared(0, until));
}

#[test]
fn who_is_spared_stays_so_when_places_change() {
    let (mut readiness, mut rng) = (Readiness::new(EXACT, 2), Rng::seeded(1));
    readiness.not_now(1, None, NOW, &mut rng);
    readiness.rearrange([Some(1), None, Some(0), Some(9)]);
    assert_eq!([0, 1, 2, 3].map(|place| readiness.is_spared(place, NOW)), [true, false, false, false]);
}

proptest! {
    #[test]
    fn nobody_comes_back_too_soon_or_much_later(asked in 0u64..100_000, seed: u64) {
        let (mut readiness, mut rng) = (Readiness::new(ReadinessPolicy::default(), 1), Rng::seeded(seed));
        let until = readiness.not_now(0, Some(Duration::from_millis(asked)), NOW, &mut rng);
        let (spared, asked) = (until.expect("it is there").since(NOW).as_millis() as u64, asked.clamp(50, 30_000));
        prop_assert!((asked..=asked + asked / 4 + 1).contains(&spared), "{spared} for {asked}");
    }
}
