//! How latencies are remembered and forgotten.

use expect_test::{Expect, expect};

use super::*;

/// Events like `10ms` (an answer), `!5ms` (a failure) and `+4s` (time goes by), and the value after each.
#[track_caller]
fn check(rise: Rise, events: &str, expected: Expect) {
    let policy = EwmaPolicy { rise, ..EwmaPolicy::default() };
    let (mut latency, mut now) = (Ewma::default(), Instant::from_secs(1));
    let mut values = Vec::new();
    for event in events.split(' ') {
        let millis =
            |text: &str| Duration::from_millis(text.trim_end_matches("ms").parse().expect("milliseconds"));
        match event.strip_prefix('+') {
            Some(secs) => {
                now = now + Duration::from_secs(secs.trim_end_matches('s').parse().expect("seconds"));
            }
            None => match event.strip_prefix('!') {
                Some(took) => latency.failed(millis(took), now, policy),
                None => latency.answered(millis(event), now, policy),
            },
        }
        let shown = latency.value(now, policy);
        values.push(shown.map_or("-".into(), |value| format!("{:.1}", value.as_secs_f64() * 1e3)));
    }
    expected.assert_eq(&values.join(" "));
}

#[test]
fn a_mean_takes_half_of_the_new_after_a_half_life_and_a_peak_takes_it_at_once() {
    check(Rise::Mean, "10ms +4s 30ms +4s 20ms", expect!["10.0 5.0 20.0 10.0 20.0"]);
    check(Rise::Peak, "10ms +4s 30ms +4s 20ms", expect!["10.0 5.0 30.0 15.0 25.0"]);
    check(Rise::Peak, "10ms 30ms 20ms 1ms", expect!["10.0 30.0 30.0 30.0"]);
    check(Rise::Mean, "10ms +1s 10ms +1s 10ms", expect!["10.0 8.4 10.0 8.4 10.0"]);
}

#[test]
fn without_answers_it_halves_until_nothing_is_left() {
    check(Rise::Mean, "100ms +4s +8s +400s", expect!["100.0 50.0 12.5 0.0"]);
}

#[test]
fn a_failure_counts_as_a_slow_answer() {
    check(Rise::Mean, "!1ms +4s !1ms +1s !5000ms", expect!["1000.0 500.0 1000.0 841.1 1635.7"]);
    check(Rise::Mean, "10ms +4s !1ms +4s 10ms", expect!["10.0 5.0 505.0 252.5 257.5"]);
    check(Rise::Peak, "10ms !1ms +4s 10ms", expect!["10.0 1000.0 500.0 505.0"]);
}

#[test]
fn the_untried_are_free_when_idle_and_dear_when_not() {
    let (untried, now, policy) = (Ewma::default(), Instant::from_secs(1), EwmaPolicy::default());
    assert_eq!(untried.value(now, policy), None);
    assert_eq!(untried.cost(0.0, now, policy), 0.0);
    assert!(untried.cost(1.0, now, policy) > 86_400e9);
    assert!(untried.cost(2.0, now, policy) > untried.cost(1.0, now, policy));
}

#[test]
fn the_fast_power_is_right() {
    for step in 0..70_000 {
        let x = f64::from(step) / 1_000.0;
        let (got, want) = (half_power(x), (-x).exp2());
        assert!((got - want).abs() <= 0.0003 * want + 1e-18, "2^-{x} is {want}, not {got}");
    }
}

#[test]
fn a_clock_that_does_not_move_and_a_half_life_of_zero_do_no_harm() {
    let (now, policy) =
        (Instant::from_secs(9), EwmaPolicy { half_life: Duration::ZERO, ..EwmaPolicy::default() });
    let mut latency = Ewma::default();
    latency.answered(Duration::from_millis(10), now, policy);
    latency.answered(Duration::from_millis(30), Instant::from_secs(8), policy);
    assert_eq!(latency.value(now, policy), Some(Duration::from_millis(10)));
    assert_eq!(latency.value(now + Duration::from_millis(1), policy), Some(Duration::ZERO));
}
