//! Three times the load, for services of many shapes: how long they take, how that varies, and how much they do at once.
//!
//! In front of each stands what the edge has there: a limit that finds itself, and a queue that follows the service's time.

use std::collections::HashMap;
use std::time::Duration;

use base::{Instant, Rng};
use resilience::codel::{self, Queue, Taken};
use resilience::limit::{self, AdaptiveLimit, Outcome, Permit};

use crate::engine::{Events, Job, Service, exponential, ms, quantile, seed};

/// How the times of calls vary about their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Varies {
    /// By a hundredth or two, as a timer does.
    Hardly,
    /// Half of it is fixed, the other half exponential.
    Half,
    /// Exponentially.
    Much,
    /// Nine of ten take half of the mean, and the tenth takes eleven times as long as those.
    ByKind,
    /// Hardly, but for one call of so many, which takes so many tenths as long.
    Seldom(u64, u32),
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    workers: usize,
    mean: Duration,
    varies: Varies,
}

/// A stretch of time with so many times the load that the shape can do.
#[derive(Debug, Clone, Copy)]
struct Phase {
    load: f64,
    seconds: f64,
    workers: usize,
    /// Calls take so many times as long.
    slower: f64,
    /// They come at regular times.
    even: bool,
}

#[derive(Debug, Clone)]
struct Told {
    /// Answers a second, of what can be done.
    good: f64,
    p99: Duration,
    limit: u32,
}

enum Event {
    Arrive,
    Finish(u64),
}

struct Request {
    came: Instant,
    phase: usize,
    permit: Option<Permit>,
}

struct World {
    now: Instant,
    shape: Shape,
    slower: f64,
    events: Events<Event>,
    service: Service,
    limit: AdaptiveLimit,
    queue: Queue<u64>,
    requests: HashMap<u64, Request>,
    rng: Rng,
}

const WAIT: Duration = Duration::from_secs(1);

impl World {
    fn arrive(&mut self, id: u64, phase: usize) {
        let request = Request { came: self.now, phase, permit: None };
        match self.limit.admit(self.now) {
            Ok(permit) => {
                self.requests.insert(id, Request { permit: Some(permit), ..request });
                self.call(id);
            }
            Err(_) => {
                if self.queue.push(id, self.now).is_ok() {
                    self.requests.insert(id, request);
                }
            }
        }
    }

    fn call(&mut self, id: u64) {
        let mean = self.shape.mean.mul_f64(self.slower);
        let takes = match self.shape.varies {
            Varies::Half => mean / 2 + exponential(mean / 2, &mut self.rng),
            Varies::Much => exponential(mean, &mut self.rng),
            Varies::Seldom(one_of, tenths) if self.rng.below(one_of) == 0 => mean * tenths / 10,
            Varies::Hardly | Varies::Seldom(..) => mean.mul_f64(1.0 + self.rng.below(1000) as f64 / 50_000.0),
            Varies::ByKind if self.rng.below(10) == 0 => mean * 11 / 2,
            Varies::ByKind => mean / 2,
        };
        if let Some(job) = self.service.arrive(Job { id, takes }) {
            self.events.plan(self.now + job.takes, Event::Finish(job.id));
        }
    }

    fn finish(&mut self, id: u64) -> Request {
        if let Some(job) = self.service.finish() {
            self.events.plan(self.now + job.takes, Event::Finish(job.id));
        }
        let mut request = self.requests.remove(&id).expect("it was asked");
        if let Some(permit) = request.permit.take() {
            self.limit.settle(permit, Outcome::Done, self.now, &mut self.rng);
        }
        let usual = codel::Policy::default();
        let times = usual.of_calls(self.limit.longest().unwrap_or_default());
        let interval = times.interval.min(WAIT);
        self.queue.set_times(times.target.min(interval / 4), interval);
        self.pump();
        request
    }

