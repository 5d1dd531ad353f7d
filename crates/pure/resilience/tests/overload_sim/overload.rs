//! Three times the load that a service can do, from clients that do not slow down.

use std::collections::HashMap;
use std::time::Duration;

use base::{Instant, Rng};
use resilience::codel::{self, Queue, Taken};
use resilience::limit::{self, AdaptiveLimit, Algorithm, Outcome, Permit};
use resilience::shed::{self, Class, Shed};

use crate::engine::{Events, Job, Service, exponential, ms, quantile, seed};

const WORKERS: usize = 16;
/// A job takes this and as much again on average, by chance.
const HALF: Duration = Duration::from_millis(5);
/// What the workers can do in a second.
const CAPACITY: f64 = WORKERS as f64 * 100.0;
/// Later answers are worth nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Seeds of a test, one after another: what holds for one only is chance.
const SEEDS: u64 = 8;

#[test]
fn at_three_times_the_load_nearly_all_that_can_be_done_is_done_in_time() {
    let first = seed();
    for seed in first..first + SEEDS {
        let unloaded = run(Load { times: 0.3, seconds: 20, front: None, seed });
        let kept = run(Load { times: 3.0, seconds: 15, front: Some(Patterns::default()), seed });
        eprintln!("{seed}: unloaded {unloaded:?}\nkept     {kept:?}");
        assert!(kept.goodput >= 0.95 * CAPACITY, "SEED={seed}");
        assert!(kept.p99 <= unloaded.p99 * 2, "SEED={seed}");
        assert!(kept.critical >= 0.99, "SEED={seed}: who matters is served");
    }
}

#[test]
fn at_three_times_the_load_a_service_without_patterns_collapses() {
    let seed = seed();
    let unloaded = run(Load { times: 0.3, seconds: 20, front: None, seed });
    let bare = run(Load { times: 3.0, seconds: 10, front: None, seed });
    eprintln!("unloaded {unloaded:?}\nbare     {bare:?}");
    assert!(bare.goodput < 0.2 * CAPACITY);
    assert!(bare.p99 > unloaded.p99 * 20, "everybody waits");
    assert!(bare.critical < 0.2, "nobody is served");
}

#[test]
fn a_fixed_limit_that_is_what_the_service_can_do_is_kept_at_work_though_requests_are_shed() {
    let first = seed();
    let limit = WORKERS as u32;
    let limit = limit::Policy { initial: limit, least: limit, most: limit, ..limit::Policy::default() };
    for seed in first..first + SEEDS {
        let front = |shed| Some(Patterns { limit, shed, ..Patterns::default() });
        let shed = run(Load { times: 3.0, seconds: 15, front: front(true), seed });
        let unshed = run(Load { times: 3.0, seconds: 15, front: front(false), seed });
        eprintln!("{seed}: shed   {shed:?}\nunshed {unshed:?}");
        assert!(shed.goodput >= 0.95 * CAPACITY, "SEED={seed}");
        assert!(shed.in_vain * 4.0 < unshed.in_vain, "SEED={seed}: who is shed does not wait first");
    }
}

#[test]
fn where_all_wait_in_one_queue_shedding_saves_those_who_matter() {
    let first = seed();
    for seed in first..first + SEEDS {
        let with = |shed| {
            let front = Patterns { shed, queue_of_critical: false, ..Patterns::default() };
            run(Load { times: 3.0, seconds: 15, front: Some(front), seed })
        };
        let (shed, unshed) = (with(true), with(false));
        eprintln!("{seed}: shed   {shed:?}\nunshed {unshed:?}");
        assert!(unshed.critical < 0.5, "SEED={seed}: a queue does not ask who somebody is");
        assert!(shed.critical > 0.94, "SEED={seed}");
        assert!(shed.in_vain * 8.0 < unshed.in_vain, "SEED={seed}: who is shed does not wait first");
    }
}

#[test]
fn at_half_of_the_load_the_patterns_refuse_next_to_nobody() {
    let seed = seed();
    let bare = run(Load { times: 0.5, seconds: 20, front: None, seed });
    let kept = run(Load { times: 0.5, seconds: 20, front: Some(Patterns::default()), seed });
    eprintln!("bare {bare:?}\nkept {kept:?}");
    assert!(kept.served >= 0.999 && bare.served >= 0.999);
    assert!(kept.p99 <= bare.p99.mul_f64(1.1));
}

