//! A breaker told the time: scripts of calls, and what holds for all of them.

use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, proptest};

use super::{Breaker, Change, Outcome, Permit, Policy, Position, Window};

/// No jitter, so that times can be written down.
fn policy() -> Policy {
    Policy {
        jitter: 0.0,
        failures_in_a_row: None,
        least_calls: 4,
        trial_wait: Duration::from_secs(30),
        rest_most: Duration::from_secs(30),
        ..Policy::default()
    }
}

#[test]
fn it_opens_at_the_share_of_failures_but_not_of_few_calls() {
    check(policy(), "+ - -", expect![""]);
    check(policy(), "+ - + -", expect!["opened 1s Failures"]);
    check(policy(), "+ + + - -", expect![""]);
    check(policy(), "- - - i i i", expect![""]);
    check(Policy { failure_share: 1.1, ..policy() }, "- - - - - - - -", expect![""]);
}

#[test]
fn a_count_window_forgets_by_calls_and_a_time_window_by_time() {
    let last = Policy { window: Window::Calls(4), ..policy() };
    check(last, "+ + - @60 + + + -", expect![""]);
    check(last, "+ + + @60 + + - -", expect!["opened 61s Failures"]);
    check(policy(), "+ - - @60 -", expect![""]);
    check(policy(), "+ - @5 - -", expect!["opened 6s Failures"]);
}

#[test]
fn failures_in_a_row_open_it_however_few_calls_there_are() {
    let row = Policy { failures_in_a_row: Some(3), least_calls: 1000, ..policy() };
    check(row, "- - + - -", expect![""]);
    check(row, "- - + - - -", expect!["opened 1s InARow"]);
    check(row, "- i - i -", expect!["opened 1s InARow"]);
}

#[test]
fn slow_calls_count_even_if_they_succeed() {
    let slow = Policy { slow_after: Some(Duration::from_secs(2)), slow_share: 0.5, ..policy() };
    check(slow, "a b @3 a+ b+ + +", expect!["opened 4s Slow"]);
    check(slow, "a b @1 a+ b+ + +", expect![""]);
    let trying = "+ - + - @2 a @5 a+";
    check(slow, trying, expect!["opened 1s Failures; opened 7s Trial"]);
}

#[test]
fn trials_close_it_or_open_it_for_longer() {
    let opened = "- - - - ";
    check(policy(), &format!("{opened} @0 x @1 x"), expect!["opened 1s Failures; refused"]);
    check(policy(), &format!("{opened} @2 + + +"), expect!["opened 1s Failures; closed"]);
    check(policy(), &format!("{opened} @2 + + -"), expect!["opened 1s Failures; opened 4s Trial"]);
    check(
        policy(),
        &format!("{opened} @2 - @5 - @10 -"),
        expect!["opened 1s Failures; opened 4s Trial; opened 9s Trial; opened 18s Trial"],
    );
    let mut breaker = Breaker::new(policy());
    let mut rng = Rng::seeded(1);
    let rests = [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs);
    let tripped = rests.map(|_| match breaker.trip(Instant(0), &mut rng) {
        Change::Opened { until, .. } => until.since(Instant(0)),
        Change::Closed => Duration::ZERO,
    });
    assert_eq!(tripped, rests);
}

#[test]
fn only_so_many_trials_are_out_at_once_and_a_lost_one_wedges_nothing() {
    let opened = "- - - - @2";
    check(policy(), &format!("{opened} a b c x"), expect!["opened 1s Failures; refused"]);
    check(policy(), &format!("{opened} a b c a+ d x"), expect!["opened 1s Failures; refused"]);
    check(policy(), &format!("{opened} a b c a? d x"), expect!["opened 1s Failures; refused"]);
    // a, b and c never come home; after 30 s others have their places, and close it.
    check(
        policy(),
        &format!("{opened} a b c @31 x @32 + + +"),
        expect!["opened 1s Failures; refused; closed"],
    );
}

#[test]
fn trials_that_are_out_are_told_until_they_are_back_or_lost() {
    let (mut breaker, mut rng) = (Breaker::new(policy()), Rng::seeded(1));
    let at = Instant::from_secs;
    assert_eq!(breaker.trials(at(0)), (0, 3));
    breaker.trip(at(0), &mut rng);
    let [first, second] = [(); 2].map(|()| breaker.admit(at(9)).expect("a trial"));
    assert_eq!(breaker.trials(at(9)), (2, 3));
    breaker.settle(first, Outcome::Ignored, at(9), &mut rng);
    assert_eq!(breaker.trials(at(9)), (1, 3));
    assert_eq!(breaker.trials(at(9 + 3600)), (0, 3), "it is lost");
    breaker.settle(second, Outcome::Failure, at(9), &mut rng);
    assert_eq!(breaker.trials(at(9)), (0, 3), "it is open");
}

#[test]
fn late_results_decide_nothing() {
    check(policy(), "a b - - - - @2 a- b- + + +", expect!["opened 1s Failures; closed"]);
    check(policy(), "a b c d - - - - @2 + + + a- b- c- d-", expect!["opened 1s Failures; closed"]);
    // A trial of the last attempt says nothing in this one.
    check(policy(), "- - - - @2 a - @5 a- + + +", expect!["opened 1s Failures; opened 4s Trial; closed"]);
}

#[test]
fn a_service_that_flaps_is_spared_longer_and_a_sound_one_forgiven() {
    check(policy(), "- - - - @2 + + + @3 - - - -", expect!["opened 1s Failures; closed; opened 5s Failures"]);
    check(
        policy(),
        "- - - - @2 + + + @40 - - - -",
        expect!["opened 1s Failures; closed; opened 41s Failures"],
    );
}

