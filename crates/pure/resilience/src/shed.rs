//! Load shedding: under overload the least important requests are refused first, and cheaply.
//!
//! Model: each request has a class, and each client within a class a rank that stays the same for a while, so that a
//! client is either served or not, rather than every page half. Class and rank make one number; requests below a level
//! are admitted. At the end of each window the level moves by what was measured, and counts of the window by number say
//! where to. It sinks only where requests were dropped behind, to admit less by half of those, but never by more than
//! half at once; the nearer the idle share of the limit is to `idle`, the less. Beyond that share it rises, to admit more
//! by `up` times what is idle too much. So a service with few places, of which one idles whenever too few wait, is left
//! as many waiters as it needs, though more of them are dropped: which share of them it takes to keep all places at work
//! depends on how many there are, and needs not be known. Critical requests are the last to be shed, and `critical_least`
//! of their ranks never are. Let them wait in a queue of their own, too, that is served first, for a queue behind does
//! not know of classes. Where there is only one, [`Policy::of_one_queue`] has few dropped there, and more idle.
//!
//! Signals are how many requests were dropped behind, and how much of a limit was not in use when a request was admitted.
//! How long they wait is the queue's to bound, by how long the service takes; no time is right for all services.
//!
//! Source: Zhou et al.: "Overload control for scaling WeChat microservices" (DAGOR), SoCC 2018, for the level and the
//! counts; its signal, a wait of 20 ms, and its steps of 5 % and 1 % are not kept: with them, and 1.2
//! to 1.5 times the limit at work or waiting, 8 % of 16 places idled, and half of one place. The classes are those of Beyer et al., "Site
//! Reliability Engineering", 2016, chapter 21, without the upper one.
//!
//! Defaults of [`Policy`], by simulation (`tests/overload_sim.rs`) at three times the load, 20 to 300 seeds, where the
//! limit is exactly what the service can do: `idle` 2 % and `up` 2 leave 3 % of it undone at 4 places and fewer, 2 % at
//! 16 and 64, and 5 % where calls take 500 ms at 10 places; with `idle` 5 % it is twice as much. `window` 500 ms with at
//! least `least_requests` 100, or four windows: DAGOR's second lets a queue of 1,000 fill, and with 20 requests the calls
//! of 500 ms leave 8 % undone. `most_dropped` 1, that is any share. `critical_least` a half, so that sheddable mistakes
//! in a signal never shut the service; `retry_after` 1 s.
//!
//! A machine holds 1.6 KiB.
//!
//! ```
//! use base::Instant;
//! use resilience::shed::{Class, Policy, Shed};
//!
//! let mut shed = Shed::new(Policy::default());
//! let class = Class::parse(b"sheddable").unwrap_or(Class::Default);
//! assert!(shed.admit(class, 42, Instant::from_secs(1)).is_ok());
//! ```

use std::time::Duration;

use base::Instant;

use crate::hash::mix;
use crate::refusal::sentences;

/// The field that names the class of a request.
pub const CLASS_HEADER: &str = "x-request-class";
/// Ranks within a class.
const RANKS: u16 = 128;
/// All numbers: three classes.
const NUMBERS: u16 = 3 * RANKS;
/// The level sinks by at most this share of what is admitted in one window.
const MOST_DROPPED: f64 = 0.5;
/// It sinks by at least this share where more was dropped than may be.
const LEAST_DROPPED: f64 = 0.02;
/// A window without enough requests is as long as so many.
const STRETCH: u32 = 4;

/// How much it hurts to refuse a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Users wait for it, and refusing it is an outage: signing in, paying.
    Critical,
    /// Whatever says nothing else.
    Default,
    /// It can be done later, or not: prefetching, crawlers, batch work.
    Sheddable,
}

impl Class {
    /// Reads `critical`, `default` or `sheddable`, in any case. Only trust a field that your own edge has set.
    pub fn parse(value: &[u8]) -> Option<Self> {
        [("critical", Self::Critical), ("default", Self::Default), ("sheddable", Self::Sheddable)]
            .into_iter()
            .find_map(|(name, class)| value.eq_ignore_ascii_case(name.as_bytes()).then_some(class))
    }

    /// Its first number.
    fn base(self) -> u16 {
        match self {
            Self::Critical => 0,
            Self::Default => RANKS,
            Self::Sheddable => 2 * RANKS,
        }
    }
}

/// What the level aims at, and how fast it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// So much of the limit may idle, lest more than needed wait in vain; above 0 and below 1.
    pub idle: f64,
    /// So many times the idle share beyond that is admitted on top.
    pub up: f64,
    /// Of what was admitted, no more than this share may be dropped behind, whatever idles for that.
    pub most_dropped: f64,
    /// How often the level moves.
    pub window: Duration,
    /// Fewer requests make the window longer, up to four times.
    pub least_requests: u32,
    /// The share of critical clients that is always admitted; from 0 to 1.
    pub critical_least: f64,
    /// What a refused client is told to wait.
    pub retry_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            idle: 0.02,
            up: 2.0,
            most_dropped: 1.0,
            window: Duration::from_millis(500),
            least_requests: 100,
            critical_least: 0.5,
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Policy {
    /// Where all that is admitted waits in one queue: what is dropped there may be critical, so hardly anything is, and
    /// for that 5 % of a service with 16 places idle in simulation, and 10 % of one with 4.
    #[must_use]
    pub fn of_one_queue() -> Self {
        Self { idle: 0.1, up: 0.25, most_dropped: 0.01, ..Self::default() }
    }
}

