//! Certificates' courses over years that take no time.

use super::*;

const DAY: u64 = 86_400;
/// When the tests begin: any time will do.
const BEGIN: u64 = 1_800_000_000;

fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    println!("SEED={seed}");
    seed
}

/// One of 90 days from now.
fn of_ninety_days(now: u64, rng: &mut Rng) -> Renewal {
    let mut renewal = Renewal::missing();
    renewal.issued(Life { from: now, until: now + 90 * DAY }, rng);
    renewal
}

#[test]
fn what_is_missing_is_ordered_at_once() {
    assert_eq!(Renewal::missing().next(BEGIN, true), Next::Order);
}

#[test]
fn renewal_comes_after_two_thirds_of_the_life_and_not_for_all_at_once() {
    let mut rng = Rng::seeded(seed());
    let due: Vec<u64> = (0..100).map(|_| of_ninety_days(BEGIN, &mut rng).due() - BEGIN).collect();
    assert!(due.iter().all(|due| (60 * DAY..=63 * DAY).contains(due)), "{due:?}");
    let early = due.iter().filter(|due| **due < 61 * DAY).count();
    assert!((10..60).contains(&early), "{early} of 100 in the first third of the time");
    let one = of_ninety_days(BEGIN, &mut rng);
    assert_eq!(one.next(BEGIN + DAY, false), Next::Wait(one.due()));
    assert_eq!(one.next(one.due(), false), Next::Order);
}

#[test]
fn the_authority_decides_when_it_has_a_wish() {
    let mut rng = Rng::seeded(seed());
    let mut one = of_ninety_days(BEGIN, &mut rng);
    assert_eq!(one.next(BEGIN, true), Next::Ask);
    one.advised(Some((BEGIN + 50 * DAY, BEGIN + 52 * DAY)), None, BEGIN, &mut rng);
    let due = one.due();
    assert!((BEGIN + 50 * DAY..=BEGIN + 52 * DAY).contains(&due));
    assert_eq!(one.next(BEGIN, true), Next::Wait(BEGIN + 6 * 3600), "it is asked again before that");
    one.advised(Some((BEGIN + 50 * DAY, BEGIN + 52 * DAY)), None, BEGIN + DAY, &mut rng);
    assert_eq!(one.due(), due, "the same answer changes nothing");
    // As when certificates are to be revoked: at once.
    one.advised(Some((BEGIN, BEGIN + DAY)), None, BEGIN + 2 * DAY, &mut rng);
    assert_eq!(one.next(BEGIN + 2 * DAY, true), Next::Order);
}

#[test]
fn advice_that_makes_no_sense_is_passed_over() {
    let mut rng = Rng::seeded(seed());
    for window in [(5, 5), (9, 5), (BEGIN + 90 * DAY, BEGIN + 900 * DAY)] {
        let mut one = of_ninety_days(BEGIN, &mut rng);
        let usual = one.due();
        one.advised(Some(window), Some(0), BEGIN, &mut rng);
        assert_eq!(one.due(), usual, "{window:?}");
        assert_eq!(one.next(BEGIN, true), Next::Wait(BEGIN + 60), "it is not asked again at once");
    }
    let mut one = of_ninety_days(BEGIN, &mut rng);
    one.advised(None, Some(u64::MAX / 2), BEGIN, &mut rng);
    assert_eq!(one.next(BEGIN, true), Next::Wait(BEGIN + DAY));
}

#[test]
fn an_authority_that_refuses_is_asked_less_and_less_often() {
    let mut rng = Rng::seeded(seed());
    let mut one = Renewal::missing();
    let (mut now, mut tries) = (BEGIN, Vec::new());
    while now < BEGIN + 7 * DAY {
        match one.next(now, true) {
            Next::Order => {
                tries.push(now - BEGIN);
                one.failed(now, None, &mut rng);
            }
            Next::Wait(until) => {
                assert!(until > now, "it waits for what has passed");
                now = until;
            }
            Next::Ask => panic!("there is nothing to ask about"),
        }
    }
    assert!(tries.iter().filter(|at| **at < 3600).count() <= 4, "{tries:?}");
    assert!((15..30).contains(&tries.len()), "{} tries in a week: {tries:?}", tries.len());
    let last = tries[tries.len() - 1] - tries[tries.len() - 2];
    assert!((12 * 3600..=15 * 3600).contains(&last), "{last}");
}

