//! When a try is repeated, and that retries keep to their share.

use std::time::Duration;

use base::{Instant, Rng, Timestamp};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, proptest};

use super::{Backoff, Budget, BudgetPolicy, Failed, Failure, Policy, Repeatable, parse_retry_after};
use crate::deadline::Deadline;

#[test]
fn only_what_is_safe_is_repeated() {
    check("GET 503", expect!["again within 25ms"]);
    check("GET 502", expect!["again within 25ms"]);
    check("PUT cut", expect!["again within 25ms"]);
    check("DELETE 504", expect!["again within 25ms"]);
    check("POST unsent", expect!["again within 25ms"]);
    check("POST 503", expect!["NotRepeatable"]);
    check("POST cut", expect!["NotRepeatable"]);
    check("PATCH 504", expect!["NotRepeatable"]);
    check("get cut", expect!["NotRepeatable"]);
    check("GET 500", expect!["Final"]);
    check("GET 404", expect!["Final"]);
    check("GET 429", expect!["Final"]);
}

#[test]
fn there_is_no_try_beyond_the_rules() {
    check("GET 503 try 2", expect!["again within 50ms"]);
    check("GET 503 try 3", expect!["TriesUsedUp, marked"]);
    check("POST unsent try 3", expect!["TriesUsedUp, marked"]);
    check("GET 500 try 2", expect!["Final, marked"]);
    check("GET 503 marked", expect!["Marked, marked"]);
    check("GET 503 open", expect!["BreakerOpen, marked"]);
    check("GET 503 broke", expect!["BudgetSpent, marked"]);
    check("POST unsent broke", expect!["BudgetSpent, marked"]);
}

#[test]
fn the_answer_may_ask_for_a_wait_and_the_deadline_bounds_it() {
    check("GET 503 after 1", expect!["again after 1s and within 1.025s"]);
    check("GET 503 after 3", expect!["WaitTooLong"]);
    check("GET 503 left 10s", expect!["again within 25ms"]);
    check("GET 503 after 2 left 1s", expect!["PastDeadline"]);
    check("GET 503 left 0s", expect!["PastDeadline"]);
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let wall = Timestamp::from_rfc3339("1994-11-06T08:49:30Z").expect("a date");
    let read = |text: &str| parse_retry_after(text.as_bytes(), wall).map(|wait| wait.as_secs());
    assert_eq!(read("120"), Some(120));
    assert_eq!(read("0"), Some(0));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
    for text in ["", "-1", "1.5", "soon", "9999999999"] {
        assert_eq!(read(text), None, "`{text}`");
    }
}

#[test]
fn the_mark_is_one_word() {
    assert!(super::is_mark(b"false") && super::is_mark(b" False "));
    assert!(!super::is_mark(b"true") && !super::is_mark(b"") && !super::is_mark(b"0"));
}

#[test]
fn waits_are_spread_over_the_whole_bound_which_doubles_and_ends() {
    let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_millis(350) };
    let bounds: Vec<u128> = [1, 2, 3, 4, 40, u32::MAX].map(|n| backoff.bound(n).as_millis()).to_vec();
    assert_eq!(bounds, [100, 200, 350, 350, 350, 350]);
    let mut rng = Rng::seeded(3);
    let waits: Vec<u128> = (0..1000).map(|_| backoff.wait(1, &mut rng).as_millis()).collect();
    let mean = waits.iter().sum::<u128>() / 1000;
    assert!(waits.iter().all(|wait| *wait <= 100) && (45..55).contains(&mean), "mean {mean}");
}

#[test]
fn an_idle_service_may_retry_a_little_and_old_deposits_expire() {
    let mut budget = Budget::new(BudgetPolicy { least_per_second: 1, ..BudgetPolicy::default() });
    let start = Instant::from_secs(100);
    assert_eq!(budget.left(start), 10);
    for _ in 0..100 {
        budget.deposit(start);
    }
    assert_eq!(budget.left(start), 20);
    assert_eq!(budget.left(Instant::from_secs(109)), 20);
    assert_eq!(budget.left(Instant::from_secs(110)), 10);
}

