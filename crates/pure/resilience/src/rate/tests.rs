//! The cell against a token bucket, the table against a map, and what an attacker with many keys can do.

use std::collections::HashMap;
use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Cell, Limiter, Quota};

#[test]
fn a_burst_is_let_through_and_then_the_rate() {
    let quota = Quota::new(10, Duration::from_secs(1), 3);
    check(quota, "0 0 0 0", expect!["2, 1, 0, wait 100ms"]);
    check(quota, "0 0 0 50 100 100", expect!["2, 1, 0, wait 50ms, 0, wait 100ms"]);
    check(quota, "0 0 0 1000", expect!["2, 1, 0, 2"]);
    check(quota, "0x3 0 150 250", expect!["0, wait 100ms, 0, 0"]);
    check(quota, "0x4 0x2 0x2", expect!["never, 1, wait 100ms"]);
}

#[test]
fn the_fields_say_what_is_left_and_when_to_come_back() {
    let quota = Quota::new(5, Duration::from_secs(10), 5);
    let mut cell = Cell::default();
    let now = Instant::from_secs(100);
    let mut text = Vec::new();
    quota.write_policy("per\"client", &mut text);
    text.push(b'\n');
    cell.take(quota, 4, now).expect("a burst").write_ratelimit("perclient", &mut text);
    text.push(b'\n');
    let refused = cell.take(quota, 2, now).expect_err("one is left");
    refused.write_ratelimit("perclient", &mut text);
    text.push(b'\n');
    refused.write_retry_after(&mut text);
    expect![[r#"
        "perclient";q=5;w=10
        "perclient";r=1;t=8
        "perclient";r=1;t=8
        2"#]]
    .assert_eq(&String::from_utf8_lossy(&text));
}

#[test]
fn many_keys_free_nobody_who_is_limited() {
    let mut limiter = Limiter::new(Quota::new(1, Duration::from_secs(1), 5), 1_000);
    let now = Instant::from_secs(10);
    let honest: Vec<u64> = (0..200).collect();
    for key in &honest {
        limiter.check(*key, 5, now).expect("a burst");
    }
    let mut rng = Rng::seeded(3);
    let attack: Vec<_> = (0..100_000).map(|_| limiter.check(rng.next_u64(), 5, now)).collect();
    let shared = attack.iter().filter(|told| matches!(told, Ok(told) | Err(told) if told.shared)).count();
    let allowed = attack.iter().filter(|told| told.is_ok()).count();
    assert!(shared > 98_000 && allowed < 1_300, "{shared} shared, {allowed} allowed");
    for key in &honest {
        let told = limiter.check(*key, 1, now).expect_err("its burst is used up");
        assert!(!told.shared);
    }
    // A second later all have their rate, attack or not.
    let later = Instant::from_secs(11);
    assert!(honest.iter().all(|key| limiter.check(*key, 1, later).is_ok()));
}

#[test]
fn a_table_that_is_three_quarters_full_is_shared_by_next_to_nobody() {
    let mut limiter = Limiter::new(Quota::new(1, Duration::from_secs(1), 5), 8_192);
    let mut rng = Rng::seeded(5);
    let shared = (0..6_144)
        .filter(|_| matches!(limiter.check(rng.next_u64(), 1, Instant(0)), Ok(told) if told.shared))
        .count();
    assert!(shared <= 6, "{shared}");
}

#[test]
fn the_table_has_the_size_that_is_told() {
    assert_eq!(size_of::<super::Set>() + size_of::<Cell>(), 136);
    assert_eq!(Limiter::new(Quota::new(1, Duration::from_secs(1), 1), Limiter::KEYS).sets.len() * 8, 65_536);
}

proptest! {
    #[test]
    fn a_cell_is_a_token_bucket(
        requests in 1u32..20,
        burst in 1u32..10,
        steps in proptest::collection::vec((0u64..400, 1u32..4), 1..100),
    ) {
        // All in whole tokens per time, so that both are exact.
        let each_ms = 50;
        let quota = Quota::new(requests, Duration::from_millis(each_ms * u64::from(requests)), burst);
        let (mut cell, mut now) = (Cell::default(), 1_000u64);
        let (mut tokens_ms, mut filled) = (u64::from(burst) * each_ms, now);
        for (later, cost) in steps {
            now += later;
            tokens_ms = (tokens_ms + now - filled).min(u64::from(burst) * each_ms);
            filled = now;
            let want = u64::from(cost) * each_ms;
            let told = cell.take(quota, cost, Instant(now * 1_000_000));
            prop_assert_eq!(told.is_ok(), tokens_ms >= want);
            if told.is_ok() {
                tokens_ms -= want;
            }
            let (Ok(told) | Err(told)) = told;
            prop_assert_eq!(u64::from(told.remaining), tokens_ms / each_ms);
            if let Some(after) = told.retry_after {
                prop_assert_eq!(after.as_millis() as u64, want - tokens_ms);
            }
        }
    }

    #[test]
    fn a_key_in_the_table_is_treated_as_if_it_were_alone(
        seed in proptest::num::u64::ANY,
        steps in proptest::collection::vec((0u64..300, 0u64..40), 1..300),
    ) {
        let quota = Quota::new(5, Duration::from_secs(1), 3);
        let mut limiter = Limiter::new(quota, 64);
        let mut alone: HashMap<u64, Cell> = HashMap::new();
        let mut now = Instant::from_secs(1);
        for (later_ms, key) in steps {
            now = now + Duration::from_millis(later_ms);
            let key = seed.wrapping_mul(key);
            let (Ok(told) | Err(told)) = limiter.check(key, 1, now);
            prop_assert!(!told.shared, "40 keys in 64 places");
            let (Ok(want) | Err(want)) = alone.entry(key).or_default().take(quota, 1, now);
            prop_assert_eq!(told, want);
        }
    }
}

/// Requests at milliseconds, `x` a cost; answers are what remains, or the wait.
#[track_caller]
fn check(quota: Quota, requests: &str, answers: Expect) {
    let mut cell = Cell::default();
    let told = requests.split(' ').map(|request| {
        let (at, cost) = request.split_once('x').unwrap_or((request, "1"));
        let now = Instant(1_000_000 * (1_000 + at.parse::<u64>().expect("a time")));
        match cell.take(quota, cost.parse().expect("a cost"), now) {
            Ok(told) => told.remaining.to_string(),
            Err(told) => told.retry_after.map_or("never".to_owned(), |after| format!("wait {after:?}")),
        }
    });
    answers.assert_eq(&told.collect::<Vec<_>>().join(", "));
}
