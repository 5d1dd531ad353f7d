//! A dependency that is dead, so that connecting to it hangs: what does that cost each of those who call it?

use std::time::Duration;

use base::{Instant, Rng};
use resilience::breaker::{self, Breaker, Outcome, Permit};

use crate::engine::{Events, ms, seed};

const CALLERS: usize = 50;
/// A connection is given up after this.
const TIMEOUT: Duration = Duration::from_secs(1);
/// From the end of a call to the next of the same caller.
const PAUSE: Duration = Duration::from_millis(100);
const SECONDS: u64 = 60;

#[test]
fn each_caller_pays_once_and_then_nothing_while_the_breaker_is_open() {
    let seed = seed();
    let bare = run(seed, None, CALLERS);
    let kept = run(seed, Some(breaker::Policy::default()), CALLERS);
    eprintln!("bare {bare:?}\nkept {kept:?}");
    assert!(bare.most_timeouts >= 50, "without a breaker each caller waits nearly all the time");
    assert_eq!(kept.most_timeouts, 1, "once each");
    assert_eq!(kept.while_open, 0);
    // Three trials at a time, after rests of 1, 2 and then 4 s, a fifth shorter by chance.
    let rounds = 3 + (SECONDS as f64 / (4.0 * 0.8 + 1.0)) as usize;
    assert!(kept.trials <= 3 * rounds, "{} trials", kept.trials);
    assert!(kept.refused_at_once > 10_000, "and goes on with something else");
}

#[test]
fn a_lonely_caller_pays_once_too_if_one_failure_is_enough() {
    let policy = breaker::Policy { failures_in_a_row: Some(1), ..breaker::Policy::default() };
    let kept = run(seed(), Some(policy), 1);
    assert_eq!((kept.most_timeouts, kept.while_open), (1, 0));
}

#[derive(Debug, Default)]
struct Done {
    /// Of the caller with the most, trials aside.
    most_timeouts: usize,
    trials: usize,
    refused_at_once: usize,
    /// Calls that were let through while the breaker stood open.
    while_open: usize,
}

enum Event {
    Call(usize),
    TimeOut(usize, Option<Permit>),
}

fn run(seed: u64, policy: Option<breaker::Policy>, callers: usize) -> Done {
    let mut rng = Rng::seeded(seed);
    let mut breaker = policy.map(Breaker::new);
    let mut events = Events::new();
    let mut done = Done::default();
    let mut timeouts = vec![0; callers];
    for caller in 0..callers {
        events.plan(Instant::from_secs(1) + ms(rng.below(100)), Event::Call(caller));
    }
    while let Some((now, event)) = events.next()
        && now < Instant::from_secs(1 + SECONDS)
    {
        match event {
            Event::Call(caller) => {
                let open = breaker.as_ref().and_then(|breaker| match breaker.position() {
                    breaker::Position::Open(until) => Some(now < until),
                    breaker::Position::Closed | breaker::Position::Trying => None,
                });
                match breaker.as_mut().map(|breaker| breaker.admit(now)) {
                    Some(Err(_)) => {
                        done.refused_at_once += 1;
                        events.plan(now + PAUSE, Event::Call(caller));
                    }
                    Some(Ok(permit)) => {
                        done.while_open += usize::from(open == Some(true));
                        events.plan(now + TIMEOUT, Event::TimeOut(caller, Some(permit)));
                    }
                    None => events.plan(now + TIMEOUT, Event::TimeOut(caller, None)),
                }
            }
            Event::TimeOut(caller, permit) => {
                let trial = permit.as_ref().is_some_and(Permit::is_trial);
                done.trials += usize::from(trial);
                timeouts[caller] += usize::from(!trial);
                if let (Some(breaker), Some(permit)) = (&mut breaker, permit) {
                    breaker.settle(permit, Outcome::Failure, now, &mut rng);
                }
                events.plan(now + PAUSE, Event::Call(caller));
            }
        }
    }
    done.most_timeouts = timeouts.into_iter().max().unwrap_or(0);
    done
}
