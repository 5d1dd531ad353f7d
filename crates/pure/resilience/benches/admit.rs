//! What a pattern costs a request, in nanoseconds: `cargo bench -p resilience`.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use base::{Clock, Instant, Rng, SystemClock};
use resilience::breaker::{self, Breaker};
use resilience::bulkhead::{Answer, Bulkheads, Limits, Path};
use resilience::codel::{self, Queue};
use resilience::flights::{Flights, Landing, Role, Who};
use resilience::hedge::Hedger;
use resilience::limit::{self, AdaptiveLimit, Algorithm};
use resilience::rate::{Limiter, Quota};
use resilience::retry::{Budget, BudgetPolicy};
use resilience::shed::{self, Class, Shed};

/// Requests of one run; ten microseconds of simulated time apart.
const REQUESTS: u64 = 10_000;
const APART_NS: u64 = 10_000;
const RUNS: usize = 501;

fn main() -> std::io::Result<()> {
    let count = breaker::Policy { window: breaker::Window::Calls(100), ..breaker::Policy::default() };
    breaker("breaker, window of 10 s", breaker::Policy::default())?;
    breaker("breaker, window of 100 calls", count)?;
    bulkheads()?;
    limits("adaptive limit, Vegas", Algorithm::Vegas)?;
    limits("adaptive limit, Gradient", Algorithm::Gradient)?;
    queue("codel queue, controlled", codel::Rule::Controlled)?;
    queue("codel queue, classic", codel::Rule::Classic)?;
    shedding()?;
    rates()?;
    budget()?;
    hedges()?;
    joining()
}

/// The median of many runs, a request; runs are shorter than a turn of the scheduler.
fn time(what: &str, mut request: impl FnMut(u64, Instant)) -> std::io::Result<()> {
    let clock = SystemClock;
    let mut number = 0;
    let mut took: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = clock.now();
            for _ in 0..REQUESTS {
                number += 1;
                request(number, Instant(1_000_000_000 + number * APART_NS));
            }
            clock.now().since(begun).as_nanos() as f64 / REQUESTS as f64
        })
        .collect();
    took.sort_unstable_by(f64::total_cmp);
    writeln!(std::io::stdout(), "{what}: {:.1} ns (fastest {:.1})", took[RUNS / 2], took[0])
}

fn breaker(what: &str, policy: breaker::Policy) -> std::io::Result<()> {
    let (mut breaker, mut rng) = (Breaker::new(policy), Rng::seeded(1));
    time(what, |_, now| {
        if let Ok(permit) = breaker.admit(now) {
            black_box(breaker.settle(permit, breaker::Outcome::Success, now, &mut rng));
        }
    })
}

fn bulkheads() -> std::io::Result<()> {
    let mut bulkheads = Bulkheads::default();
    let path = Path::new(&[bulkheads.add(Limits::default()), bulkheads.add(Limits::default())]);
    let mut woken = Vec::new();
    time("bulkheads, route and service, by client", |number, now| {
        if let Ok(Answer::Go(permit)) = bulkheads.ask(path, number % 1000, now) {
            bulkheads.settle(permit, now, &mut woken);
        }
    })
}

fn limits(what: &str, algorithm: Algorithm) -> std::io::Result<()> {
    let mut limit = AdaptiveLimit::new(limit::Policy { algorithm, ..limit::Policy::default() });
    let mut rng = Rng::seeded(1);
    time(what, |_, now| {
        if let Ok(permit) = limit.admit(now) {
            limit.settle(permit, limit::Outcome::Done, now + Duration::from_micros(500), &mut rng);
        }
    })
}

fn queue(what: &str, rule: codel::Rule) -> std::io::Result<()> {
    let mut queue = Queue::new(codel::Policy { rule, ..codel::Policy::default() });
    time(what, |number, now| {
        black_box(queue.push(number, now).is_ok());
        // Ten wait, for a tenth of a millisecond.
        if queue.len() > 10 {
            black_box(queue.take(now));
        }
    })
}

fn shedding() -> std::io::Result<()> {
    let mut shed = Shed::new(shed::Policy::default());
    time("shed", |number, now| {
        let admitted = shed.admit(Class::Default, number % 1000, now).is_ok();
        if black_box(admitted) {
            shed.observe_use(1.0);
        }
    })
}

fn rates() -> std::io::Result<()> {
    let quota = Quota::new(100, Duration::from_secs(1), 50);
    let mut limiter = Limiter::new(quota, Limiter::KEYS);
    let mut rng = Rng::seeded(1);
    time("rate limit, 10,000 keys at random", |_, now| {
        black_box(limiter.check(rng.below(10_000), 1, now).is_ok());
    })
}

fn budget() -> std::io::Result<()> {
    let mut budget = Budget::new(BudgetPolicy::default());
    time("retry budget, every tenth retried", |number, now| {
        budget.deposit(now);
        if number % 10 == 0 {
            black_box(budget.withdraw(now));
        }
    })
}

fn hedges() -> std::io::Result<()> {
    let mut hedger = Hedger::new(resilience::hedge::Policy::default());
    time("hedge, delay and observation", |number, now| {
        black_box(hedger.begin());
        hedger.observe(Duration::from_micros(500 + number % 500), now);
    })
}

fn joining() -> std::io::Result<()> {
    let mut flights = Flights::new(resilience::flights::Policy::default());
    let mut next = Vec::new();
    time("flight without followers", |number, now| {
        if let Role::Lead(flight) = flights.join(number % 1000, Who(number), now) {
            flights.land(flight, Landing::Shared, now, &mut next);
        }
    })
}
