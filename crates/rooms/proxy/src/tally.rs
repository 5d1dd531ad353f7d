//! How many answers there were, of what kind, and how long they took: counted by each thread for itself, added up by
//! whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of the times are powers of two of microseconds: 64 us, 128 us, … 67 s, and beyond.
pub(crate) const BUCKETS: usize = 22;

/// One thread's counts. Only that thread writes them.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counts {
    classes: [AtomicU64; 6],
    times: [AtomicU64; BUCKETS],
    took_us: AtomicU64,
}

/// Answers since the edge knows what they are counted for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// By the first digit of their status, 1 to 5, then all others.
    pub classes: [u64; 6],
    /// By time: up to 64 us, 128 us and so on in powers of two; the last is open.
    pub times: [u64; BUCKETS],
    /// All times together, in microseconds.
    #[serde(default)]
    pub took_us: u64,
}

/// Adds without a locked instruction, which is right as there is one writer.
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Counts {
    /// Counts an answer.
    pub(crate) fn count(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100);
        bump(&self.classes[if (1..=5).contains(&class) { class - 1 } else { 5 }], 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (64 - micros.leading_zeros() as usize).saturating_sub(6);
        bump(&self.times[bucket.min(BUCKETS - 1)], 1);
        bump(&self.took_us, micros);
    }

    /// Adds these to the sums.
    pub(crate) fn add_to(&self, sums: &mut Tally) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sums.classes.iter_mut().zip(&self.classes).for_each(|(sum, count)| *sum += read(count));
        sums.times.iter_mut().zip(&self.times).for_each(|(sum, count)| *sum += read(count));
        sums.took_us = sums.took_us.wrapping_add(read(&self.took_us));
    }
}

/// The answers of a route, on all threads.
pub(crate) struct RouteTally {
    pub(crate) owner: String,
    /// In small letters; none for every host.
    pub(crate) host: Option<String>,
    /// The prefix as it is written.
    pub(crate) path: String,
    threads: Box<[Counts]>,
}

impl RouteTally {
    pub(crate) fn new(owner: &str, host: Option<&str>, path: &str, threads: usize) -> Self {
        Self {
            owner: owner.to_owned(),
            host: host.map(str::to_owned),
            path: path.to_owned(),
            threads: (0..threads).map(|_| Counts::default()).collect(),
        }
    }

    /// Whether it is of this route.
    pub(crate) fn is_of(&self, owner: &str, host: Option<&str>, path: &str) -> bool {
        self.owner == owner && self.host.as_deref() == host && self.path == path
    }

    /// Counts an answer to a client.
    pub(crate) fn count(&self, thread: usize, status: u16, took: Duration) {
        if let Some(counts) = self.threads.get(thread) {
            counts.count(status, took);
        }
    }

    pub(crate) fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.threads.iter().for_each(|counts| counts.add_to(&mut sum));
        sum
    }
}
