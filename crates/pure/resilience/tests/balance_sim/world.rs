//! The simulated world: clients that do not wait for each other, edges that pick, replicas that queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use base::{Instant, Rng};
use resilience::balance::prequal::Reading;
use resilience::balance::{Mode, Roster, Rules, Standing, Weight};
use resilience::health::outliers::{Change, Outcome, OutlierPolicy, Outliers};

use crate::picker::{Picker, Policy};

/// A replica: so many workers, one queue, and what is wrong with it.
pub(crate) struct Replica {
    pub(crate) workers: usize,
    /// How many times as long as usual a request takes that begins now.
    pub(crate) slowness: Box<dyn Fn(Instant) -> f64>,
    /// Answers with an error at once.
    pub(crate) fails: bool,
    /// When it joins.
    pub(crate) from: Instant,
    /// What its checks say.
    pub(crate) sick: bool,
}

impl Replica {
    pub(crate) fn usual() -> Self {
        Self { workers: 4, slowness: Box::new(|_| 1.0), fails: false, from: Instant::default(), sick: false }
    }

    pub(crate) fn slow(times: f64) -> Self {
        Self { slowness: Box::new(move |_| times), ..Self::usual() }
    }
}

pub(crate) struct World {
    pub(crate) replicas: Vec<Replica>,
    /// All clients together, a second.
    pub(crate) rate: f64,
    /// Mean service time and the deviation of its logarithm.
    pub(crate) service: (Duration, f64),
    pub(crate) requests: usize,
    /// Edges or threads with a memory of latencies of their own; all see all loads.
    pub(crate) pickers: usize,
    pub(crate) rules: Rules,
    pub(crate) outliers: Option<OutlierPolicy>,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Report {
    /// Of good answers, in order of time: when asked, how long.
    pub(crate) good: Vec<(Instant, Duration)>,
    pub(crate) errors: usize,
    /// When, and to whom.
    pub(crate) picks: Vec<(Instant, usize)>,
    pub(crate) refused: usize,
    pub(crate) ejections: usize,
    /// The most that a replica had in flight.
    pub(crate) most: Vec<u32>,
}

impl Report {
    /// A percentile of good answers in milliseconds, without the first tenth.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let mut took: Vec<_> = self.good[self.good.len() / 10..].iter().map(|(_, took)| *took).collect();
        took.sort_unstable();
        let at = (took.len() as f64 * percent / 100.0) as usize;
        took.get(at.min(took.len().saturating_sub(1))).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }

    /// The part of the picks in this time that a replica got.
    pub(crate) fn share(&self, replica: usize, from: Instant, to: Instant) -> f64 {
        let within = |at: &Instant| *at >= from && *at < to;
        let all = self.picks.iter().filter(|(at, _)| within(at)).count();
        let own = self.picks.iter().filter(|(at, to)| within(at) && *to == replica).count();
        own as f64 / all.max(1) as f64
    }

    /// Good answers within a time, of all requests.
    pub(crate) fn good_within(&self, limit: Duration, requests: usize) -> f64 {
        self.good.iter().filter(|(_, took)| *took <= limit).count() as f64 / requests as f64
    }
}

#[derive(Clone, Copy)]
struct Job {
    picker: usize,
    asked: Instant,
    /// What was in flight when it was picked.
    rif: u32,
}

enum Event {
    Arrival,
    Finish(usize, Job),
    Probed(usize, usize, Reading),
    /// Health and weights are looked at.
    Tick,
}

/// One run.
struct Run<'a> {
    world: &'a World,
    rng: Rng,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    what: Vec<Option<Event>>,
    roster: Roster,
    loads: Vec<u32>,
    busy: Vec<usize>,
    queues: Vec<VecDeque<Job>>,
    pickers: Vec<Picker>,
    outliers: Option<Outliers>,
    left: usize,
    report: Report,
}

/// When a run begins.
pub(crate) const BEGIN: Instant = Instant(100_000_000_000);
const TICK: Duration = Duration::from_millis(100);
/// From an edge to a replica and back.
const TRIP: Duration = Duration::from_micros(500);
/// What a replica takes that fails at once.
const FAIL: Duration = Duration::from_micros(200);

impl World {
    pub(crate) fn run(&self, policy: Policy, seed: u64) -> Report {
        let count = self.replicas.len();
        let mut run = Run {
            world: self,
            rng: Rng::seeded(seed),
            now: BEGIN,
            events: BinaryHeap::new(),
            what: Vec::new(),
            roster: Roster::new(self.rules),
            loads: vec![0; count],
            busy: vec![0; count],
            queues: (0..count).map(|_| VecDeque::new()).collect(),
            pickers: (0..self.pickers).map(|_| Picker::new(policy, count)).collect(),
            outliers: self.outliers.map(|policy| Outliers::new(policy, count, BEGIN)),
            left: self.requests,
            report: Report { most: vec![0; count], ..Report::default() },
        };
        // Those that are there from the beginning are warm; the first tick takes out those that join later.
        let weights = std::iter::repeat_n(Weight::USUAL, count);
        run.roster.replace((0..).zip(weights), Instant::default());
        run.tick();
        run.after(Duration::ZERO, Event::Arrival);
        while run.step() {}
        run.report
    }

