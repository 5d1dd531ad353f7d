//! Who calls and who waits, how a landing goes on, and that nobody is forgotten.

use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Flight, Flights, Landing, Next, Policy, Role, Who};

#[test]
fn one_leads_and_all_take_its_answer() {
    check("1 2 3 1:shared 4", expect!["1 leads, 2 follows, 3 follows, 2 takes, 3 takes, 4 leads"]);
    check("1 1:shared 2", expect!["1 leads, 2 leads"]);
}

#[test]
fn after_a_failure_one_follower_tries_and_not_all() {
    check(
        "1 2 3 1:failed 4 2:failed 3:shared",
        expect!["1 leads, 2 follows, 3 follows, 2 leads, 4 follows, 3 leads, 4 takes"],
    );
    check("1 1:failed 2", expect!["1 leads, 2 leads"]);
}

#[test]
fn a_private_answer_frees_all_and_the_key_goes_alone_for_a_while() {
    check(
        "1 2 3 1:private 4 @9 5 @10 6",
        expect!["1 leads, 2 follows, 3 follows, 2 alone, 3 alone, 4 alone, 5 alone, 6 leads"],
    );
}

#[test]
fn an_answer_that_differs_lets_the_next_lead() {
    check("1 2 3 1:differs 2:shared", expect!["1 leads, 2 follows, 3 follows, 2 leads, 3 takes"]);
}

#[test]
fn a_leader_that_is_lost_is_replaced_and_lands_in_vain() {
    check("1 2 @5 3 1:shared 3:shared", expect!["1 leads, 2 follows, 3 leads, 2 takes"]);
    check("1 2 3 @5 t 1:failed 2:shared", expect!["1 leads, 2 follows, 3 follows, 2 leads, 3 takes"]);
    check("1 @5 t 2", expect!["1 leads, 2 leads"]);
}

#[test]
fn who_leaves_is_not_told_and_who_finds_no_place_goes_alone() {
    check("1 2 3 !2 1:failed", expect!["1 leads, 2 follows, 3 follows, 3 leads"]);
    check(
        "1 2 3 4 5 1:shared",
        expect!["1 leads, 2 follows, 3 follows, 4 follows, 5 alone, 2 takes, 3 takes, 4 takes"],
    );
}

#[test]
fn flights_and_lonely_keys_are_bounded() {
    let policy = Policy { keys: 2, alone_keys: 3, ..Policy::default() };
    let mut flights = Flights::new(policy);
    let now = Instant(0);
    let roles: Vec<Role> = (0..3).map(|key| flights.join(key, Who(key), now)).collect();
    assert!(matches!(roles[..], [Role::Lead(_), Role::Lead(_), Role::Alone]));
    flights.land(first(roles), Landing::Shared, now, &mut Vec::new());
    for key in 10..20 {
        let Role::Lead(flight) = flights.join(key, Who(1), now) else { panic!("a new key, and a place") };
        flights.land(flight, Landing::Private, now, &mut Vec::new());
    }
    assert!(flights.alone.len() == 3 && flights.alone_order.len() == 3);
}

fn first(roles: Vec<Role>) -> Flight {
    let flights = roles.into_iter().filter_map(|role| match role {
        Role::Lead(flight) => Some(flight),
        Role::Follow | Role::Alone => None,
    });
    flights.take(1).last().expect("one leads")
}

proptest! {
    #[test]
    fn everybody_is_told_exactly_once(
        seed in proptest::num::u64::ANY,
        steps in proptest::collection::vec((0u64..2_000, 0u8..10, 0u64..4), 1..300),
    ) {
        let mut rng = Rng::seeded(seed);
        let mut flights = Flights::new(Policy { followers: 5, keys: 3, ..Policy::default() });
        let (mut now, mut number) = (Instant(0), 0);
        let mut leading: Vec<Flight> = Vec::new();
        let mut waiting: Vec<(u64, Who)> = Vec::new();
        for (later_ms, act, key) in steps {
            now = now + Duration::from_millis(later_ms);
            let mut next = Vec::new();
            match act {
                0..6 => {
                    number += 1;
                    match flights.join(key, Who(number), now) {
                        Role::Lead(flight) => leading.push(flight),
                        Role::Follow => waiting.push((key, Who(number))),
                        Role::Alone => {}
                    }
                }
                6..9 if !leading.is_empty() => {
                    let flight = leading.swap_remove(rng.below(leading.len() as u64) as usize);
                    let landing = [Landing::Shared, Landing::Failed, Landing::Private, Landing::Differs];
                    flights.land(flight, landing[rng.below(4) as usize], now, &mut next);
                }
                _ => flights.tick(now, &mut next),
            }
            for (who, what) in next {
                let before = waiting.len();
                waiting.retain(|(_, other)| *other != who);
                prop_assert_eq!(waiting.len() + 1, before, "told who does not wait");
                if let Next::Lead(flight) = what {
                    leading.push(flight);
                }
            }
            prop_assert!(flights.load().0 <= 3);
            prop_assert_eq!(flights.load().1, waiting.len());
        }
        // Even if every leader is lost, ticks bring all followers to lead in the end.
        for _ in 0..40 {
            now = now + Duration::from_secs(5);
            let mut next = Vec::new();
            flights.tick(now, &mut next);
            waiting.retain(|(_, who)| !next.iter().any(|(told, _)| told == who));
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(flights.load(), (0, 0));
    }
}

/// Callers by number ask for one key; `1:shared` lands the leader 1, `!2` leaves, `@5` moves to a second, `t` ticks.
#[track_caller]
fn check(script: &str, tells: Expect) {
    let mut flights = Flights::new(Policy { followers: 3, ..Policy::default() });
    let mut leading: Vec<(u64, Flight)> = Vec::new();
    let mut now = Instant(0);
    let mut told = Vec::new();
    for word in script.split(' ') {
        let mut next = Vec::new();
        if let Some(second) = word.strip_prefix('@') {
            now = Instant::from_secs(second.parse().expect("seconds"));
        } else if let Some(who) = word.strip_prefix('!') {
            flights.leave(1, Who(who.parse().expect("a number")));
        } else if word == "t" {
            flights.tick(now, &mut next);
        } else if let Some((who, how)) = word.split_once(':') {
            let at = leading.iter().position(|(leader, _)| leader.to_string() == who).expect("it leads");
            let landing = match how {
                "shared" => Landing::Shared,
                "failed" => Landing::Failed,
                "private" => Landing::Private,
                _ => Landing::Differs,
            };
            flights.land(leading.remove(at).1, landing, now, &mut next);
        } else {
            let who = word.parse().expect("a number");
            match flights.join(1, Who(who), now) {
                Role::Lead(flight) => {
                    told.push(format!("{who} leads"));
                    leading.push((who, flight));
                }
                Role::Follow => told.push(format!("{who} follows")),
                Role::Alone => told.push(format!("{who} alone")),
            }
        }
        for (Who(who), what) in next {
            match what {
                Next::Take => told.push(format!("{who} takes")),
                Next::Alone => told.push(format!("{who} alone")),
                Next::Lead(flight) => {
                    told.push(format!("{who} leads"));
                    leading.push((who, flight));
                }
            }
        }
    }
    tells.assert_eq(&told.join(", "));
}
