//! Three hops, each configured with three tries, before a service that fails.

use base::{Instant, Rng};
use resilience::retry::{Budget, BudgetPolicy, Failed, Failure, Policy, Repeatable};

use crate::engine::{Events, ms, seed};

const HOPS: usize = 3;
const TRIES: u32 = 3;
/// One request a millisecond.
const REQUESTS: u64 = 10_000;

#[test]
fn a_storm_of_retries_through_three_hops_does_not_grow() {
    let seed = seed();
    let bare = run(seed, 1.0, Retries::Plain);
    let budget_only = run(seed, 1.0, Retries::Budget);
    let kept = run(seed, 1.0, Retries::BudgetAndMark);
    eprintln!("bare {bare:?}\nbudget only {budget_only:?}\nkept {kept:?}");
    assert_eq!(bare.load, 27.0);
    assert!(budget_only.load > 1.5, "without the mark each hop adds its share");
    assert!(kept.load <= 1.2 && kept.load > 1.15, "the inner hop retries, and only it");
}

#[test]
fn retries_still_mend_what_fails_now_and_then() {
    let seed = seed();
    let none = run(seed, 0.05, Retries::None);
    let kept = run(seed, 0.05, Retries::BudgetAndMark);
    eprintln!("none {none:?}\nkept {kept:?}");
    assert!(none.answered < 0.96 && kept.answered > 0.9995);
    assert!(kept.load < 1.06);
}

#[derive(Clone, Copy, PartialEq)]
enum Retries {
    None,
    Plain,
    Budget,
    BudgetAndMark,
}

#[derive(Debug)]
struct Done {
    /// Calls at the service for each request.
    load: f64,
    /// The share of requests that were answered well.
    answered: f64,
}

/// A request on its way: the tries that each hop has begun, the outermost first.
#[derive(Clone, Copy)]
struct Request {
    tries: [u32; HOPS],
}

/// A hop sends the request on; the last one to the service.
struct Send {
    request: Request,
    from: usize,
}

fn run(seed: u64, fails: f64, retries: Retries) -> Done {
    let mut rng = Rng::seeded(seed);
    let mut events = Events::new();
    let mut budgets: Vec<Budget> = (0..HOPS).map(|_| Budget::new(BudgetPolicy::default())).collect();
    let policy = Policy { tries: if retries == Retries::None { 1 } else { TRIES }, ..Policy::default() };
    for n in 0..REQUESTS {
        let request = Request { tries: [0; HOPS] };
        events.plan(Instant::from_secs(1) + ms(n), Send { request, from: 0 });
    }
    let (mut calls, mut answered) = (0u64, 0u64);
    while let Some((now, Send { mut request, from })) = events.next() {
        // It goes through: each hop further in sees it for the first time.
        for (hop, budget) in budgets.iter_mut().enumerate().skip(from) {
            if hop > from {
                request.tries[hop] = 0;
            }
            if request.tries[hop] == 0 {
                budget.deposit(now);
            }
            request.tries[hop] += 1;
        }
        calls += 1;
        if !rng.chance(fails) {
            answered += 1;
            continue;
        }
        // And the failure comes back, hop by hop, until one tries again.
        let mut marked = false;
        for hop in (0..HOPS).rev() {
            let tries = request.tries[hop];
            let failed =
                Failed { repeatable: Repeatable::Yes, marked, ..Failed::new(Failure::Status(503), tries) };
            let decided = match retries {
                Retries::Plain if tries < TRIES => Ok(now + ms(10)),
                Retries::Plain => continue,
                Retries::None | Retries::Budget | Retries::BudgetAndMark => {
                    policy.decide(&failed, &mut budgets[hop], now, &mut rng)
                }
            };
            match decided {
                Ok(at) => {
                    events.plan(at, Send { request, from: hop });
                    break;
                }
                Err(no) => marked = retries == Retries::BudgetAndMark && no.marks(tries),
            }
        }
    }
    Done { load: calls as f64 / REQUESTS as f64, answered: answered as f64 / REQUESTS as f64 }
}