proptest! {
    #[test]
    fn what_is_left_is_the_share_or_the_floor_without_the_retries_of_the_window(
        share in 0.0..1.0f64,
        least in 0u32..3,
        steps in proptest::collection::vec((0u64..700, 0u8..3), 1..300),
    ) {
        let policy = BudgetPolicy { share, least_per_second: least, window: Duration::from_secs(5) };
        let mut budget = Budget::new(policy);
        let mut now = 0u64;
        let mut calls: Vec<(u64, bool)> = Vec::new();
        for (later_ms, kind) in steps {
            now += later_ms;
            let at = Instant(now * 1_000_000);
            if kind == 0 {
                budget.deposit(at);
                calls.push((now / 1000, false));
            } else if budget.withdraw(at) {
                calls.push((now / 1000, true));
            }
            // Windows are those of the ring: the slot of this second and the four before it.
            let recent = calls.iter().filter(|(second, _)| now / 1000 - second < 5);
            let retries = recent.clone().filter(|(_, retry)| *retry).count() as f64;
            let first = recent.filter(|(_, retry)| !*retry).count() as f64;
            let floor = f64::from(least) * 5.0;
            let left = (share * first + 1e-3).max(floor).floor() - retries;
            prop_assert!((budget.left(at) as f64 - left.max(0.0)).abs() <= 1.0);
            prop_assert!(budget.left(at) as f64 <= left.max(0.0));
        }
    }

    #[test]
    fn retries_in_all_never_exceed_the_share_of_all_calls(
        share in 0.0..1.0f64,
        steps in proptest::collection::vec((0u64..700, 0u8..3), 1..300),
    ) {
        let policy = BudgetPolicy { share, least_per_second: 0, window: Duration::from_secs(60) };
        let mut budget = Budget::new(policy);
        let (mut now, mut first, mut retries) = (0u64, 0.0, 0.0);
        for (later_ms, kind) in steps {
            now += later_ms / 8;
            let at = Instant(now * 1_000_000);
            if kind == 0 {
                budget.deposit(at);
                first += 1.0;
            } else if budget.withdraw(at) {
                retries += 1.0;
            }
            prop_assert!(retries <= share * first + 1e-3);
        }
    }
}

/// A failed try in words: method, what went wrong (`cut`, `unsent` or a status), then what else is known.
#[track_caller]
fn check(words: &str, decides: Expect) {
    let words: Vec<&str> = words.split(' ').collect();
    let after = |name: &str| -> Option<u64> {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.trim_end_matches('s').parse().ok()
    };
    let now = Instant::from_secs(50);
    let failure = match words[1] {
        "cut" => Failure::Unknown,
        "unsent" => Failure::NotProcessed,
        status => Failure::Status(status.parse().expect("a status")),
    };
    let tries = after("try").unwrap_or(1) as u32;
    let failed = Failed {
        repeatable: Repeatable::of_method(words[0].as_bytes()),
        marked: words.contains(&"marked"),
        breaker_open: words.contains(&"open"),
        retry_after: after("after").map(Duration::from_secs),
        deadline: after("left").map(|left| Deadline::at(now + Duration::from_secs(left))),
        ..Failed::new(failure, tries)
    };
    let least_per_second = if words.contains(&"broke") { 0 } else { 10 };
    let mut budget = Budget::new(BudgetPolicy { least_per_second, ..BudgetPolicy::default() });
    let mut rng = Rng::seeded(9);
    let waits: Vec<_> =
        (0..50).map(|_| Policy::default().decide(&failed, &mut budget, now, &mut rng)).collect();
    let told = match waits[0] {
        Err(no) => format!("{no:?}{}", if no.marks(tries) { ", marked" } else { "" }),
        Ok(_) => {
            let bound = Backoff::default().bound(tries) + failed.retry_after.unwrap_or_default();
            let least = now + failed.retry_after.unwrap_or_default();
            let kept = waits.iter().flatten().all(|at| *at >= least && *at <= now + bound);
            let first = failed.retry_after.map_or(String::new(), |after| format!("after {after:?} and "));
            if kept { format!("again {first}within {bound:?}") } else { "again at another time".to_owned() }
        }
    };
    decides.assert_eq(&told);
}
