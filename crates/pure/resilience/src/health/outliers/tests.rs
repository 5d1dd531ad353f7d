//! Who is ejected, why, and for how long.

use base::Rng;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant(100_000_000_000);
/// Without chance.
fn exact() -> OutlierPolicy {
    OutlierPolicy { jitter: 0.0, ..OutlierPolicy::default() }
}

fn show(change: &Change, now: Instant) -> String {
    match change {
        Change::Ejected { place, until, reason } => {
            format!("{place} out for {:?}: {reason:.3?}", until.since(now))
        }
        Change::Returned { place } => format!("{place} back"),
    }
}

/// Answers one by one as `place` and kind, in a pool of so many: `g` good, `e` own error, `w` gateway error.
#[track_caller]
fn check_row(endpoints: usize, answers: &str, expected: Expect) {
    let (mut outliers, mut rng) = (Outliers::new(exact(), endpoints, NOW), Rng::seeded(1));
    let mut shown = Vec::new();
    for answer in answers.split(' ') {
        let (place, kinds) = answer.split_at(1);
        for kind in kinds.chars() {
            let outcome = match kind {
                'g' => Outcome::Good,
                'e' => Outcome::OwnError,
                _ => Outcome::GatewayError,
            };
            let place = place.parse().expect("a place");
            let change = outliers.settle(place, outcome, Duration::from_millis(1), NOW, &mut rng);
            shown.extend(change.iter().map(|change| show(change, NOW)));
        }
    }
    expected.assert_eq(&shown.join(", "));
}

/// What is made of an interval: for each endpoint good answers, failures, and milliseconds.
#[track_caller]
fn check_interval(policy: OutlierPolicy, endpoints: &[(u32, u32, u64)], expected: Expect) {
    let (mut outliers, mut rng) = (Outliers::new(policy, endpoints.len(), NOW), Rng::seeded(1));
    for (place, (good, failed, millis)) in endpoints.iter().enumerate() {
        let took = Duration::from_millis(*millis);
        for turn in 0..*good.max(failed) {
            // Mixed, so that no row of errors is long.
            for (count, outcome) in [(failed, Outcome::OwnError), (good, Outcome::Good)] {
                if turn < *count {
                    outliers.settle(place, outcome, took, NOW, &mut rng);
                }
            }
        }
    }
    let now = NOW + policy.interval;
    let changes = outliers.poll(now, &mut rng);
    expected.assert_eq(&changes.iter().map(|change| show(change, now)).collect::<Vec<_>>().join("\n"));
}

#[test]
fn errors_in_a_row_eject() {
    check_row(3, "0eeee 1eee 0g 0eeee", expect![""]);
    check_row(3, "0eeeee", expect!["0 out for 10s: Errors(5)"]);
    check_row(3, "0ww 0g 0www", expect!["0 out for 10s: GatewayErrors(3)"]);
    check_row(3, "0wewe 0w", expect!["0 out for 10s: Errors(5)"]);
    check_row(3, "0eewww", expect!["0 out for 10s: GatewayErrors(3)"]);
    check_row(3, "0eeeeeeeeeeeeeeeee", expect!["0 out for 10s: Errors(5)"]);
}

#[test]
fn no_more_are_ejected_than_the_pool_can_spare() {
    check_row(1, "0eeeeeeeee 0www", expect![""]);
    check_row(2, "0eeeee 1eeeee", expect!["0 out for 10s: Errors(5)"]);
    check_row(7, "0eeeee 1eeeee 2eeeee", expect!["0 out for 10s: Errors(5), 1 out for 10s: Errors(5)"]);
    let most = |endpoints| Outliers::new(exact(), endpoints, NOW).most_out();
    assert_eq!([0, 1, 2, 3, 4, 6, 7, 10, 100].map(most), [0, 0, 1, 1, 1, 1, 2, 3, 30]);
}

