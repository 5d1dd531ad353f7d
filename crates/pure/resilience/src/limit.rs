//! A limit on calls in flight that finds itself: grows while calls take no longer, shrinks when they begin to queue.
//!
//! Model: a service does so many calls at once, and more only wait for each other, so time rises with the limit once
//! the limit is beyond that (Little's law). From the time a call takes when nobody waits, and the time that calls take
//! now, follows how many of them are waiting. Times are taken as the average of a window of calls, for single calls
//! differ too much. The limit grows only when it is used: a window whose peak was below half of it says nothing of
//! what would be. Calls that were dropped or timed out shrink it by their share, as in DCTCP. Every call that is
//! admitted must be settled; a permit that is lost holds its place for ever, so keep it in a guard.
//!
//! The two [`Algorithm`]s differ in what they take for the time without waiting:
//!
//! - [`Algorithm::Vegas`] measures it. Windows with less than half of the limit in use are such a measure; if there
//!   are none for `probe_every`, the limit is halved until the next `samples` calls have all come home (the first to
//!   come home would be the fast ones), or for four times as long as calls took before. It aims at no waiting at all,
//!   as BBR does: a queue that feeds the service stands in front of it, and where calls end together, one call too many
//!   waits for a whole round. Until calls have waited for the first time it grows by leaps. Then it is cut to what
//!   calls that do not wait would fill, when they wait beyond chance (three standard errors) and beyond what times that
//!   vary need (their variation times the square root of the limit, as in square-root staffing), and raised by a step of
//!   6 %, at least `log10(limit)`, to see whether more can be done: seldom where that failed before (after up to
//!   32 windows), and by twice the step each time where it did not. Cuts that make calls no faster are taken back: what
//!   looked like waiting is how long they take now.
//! - [`Algorithm::Gradient`] takes the average over a long time, with half as much again allowed. It needs no probes,
//!   and follows a service whose own times change; under overload that lasts, the average goes along, and the limit
//!   grows.
//!
//! Sources: Brakmo, O'Malley, Peterson: "TCP Vegas", SIGCOMM 1994; Netflix' concurrency-limits (2018), its `VegasLimit`
//! and `Gradient2Limit`; the probe and the aim are those of Cardwell et al.: "BBR", ACM Queue 14(5), 2016; Alizadeh et al.: "DCTCP",
//! SIGCOMM 2010.
//!
//! Defaults of [`Policy`]: `algorithm` Vegas, by simulation (`tests/overload_sim.rs`): at three times the capacity for
//! long, for a service with 16 workers, Vegas' limit stayed at 15 to 28, while Gradient's grew beyond 600, and with it
//! the waits tenfold. `initial` 20 and `most` 1,000 are Netflix'; `least` 4, so that a few slow calls never shut a
//! service off; `samples` 50 a window, for an average that is right within a seventh for times that vary as much as
//! their mean; `probe_every` 10 s, as BBR, which at half a limit for a few calls' time costs well under a hundredth.
//!
//! ```
//! use std::time::Duration;
//! use base::{Instant, Rng};
//! use resilience::limit::{AdaptiveLimit, Outcome, Policy};
//!
//! let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
//! let mut limit = AdaptiveLimit::new(Policy { initial: 5, ..Policy::default() });
//! let permits: Vec<_> = (0..5).filter_map(|_| limit.admit(now).ok()).collect();
//! assert!(limit.admit(now).is_err());
//! for permit in permits {
//!     limit.settle(permit, Outcome::Done, now + Duration::from_millis(10), &mut rng);
//! }
//! assert_eq!(limit.in_flight(), 0);
//! ```

mod search;

use std::time::Duration;

use base::{Instant, Rng};

use crate::refusal::sentences;
use search::{Move, Search, Times};

/// The long average of [`Algorithm::Gradient`] goes over about so many windows.
const LONG_WINDOWS: f64 = 60.0;
/// Times may be so much longer than the long average before the limit shrinks.
const TOLERANCE: f64 = 1.5;
/// A window moves the limit of [`Algorithm::Gradient`] by this share of the way.
const SMOOTHING: f64 = 0.2;
/// A share of drops up to this is normal and does not keep the limit from growing.
const NORMAL_DROPS: f64 = 0.01;

/// How the limit is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// By the number of waiting calls, against a time that is measured without waiting.
    Vegas,
    /// By the ratio of the time to its long average.
    Gradient,
}

/// What the limit may be and how it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How it is found.
    pub algorithm: Algorithm,
    /// Before anything was measured.
    pub initial: u32,
    /// Never less; at least 1.
    pub least: u32,
    /// Never more.
    pub most: u32,
    /// Calls of a window, at least 1; with Vegas at least twice the limit.
    pub samples: u32,
    /// Without a calm window for this long, the time without waiting is measured anew.
    pub probe_every: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Vegas,
            initial: 20,
            least: 4,
            most: 1000,
            samples: 50,
            probe_every: Duration::from_secs(10),
        }
    }
}