    fn service_time(&self, replica: usize, now: Instant, rng: &mut Rng) -> Duration {
        let (mean, deviation) = self.service;
        let slowness = (self.replicas[replica].slowness)(now);
        mean.mul_f64(slowness * (deviation * normal(rng) - deviation * deviation / 2.0).exp())
    }
}

/// From 0, exclusively, to 1.
pub(crate) fn unit(rng: &mut Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
}

/// By Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * unit(rng).ln()).sqrt() * (std::f64::consts::TAU * unit(rng)).cos()
}

impl Run<'_> {
    fn after(&mut self, time: Duration, event: Event) {
        self.events.push(Reverse((self.now + time, self.what.len() as u64)));
        self.what.push(Some(event));
    }

    /// Whether there was something to do.
    fn step(&mut self) -> bool {
        let Some(Reverse((at, number))) = self.events.pop() else { return false };
        self.now = at;
        match self.what[number as usize].take() {
            Some(Event::Arrival) => self.arrive(),
            Some(Event::Finish(replica, job)) => self.finish(replica, job),
            Some(Event::Probed(picker, replica, reading)) => {
                let loads = &self.loads;
                let candidates = self.roster.candidates(|place| loads[place]);
                self.pickers[picker].probed(replica, reading, &candidates, self.now, &mut self.rng);
            }
            Some(Event::Tick) => self.tick(),
            None => {}
        }
        true
    }

    fn tick(&mut self) {
        for (place, replica) in self.world.replicas.iter().enumerate() {
            let joined = self.now >= replica.from;
            let fresh = self.roster.seats()[place].weight == Weight::ZERO;
            self.roster.weigh(place, if joined { Weight::USUAL } else { Weight::ZERO });
            let out = replica.sick || self.outliers.as_ref().is_some_and(|outliers| outliers.is_out(place));
            let standing = if out { Standing::Out } else { Standing::Open };
            if joined && fresh {
                // Its age counts from now.
                self.roster.stand(place, Standing::Out, self.now);
            }
            self.roster.stand(place, standing, self.now);
        }
        if let Some(outliers) = &mut self.outliers {
            for change in outliers.poll(self.now, &mut self.rng) {
                match change {
                    Change::Ejected { place, .. } => self.roster.stand(place, Standing::Out, self.now),
                    Change::Returned { place } => self.roster.stand(place, Standing::Open, self.now),
                }
            }
        }
        self.roster.refresh(self.now);
        if self.left > 0 {
            self.after(TICK, Event::Tick);
        }
    }

    fn arrive(&mut self) {
        self.left -= 1;
        if self.left > 0 {
            let gap = -unit(&mut self.rng).ln() / self.world.rate;
            self.after(Duration::from_secs_f64(gap), Event::Arrival);
        }
        let at = self.rng.below(self.pickers.len() as u64) as usize;
        let (loads, picker) = (&self.loads, &mut self.pickers[at]);
        let candidates = self.roster.candidates(|place| loads[place]);
        let probes = picker.probes(&candidates, &mut self.rng);
        let Some(place) = picker.pick(&candidates, self.now, &mut self.rng) else {
            assert!(matches!(self.roster.mode(), Mode::Nobody | Mode::Spared));
            self.report.refused += 1;
            return;
        };
        for probed in probes {
            let reading = self.pickers[at].reading(probed, self.loads[probed], self.now);
            self.after(TRIP, Event::Probed(at, probed, reading));
        }
        let job = Job { picker: at, asked: self.now, rif: self.loads[place] };
        self.report.picks.push((self.now, place));
        self.loads[place] += 1;
        self.report.most[place] = self.report.most[place].max(self.loads[place]);
        if self.world.replicas[place].fails {
            self.after(FAIL, Event::Finish(place, job));
        } else if self.busy[place] < self.world.replicas[place].workers {
            self.begin(place, job);
        } else {
            self.queues[place].push_back(job);
        }
    }

    fn begin(&mut self, place: usize, job: Job) {
        self.busy[place] += 1;
        let time = self.world.service_time(place, self.now, &mut self.rng);
        self.after(time, Event::Finish(place, job));
    }

    fn finish(&mut self, place: usize, job: Job) {
        let failed = self.world.replicas[place].fails;
        self.loads[place] -= 1;
        if !failed {
            self.busy[place] -= 1;
            if let Some(next) = self.queues[place].pop_front() {
                self.begin(place, next);
            }
        }
        let took = self.now.since(job.asked);
        let outcome = if failed { Outcome::OwnError } else { Outcome::Good };
        self.pickers[job.picker].answered(place, job.rif, took, outcome, self.now);
        // What a server tells a probe, it has learnt from all its clients.
        if !failed {
            self.pickers.iter_mut().for_each(|picker| picker.served(place, job.rif, took, self.now));
        }
        match outcome {
            Outcome::Good => self.report.good.push((job.asked, took)),
            Outcome::OwnError | Outcome::GatewayError => self.report.errors += 1,
        }
        let Some(outliers) = &mut self.outliers else { return };
        if let Some(Change::Ejected { place, .. }) =
            outliers.settle(place, outcome, took, self.now, &mut self.rng)
        {
            self.report.ejections += 1;
            self.roster.stand(place, Standing::Out, self.now);
            self.roster.refresh(self.now);
        }
    }
}
