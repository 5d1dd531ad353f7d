//! When a second request may go, that there are never too many, and whose answer counts.

use std::time::Duration;

use base::{Instant, Rng};
use expect_test::{Expect, expect};
use proptest::prelude::{prop_assert, proptest};

use super::{Hedger, Leg, NoHedge, Policy, Race, Sight};

const FREE: Sight = Sight { safe: true, breaker_closed: true, load: 0.5 };

#[test]
fn a_hedge_needs_a_safe_method_a_closed_breaker_room_and_budget() {
    check(FREE, expect!["sent"]);
    check(Sight { safe: false, ..FREE }, expect!["the method is not safe to send twice"]);
    check(Sight { breaker_closed: false, ..FREE }, expect!["the breaker is not closed"]);
    check(Sight { load: 0.8, ..FREE }, expect!["the load is too high for a second request"]);
    let mut fresh = Hedger::new(Policy::default());
    assert_eq!(fresh.fire(FREE), Err(NoHedge::BudgetSpent));
}

#[test]
fn there_is_no_delay_before_enough_was_seen() {
    let mut hedger = Hedger::new(Policy::default());
    for seen in 0..100 {
        assert_eq!(hedger.begin(), None, "after {seen} answers");
        hedger.observe(Duration::from_millis(20), Instant(0));
    }
    assert!(hedger.begin().is_some_and(|delay| delay >= Duration::from_millis(20)));
}

#[test]
fn a_delay_that_was_chosen_holds_from_the_first_request_on() {
    let fixed = Some(Duration::from_millis(50));
    let mut hedger = Hedger::new(Policy { delay_fixed: fixed, ..Policy::default() });
    for _ in 0..200 {
        assert_eq!(hedger.begin(), fixed);
        hedger.observe(Duration::from_millis(1), Instant(0));
    }
}

#[test]
fn a_saved_up_budget_is_bounded() {
    let mut hedger = Hedger::new(Policy { burst: 3, ..Policy::default() });
    for _ in 0..10_000 {
        hedger.begin();
    }
    let fired = (0..100).filter(|_| hedger.fire(FREE).is_ok()).count();
    assert_eq!(fired, 3);
}

#[test]
fn the_delay_does_not_creep_down_when_hedges_win() {
    let mut hedger = Hedger::new(Policy::default());
    let mut rng = Rng::seeded(7);
    let mut early = None;
    for n in 0..20_000u64 {
        let delay = hedger.begin();
        let took = Duration::from_micros(1_000 + rng.below(9_000));
        // Every hedge wins at once: what is observed is cut off at the delay.
        hedger.observe(delay.map_or(took, |delay| took.min(delay)), Instant(n * 1_000_000));
        if n == 1_000 {
            early = delay;
        }
    }
    let (early, late) = (early.unwrap_or_default(), hedger.begin().unwrap_or_default());
    assert!(late >= early.mul_f64(0.85), "{early:?} became {late:?}");
}

#[test]
fn the_first_good_answer_wins() {
    check_race("1+", expect!["use"]);
    check_race("1-", expect!["use"]);
    check_race("hedge 1+ 2+", expect!["use, cancel Second; too late"]);
    check_race("hedge 2+ 1+", expect!["use, cancel First; too late"]);
    check_race("hedge 1- 2+", expect!["wait; use"]);
    check_race("hedge 2- 1-", expect!["wait; use"]);
    check_race("1+ hedge 2+", expect!["use; too late"]);
}

proptest! {
    #[test]
    fn hedges_never_exceed_their_share(
        share in 0.0..0.3f64,
        tries in proptest::collection::vec(0u8..4, 1..400),
    ) {
        let mut hedger = Hedger::new(Policy { share, burst: u32::MAX, ..Policy::default() });
        let (mut first, mut second) = (0.0, 0.0);
        for fires in tries {
            hedger.begin();
            first += 1.0;
            for _ in 0..fires {
                second += f64::from(u8::from(hedger.fire(FREE).is_ok()));
            }
            prop_assert!(second <= share * first + 1e-9);
        }
    }
}

#[track_caller]
fn check(sight: Sight, says: Expect) {
    let mut hedger = Hedger::new(Policy::default());
    for _ in 0..100 {
        hedger.begin();
    }
    says.assert_eq(&hedger.fire(sight).map_or_else(|no| no.to_string(), |()| "sent".to_owned()));
}

#[track_caller]
fn check_race(events: &str, verdicts: Expect) {
    let mut race = Race::default();
    let mut told = Vec::new();
    for event in events.split(' ') {
        let leg = if event.starts_with('1') { Leg::First } else { Leg::Second };
        match event {
            "hedge" => race.hedge(),
            answer => told.push(match race.answer(leg, answer.ends_with('+')) {
                super::Verdict::Use { cancel: None } => "use".to_owned(),
                super::Verdict::Use { cancel: Some(leg) } => format!("use, cancel {leg:?}"),
                super::Verdict::Wait => "wait".to_owned(),
                super::Verdict::TooLate => "too late".to_owned(),
            }),
        }
    }
    verdicts.assert_eq(&told.join("; "));
}