/// Leave to make one call; give it back with [`AdaptiveLimit::settle`].
#[must_use = "its place is held until it is settled"]
#[derive(Debug)]
pub struct Permit {
    began: Instant,
    /// The probe that it is a sample of; 0 for none.
    probe: u32,
    /// How often the limit had moved.
    era: u32,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, so its time counts.
    Done,
    /// It was dropped or refused for overload, or timed out.
    Dropped,
    /// Its time says nothing: it was cancelled, or failed at once.
    Ignored,
}

/// As many calls are in flight as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// The limit at this moment.
    pub limit: u32,
}

sentences! {
    Full: |it, f| write!(f, "{} calls are in flight, and no more may be", it.limit);
}

/// What the calls of a window said.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    done: Times,
    dropped: u32,
    peak: u32,
}

/// The time without waiting is being measured, at half of the limit.
#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u32,
    /// Samples that are still to begin, and those that are out.
    to_begin: u32,
    out: u32,
    ends: Instant,
}

/// Calls that began before the limit last moved. Until they have come home, those that began later say nothing: the
/// first to come home are the fast ones.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    era: u32,
    /// So many were in flight, and so many still are.
    all: u32,
    left: u32,
    /// Nobody is waited for for longer.
    ends: Instant,
}

impl Before {
    fn moved(self, in_flight: u32, now: Instant, time: Duration) -> Self {
        Self { era: self.era.wrapping_add(1), all: in_flight, left: in_flight, ends: now + time * 4 }
    }

    /// Whether a call that has come home counts.
    fn is_over(&mut self, permit: &Permit, now: Instant) -> bool {
        if permit.era != self.era {
            self.left = self.left.saturating_sub(1);
            return false;
        }
        self.left * 16 <= self.all || now >= self.ends
    }
}

/// A limit for one service, or one of its instances.
#[derive(Debug, Clone)]
pub struct AdaptiveLimit {
    policy: Policy,
    limit: f64,
    /// What is let in at this moment: the limit, or half of it during a probe.
    allowed: u32,
    in_flight: u32,
    window: Window,
    /// The long average of [`Algorithm::Gradient`], in nanoseconds.
    long_ns: Option<f64>,
    /// What [`Algorithm::Vegas`] knows.
    search: Search,
    /// What began before the limit last moved.
    before: Before,
    probe: Option<Probe>,
    probes: u32,
    /// When the next probe begins; set by the first window.
    probe_at: Option<Instant>,
}

impl AdaptiveLimit {
    /// At its initial limit. Values out of range are brought into it.
    pub fn new(policy: Policy) -> Self {
        let least = policy.least.max(1);
        let most = policy.most.max(least);
        let initial = policy.initial.clamp(least, most);
        Self {
            policy: Policy { least, most, initial, samples: policy.samples.max(1), ..policy },
            limit: f64::from(initial),
            allowed: initial,
            in_flight: 0,
            window: Window::default(),
            long_ns: None,
            search: Search::new(policy.samples.max(1)),
            before: Before::default(),
            probe: None,
            probes: 0,
            probe_at: None,
        }
    }

