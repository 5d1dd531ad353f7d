//! What all threads know of one instance: how much it has to do, what became of it, and whether it is avoided.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use base::{ContainerId, Instant};
use plan::traffic::Answered;

use crate::balance;
use crate::tally::{Counts, Tally, bump};

/// One thread's counters, on cache lines of their own. Only that thread writes them.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    in_flight: AtomicU64,
    good: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    retried: AtomicU64,
    ejected: AtomicU64,
    spared: AtomicU64,
    /// Until when it gets nothing new by this thread, because it does worse than the others, and because it asked so.
    out_until: AtomicU64,
    spared_until: AtomicU64,
    answers: Counts,
}

/// An instance as the edge sees it; outlives the tables that name it.
pub(crate) struct EndpointState {
    pub(crate) instance: ContainerId,
    pub(crate) address: SocketAddr,
    /// By which it is known, the same on every thread.
    pub(crate) mark: u64,
    threads: Box<[Counters]>,
    failures: AtomicU32,
    avoided_until: AtomicU64,
    /// When a connection was last made.
    connected_at: AtomicU64,
    /// When it last said nothing at all to who wanted to connect, or was last asked since; 0 if it spoke since then.
    silent_at: AtomicU64,
}

/// One that says nothing is asked again by a single request after so long, even when it is avoided for longer.
const SILENCE: Duration = Duration::from_secs(2);

/// Why threads pass an instance over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stands {
    /// Of so many.
    pub(crate) threads: usize,
    /// It does worse than the others.
    pub(crate) ejected_by: usize,
    /// By the one that is the last to take it back.
    pub(crate) ejected_for: Duration,
    /// It asked to be spared.
    pub(crate) spared_by: usize,
    pub(crate) spared_for: Duration,
    /// By all of them, as it took no connection.
    pub(crate) avoided_for: Duration,
}

/// Sums over all threads, for the status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub(crate) in_flight: u64,
    pub(crate) answered: Answered,
    pub(crate) retried: u64,
    pub(crate) ejected: u64,
    pub(crate) spared: u64,
    pub(crate) answers: Tally,
}

impl EndpointState {
    pub(crate) fn new(instance: ContainerId, address: SocketAddr, threads: usize) -> Self {
        let mark = balance::key(&[instance.as_str().as_bytes(), &address.port().to_be_bytes()]);
        Self {
            instance,
            address,
            mark,
            threads: (0..threads).map(|_| Counters::default()).collect(),
            failures: AtomicU32::new(0),
            avoided_until: AtomicU64::new(0),
            connected_at: AtomicU64::new(0),
            silent_at: AtomicU64::new(0),
        }
    }

    /// With a mark that nobody outside can tell.
    pub(crate) fn marked(self, mark: u64) -> Self {
        Self { mark, ..self }
    }

    /// Requests under way, on all threads.
    pub(crate) fn in_flight(&self) -> u64 {
        self.threads.iter().fold(0, |sum, t| sum.wrapping_add(t.in_flight.load(Ordering::Relaxed)))
    }

    pub(crate) fn begin(&self, thread: usize) {
        bump(&self.threads[thread].in_flight, 1);
    }

    pub(crate) fn end(&self, thread: usize) {
        bump(&self.threads[thread].in_flight, u64::MAX);
    }

    /// Counts an answer of the instance.
    pub(crate) fn answered(&self, thread: usize, status: u16, took: Duration) {
        let counters = &self.threads[thread];
        bump(if status < 500 { &counters.good } else { &counters.failed }, 1);
        counters.answers.count(status, took);
    }

    /// Counts a request that the instance took and did not answer to the end.
    pub(crate) fn lost(&self, thread: usize) {
        bump(&self.threads[thread].lost, 1);
    }

    /// Counts a request that went on to another instance or connection.
    pub(crate) fn retried(&self, thread: usize) {
        bump(&self.threads[thread].retried, 1);
    }

    /// Counts that it gets nothing new until then, because it does worse than the others.
    pub(crate) fn ejected(&self, thread: usize, until: Instant) {
        bump(&self.threads[thread].ejected, 1);
        self.threads[thread].out_until.store(until.0, Ordering::Relaxed);
    }

