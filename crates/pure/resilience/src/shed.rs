//! Load shedding: under overload the least important requests are refused first, and cheaply.
//!
//! Model: each request has a class, and each client within a class a rank that stays the same for a while, so that a
//! client is either served or not, rather than every page half. Class and rank make one number; requests below a level
//! are admitted. At the end of each window the level moves by what was measured. Under overload it sinks, to admit
//! `down` less than was admitted, or less by half of what was dropped behind if that is more, but never by more than
//! half at once. In calm it rises, to admit `up` more of what arrives, and up to five times that the less of the limit
//! is in use. Counts of the window by number say which level that is. Between the two thresholds of a signal the level
//! stays, so it does not swing. Critical requests are the last to be shed, and `critical_least` of their ranks never
//! are. Let them wait in a queue of their own, too, that is served first, for a queue behind does not know of classes.
//!
//! Signals are the time that requests waited in the queue behind, those that were dropped there, and how much of a
//! limit is in use; any of them high means overload, and all of them low means calm.
//!
//! Source: Zhou et al.: "Overload control for scaling WeChat microservices" (DAGOR), SoCC 2018; the classes are those
//! of Beyer et al., "Site Reliability Engineering", 2016, chapter 21, without the upper one.
//!
//! Defaults of [`Policy`]: `delay_high` 20 ms and `up` 1 % are DAGOR's; `down` 2 %, for with DAGOR's 5 % a twentieth
//! of the service idles in simulation (`tests/overload_sim.rs`); `delay_low` 10 ms, half of the other; `use_high` 1.5
//! and `use_low` 1.2 of a limit, counting what waits for it, so that a full limit alone is no overload; `window` 500
//! ms with at least `least_requests` 20, or four windows: DAGOR's second lets a queue of 1,000 fill, and fewer
//! requests say too little; `critical_least` a half, so that sheddable mistakes in a signal never shut the service;
//! `retry_after` 1 s.
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
/// It rises by up to so many steps more at once, the emptier the limit is.
const LEAPS: f64 = 4.0;
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

/// What counts as overload, and how fast the level moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Overload when requests waited longer than this on average.
    pub delay_high: Duration,
    /// Calm needs an average wait below this.
    pub delay_low: Duration,
    /// Overload when more than this of the limit was in use on average, with what waited.
    pub use_high: f64,
    /// Calm needs less than this.
    pub use_low: f64,
    /// How often the level moves.
    pub window: Duration,
    /// Fewer requests make the window longer, up to four times.
    pub least_requests: u32,
    /// Under overload this share of what was admitted is no longer.
    pub down: f64,
    /// In calm this share of what arrives is admitted on top.
    pub up: f64,
    /// The share of critical clients that is always admitted; from 0 to 1.
    pub critical_least: f64,
    /// What a refused client is told to wait.
    pub retry_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            delay_high: Duration::from_millis(20),
            delay_low: Duration::from_millis(10),
            use_high: 1.5,
            use_low: 1.2,
            window: Duration::from_millis(500),
            least_requests: 20,
            down: 0.02,
            up: 0.01,
            critical_least: 0.5,
            retry_after: Duration::from_secs(1),
        }
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

/// What became of a request that was admitted here, in the queue behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// It was served after this wait.
    Served(Duration),
    /// It was dropped, or found the queue full.
    Dropped,
}

/// Sums of a window.
#[derive(Debug, Clone, Copy, Default)]
struct Signals {
    served: u32,
    dropped: u32,
    delay_ns: f64,
    uses: u32,
    used: f64,
}

/// Which way the level goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    High,
    Between,
    Low,
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

    /// Takes in what became of an admitted request in the queue behind.
    pub fn observe(&mut self, waited: Waited) {
        match waited {
            Waited::Served(delay) => {
                self.signals.served += 1;
                self.signals.delay_ns += delay.as_nanos() as f64;
            }
            Waited::Dropped => self.signals.dropped += 1,
        }
    }

    /// Takes in how much of a limit is in use, 1 being all; what waits for it counts too.
    pub fn observe_use(&mut self, used: f64) {
        self.signals.uses += 1;
        self.signals.used += used;
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

    fn load(&self) -> Load {
        let Signals { served, dropped, delay_ns, .. } = self.signals;
        let delay = Duration::from_nanos((delay_ns / f64::from(served.max(1))) as u64);
        let used = self.used();
        let few_dropped = dropped <= served / 100;
        if delay > self.policy.delay_high || used > self.policy.use_high || !few_dropped {
            Load::High
        } else if delay < self.policy.delay_low && used < self.policy.use_low && dropped == 0 {
            Load::Low
        } else {
            Load::Between
        }
    }

    /// How much of the limit was in use, on average.
    fn used(&self) -> f64 {
        self.signals.used / f64::from(self.signals.uses.max(1))
    }

    fn next_level(&self) -> u16 {
        let below =
            |level: u16| -> f64 { self.arrived[..level as usize].iter().map(|n| f64::from(*n)).sum() };
        let admitted = below(self.level);
        match self.load() {
            Load::Between => self.level,
            Load::High => {
                // Some of what was dropped had come in the windows before, so half of it is an excess.
                let excess = f64::from(self.signals.dropped) / 2.0;
                let want = admitted - excess.max(admitted * self.policy.down).min(admitted * MOST_DROPPED);
                let mut sum = 0.0;
                let fits = self.arrived.iter().take_while(|count| {
                    sum += f64::from(**count);
                    sum <= want
                });
                // At least one step, even if nothing arrived at the numbers just below the level.
                (fits.count() as u16).min(self.level.saturating_sub(1)).max(self.floor)
            }
            Load::Low => {
                let room = 1.0 - (self.used() / self.policy.use_low).clamp(0.0, 1.0);
                let want = admitted + self.policy.up * (1.0 + LEAPS * room) * f64::from(self.requests);
                let mut sum = admitted;
                let above = self.arrived[self.level as usize..].iter().take_while(|count| {
                    sum += f64::from(**count);
                    sum <= want
                });
                (self.level + above.count() as u16).max(self.level + 1).min(NUMBERS)
            }
        }
    }
}

#[cfg(test)]
mod tests;