#[test]
fn it_can_be_opened_and_closed_by_hand() {
    let mut breaker = Breaker::new(policy());
    let now = Instant::from_secs(5);
    breaker.trip(now, &mut Rng::seeded(1));
    assert!(breaker.admit(now).is_err());
    breaker.reset(now);
    assert!(breaker.admit(now).is_ok_and(|permit| !permit.is_trial()));
}

#[test]
fn rests_are_spread_by_the_jitter() {
    let mut rng = Rng::seeded(5);
    let mut rests: Vec<u128> = (0..200)
        .map(|_| match Breaker::new(Policy::default()).trip(Instant(0), &mut rng) {
            Change::Opened { until, .. } => until.since(Instant(0)).as_millis(),
            Change::Closed => 0,
        })
        .collect();
    rests.sort_unstable();
    assert!(rests[0] >= 800 && rests[0] < 830 && rests[199] <= 1200 && rests[199] > 1170, "{rests:?}");
}

proptest! {
    #[test]
    fn trials_out_are_bounded_and_it_never_stays_shut(
        seed in proptest::num::u64::ANY,
        trials in 1u32..5,
        steps in proptest::collection::vec((0u64..3_000, 0u8..8), 1..200),
    ) {
        let mut rng = Rng::seeded(seed);
        let policy = Policy { trials, trial_wait: Duration::from_secs(5), ..Policy::default() };
        let mut breaker = Breaker::new(policy);
        let mut now = Instant::from_secs(1);
        let mut out: Vec<(Instant, Permit)> = Vec::new();
        for (later_ms, act) in steps {
            now = now + Duration::from_millis(later_ms);
            if act < 5 {
                if let Ok(permit) = breaker.admit(now) {
                    out.push((now, permit));
                }
            } else if !out.is_empty() {
                let (_, permit) = out.swap_remove(rng.below(out.len() as u64) as usize);
                let outcome = if act < 7 { Outcome::Failure } else { Outcome::Success };
                breaker.settle(permit, outcome, now, &mut rng);
            }
            let generation = breaker.generation;
            let waited = out.iter().filter(|(since, permit)| {
                permit.is_trial() && permit.generation == generation && now.since(*since) < policy.trial_wait
            });
            prop_assert!(waited.count() <= trials as usize);
        }
        // Whatever was lost or is late: after the longest rest and wait a call goes through.
        now = now + policy.rest_most.mul_f64(1.2) + policy.trial_wait;
        prop_assert!(breaker.admit(now).is_ok());
        prop_assert!(!matches!(breaker.position(), Position::Open(_)));
    }

    #[test]
    fn a_count_window_counts_the_last_calls(
        size in 1u32..20,
        calls in proptest::collection::vec((proptest::bool::ANY, proptest::bool::ANY), 1..80),
    ) {
        let mut window = super::Calls::new(Window::Calls(size));
        for (at, (failed, slow)) in calls.iter().enumerate() {
            let shares = window.add(*failed, *slow, Instant(0));
            let last = &calls[(at + 1).saturating_sub(size as usize)..=at];
            prop_assert!(shares.calls == last.len() as u64);
            prop_assert!(shares.failed == last.iter().filter(|(failed, _)| *failed).count() as u64);
            prop_assert!(shares.slow == last.iter().filter(|(_, slow)| *slow).count() as u64);
        }
    }
}

/// Plays a script: `+`, `-` and `i` are whole calls that succeed, fail, or are ignored; a letter takes a permit, and
/// with `+`, `-` or `?` behind it gives it back; `x` is a call that is refused; `@` moves to a second. A call that the
/// breaker does not answer as the script says is told as `wrong`.
#[track_caller]
fn check(policy: Policy, script: &str, changes: Expect) {
    let mut breaker = Breaker::new(policy);
    let mut rng = Rng::seeded(1);
    let mut now = Instant(0);
    let mut held: Vec<(char, Permit)> = Vec::new();
    let mut told = Vec::new();
    for word in script.split_whitespace() {
        let mut letters = word.chars();
        let first = letters.next().expect("a word");
        let (permit, end) = match (first, letters.next()) {
            ('@', _) => {
                now = Instant::from_secs(word[1..].parse().expect("seconds"));
                continue;
            }
            ('x', None) => {
                // At one second the rest is just over, so this one is let through, and lost.
                match breaker.admit(now) {
                    Err(_) => told.push("refused".to_owned()),
                    Ok(permit) => drop(permit),
                }
                continue;
            }
            ('+' | '-' | 'i', None) => (breaker.admit(now).ok(), first),
            (name, None) => {
                match breaker.admit(now) {
                    Ok(permit) => held.push((name, permit)),
                    Err(_) => told.push(format!("wrong: {name} refused")),
                }
                continue;
            }
            (name, Some(end)) => {
                let at = held.iter().position(|(held, _)| *held == name);
                (at.map(|at| held.remove(at).1), end)
            }
        };
        let outcome = match end {
            '+' => Outcome::Success,
            '-' => Outcome::Failure,
            _ => Outcome::Ignored,
        };
        match permit.map(|permit| breaker.settle(permit, outcome, now, &mut rng)) {
            None => told.push(format!("wrong: {word} refused")),
            Some(Some(Change::Opened { until, cause })) => {
                told.push(format!("opened {}s {cause:?}", until.0 / 1_000_000_000));
            }
            Some(Some(Change::Closed)) => told.push("closed".to_owned()),
            Some(None) => {}
        }
    }
    changes.assert_eq(&told.join("; "));
}
