//! A service that fails for ten seconds, under clients that retry: without patterns it never comes back.
//!
//! It hangs, so that what is sent to it piles up. When it is back it works on what nobody waits for any more, so new
//! requests time out too and are sent again, and the load stays at a multiple of what it can do.

use std::collections::HashMap;
use std::time::Duration;

use base::{Instant, Rng};
use resilience::breaker::{self, Breaker, Change};
use resilience::retry::{Budget, BudgetPolicy, Failed, Failure, Policy, Repeatable};

use crate::engine::{Events, Job, Service, exponential, ms, seed};

/// Ten jobs at once of 10 ms: 1,000 a second.
const WORKERS: usize = 10;
const TAKES: Duration = Duration::from_millis(10);
const LOAD: u64 = 800;
/// A client waits so long for one try, and makes four.
const TIMEOUT: Duration = Duration::from_millis(300);
const TRIES: u32 = 4;
const FAILS: u64 = 10;
const RETURNS: u64 = 20;

#[test]
fn after_an_outage_all_is_well_again_within_five_seconds() {
    let seed = seed();
    let bare = run(seed, None, 40);
    let kept = run(seed, Some(patterns()), 40);
    eprintln!("bare {bare:?}\nkept {kept:?}");
    // The last second before the outage, and the last of all, hold requests that were under way at its end.
    let (before, after) = (0..FAILS as usize - 1, RETURNS as usize + 5..39);
    assert!(before.clone().all(|second| bare.well(second) && kept.well(second)), "before, all is well");
    assert!(after.clone().all(|second| bare.goodput[second] == 0), "without patterns it stays down");
    assert!(after.clone().all(|second| kept.well(second)));
    assert!(kept.calls < bare.calls / 2);
}

fn patterns() -> Patterns {
    Patterns {
        breaker: Breaker::new(breaker::Policy::default()),
        budget: Budget::new(BudgetPolicy::default()),
        policy: Policy { tries: TRIES, ..Policy::default() },
    }
}

struct Patterns {
    breaker: Breaker,
    budget: Budget,
    policy: Policy,
}

#[derive(Debug)]
struct Done {
    /// Requests by the second in which they came, and those that were answered in time.
    came: Vec<u64>,
    goodput: Vec<u64>,
    /// Calls that the service got.
    calls: u64,
}

impl Done {
    fn well(&self, second: usize) -> bool {
        self.goodput[second] as f64 >= 0.95 * self.came[second] as f64
    }
}

enum Event {
    Arrive,
    Try(Request),
    Finish(u64),
    TimeOut(u64),
    /// The service hangs, and then works again.
    Fail,
    Return,
}

#[derive(Clone, Copy)]
struct Request {
    came: Instant,
    tries: u32,
}

struct World {
    now: Instant,
    events: Events<Event>,
    service: Service,
    /// Calls that end once the service works again.
    hanging: Option<Vec<u64>>,
    patterns: Option<Patterns>,
    /// Calls whose client still waits.
    waiting: HashMap<u64, (Request, Option<breaker::Permit>)>,
    rng: Rng,
    done: Done,
}

fn run(seed: u64, patterns: Option<Patterns>, seconds: u64) -> Done {
    let mut world = World {
        now: Instant(0),
        events: Events::new(),
        service: Service::new(WORKERS),
        hanging: None,
        patterns,
        waiting: HashMap::new(),
        rng: Rng::seeded(seed),
        done: Done { came: vec![0; seconds as usize], goodput: vec![0; seconds as usize], calls: 0 },
    };
    world.events.plan(Instant(0), Event::Arrive);
    world.events.plan(Instant::from_secs(FAILS), Event::Fail);
    world.events.plan(Instant::from_secs(RETURNS), Event::Return);
    let end = Instant::from_secs(seconds);
    while let Some((now, event)) = world.events.next()
        && now < end
    {
        world.now = now;
        match event {
            Event::Arrive => {
                world.done.came[second(now)] += 1;
                world.send(Request { came: now, tries: 0 });
                let gap = exponential(Duration::from_secs(1) / LOAD as u32, &mut world.rng);
                world.events.plan(now + gap, Event::Arrive);
            }
            Event::Try(request) => world.send(request),
            Event::Finish(id) => world.finish(id),
            Event::TimeOut(id) => world.time_out(id),
            Event::Fail => world.hanging = Some(Vec::new()),
            Event::Return => {
                for id in world.hanging.take().unwrap_or_default() {
                    world.events.plan(now + TAKES, Event::Finish(id));
                }
            }
        }
    }
    world.done
}

fn second(at: Instant) -> usize {
    (at.0 / 1_000_000_000) as usize
}

impl World {
    fn send(&mut self, mut request: Request) {
        let mut permit = None;
        if let Some(patterns) = &mut self.patterns {
            if request.tries == 0 {
                patterns.budget.deposit(self.now);
            }
            match patterns.breaker.admit(self.now) {
                Ok(admitted) => permit = Some(admitted),
                // Refused at once; the refusal bears the mark, so nobody tries again.
                Err(_) => return,
            }
        }
        request.tries += 1;
        self.done.calls += 1;
        let id = self.done.calls;
        self.waiting.insert(id, (request, permit));
        self.events.plan(self.now + TIMEOUT, Event::TimeOut(id));
        if let Some(job) = self.service.arrive(Job { id, takes: TAKES }) {
            self.begin(job);
        }
    }

    /// A worker begins; it ends in its time, or not before the service works again.
    fn begin(&mut self, job: Job) {
        match &mut self.hanging {
            Some(hanging) => hanging.push(job.id),
            None => self.events.plan(self.now + job.takes, Event::Finish(job.id)),
        }
    }

    fn finish(&mut self, id: u64) {
        if let Some(hanging) = &mut self.hanging {
            hanging.push(id);
            return;
        }
        if let Some(job) = self.service.finish() {
            self.begin(job);
        }
        // Work for a client that has gone was done all the same, and is of no use.
        let Some((request, permit)) = self.waiting.remove(&id) else { return };
        self.done.goodput[second(request.came)] += 1;
        if let (Some(patterns), Some(permit)) = (&mut self.patterns, permit) {
            patterns.breaker.settle(permit, breaker::Outcome::Success, self.now, &mut self.rng);
        }
    }

    fn time_out(&mut self, id: u64) {
        let Some((request, permit)) = self.waiting.remove(&id) else { return };
        let Some(Patterns { breaker, budget, policy }) = &mut self.patterns else {
            if request.tries < TRIES {
                self.events.plan(self.now + ms(1), Event::Try(request));
            }
            return;
        };
        if let Some(permit) = permit {
            let change = breaker.settle(permit, breaker::Outcome::Failure, self.now, &mut self.rng);
            assert!(change != Some(Change::Closed), "a failure closes no breaker");
        }
        let breaker_open = !matches!(breaker.position(), breaker::Position::Closed);
        let failed = Failed {
            repeatable: Repeatable::Yes,
            breaker_open,
            ..Failed::new(Failure::Unknown, request.tries)
        };
        if let Ok(at) = policy.decide(&failed, budget, self.now, &mut self.rng) {
            self.events.plan(at, Event::Try(request));
        }
    }
}
