//! The simulator: events in the order of their time, and a service with workers and a queue.

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use base::{Instant, Rng};

/// The seed of this run: that of `SEED`, or always the same.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_127);
    eprintln!("SEED={seed}");
    seed
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What will happen, the soonest first; of the same moment, what was planned first.
pub(crate) struct Events<E> {
    heap: BinaryHeap<Planned<E>>,
    number: u64,
}

struct Planned<E> {
    at: Instant,
    number: u64,
    event: E,
}

impl<E> Events<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), number: 0 }
    }

    pub(crate) fn plan(&mut self, at: Instant, event: E) {
        self.number += 1;
        self.heap.push(Planned { at, number: self.number, event });
    }

    pub(crate) fn next(&mut self) -> Option<(Instant, E)> {
        self.heap.pop().map(|planned| (planned.at, planned.event))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// So many workers, each doing one job at a time, behind a queue without a bound.
pub(crate) struct Service {
    workers: usize,
    busy: usize,
    queue: VecDeque<Job>,
}

#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) takes: Duration,
}

impl Service {
    pub(crate) fn new(workers: usize) -> Self {
        Self { workers, busy: 0, queue: VecDeque::new() }
    }

    /// A job comes; gives it back if a worker begins it now.
    pub(crate) fn arrive(&mut self, job: Job) -> Option<Job> {
        self.queue.push_back(job);
        self.begin()
    }

    /// A worker has finished; gives the job that it begins now.
    pub(crate) fn finish(&mut self) -> Option<Job> {
        self.busy -= 1;
        self.begin()
    }

    /// From now on there are so many workers: those above it go when they have finished. New ones begin with
    /// [`Self::begin`].
    pub(crate) fn set_workers(&mut self, workers: usize) {
        self.workers = workers;
    }

    /// The next job for a worker who is free.
    pub(crate) fn begin(&mut self) -> Option<Job> {
        if self.busy >= self.workers {
            return None;
        }
        let job = self.queue.pop_front()?;
        self.busy += 1;
        Some(job)
    }
}

/// A time that varies as such times do: exponentially about its mean.
pub(crate) fn exponential(mean: Duration, rng: &mut Rng) -> Duration {
    let chance = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    mean.mul_f64(-chance.ln())
}

/// The time that this share did not exceed.
pub(crate) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}
