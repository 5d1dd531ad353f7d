//! The sketch against a sorted list, and how it forgets.

use std::time::Duration;

use base::Instant;
use proptest::prelude::{prop_assert, proptest};

use super::Durations;

proptest! {
    #[test]
    fn a_quantile_is_right_within_an_eighth(
        mut nanos in proptest::collection::vec(1_000u64..100_000_000_000, 1..200),
        share in 0.0..1.0f64,
    ) {
        let mut seen = Durations::new(Durations::HALF_LIFE);
        for nanos in &nanos {
            seen.observe(Duration::from_nanos(*nanos), Instant(0));
        }
        nanos.sort_unstable();
        let rank = ((nanos.len() as f64 * share).ceil() as usize).clamp(1, nanos.len());
        let exact = nanos[rank - 1].max(1024) as f64;
        let told = seen.quantile(share).map_or(0.0, |told| told.as_nanos() as f64);
        prop_assert!(told >= exact - 1.0 && told <= exact * 1.125 + 1.0, "{told} for {exact}");
    }
}

#[test]
fn the_answer_follows_a_change_within_a_few_half_lives() {
    let mut seen = Durations::new(Duration::from_secs(10));
    let mut after = Vec::new();
    for second in 0..90 {
        let took = if second < 30 { 100 } else { 10 };
        for _ in 0..100 {
            seen.observe(Duration::from_millis(took), Instant::from_secs(second));
        }
        after.push(seen.quantile(0.95).unwrap_or_default().as_millis());
    }
    assert!(after[29] >= 100, "{after:?}");
    assert!(after[89] <= 115 && after[89] >= 10, "{after:?}");
    let turned = after.iter().skip(30).position(|p95| *p95 < 20);
    assert!(turned.is_some_and(|seconds| seconds <= 50), "{after:?}");
}

#[test]
fn long_silence_forgets_all_and_extremes_have_a_place() {
    let mut seen = Durations::new(Duration::from_secs(1));
    assert_eq!(seen.quantile(0.5), None);
    seen.observe(Duration::ZERO, Instant(0));
    seen.observe(Duration::MAX, Instant(0));
    assert_eq!(seen.weight(), 2);
    assert!(seen.quantile(1.0) > Some(Duration::from_secs(100)));
    seen.observe(Duration::from_millis(1), Instant::from_secs(100));
    assert_eq!(seen.weight(), 1);
}