    fn pump(&mut self) {
        while !self.queue.is_empty()
            && let Ok(permit) = self.limit.admit(self.now)
        {
            let served = loop {
                match self.queue.take(self.now) {
                    Some(Taken::Serve(id)) if self.now.since(self.requests[&id].came) < WAIT => {
                        break Some(id);
                    }
                    Some(Taken::Serve(id) | Taken::Drop(id)) => drop(self.requests.remove(&id)),
                    None => break None,
                }
            };
            match served {
                Some(id) => {
                    self.requests.get_mut(&id).expect("it waits").permit = Some(permit);
                    self.call(id);
                }
                None => self.limit.settle(permit, Outcome::Ignored, self.now, &mut self.rng),
            }
        }
    }
}

/// What came of each phase.
fn run(shape: Shape, phases: &[Phase], seed: u64) -> Vec<Told> {
    let queue = codel::Policy { most: 100, ..codel::Policy::default() };
    let mut world = World {
        now: Instant::from_secs(1),
        shape,
        slower: 1.0,
        events: Events::new(),
        service: Service::new(phases[0].workers),
        limit: AdaptiveLimit::new(limit::Policy::default()),
        queue: Queue::new(queue),
        requests: HashMap::new(),
        rng: Rng::seeded(seed),
    };
    let mut number = 0;
    let mut told = Vec::new();
    let mut times = vec![Vec::new(); phases.len()];
    let mut next = world.now;
    let mut ends = world.now;
    world.events.plan(next, Event::Arrive);
    for (at, phase) in phases.iter().enumerate() {
        let begins = ends;
        ends = begins + Duration::from_secs_f64(phase.seconds);
        world.service.set_workers(phase.workers);
        while let Some(job) = world.service.begin() {
            world.events.plan(world.now + job.takes, Event::Finish(job.id));
        }
        world.slower = phase.slower;
        let gap = shape.mean.mul_f64(1.0 / (phase.load * shape.workers as f64));
        let mut finished = 0;
        while let Some((now, event)) = world.events.next() {
            world.now = now;
            match event {
                Event::Arrive => {
                    number += 1;
                    world.arrive(number, at);
                    next = now + if phase.even { gap } else { exponential(gap, &mut world.rng) };
                    world.events.plan(next, Event::Arrive);
                    if next >= ends {
                        break;
                    }
                }
                Event::Finish(id) => {
                    let request = world.finish(id);
                    times[request.phase].push(now.since(request.came));
                    finished += 1;
                }
            }
        }
        let could = phase.workers as f64 / shape.mean.as_secs_f64() / phase.slower * phase.seconds;
        told.push(Told {
            good: f64::from(finished) / could,
            p99: Duration::ZERO,
            limit: world.limit.limit(),
        });
    }
    for (told, times) in told.iter_mut().zip(&mut times) {
        told.p99 = quantile(times, 0.99);
    }
    told
}

fn phase(load: f64, seconds: f64, workers: usize) -> Phase {
    Phase { load, seconds, workers, slower: 1.0, even: false }
}

impl Varies {
    /// What a hundredth of the calls exceeds, of the mean.
    fn p99(self) -> f64 {
        match self {
            Varies::Hardly => 1.02,
            Varies::Seldom(one_of, _) if one_of > 100 => 1.02,
            Varies::Seldom(_, tenths) => f64::from(tenths) / 10.0,
            Varies::Half => 2.8,
            Varies::Much => 4.6,
            Varies::ByKind => 5.5,
        }
    }
}

/// Calm, then nearly all that can be done, three times that to get used to, and what comes of that then.
fn overload(shape: Shape, seed: u64) -> Told {
    let capacity = shape.workers as f64 / shape.mean.as_secs_f64();
    let calm = Phase { even: true, ..phase(0.25, (100.0 / capacity).max(4.0), shape.workers) };
    let measured = phase(3.0, (2000.0 / capacity).max(10.0), shape.workers);
    let phases = [calm, phase(0.95, 10.0, shape.workers), phase(3.0, 3.0, shape.workers), measured];
    run(shape, &phases, seed).swap_remove(3)
}