#[test]
fn the_authority_is_given_the_time_that_it_asks_for() {
    let mut rng = Rng::seeded(seed());
    let mut one = Renewal::missing();
    assert_eq!(one.failed(BEGIN, Some(2 * DAY), &mut rng), BEGIN + 2 * DAY);
    assert_eq!(one.next(BEGIN + DAY, false), Next::Wait(BEGIN + 2 * DAY));
    assert_eq!(one.failed(BEGIN, Some(u64::MAX), &mut rng), BEGIN + 7 * DAY);
    let next = one.failed(BEGIN, Some(1), &mut rng) - BEGIN;
    assert!(next >= 20 * 60, "less than the pause is not heard: {next}");
}

#[test]
fn a_renewal_that_fails_pauses_and_one_that_comes_forgets_the_failures() {
    let mut rng = Rng::seeded(seed());
    let mut one = of_ninety_days(BEGIN, &mut rng);
    let due = one.due();
    let again = one.failed(due, None, &mut rng);
    assert_eq!(one.next(due + 1, true), Next::Wait(again));
    assert_eq!(one.next(again, true), Next::Order);
    one.issued(Life { from: again, until: again + 90 * DAY }, &mut rng);
    assert_eq!((one.failures, one.pause_until), (0, 0));
}

/// Whatever answers come and however the clock is set, each call says something that can be done.
#[test]
fn any_history_goes_on() {
    let seed = seed();
    for round in 0..200 {
        let mut rng = Rng::seeded(seed + round);
        let (mut one, mut now) = (Renewal::missing(), BEGIN);
        for _ in 0..200 {
            match one.next(now, rng.chance(0.5)) {
                Next::Order if rng.chance(0.5) => {
                    let life = Life { from: now, until: now + rng.below(100 * DAY) };
                    one.issued(life, &mut rng);
                }
                Next::Order => {
                    let patience = rng.chance(0.3).then(|| rng.below(u64::MAX));
                    let until = one.failed(now, patience, &mut rng);
                    assert!(until >= now + 300 && until <= now + 7 * DAY + LONGEST_PAUSE);
                }
                Next::Ask => {
                    let window = (now.saturating_sub(rng.below(DAY)), now + rng.below(200 * DAY));
                    one.advised(Some(window), Some(rng.below(2 * DAY)), now, &mut rng);
                }
                Next::Wait(until) => {
                    assert!(until > now, "seed {seed}, round {round}: it waits for what has passed");
                    now = if rng.chance(0.1) { now - rng.below(DAY) } else { until };
                }
            }
        }
    }
}

#[test]
fn a_person_need_not_wait_a_few_times_an_hour() {
    let mut rng = Rng::seeded(seed());
    let mut one = Renewal::missing();
    for minute in 0..3 {
        let now = BEGIN + minute * 60;
        one.failed(now, None, &mut rng);
        assert_eq!(one.may_retry(now), Ok(()), "minute {minute}");
        one.retry(now);
        assert_eq!(one.next(now, true), Next::Order, "minute {minute}");
    }
    let pause_until = one.failed(BEGIN + 180, None, &mut rng);
    assert_eq!(one.may_retry(BEGIN + 180), Err(TooSoon::Often(BEGIN + 3600)));
    assert_eq!(one.next(pause_until, true), Next::Order, "it goes on by itself");
    assert_eq!(one.may_retry(BEGIN + 3599), Err(TooSoon::Often(BEGIN + 3600)));
    assert_eq!(one.may_retry(BEGIN + 3600), Ok(()));
    one.retry(BEGIN + 3600);
    assert_eq!(one.may_retry(BEGIN + 3600), Err(TooSoon::Often(BEGIN + 3660)));
    assert_eq!(one.may_retry(BEGIN - DAY), Ok(()), "a clock that was set back");
    one.issued(Life { from: BEGIN, until: BEGIN + 90 * DAY }, &mut rng);
    assert_eq!(one.may_retry(BEGIN + 3600), Ok(()), "what was issued begins anew");
}

#[test]
fn nobody_hurries_an_authority_that_has_asked_for_patience() {
    let mut rng = Rng::seeded(seed());
    let mut one = Renewal::missing();
    one.failed(BEGIN, Some(7200), &mut rng);
    assert_eq!(one.may_retry(BEGIN + 7199), Err(TooSoon::Asked(BEGIN + 7200)));
    assert_eq!(one.may_retry(BEGIN + 7200), Ok(()));
    one.failed(BEGIN + 7200, None, &mut rng);
    assert_eq!(one.may_retry(BEGIN + 7200), Ok(()), "it has not asked again");
}
