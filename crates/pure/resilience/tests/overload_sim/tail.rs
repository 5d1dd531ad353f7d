//! A few answers that are a hundred times slower than the others.

use std::collections::HashMap;
use std::time::Duration;

use base::{Instant, Rng};
use resilience::hedge::{Hedger, Leg, Policy, Race, Sight, Verdict};

use crate::engine::{Events, exponential, ms, quantile, seed};

const REQUESTS: u64 = 40_000;

#[test]
fn hedging_cuts_the_tail_for_a_twentieth_more_load() {
    let seed = seed();
    let bare = run(seed, false, 0.3);
    let kept = run(seed, true, 0.3);
    eprintln!("bare {bare:?}\nkept {kept:?}");
    assert!(bare.p999 >= ms(1_000));
    assert!(kept.p999 * 4 <= bare.p999, "the slow thousandth");
    assert!(kept.load <= 1.05 && kept.load > 1.01);
    assert!(kept.p50 <= bare.p50.mul_f64(1.1));
}

#[test]
fn under_high_load_there_are_no_hedges() {
    assert_eq!(run(seed(), true, 0.9).load, 1.0);
}

#[derive(Debug)]
struct Done {
    p50: Duration,
    p999: Duration,
    /// Calls for each request.
    load: f64,
}

enum Event {
    Arrive(u64),
    Hedge(u64),
    Answer(u64, Leg),
}

struct Request {
    came: Instant,
    race: Race,
}

/// One in two hundred takes a second; the others some milliseconds.
fn takes(rng: &mut Rng) -> Duration {
    if rng.chance(0.005) { ms(1_000) } else { ms(5) + exponential(ms(5), rng) }
}

fn run(seed: u64, hedging: bool, load: f64) -> Done {
    let mut rng = Rng::seeded(seed);
    let mut hedger = Hedger::new(Policy::default());
    let mut events = Events::new();
    let mut requests: HashMap<u64, Request> = HashMap::new();
    let (mut calls, mut times) = (0u64, Vec::new());
    for n in 0..REQUESTS {
        events.plan(Instant::from_secs(1) + ms(n), Event::Arrive(n));
    }
    while let Some((now, event)) = events.next() {
        match event {
            Event::Arrive(id) => {
                calls += 1;
                requests.insert(id, Request { came: now, race: Race::default() });
                events.plan(now + takes(&mut rng), Event::Answer(id, Leg::First));
                if let Some(delay) = hedger.begin().filter(|_| hedging) {
                    events.plan(now + delay, Event::Hedge(id));
                }
            }
            Event::Hedge(id) => {
                let sight = Sight { safe: true, breaker_closed: true, load };
                if let Some(request) = requests.get_mut(&id)
                    && hedger.fire(sight).is_ok()
                {
                    calls += 1;
                    request.race.hedge();
                    events.plan(now + takes(&mut rng), Event::Answer(id, Leg::Second));
                }
            }
            Event::Answer(id, leg) => {
                let Some(request) = requests.get_mut(&id) else { continue };
                if let Verdict::Use { .. } = request.race.answer(leg, true) {
                    let took = now.since(request.came);
                    times.push(took);
                    // The first call's time, or how long it had taken when it lost.
                    hedger.observe(took, now);
                    requests.remove(&id);
                }
            }
        }
    }
    assert_eq!(times.len() as u64, REQUESTS, "all are answered");
    Done {
        p50: quantile(&mut times, 0.5),
        p999: quantile(&mut times, 0.999),
        load: calls as f64 / REQUESTS as f64,
    }
}
