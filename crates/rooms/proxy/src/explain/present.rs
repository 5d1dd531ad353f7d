//! What is in force at this moment and known to single threads only: where breakers stand, what hedges have learnt, and how
//! many requests may be sent again.
//!
//! Each thread of the edge judges for itself, so each is asked, and what they say is told together.

use std::time::Duration;

use base::Instant;
use resilience::breaker::{Breaker, Position};

use super::{Stop, Told};
use crate::refusal::Refusal;
use crate::table::{PoolKey, PoolSpec};

/// What one thread says of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Present {
    /// Nothing where the service wants no breaker.
    pub(crate) breaker: Option<Circuit>,
    /// After which silence a second instance is asked; nothing while too little is known, or where none is.
    pub(crate) delay: Option<Duration>,
    /// How many requests of the thread may be sent again, and how many at most.
    pub(crate) retries: (u32, u32),
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circuit {
    Closed,
    Open {
        until: Instant,
    },
    /// So many trial calls are out, of so many at once.
    Trying {
        out: usize,
        most: usize,
    },
}

impl Circuit {
    pub(crate) fn of(breaker: &Breaker, now: Instant) -> Self {
        match breaker.position() {
            Position::Closed => Self::Closed,
            Position::Open(until) => Self::Open { until },
            Position::Trying => {
                let (out, most) = breaker.trials(now);
                Self::Trying { out, most }
            }
        }
    }

    /// Whether it refuses the next request.
    fn refuses(self, now: Instant) -> bool {
        match self {
            Self::Closed => false,
            Self::Open { until } => now < until,
            Self::Trying { out, most } => out >= most,
        }
    }
}

/// What the threads say of the pool that a request comes to.
#[derive(Clone, Copy)]
pub(crate) struct Threads<'a> {
    pub(crate) key: &'a PoolKey,
    pub(crate) all: &'a [Present],
}

impl Told {
    /// What the threads say of this pool; nothing where it is another one than that which they were asked about.
    fn threads<'a>(&self, threads: Option<Threads<'a>>, pool: &PoolSpec) -> &'a [Present] {
        threads.filter(|threads| *threads.key == pool.key).map_or(&[], |threads| threads.all)
    }

    /// Whether its breaker lets it through.
    pub(super) fn breaker(&mut self, threads: Option<Threads<'_>>, pool: &PoolSpec) -> Result<(), Stop> {
        let now = self.now;
        let all: Vec<Circuit> =
            self.threads(threads, pool).iter().filter_map(|present| present.breaker).collect();
        if all.is_empty() {
            return Ok(());
        }
        self.say("breaker", shown(&all, now));
        if all.iter().all(|circuit| circuit.refuses(now)) { Err(Refusal::BREAKER.into()) } else { Ok(()) }
    }

    /// How many requests may be sent again.
    pub(super) fn retries(&mut self, threads: Option<Threads<'_>>, pool: &PoolSpec) {
        let all = self.threads(threads, pool);
        let Some((_, most)) = all.first().map(|present| present.retries) else { return };
        let found = if pool.policy.retries == Some(0) {
            "none: the service wants none".to_owned()
        } else {
            let left = span(all.iter().map(|present| present.retries.0), |count| count.to_string());
            let of = if all.len() > 1 { " by each thread" } else { "" };
            format!("{left} of {most} requests may be sent again{of}")
        };
        self.say("retries", found);
    }

    /// The delay of second requests that was learnt, for people.
    pub(super) fn learnt(&self, threads: Option<Threads<'_>>, pool: &PoolSpec) -> String {
        let all = self.threads(threads, pool);
        let known: Vec<_> = all.iter().filter_map(|present| present.delay).collect();
        match (known.len(), all.len()) {
            (_, 0) => String::new(),
            (0, _) => "; too little is known of them yet".to_owned(),
            (some, all) => {
                let beside =
                    if some < all { format!(", known to {some} of {all} threads") } else { String::new() };
                format!("; that is {} now{beside}", span(known.into_iter(), time))
            }
        }
    }
}

/// Where the breakers of all threads stand, for people.
fn shown(all: &[Circuit], now: Instant) -> String {
    let is_due = |circuit: &Circuit| matches!(circuit, Circuit::Open { until } if *until <= now);
    let closed = all.iter().filter(|circuit| **circuit == Circuit::Closed).count();
    let due = all.iter().filter(|circuit| is_due(circuit)).count();
    let rests = all.iter().filter_map(|circuit| match circuit {
        Circuit::Open { until } if now < *until => Some(until.since(now)),
        Circuit::Open { .. } | Circuit::Closed | Circuit::Trying { .. } => None,
    });
    let trials = all.iter().filter_map(|circuit| match circuit {
        Circuit::Trying { out, most } => Some((out, most)),
        Circuit::Closed | Circuit::Open { .. } => None,
    });
    let (out, most) = trials.clone().fold((0, 0), |(out, most), (o, m)| (out + o, most + m));
    let parts = [
        (closed, "closed".to_owned()),
        (rests.clone().count(), format!("open for {} more", span(rests, time))),
        (due, "open until the next call, which is a trial".to_owned()),
        (trials.count(), format!("being tried, with {out} of {most} trial calls out")),
    ];
    let said = parts.iter().filter(|(threads, _)| *threads > 0).map(|(threads, words)| match *threads {
        count if count == all.len() => words.clone(),
        count => format!("{words} (by {count} of {} threads)", all.len()),
    });
    said.collect::<Vec<_>>().join("; ")
}

/// The least and the most of some values.
fn span<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone, shown: impl Fn(T) -> String) -> String {
    let (least, most) = (values.clone().min().map(&shown), values.max().map(&shown));
    match (least, most) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
        (least, _) => least.unwrap_or_default(),
    }
}

/// A time for people: the shorter, the more exact.
pub(super) fn time(time: Duration) -> String {
    match time {
        short if short < Duration::from_millis(10) => format!("{:.1} ms", short.as_secs_f64() * 1e3),
        middle if middle < Duration::from_secs(10) => format!("{} ms", middle.as_millis()),
        long => format!("{} s", long.as_secs()),
    }
}

#[cfg(test)]
mod tests;
