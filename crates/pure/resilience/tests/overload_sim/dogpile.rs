//! A thousand requests at once for one answer that has expired.

use std::time::Duration;

use base::{Instant, Rng, Timestamp};
use resilience::flights::{Flight, Flights, Landing, Next, Policy, Role, Who};
use resilience::freshness::{Answer, Entry, Received, Request, Rules, Store, Use};

use crate::engine::{Events, ms, seed};

const REQUESTS: u64 = 1_000;
const TAKES: Duration = Duration::from_millis(200);

#[test]
fn a_thousand_requests_for_one_expired_answer_make_one_call() {
    let seed = seed();
    let told = "max-age=10";
    let bare = run(Case { told, flights: false, first_fails: false, private: false, seed });
    let kept = run(Case { told, flights: true, first_fails: false, private: false, seed });
    assert_eq!((bare.calls, kept.calls), (1_000, 1));
    assert_eq!((bare.answered, kept.answered), (1_000, 1_000));
}

#[test]
fn when_the_one_call_fails_there_is_one_more_and_not_a_thousand() {
    let kept =
        run(Case { told: "max-age=10", flights: true, first_fails: true, private: false, seed: seed() });
    assert_eq!((kept.calls, kept.answered), (2, 999));
}

#[test]
fn an_answer_that_is_private_after_all_holds_nobody_up() {
    let kept =
        run(Case { told: "max-age=10", flights: true, first_fails: false, private: true, seed: seed() });
    assert_eq!((kept.calls, kept.answered), (1_000, 1_000));
    assert!(kept.slowest <= TAKES * 2 + ms(1), "{:?}", kept.slowest);
}

#[test]
fn a_stale_answer_that_may_be_served_makes_one_call_and_nobody_waits() {
    let told = "max-age=10, stale-while-revalidate=60";
    let kept = run(Case { told, flights: false, first_fails: false, private: false, seed: seed() });
    assert_eq!((kept.calls, kept.answered), (1, 1_000));
    assert_eq!(kept.slowest, Duration::ZERO);
}

struct Case {
    told: &'static str,
    flights: bool,
    first_fails: bool,
    private: bool,
    seed: u64,
}

#[derive(Default)]
struct Done {
    calls: u64,
    answered: u64,
    slowest: Duration,
}

enum Event {
    Ask(u64),
    /// A call has ended: that of this caller, or a renewal that nobody waits for.
    End(Option<u64>, Option<Flight>),
}

fn run(case: Case) -> Done {
    let begin = Instant::from_secs(100);
    let mut rng = Rng::seeded(case.seed);
    let rules = Rules { early: 0.0, ..Rules::default() };
    let mut store = Store::new(1 << 20);
    let answer = Answer { cache_control: Some(case.told.as_bytes()), ..Answer::status(200) };
    let old = Instant::from_secs(80);
    let received = Received { asked: old, now: old, wall: Timestamp::from_secs(0) };
    let entry = Entry::of(&rules, &Request::get(), &answer, received).expect("it may be kept");
    store.insert(b"/page", entry, 2_000).expect("it is small");
    let mut flights = Flights::new(Policy::default());
    let mut events = Events::new();
    // All within a millisecond.
    let came: Vec<Instant> = (0..REQUESTS).map(|n| begin + Duration::from_nanos(n * 1_000)).collect();
    for (n, at) in came.iter().enumerate() {
        events.plan(*at, Event::Ask(n as u64));
    }
    let mut done = Done::default();
    let answered = |done: &mut Done, who: u64, now: Instant| {
        done.answered += 1;
        done.slowest = done.slowest.max(now.since(came[who as usize]));
    };
    while let Some((now, event)) = events.next() {
        match event {
            Event::Ask(who) => {
                let entry = store.get(b"/page").expect("it was put there");
                if let Use::Serve { renew, .. } = entry.decide(&rules, &Request::get(), now, &mut rng) {
                    answered(&mut done, who, now);
                    if renew {
                        done.calls += 1;
                        events.plan(now + TAKES, Event::End(None, None));
                    }
                    continue;
                }
                let role = if case.flights { flights.join(7, Who(who), now) } else { Role::Alone };
                let flight = match role {
                    Role::Follow => continue,
                    Role::Alone => None,
                    Role::Lead(flight) => Some(flight),
                };
                done.calls += 1;
                events.plan(now + TAKES, Event::End(Some(who), flight));
            }
            Event::End(who, flight) => {
                let fails = case.first_fails && done.calls == 1;
                if let (Some(who), false) = (who, fails) {
                    answered(&mut done, who, now);
                }
                let Some(flight) = flight else { continue };
                let landing = match (fails, case.private) {
                    (true, _) => Landing::Failed,
                    (false, true) => Landing::Private,
                    (false, false) => Landing::Shared,
                };
                let mut next = Vec::new();
                flights.land(flight, landing, now, &mut next);
                for (Who(who), what) in next {
                    let flight = match what {
                        Next::Take => {
                            answered(&mut done, who, now);
                            continue;
                        }
                        Next::Alone => None,
                        Next::Lead(flight) => Some(flight),
                    };
                    done.calls += 1;
                    events.plan(now + TAKES, Event::End(Some(who), flight));
                }
            }
        }
    }
    done
}