/// Of five runs: the mean of what was done, of what can be done, and of the 99th percentiles, of that without load.
#[track_caller]
fn check(shape: Shape) {
    let first = seed();
    let seeds = first..first + 5;
    let told: Vec<Told> = seeds.map(|seed| overload(shape, seed)).collect();
    let mean = |of: &dyn Fn(&Told) -> f64| told.iter().map(of).sum::<f64>() / told.len() as f64;
    let good = mean(&|told| told.good);
    let late = mean(&|told| told.p99.as_secs_f64()) / shape.mean.as_secs_f64() / shape.varies.p99();
    eprintln!("{shape:?}: good {good:.3}, late {late:.2}, {told:?}");
    assert!(good >= 0.95, "{shape:?}: {good}");
    assert!(late <= 2.0, "{shape:?}: {late}");
}

#[test]
fn services_whose_calls_take_alike_do_nearly_all_that_they_can_and_nobody_waits_for_long() {
    for mean in [ms(5), ms(50)] {
        for workers in [1, 2, 4, 10, 32, 64] {
            check(Shape { workers, mean, varies: Varies::Hardly });
        }
    }
    check(Shape { workers: 10, mean: ms(500), varies: Varies::Hardly });
}

#[test]
fn so_do_services_whose_calls_vary() {
    for varies in [Varies::Half, Varies::Much] {
        for mean in [ms(5), ms(50)] {
            for workers in [2, 4, 16] {
                check(Shape { workers, mean, varies });
            }
        }
    }
}

#[test]
fn so_do_services_with_many_places_whose_calls_vary() {
    for varies in [Varies::Half, Varies::Much] {
        check(Shape { workers: 64, mean: ms(50), varies });
    }
}

#[test]
fn a_few_calls_that_happen_to_be_alike_are_not_taken_for_all() {
    for (workers, mean) in [(4, ms(5)), (4, ms(50)), (16, ms(5)), (16, ms(50)), (64, ms(50))] {
        check(Shape { workers, mean, varies: Varies::ByKind });
    }
}

#[test]
fn the_limit_follows_a_service_that_can_do_less_and_then_more_again() {
    let shape = Shape { workers: 10, mean: ms(50), varies: Varies::Hardly };
    let calm = Phase { even: true, ..phase(0.25, 4.0, 10) };
    let all = phase(3.0, 10.0, 10);
    let half = Phase { workers: 5, ..all };
    let long = Phase { seconds: 40.0, ..all };
    let told = run(shape, &[calm, all, half, half, long, all], seed());
    eprintln!("{told:?}");
    assert_eq!([1, 3, 5].map(|at: usize| told[at].limit), [10, 5, 10]);
    assert!([1, 3, 5].iter().all(|at| told[*at].good >= 0.95));
    assert!(told[3].p99 <= ms(100) && told[5].p99 <= ms(100));
}

#[test]
fn a_slow_start_is_not_taken_for_waiting_for_long() {
    let shape = Shape { workers: 16, mean: ms(20), varies: Varies::Half };
    let slow = Phase { slower: 3.0, ..phase(1.0, 5.0, 16) };
    let told = run(shape, &[slow, phase(3.0, 5.0, 16), phase(3.0, 10.0, 16)], seed());
    eprintln!("{told:?}");
    assert!(told[2].good >= 0.95);
    assert!(told[2].p99 <= ms(20).mul_f64(2.8 * 2.0));
}

#[test]
fn where_calls_end_together_next_to_no_run_is_late() {
    let shape = Shape { workers: 10, mean: ms(50), varies: Varies::Hardly };
    let first = seed();
    let late = |seed: &u64| overload(shape, *seed).p99 > ms(102);
    let late: Vec<u64> = (first..first + 60).filter(late).collect();
    assert!(late.len() <= 2, "one call too many in each round makes ten in a hundred late: {late:?}");
}

#[test]
fn calls_that_are_slow_by_themselves_now_and_then_are_not_taken_for_one_too_many() {
    let first = seed();
    for workers in [10, 16, 32] {
        for (one_of, tenths) in [(50, 15), (100, 20), (200, 20), (1000, 100)] {
            let shape = Shape { workers, mean: ms(50), varies: Varies::Seldom(one_of, tenths) };
            let good = (first..first + 5).map(|seed| overload(shape, seed).good).sum::<f64>() / 5.0;
            assert!(good >= 0.95, "{shape:?}: {good}");
        }
    }
}
