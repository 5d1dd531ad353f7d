//! Scripts of acts, and that no stretch of time ever holds more than is allowed.

use std::time::Duration;

use base::Instant;
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, proptest};

use super::{Allowance, Denied, Direction, Governor, Policy};

#[test]
fn dangerous_acts_are_slow_and_safe_ones_fast() {
    check("0:-1 1:-1 2:-1 3:-1 59:-1 60:-1", expect!["ok, ok, ok, not before 60, not before 60, ok"]);
    check("0:-3 1:-1 60:-3", expect!["ok, not before 60, ok"]);
    check("0:-1 30:-1 40:-2 60:-2", expect!["ok, ok, not before 60, ok"]);
    check("0:+60 1:+40 2:+1 60:+1", expect!["ok, ok, not before 60, ok"]);
    check("0:-3 0:+50 0:+50", expect!["ok, ok, ok"]);
}

#[test]
fn more_at_once_than_is_ever_allowed_is_told_as_such() {
    check("0:-4 0:-3 0:+101", expect!["at most 3 at once, ok, at most 100 at once"]);
}

#[test]
fn past_the_hard_limit_a_person_must_approve() {
    let fifteen = "0:-3 60:-3 120:-3 180:-3 240:-3";
    check(&format!("{fifteen} 300:-1"), expect!["ok, ok, ok, ok, ok, needs a person until 3600"]);
    check(
        &format!("{fifteen} 3599:-1 3600:-1"),
        expect!["ok, ok, ok, ok, ok, needs a person until 3600, ok"],
    );
    check(
        &format!("{fifteen} 300:a2 300:-1 301:-1 302:-1 360:-1"),
        expect!["ok, ok, ok, ok, ok, ok, ok, needs a person until 3600, needs a person until 3600"],
    );
    // An approval is for an hour here, and does not make it faster.
    check(
        &format!("{fifteen} 290:a9 290:-1 300:-3 301:-1"),
        expect!["ok, ok, ok, ok, ok, not before 300, ok, not before 360"],
    );
}

#[test]
fn an_approval_ends() {
    let mut governor = Governor::new(Policy {
        hard: Allowance { count: 1, window: Duration::from_secs(3600) },
        ..Policy::default()
    });
    governor.ask(Direction::Dangerous, 1, Instant(0)).expect("the first");
    governor.approve(1, Instant::from_secs(5));
    let late = governor.ask(Direction::Dangerous, 1, Instant::from_secs(5));
    assert_eq!(late, Err(Denied::NeedsPerson { until: Instant::from_secs(3600) }));
}

#[test]
fn a_hard_limit_of_none_leaves_all_to_a_person() {
    let hard = Allowance { count: 0, window: Duration::from_secs(3600) };
    let mut governor = Governor::new(Policy { hard, ..Policy::default() });
    let never = Err(Denied::NeedsPerson { until: Instant(u64::MAX) });
    assert_eq!(governor.ask(Direction::Dangerous, 1, Instant(0)), never);
    governor.approve(1, Instant::from_secs(5));
    assert_eq!(governor.ask(Direction::Dangerous, 1, Instant(0)), Ok(()));
    assert_eq!(governor.ask(Direction::Dangerous, 1, Instant(0)), never);
}

#[test]
fn an_approval_is_not_used_up_by_what_needs_none() {
    check("0:a1 0:-3 60:-3 120:-3 180:-3 240:-3 300:-1", expect!["ok, ok, ok, ok, ok, ok"]);
}

#[test]
fn a_share_of_a_fleet_is_at_least_one() {
    let share = |of| Allowance::share(of, 0.1, Duration::ZERO).count;
    assert_eq!((share(0), share(5), share(100)), (1, 1, 10));
}

proptest! {
    #[test]
    fn no_stretch_holds_more_than_is_allowed(
        count in 1u32..6,
        hard in 1u32..12,
        steps in proptest::collection::vec((0u64..20, 1u32..4), 1..200),
    ) {
        let window = Duration::from_secs(60);
        let dangerous = Allowance { count, window };
        let policy = Policy { dangerous, hard: Allowance { count: hard, window: window * 5 }, ..Policy::default() };
        let mut governor = Governor::new(policy);
        let mut done: Vec<u64> = Vec::new();
        let mut now = 0;
        for (later, acts) in steps {
            now += later;
            match governor.ask(Direction::Dangerous, acts, Instant::from_secs(now)) {
                Ok(()) => done.extend((0..acts).map(|_| now)),
                Err(Denied::NotBefore(until) | Denied::NeedsPerson { until }) => {
                    prop_assert!(until > Instant::from_secs(now));
                }
                Err(Denied::TooManyAtOnce { most }) => prop_assert!(acts > most),
            }
            let within = |seconds| done.iter().filter(|at| now - **at < seconds).count() as u32;
            prop_assert!(within(60) <= count && within(300) <= hard);
        }
    }
}

/// Acts as `second:-count` or `second:+count`, and approvals for an hour as `second:acount`.
#[track_caller]
fn check(script: &str, answers: Expect) {
    let mut governor = Governor::new(Policy::default());
    let mut told = Vec::new();
    for word in script.split(' ') {
        let (second, act) = word.split_once(':').expect("a time");
        let now = Instant::from_secs(second.parse().expect("seconds"));
        let count = act[1..].parse().expect("a number");
        let direction = match &act[..1] {
            "a" => {
                governor.approve(count, now + Duration::from_secs(3600));
                continue;
            }
            "+" => Direction::Safe,
            _ => Direction::Dangerous,
        };
        told.push(match governor.ask(direction, count, now) {
            Ok(()) => "ok".to_owned(),
            Err(Denied::NotBefore(at)) => format!("not before {}", at.0 / 1_000_000_000),
            Err(Denied::NeedsPerson { until }) => {
                format!("needs a person until {}", until.0 / 1_000_000_000)
            }
            Err(Denied::TooManyAtOnce { most }) => format!("at most {most} at once"),
        });
    }
    answers.assert_eq(&told.join(", "));
}