#[test]
fn under_lasting_overload_vegas_keeps_queues_shorter_than_gradient() {
    let seed = seed();
    let with = |algorithm| {
        let limit = limit::Policy { algorithm, ..limit::Policy::default() };
        let front = Some(Patterns { limit, ..Patterns::default() });
        run(Load { times: 3.0, seconds: 30, front, seed })
    };
    let (vegas, gradient) = (with(Algorithm::Vegas), with(Algorithm::Gradient));
    eprintln!("vegas    {vegas:?}\ngradient {gradient:?}");
    assert!(vegas.goodput >= 0.95 * CAPACITY);
    assert!(vegas.p99.mul_f64(1.5) < gradient.p99);
    assert!(vegas.limit * 2 < gradient.limit);
}

struct Load {
    times: f64,
    seconds: u64,
    /// With the patterns in front of the service.
    front: Option<Patterns>,
    seed: u64,
}

#[derive(Clone, Copy)]
struct Patterns {
    limit: limit::Policy,
    shed: bool,
    /// Critical requests wait in a queue of their own, which goes first.
    queue_of_critical: bool,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { limit: limit::Policy::default(), shed: true, queue_of_critical: true }
    }
}

/// Of all that came after the first five seconds.
#[derive(Debug)]
struct Done {
    /// Answers in time, by second.
    goodput: f64,
    /// The share of requests that were answered in time.
    served: f64,
    /// Of all answers, in time or not.
    p99: Duration,
    /// The share of critical requests that were answered in time.
    critical: f64,
    /// The share of requests that waited and were dropped.
    in_vain: f64,
    /// The adaptive limit at the end.
    limit: u32,
}

enum Event {
    Arrive,
    Finish(u64),
}

struct Request {
    came: Instant,
    class: Class,
    takes: Duration,
    permit: Option<Permit>,
}

/// The patterns: shed first, then a place, or a short wait for one; critical requests go first.
struct Front {
    patterns: Patterns,
    dropped: u32,
    shed: Shed,
    limit: AdaptiveLimit,
    critical: Queue<u64>,
    others: Queue<u64>,
}

impl Front {
    fn waiting(&self) -> usize {
        self.critical.len() + self.others.len()
    }

    fn queue_of(&mut self, class: Class) -> &mut Queue<u64> {
        match class {
            Class::Critical if self.patterns.queue_of_critical => &mut self.critical,
            Class::Critical | Class::Default | Class::Sheddable => &mut self.others,
        }
    }

    fn take(&mut self, now: Instant) -> Option<Taken<u64>> {
        self.critical.take(now).or_else(|| self.others.take(now))
    }
}

struct World {
    now: Instant,
    events: Events<Event>,
    service: Service,
    front: Option<Front>,
    requests: HashMap<u64, Request>,
    rng: Rng,
}

fn run(load: Load) -> Done {
    let queue = codel::Policy::default().of_calls(HALF * 2);
    let front = load.front.map(|patterns| Front {
        patterns,
        dropped: 0,
        shed: Shed::new(match patterns.queue_of_critical {
            true => shed::Policy::default(),
            false => shed::Policy::of_one_queue(),
        }),
        limit: AdaptiveLimit::new(patterns.limit),
        critical: Queue::new(queue),
        others: Queue::new(queue),
    });
    let mut world = World {
        now: Instant::from_secs(1),
        events: Events::new(),
        service: Service::new(WORKERS),
        front,
        requests: HashMap::new(),
        rng: Rng::seeded(load.seed),
    };
    let (warm, end) = (Instant::from_secs(6), Instant::from_secs(1 + load.seconds));
    let gap = Duration::from_secs_f64(1.0 / (CAPACITY * load.times));
    let (mut next, mut number) = (world.now, 0);
    let (mut times, mut in_time) = (Vec::new(), 0);
    let mut came = 0;
    let (mut critical, mut critical_in_time) = (0, 0);
    world.events.plan(next, Event::Arrive);
    while let Some((now, event)) = world.events.next() {
        world.now = now;
        match event {
            Event::Arrive => {
                number += 1;
                let class = world.arrive(number);
                came += u32::from(now >= warm);
                critical += u32::from(class == Class::Critical && now >= warm);
                next = now + exponential(gap, &mut world.rng);
                if next < end {
                    world.events.plan(next, Event::Arrive);
                }
            }
            Event::Finish(id) => {
                let request = world.finish(id);
                let took = now.since(request.came);
                if request.came >= warm {
                    times.push(took);
                    in_time += u32::from(took <= PATIENCE);
                    critical_in_time += u32::from(took <= PATIENCE && request.class == Class::Critical);
                }
            }
        }
    }
    Done {
        goodput: f64::from(in_time) / end.since(warm).as_secs_f64(),
        served: f64::from(in_time) / f64::from(came.max(1)),
        p99: quantile(&mut times, 0.99),
        critical: f64::from(critical_in_time) / f64::from(critical.max(1)),
        in_vain: f64::from(world.front.as_ref().map_or(0, |front| front.dropped)) / number as f64,
        limit: world.front.map_or(0, |front| front.limit.limit()),
    }
}

