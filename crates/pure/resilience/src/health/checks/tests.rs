//! What is believed, and when the next check is due.

use expect_test::{Expect, expect};

use super::*;

const CALM: CheckPolicy = CheckPolicy {
    interval: Duration::from_secs(5),
    interval_in_doubt: Duration::from_secs(1),
    jitter: 0.0,
    timeout: Duration::from_secs(2),
    rise: 2,
    fall: 3,
    at_first: Health::Unknown,
};

/// Answers, one a check: `+` success, `-` failure, `.` none in time. For each the time until the next check, in
/// seconds, and what is believed if that changed.
#[track_caller]
fn check(policy: CheckPolicy, answers: &str, expected: Expect) {
    let (mut now, mut rng) = (Instant::from_secs(10), Rng::seeded(1));
    let mut check = Check::new(policy, now);
    let mut shown = Vec::new();
    for answer in answers.chars() {
        let (Due::Begin(ticket), None) = check.poll(now, &mut rng) else { panic!("a check is due") };
        let begun = now;
        let change = match answer {
            '+' => check.settle(ticket, Verdict::Success, now, &mut rng),
            '-' => check.settle(ticket, Verdict::Failure, now, &mut rng),
            _ => {
                let (Due::Wait(until), None) = check.poll(now, &mut rng) else {
                    panic!("a check is under way")
                };
                now = until;
                check.poll(now, &mut rng).1
            }
        };
        let (Due::Wait(next), None) = check.poll(now, &mut rng) else { panic!("nothing is due") };
        now = next;
        let change = change.map_or(String::new(), |health| format!(" {health:?}"));
        shown.push(format!("{}{change}", now.since(begun).as_secs_f64()));
    }
    expected.assert_eq(&shown.join(", "));
}

#[test]
fn the_first_answer_decides() {
    check(CALM, "+", expect!["5 Well"]);
    check(CALM, "-", expect!["5 Sick"]);
    check(CALM, ".", expect!["5 Sick"]);
}

#[test]
fn a_change_of_mind_takes_several_in_a_row_which_come_faster() {
    check(CALM, "+---", expect!["5 Well, 1, 1, 5 Sick"]);
    check(CALM, "+--+---", expect!["5 Well, 1, 1, 5, 1, 1, 5 Sick"]);
    check(CALM, "-+-++", expect!["5 Sick, 1, 5, 1, 5 Well"]);
    check(CheckPolicy { fall: 1, rise: 1, ..CALM }, "+-+-", expect!["5 Well, 5 Sick, 5 Well, 5 Sick"]);
}

#[test]
fn what_is_believed_at_first_may_be_chosen() {
    check(CheckPolicy { at_first: Health::Well, ..CALM }, "+--", expect!["5, 1, 1"]);
    check(CheckPolicy { at_first: Health::Sick, ..CALM }, "++", expect!["1, 5 Well"]);
}

#[test]
fn a_check_without_an_answer_in_time_is_a_failure_and_a_pause_follows() {
    check(CALM, "+...", expect!["5 Well, 2.1, 2.1, 5 Sick"]);
}

#[test]
fn an_answer_that_comes_too_late_decides_nothing() {
    let (now, mut rng) = (Instant::from_secs(10), Rng::seeded(1));
    let mut check = Check::new(CALM, now);
    let (Due::Begin(late), None) = check.poll(now, &mut rng) else { panic!("the first is due") };
    assert_eq!(check.poll(now + CALM.timeout, &mut rng).1, Some(Health::Sick));
    assert_eq!(check.settle(late, Verdict::Success, now + CALM.timeout, &mut rng), None);
    let next = now + Duration::from_secs(60);
    let (Due::Begin(_), None) = check.poll(next, &mut rng) else { panic!("the next is due") };
    assert_eq!(check.settle(late, Verdict::Success, next, &mut rng), None);
    assert!(!check.is_in_doubt());
    assert_eq!(check.health(), Health::Sick);
}

#[test]
fn intervals_are_spread_by_the_jitter_and_no_further() {
    let (mut now, mut rng) = (Instant::from_secs(10), Rng::seeded(1));
    let mut check = Check::new(CheckPolicy { jitter: 0.1, ..CALM }, now);
    let mut times = Vec::new();
    for _ in 0..500 {
        let (Due::Begin(ticket), None) = check.poll(now, &mut rng) else { panic!("a check is due") };
        check.settle(ticket, Verdict::Success, now, &mut rng);
        let (Due::Wait(next), None) = check.poll(now, &mut rng) else { panic!("nothing is due") };
        times.push(next.since(now).as_secs_f64());
        now = next;
    }
    let (least, most) = times.iter().fold((9.0f64, 0.0f64), |(a, b), time| (a.min(*time), b.max(*time)));
    assert!((4.5..4.55).contains(&least) && (5.45..=5.5).contains(&most), "{least} to {most}");
}