    /// Asks for leave to make a call.
    ///
    /// # Errors
    /// When as many calls are in flight as may be.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Full> {
        if self.in_flight >= self.allowed {
            return Err(Full { limit: self.allowed });
        }
        self.in_flight += 1;
        self.window.peak = self.window.peak.max(self.in_flight);
        let mut number = 0;
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.to_begin > 0) {
            probe.to_begin -= 1;
            probe.out += 1;
            number = probe.number;
        }
        Ok(Permit { began: now, probe: number, era: self.before.era })
    }

    /// Takes the permit back and learns from the call. Chance spreads the probes of many limits.
    pub fn settle(&mut self, permit: Permit, outcome: Outcome, now: Instant, rng: &mut Rng) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let counts = match &mut self.probe {
            None => self.before.is_over(&permit, now),
            // Calls that began before the probe waited among more of their like.
            Some(probe) => {
                let sample = permit.probe == probe.number;
                probe.out -= u32::from(sample);
                sample
            }
        };
        match outcome {
            Outcome::Done if counts => self.window.done.note(now.since(permit.began)),
            Outcome::Dropped => self.window.dropped += 1,
            Outcome::Done | Outcome::Ignored => {}
        }
        let full = match self.probe {
            None => self.window.done.count() + self.window.dropped >= self.wanted(),
            Some(probe) => (probe.to_begin == 0 && probe.out == 0) || now >= probe.ends,
        };
        if full {
            self.conclude(now, rng);
        }
    }

    /// The limit as it was last found; during a probe only half of it is let in.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// How long a call takes when none waits, as far as that is known.
    pub fn unhurried(&self) -> Option<Duration> {
        let nanos = self.search.baseline().or(self.long_ns);
        nanos.map(|nanos| Duration::from_nanos(nanos as u64))
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How much of the limit is in use; above 1 for a while after it shrank.
    pub fn utilisation(&self) -> f64 {
        f64::from(self.in_flight) / f64::from(self.limit().max(1))
    }

    /// Calls of a window. Where calls end together, those of one round are all alike.
    fn wanted(&self) -> u32 {
        match self.policy.algorithm {
            Algorithm::Vegas if self.window.dropped == 0 => self.policy.samples.max(2 * self.limit()),
            Algorithm::Vegas | Algorithm::Gradient => self.policy.samples,
        }
    }

    /// A window is full: moves the limit.
    fn conclude(&mut self, now: Instant, rng: &mut Rng) {
        let window = std::mem::take(&mut self.window);
        self.window.peak = self.in_flight;
        let drops = f64::from(window.dropped) / f64::from((window.done.count() + window.dropped).max(1));
        if self.probe.take().is_some() {
            self.end_probe(window.done, now, rng);
            return;
        }
        if drops > NORMAL_DROPS {
            self.search.forget();
            self.set(self.limit * (1.0 - drops / 2.0), now);
            return;
        }
        if window.done.count() == 0 {
            return;
        }
        match self.policy.algorithm {
            Algorithm::Vegas => self.vegas(window, now, rng),
            Algorithm::Gradient => self.gradient(window.peak, window.done.mean()),
        }
    }

    fn vegas(&mut self, window: Window, now: Instant, rng: &mut Rng) {
        let calm = f64::from(window.peak) * 2.0 < self.limit;
        let probe_at = self.probe_at.get_or_insert(now);
        if calm || *probe_at == now {
            *probe_at = next_probe(self.policy.probe_every, now, rng);
        } else if now >= *probe_at && self.limit > f64::from(self.policy.least) {
            self.begin_probe(window.done.mean(), now);
            return;
        }
        if calm {
            self.search.calm(window.done);
            return;
        }
        match self.search.next(window.done, window.peak, self.limit) {
            Move::Stay => {}
            Move::To(limit) => self.set(limit, now),
            Move::Probe if self.limit > f64::from(self.policy.least) => {
                self.begin_probe(window.done.mean(), now);
            }
            Move::Probe => {}
        }
    }

    fn gradient(&mut self, peak: u32, time_ns: f64) {
        let mut long = self.long_ns.map_or(time_ns, |long| long + (time_ns - long) / LONG_WINDOWS);
        if long > 2.0 * time_ns {
            // It recovers from a long overload.
            long *= 0.95;
        }
        self.long_ns = Some(long);
        if f64::from(peak) * 2.0 < self.limit {
            return;
        }
        let gradient = (TOLERANCE * long / time_ns).clamp(0.5, 1.0);
        let next = self.limit * gradient + self.limit.sqrt().min(4.0);
        self.limit = self.bounded(self.limit + SMOOTHING * (next - self.limit));
        self.allowed = self.limit as u32;
    }

    fn begin_probe(&mut self, time_ns: f64, now: Instant) {
        self.probes = self.probes.checked_add(1).unwrap_or(1);
        let ends = now + Duration::from_nanos((4.0 * time_ns) as u64);
        self.probe = Some(Probe { number: self.probes, to_begin: self.policy.samples, out: 0, ends });
        self.allowed = (self.limit / 2.0).max(f64::from(self.policy.least)) as u32;
    }

    /// Where waiting was seen in what was taken for none, that may still be so, and the next probe is soon.
    fn end_probe(&mut self, times: Times, now: Instant, rng: &mut Rng) {
        let soon = times.count() > 0 && self.search.measured(times);
        let every =
            if soon { Duration::from_nanos(8 * times.mean() as u64) } else { self.policy.probe_every };
        self.probe_at = Some(next_probe(every, now, rng));
        self.set(self.limit, now);
    }

    fn set(&mut self, limit: f64, now: Instant) {
        self.limit = self.bounded(limit);
        self.allowed = self.limit as u32;
        self.before = self.before.moved(self.in_flight, now, self.unhurried().unwrap_or_default());
    }

    fn bounded(&self, limit: f64) -> f64 {
        limit.clamp(f64::from(self.policy.least), f64::from(self.policy.most))
    }
}

/// Between three quarters and five quarters of the time from now.
fn next_probe(every: Duration, now: Instant, rng: &mut Rng) -> Instant {
    let chance = rng.below(1 << 20) as f64 / f64::from(1 << 20);
    now + every.mul_f64(0.75 + chance / 2.0)
}

#[cfg(test)]
mod tests;