    /// Notes that the time of an ejection is over.
    pub(crate) fn returned(&self, thread: usize) {
        self.threads[thread].out_until.store(0, Ordering::Relaxed);
    }

    /// Counts that it asked to be spared.
    pub(crate) fn asked_to_be_spared(&self, thread: usize) {
        bump(&self.threads[thread].spared, 1);
    }

    /// Notes that it gets nothing new until then, because it asked so.
    pub(crate) fn spare(&self, thread: usize, until: Instant) {
        self.threads[thread].spared_until.store(until.0, Ordering::Relaxed);
    }

    /// How it stands with all threads.
    pub(crate) fn stands(&self, now: Instant) -> Stands {
        let out = |until: fn(&Counters) -> &AtomicU64| {
            let times = self.threads.iter().map(|t| Instant(until(t).load(Ordering::Relaxed)).since(now));
            let times = times.filter(|time| !time.is_zero());
            (times.clone().count(), times.max().unwrap_or_default())
        };
        let (ejected_by, ejected_for) = out(|t| &t.out_until);
        let (spared_by, spared_for) = out(|t| &t.spared_until);
        let avoided_for = Instant(self.avoided_until.load(Ordering::Relaxed)).since(now);
        Stands { threads: self.threads.len(), ejected_by, ejected_for, spared_by, spared_for, avoided_for }
    }

    pub(crate) fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.load(Ordering::Relaxed) > now.0
    }

    /// Whether a connection that begins now shows if an instance that failed takes connections again. It is avoided
    /// by all others until that is known, or for so long.
    pub(crate) fn begin_trial(&self, now: Instant, time: Duration) -> bool {
        let trial = self.failures.load(Ordering::Relaxed) != 0 && !self.is_avoided(now);
        if trial {
            self.avoided_until.store((now + time).0, Ordering::Relaxed);
        }
        trial
    }

    /// Whether it said nothing when it was last asked for a connection: its host may be gone, as one that only starts
    /// again says that nobody is there.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent_at.load(Ordering::Relaxed) != 0
    }

    /// Whether it is so and was asked just now, so that nobody need wait for the same.
    pub(crate) fn is_shut(&self, now: Instant) -> bool {
        let silent_at = self.silent_at.load(Ordering::Relaxed);
        silent_at != 0 && self.is_avoided(now) && now.since(Instant(silent_at)) < SILENCE
    }

    /// Notes that a connection is being made. Others do not wait for one that was silent before.
    pub(crate) fn asked(&self, now: Instant) {
        if self.is_silent() {
            self.silent_at.store(now.0, Ordering::Relaxed);
        }
    }

    /// Notes a connection that could not be made: the instance is avoided for a time that doubles, from the first
    /// to the longest. Many that fail at the same moment are one failure.
    pub(crate) fn connect_failed(
        &self,
        now: Instant,
        (trial, silent): (bool, bool),
        (first, most): (Duration, Duration),
    ) {
        self.silent_at.store(if silent { now.0 } else { 0 }, Ordering::Relaxed);
        if self.is_avoided(now) && !trial {
            return;
        }
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let time = (first * (1 << before)).min(most);
        self.avoided_until.store((now + time).0, Ordering::Relaxed);
    }

    /// Whether a connection was made since then: an instance that lets others wait has much to do, and is not dead.
    pub(crate) fn has_connected_since(&self, then: Instant) -> bool {
        self.connected_at.load(Ordering::Relaxed) >= then.0
    }

    /// Notes a connection that was made.
    pub(crate) fn connected(&self, now: Instant) {
        self.connected_at.store(now.0, Ordering::Relaxed);
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.silent_at.store(0, Ordering::Relaxed);
            self.avoided_until.store(0, Ordering::Relaxed);
        }
    }

    /// All counters, added up.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums { in_flight: self.in_flight(), ..Sums::default() };
        for counters in &self.threads {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            sums.answered.good += read(&counters.good);
            sums.answered.failed += read(&counters.failed);
            sums.answered.lost += read(&counters.lost);
            sums.retried += read(&counters.retried);
            sums.ejected += read(&counters.ejected);
            sums.spared += read(&counters.spared);
            counters.answers.add_to(&mut sums.answers);
        }
        sums
    }
}