impl World {
    fn arrive(&mut self, id: u64) -> Class {
        let class = match self.rng.below(10) {
            0 => Class::Critical,
            1..7 => Class::Default,
            _ => Class::Sheddable,
        };
        let takes = HALF + exponential(HALF, &mut self.rng);
        let client = self.rng.below(100_000);
        let mut request = Request { came: self.now, class, takes, permit: None };
        let Some(front) = &mut self.front else {
            self.requests.insert(id, request);
            self.call(id);
            return class;
        };
        if front.patterns.shed && front.shed.admit(class, client, self.now).is_err() {
            return class;
        }
        let waiting = front.waiting() as f64;
        let limit = f64::from(front.limit.limit());
        front.shed.observe_use(front.limit.utilisation() + waiting / limit);
        match front.limit.admit(self.now) {
            Ok(permit) => {
                request.permit = Some(permit);
                self.requests.insert(id, request);
                self.call(id);
            }
            Err(_) => match front.queue_of(class).push(id, self.now) {
                Ok(()) => drop(self.requests.insert(id, request)),
                Err(_) => front.shed.observe_drop(),
            },
        }
        class
    }

    /// The service gets the request.
    fn call(&mut self, id: u64) {
        let job = Job { id, takes: self.requests[&id].takes };
        if let Some(job) = self.service.arrive(job) {
            self.events.plan(self.now + job.takes, Event::Finish(job.id));
        }
    }

    /// The service has answered the request.
    fn finish(&mut self, id: u64) -> Request {
        if let Some(job) = self.service.finish() {
            self.events.plan(self.now + job.takes, Event::Finish(job.id));
        }
        let mut request = self.requests.remove(&id).expect("it was asked");
        if let (Some(front), Some(permit)) = (&mut self.front, request.permit.take()) {
            front.limit.settle(permit, Outcome::Done, self.now, &mut self.rng);
            self.pump();
        }
        request
    }

    /// Those that wait take the places that are free.
    fn pump(&mut self) {
        while let Some(front) = &mut self.front
            && front.waiting() > 0
            && let Ok(permit) = front.limit.admit(self.now)
        {
            match take(front, self.now, &mut self.requests) {
                Some(id) => {
                    self.requests.get_mut(&id).expect("it waits").permit = Some(permit);
                    self.call(id);
                }
                None => front.limit.settle(permit, Outcome::Ignored, self.now, &mut self.rng),
            }
        }
    }
}

/// The next that is not dropped.
fn take(front: &mut Front, now: Instant, requests: &mut HashMap<u64, Request>) -> Option<u64> {
    loop {
        match front.take(now)? {
            Taken::Serve(id) => return Some(id),
            Taken::Drop(id) => {
                front.dropped += 1;
                front.shed.observe_drop();
                requests.remove(&id);
            }
        }
    }
}

#[test]
fn a_run_is_the_same_for_the_same_seed() {
    let once = || run(Load { times: 1.5, seconds: 7, front: Some(Patterns::default()), seed: 3 });
    let (first, second) = (once(), once());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert!(first.p99 > ms(5));
}