/// The request is shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// For `Retry-After`.
    pub retry_after: Duration,
}

sentences! {
    Refused: |_it, f| f.write_str("there is more load than can be served, and more important requests go first");
}

/// Sums of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Signals {
    dropped: u32,
    uses: u32,
    idle: f64,
}

/// Decides for one service which requests are let in.
#[derive(Debug, Clone)]
pub struct Shed {
    policy: Policy,
    /// Numbers below it are admitted.
    level: u16,
    floor: u16,
    /// Requests of this window by number.
    arrived: Box<[u32; NUMBERS as usize]>,
    requests: u32,
    signals: Signals,
    began: Instant,
    ends: Instant,
    salt: u64,
}

impl Shed {
    /// Admits all.
    pub fn new(policy: Policy) -> Self {
        let floor = (policy.critical_least.clamp(0.0, 1.0) * f64::from(RANKS)) as u16;
        Self {
            policy,
            level: NUMBERS,
            floor,
            arrived: Box::new([0; NUMBERS as usize]),
            requests: 0,
            signals: Signals::default(),
            began: Instant(0),
            ends: Instant(0),
            salt: 0,
        }
    }

    /// Asks whether a request is let in. `client` is any number that stays the same for a client.
    ///
    /// # Errors
    /// When it is shed: answer 503 with `Retry-After`, before anything else is done for it.
    pub fn admit(&mut self, class: Class, client: u64, now: Instant) -> Result<(), Refused> {
        if now >= self.ends {
            self.end_window(now);
        }
        let number = class.base() + (mix(client ^ self.salt) % u64::from(RANKS)) as u16;
        self.requests += 1;
        self.arrived[number as usize] += 1;
        if number < self.level { Ok(()) } else { Err(Refused { retry_after: self.policy.retry_after }) }
    }

    /// Takes in that a request that was admitted here was dropped in the queue behind, or found that full.
    pub fn observe_drop(&mut self) {
        self.signals.dropped += 1;
    }

    /// Takes in how much of a limit is in use, 1 being all, for every request that is admitted here, before it takes a
    /// place; what waits for one counts too.
    pub fn observe_use(&mut self, used: f64) {
        self.signals.uses += 1;
        self.signals.idle += (1.0 - used).max(0.0);
    }

    /// Deals ranks anew, so that it is not always the same clients who are shed; once an hour is right.
    pub fn rotate(&mut self, salt: u64) {
        self.salt = mix(salt);
    }

    /// The share of all ranks of a class that is admitted now.
    pub fn admitted_share(&self, class: Class) -> f64 {
        f64::from(self.level.saturating_sub(class.base()).min(RANKS)) / f64::from(RANKS)
    }

    fn end_window(&mut self, now: Instant) {
        let age = now.since(self.began);
        let thin = self.requests < self.policy.least_requests.max(1);
        if thin && age < self.policy.window * STRETCH && self.began > Instant(0) {
            self.ends = now + self.policy.window / STRETCH;
            return;
        }
        // A window that ended long ago without anybody noticing tells of calm.
        let idle = age > self.policy.window * (4 * STRETCH);
        self.level = if idle { NUMBERS } else { self.next_level() };
        self.arrived.fill(0);
        self.requests = 0;
        self.signals = Signals::default();
        self.began = now;
        self.ends = now + self.policy.window;
    }

    fn next_level(&self) -> u16 {
        let admitted = self.sum(0..self.level);
        let Signals { dropped, uses, idle } = self.signals;
        // Where nobody was admitted, nothing was at work.
        let idle = if uses == 0 { 1.0 } else { idle / f64::from(uses) };
        // Some of what was dropped had come in the windows before, so half of it is an excess.
        let excess = f64::from(dropped) / 2.0;
        if f64::from(dropped) > self.policy.most_dropped * admitted {
            self.below(admitted - excess.max(admitted * LEAST_DROPPED).min(admitted * MOST_DROPPED))
        } else if idle > self.policy.idle {
            self.above(admitted + self.policy.up * (idle - self.policy.idle) * admitted, admitted)
        } else if dropped > 0 {
            self.below(admitted - (excess * (1.0 - idle / self.policy.idle)).min(admitted * MOST_DROPPED))
        } else {
            self.level
        }
    }

    /// How many came with these numbers.
    fn sum(&self, numbers: std::ops::Range<u16>) -> f64 {
        self.arrived[usize::from(numbers.start)..usize::from(numbers.end)].iter().map(|n| f64::from(*n)).sum()
    }

    /// The level under which so many would have been admitted, at least a step below this one, even if nothing arrived
    /// at the numbers just below it.
    fn below(&self, want: f64) -> u16 {
        let mut sum = 0.0;
        let fits = self.arrived.iter().take_while(|count| {
            sum += f64::from(**count);
            sum <= want
        });
        (fits.count() as u16).min(self.level.saturating_sub(1)).max(self.floor)
    }

    /// The level under which so many would have been, and not just these, at least a step above this one.
    fn above(&self, want: f64, admitted: f64) -> u16 {
        let mut sum = admitted;
        let more = self.arrived[usize::from(self.level)..].iter().take_while(|count| {
            sum += f64::from(**count);
            sum <= want
        });
        (self.level + more.count() as u16).max(self.level + 1).min(NUMBERS)
    }
}

#[cfg(test)]
mod tests;