#[test]
fn those_that_are_out_by_checks_count_against_what_can_be_spared() {
    let (mut outliers, mut rng) = (Outliers::new(exact(), 3, NOW), Rng::seeded(1));
    outliers.set_otherwise_out(1);
    let mut fail =
        |outliers: &mut Outliers| outliers.settle(0, Outcome::GatewayError, Duration::ZERO, NOW, &mut rng);
    assert!((0..10).all(|_| fail(&mut outliers).is_none()));
    outliers.set_otherwise_out(0);
    assert!(fail(&mut outliers).is_some(), "the next error finds room");
}

#[test]
fn a_share_of_failures_ejects_if_the_others_fare_better() {
    let only = OutlierPolicy { success_rate: None, ..exact() };
    check_interval(
        only,
        &[(40, 0, 1), (20, 20, 1)],
        expect!["1 out for 10s: Failures { share: 0.500, others: 0.000 }"],
    );
    check_interval(only, &[(40, 0, 1), (21, 20, 1)], expect![""]);
    check_interval(only, &[(40, 0, 1), (9, 10, 1)], expect![""]);
    check_interval(only, &[(20, 20, 1), (20, 20, 1), (20, 21, 1)], expect![""]);
    check_interval(
        only,
        &[(40, 0, 1), (20, 22, 1), (20, 24, 1)],
        expect!["2 out for 10s: Failures { share: 0.545, others: 0.268 }"],
    );
}

#[test]
fn a_success_rate_far_below_the_mean_ejects() {
    let well = (100, 0, 1);
    check_interval(
        exact(),
        &[well, well, well, well, (90, 10, 1)],
        expect!["4 out for 10s: SuccessRate { rate: 0.900, least: 0.904 }"],
    );
    check_interval(exact(), &[well, well, well, (90, 10, 1)], expect![""]);
    check_interval(exact(), &[well, well, well, well, (95, 5, 1)], expect![""]);
    check_interval(exact(), &[well, well, well, well, (80, 10, 1)], expect![""]);
    check_interval(exact(), &[(80, 20, 1); 5], expect![""]);
}

#[test]
fn a_latency_far_above_the_others_ejects() {
    let quick = (20, 0, 10);
    check_interval(
        exact(),
        &[quick, quick, (20, 0, 100)],
        expect!["2 out for 10s: Slow { latency: 106.496ms, others: 9.216ms }"],
    );
    check_interval(exact(), &[quick, (20, 0, 100)], expect![""]);
    check_interval(exact(), &[quick, quick, (20, 0, 50)], expect![""]);
    check_interval(exact(), &[quick, quick, (19, 0, 100)], expect![""]);
    check_interval(exact(), &[(20, 0, 90), (20, 0, 90), (20, 0, 300)], expect![""]);
    check_interval(
        exact(),
        &[quick, quick, quick, (20, 0, 100), (20, 0, 200)],
        expect!["4 out for 10s: Slow { latency: 212.992ms, others: 9.216ms }"],
    );
}

#[test]
fn each_ejection_is_longer_and_quiet_intervals_are_forgiven() {
    let (mut outliers, mut rng) = (Outliers::new(exact(), 2, NOW), Rng::seeded(1));
    let mut now = NOW;
    let mut lasted = Vec::new();
    for quiet in [0, 0, 0, 2, 0, 1, 40] {
        // So many intervals without an ejection, then one.
        for _ in 0..quiet {
            now = now + exact().interval;
            outliers.poll(now, &mut rng);
        }
        for _ in 0..3 {
            outliers.settle(0, Outcome::GatewayError, Duration::ZERO, now, &mut rng);
        }
        let out_at = now;
        while outliers.is_out(0) {
            now = outliers.next_at();
            outliers.poll(now, &mut rng);
        }
        lasted.push(now.since(out_at).as_secs());
    }
    assert_eq!(lasted, [10, 20, 30, 20, 30, 30, 10]);
}

#[test]
fn no_ejection_is_longer_than_the_most_and_its_jitter() {
    let policy = OutlierPolicy { most_time: Duration::from_secs(25), ..OutlierPolicy::default() };
    let (mut outliers, mut rng) = (Outliers::new(policy, 2, NOW), Rng::seeded(1));
    let mut now = NOW;
    for turn in 1..50 {
        for _ in 0..3 {
            outliers.settle(0, Outcome::GatewayError, Duration::ZERO, now, &mut rng);
        }
        let out_at = now;
        while outliers.is_out(0) {
            now = outliers.next_at();
            outliers.poll(now, &mut rng);
        }
        let least = (10.0 * f64::from(turn)).min(25.0);
        let lasted = now.since(out_at).as_secs_f64();
        assert!((least..=least * 1.2).contains(&lasted), "{lasted} in turn {turn}");
    }
}

#[test]
fn what_was_asked_before_an_ejection_does_not_count_after_it() {
    let (mut outliers, mut rng) = (Outliers::new(exact(), 2, NOW), Rng::seeded(1));
    for _ in 0..30 {
        outliers.settle(0, Outcome::GatewayError, Duration::ZERO, NOW, &mut rng);
    }
    let back = outliers.next_at();
    assert_eq!(outliers.poll(back, &mut rng), [Change::Returned { place: 0 }]);
    assert_eq!(outliers.settle(0, Outcome::GatewayError, Duration::ZERO, back, &mut rng), None);
    assert_eq!(outliers.settle(7, Outcome::GatewayError, Duration::ZERO, back, &mut rng), None, "no place");
}

#[test]
fn who_is_out_stays_so_when_places_change_unless_too_many_left() {
    let (mut outliers, mut rng) = (Outliers::new(exact(), 10, NOW), Rng::seeded(1));
    for (place, secs) in [(7, 0), (2, 1), (5, 2)] {
        for _ in 0..3 {
            let at = NOW + Duration::from_secs(secs);
            outliers.settle(place, Outcome::GatewayError, Duration::ZERO, at, &mut rng);
        }
    }
    outliers.rearrange([None, Some(5), Some(1), Some(2), Some(7), Some(99)]);
    assert_eq!(
        [0, 1, 2, 3, 4, 5].map(|place| outliers.is_out(place)),
        [false, true, false, true, true, false]
    );
    assert_eq!((outliers.out(), outliers.most_out()), (3, 1));
    let back = outliers.poll(NOW + Duration::from_secs(3), &mut rng);
    assert_eq!(back, [Change::Returned { place: 4 }, Change::Returned { place: 3 }]);
    outliers.rearrange([Some(1)]);
    assert_eq!(outliers.poll(NOW + Duration::from_secs(3), &mut rng), [Change::Returned { place: 0 }]);
}

proptest! {
    /// Whatever happens, no more than the cap are out, all of them come back in time, and none is ejected twice.
    #[test]
    fn the_cap_holds(
        endpoints in 1usize..20,
        most_out in 0.0f64..1.0,
        events in prop::collection::vec((0usize..20, 0u8..3, 0u64..3_000), 1..400),
        seed: u64,
    ) {
        let policy = OutlierPolicy { most_out, errors_in_a_row: 2, gateway_errors_in_a_row: 1, ..exact() };
        let (mut outliers, mut rng) = (Outliers::new(policy, endpoints, NOW), Rng::seeded(seed));
        let cap = if endpoints < 2 { 0 } else { ((most_out * endpoints as f64) as usize).max(1) };
        let (mut now, mut out) = (NOW, std::collections::BTreeMap::new());
        for (place, kind, millis) in events {
            now = now + Duration::from_millis(millis);
            let outcome = [Outcome::Good, Outcome::OwnError, Outcome::GatewayError][usize::from(kind)];
            let mut changes = outliers.poll(now, &mut rng);
            changes.extend(outliers.settle(place, outcome, Duration::from_millis(millis), now, &mut rng));
            for change in changes {
                match change {
                    Change::Ejected { place, until, .. } => prop_assert!(out.insert(place, until).is_none()),
                    Change::Returned { place } => prop_assert!(out.remove(&place).is_some_and(|until| until <= now)),
                }
            }
            prop_assert!(out.len() <= cap && out.len() == outliers.out());
            prop_assert!(out.values().all(|until| *until > now && *until <= now + policy.most_time));
            prop_assert!((0..endpoints).all(|place| outliers.is_out(place) == out.contains_key(&place)));
            prop_assert!(outliers.next_at() > now);
        }
    }
}
