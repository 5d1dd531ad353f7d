//! A circuit breaker: spares a service that keeps failing, or is slow, and then tries it with a few calls.
//!
//! Model: when a service fails often, the next calls will most likely fail too; not making them frees the caller at
//! once and lets the service recover. Closed, it lets calls through and counts how they end; open, it refuses them;
//! after a rest it is trying: a few calls at a time are let through, and so many successes close it, while one failure
//! opens it again, for longer. What calls say that were let through before the last change decides nothing: they tell
//! of the past ([`Permit`] carries the generation). A trial whose permit is never settled gives its place free after
//! `trial_wait`.
//!
//! Sources: Nygard, "Release It!", 2nd edition, 2018, "Circuit Breaker"; the windows, the share of slow calls and the
//! bounded trials are resilience4j's.
//!
//! Defaults of [`Policy`]:
//! - `window`: the calls of 10 s in ten slots, for a rate by time says the same at every load;
//! - `least_calls` 20 and `failure_share` 50 %: half of fewer calls fails by chance too often;
//! - `failures_in_a_row` 10, for what sees less than `least_calls`; at a fifth of calls failing it comes by chance once
//!   in ten million;
//! - `slow_after` none, for how long is slow only the owner of a route knows; `slow_share` 80 % then;
//! - `trials` 3 at once, `trial_successes` 3, `trial_wait` 5 s: one success may be luck, and few calls may fail;
//! - `rest_first` 1 s, doubling up to `rest_most` 4 s, so that a service that is back is found within five seconds,
//!   and three calls in four seconds keep none down; with a `jitter` of 20 %, so that callers do not all come back at
//!   once. A breaker that has been closed for `rest_most` starts at `rest_first` again.
//!
//! A machine with the default window holds about 400 bytes; one that counts calls, a byte a call.
//!
//! ```
//! use base::{Instant, Rng};
//! use resilience::breaker::{Breaker, Outcome, Policy};
//!
//! let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
//! let mut breaker = Breaker::new(Policy { failures_in_a_row: Some(2), ..Policy::default() });
//! for _ in 0..2 {
//!     let permit = breaker.admit(now)?;
//!     breaker.settle(permit, Outcome::Failure, now, &mut rng);
//! }
//! assert!(breaker.admit(now).is_err());
//! assert!(breaker.admit(Instant::from_secs(3)).is_ok_and(|permit| permit.is_trial()));
//! # Ok::<(), resilience::breaker::Refused>(())
//! ```

mod calls;

use std::time::Duration;

use base::{Instant, Rng};

use crate::refusal::sentences;
use calls::{Calls, Shares};

/// Over which calls the shares are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last so many calls, from 1 to 65,536.
    Calls(u32),
    /// The calls of the last so long a time, in so many slots (1 to 120), of which the newest is filling.
    Time {
        /// The length of all slots together.
        length: Duration,
        /// How many slots; an old call leaves with its slot.
        slots: u32,
    },
}

/// When the breaker opens, and how it closes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Over which calls the shares are taken.
    pub window: Window,
    /// Shares of fewer calls than this decide nothing.
    pub least_calls: u32,
    /// Opens when this share of calls failed; above 1 never.
    pub failure_share: f64,
    /// A call that took this long is slow, whatever its end; none are if this is none.
    pub slow_after: Option<Duration>,
    /// Opens when this share of calls was slow; above 1 never.
    pub slow_share: f64,
    /// Opens after so many failures without a success between, however few calls there are.
    pub failures_in_a_row: Option<u32>,
    /// Trial calls that may be out at once, from 1 to 64.
    pub trials: u32,
    /// Trial calls that must succeed to close it.
    pub trial_successes: u32,
    /// A trial that is not settled after this long is taken for lost.
    pub trial_wait: Duration,
    /// How long it stays open the first time.
    pub rest_first: Duration,
    /// The longest that it stays open.
    pub rest_most: Duration,
    /// Each rest is longer or shorter by up to this share, by chance; from 0 to 1.
    pub jitter: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            window: Window::Time { length: Duration::from_secs(10), slots: 10 },
            least_calls: 20,
            failure_share: 0.5,
            slow_after: None,
            slow_share: 0.8,
            failures_in_a_row: Some(10),
            trials: 3,
            trial_successes: 3,
            trial_wait: Duration::from_secs(5),
            rest_first: Duration::from_secs(1),
            rest_most: Duration::from_secs(4),
            jitter: 0.2,
        }
    }
}

/// As in an electric circuit: closed lets calls through, open does not.
#[derive(Debug, Clone)]
enum State {
    Closed { in_a_row: u32, since: Instant },
    Open { until: Instant },
    Trying { succeeded: u32 },
}

/// A trial call that is out.
#[derive(Debug, Clone, Copy)]
struct Trial {
    number: u32,
    lost_at: Instant,
}

/// Leave to make one call. Give it back with [`Breaker::settle`]; if it is lost, nothing is held for long.
#[must_use = "the breaker learns from the end of the call"]
#[derive(Debug)]
pub struct Permit {
    began: Instant,
    generation: u32,
    trial: Option<(u32, u32)>,
}

impl Permit {
    /// Whether the call tries a service that was failing.
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered as it should be.
    Success,
    /// It was not, and the service is to blame.
    Failure,
    /// It says nothing of the service: the client went away, or the request was wrong.
    Ignored,
}

/// No call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When it may be asked again with hope.
    pub until: Instant,
}

sentences! {
    Refused: |_it, f| f.write_str("the service has been failing and is being spared");
}

/// Why it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too large a share of calls failed.
    Failures,
    /// Too large a share of calls was slow.
    Slow,
    /// Too many calls failed one after another.
    InARow,
    /// A trial call failed or was slow.
    Trial,
    /// Somebody opened it by hand or rule: [`Breaker::trip`].
    Tripped,
}

/// What changed with a settled call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It lets nothing through until then.
    Opened {
        /// When trials begin.
        until: Instant,
        /// Why.
        cause: Cause,
    },
    /// It lets all calls through again.
    Closed,
}

/// The state, for whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Calls go through.
    Closed,
    /// None do, until then.
    Open(Instant),
    /// Trial calls do.
    Trying,
}

/// Decides whether calls to one service, or one of its instances, are made.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: Policy,
    state: State,
    calls: Calls,
    trials: Box<[Option<Trial>]>,
    next_trial: u32,
    generation: u32,
    /// How often it opened without a long closed time between.
    opened: u32,
}

impl Breaker {
    /// Closed. Values out of range are brought into it.
    pub fn new(policy: Policy) -> Self {
        let trials = policy.trials.clamp(1, 64);
        Self {
            policy: Policy { trial_successes: policy.trial_successes.max(1), ..policy },
            state: State::Closed { in_a_row: 0, since: Instant(0) },
            calls: Calls::new(policy.window),
            trials: vec![None; trials as usize].into_boxed_slice(),
            next_trial: 0,
            generation: 0,
            opened: 0,
        }
    }

    /// Asks for leave to make a call.
    ///
    /// # Errors
    /// When the service is being spared, or enough trial calls are out.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Refused> {
        match self.state {
            State::Closed { .. } => Ok(Permit { began: now, generation: self.generation, trial: None }),
            State::Open { until } if now < until => Err(Refused { until }),
            State::Open { .. } => {
                self.turn(State::Trying { succeeded: 0 });
                self.trials.fill(None);
                self.try_out(now)
            }
            State::Trying { .. } => self.try_out(now),
        }
    }

    /// Takes the permit back and learns how the call ended.
    pub fn settle(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<Change> {
        if permit.generation != self.generation {
            // A call admitted before the last change comes home late and decides nothing.
            return None;
        }
        let slow = self.policy.slow_after.is_some_and(|after| now.since(permit.began) >= after);
        match permit.trial {
            None => self.count(outcome, slow, now, rng),
            Some((place, number)) => {
                let place = &mut self.trials[place as usize];
                // A trial taken for lost, whose place another has, still tells of the service as it is now.
                if place.is_some_and(|trial| trial.number == number) {
                    *place = None;
                }
                self.judge(outcome, slow, now, rng)
            }
        }
    }

    /// Opens it, because somebody knows better.
    pub fn trip(&mut self, now: Instant, rng: &mut Rng) -> Change {
        self.open(Cause::Tripped, now, rng)
    }

    /// Closes it and forgets what it has seen.
    pub fn reset(&mut self, now: Instant) {
        self.opened = 0;
        self.close(now);
    }

    /// Where it stands. An open breaker whose rest is over stands open until somebody asks for leave.
    pub fn position(&self) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::Open { until } => Position::Open(until),
            State::Trying { .. } => Position::Trying,
        }
    }

    /// How many trial calls are out at this moment, and how many may be.
    pub fn trials(&self, now: Instant) -> (usize, usize) {
        let out = self.trials.iter().flatten().filter(|trial| now < trial.lost_at).count();
        let out = if matches!(self.state, State::Trying { .. }) { out } else { 0 };
        (out, self.trials.len())
    }

    fn try_out(&mut self, now: Instant) -> Result<Permit, Refused> {
        let mut until = now + self.policy.trial_wait;
        for (at, place) in self.trials.iter_mut().enumerate() {
            match place {
                Some(trial) if now < trial.lost_at => until = until.min(trial.lost_at),
                Some(_) | None => {
                    let number = self.next_trial;
                    self.next_trial = number.wrapping_add(1);
                    *place = Some(Trial { number, lost_at: now + self.policy.trial_wait });
                    let trial = Some((at as u32, number));
                    return Ok(Permit { began: now, generation: self.generation, trial });
                }
            }
        }
        Err(Refused { until })
    }

    /// A call of the closed breaker has ended.
    fn count(&mut self, outcome: Outcome, slow: bool, now: Instant, rng: &mut Rng) -> Option<Change> {
        let State::Closed { in_a_row, .. } = &mut self.state else { return None };
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Ignored => return None,
        };
        *in_a_row = if failed { in_a_row.saturating_add(1) } else { 0 };
        let too_many = failed && self.policy.failures_in_a_row.is_some_and(|most| *in_a_row >= most);
        let shares = self.calls.add(failed, slow, now);
        let cause = if too_many { Some(Cause::InARow) } else { self.verdict(shares) };
        cause.map(|cause| self.open(cause, now, rng))
    }

    fn verdict(&self, shares: Shares) -> Option<Cause> {
        if shares.calls < u64::from(self.policy.least_calls.max(1)) {
            return None;
        }
        let calls = shares.calls as f64;
        if shares.failed as f64 >= self.policy.failure_share * calls && shares.failed > 0 {
            return Some(Cause::Failures);
        }
        let slow = shares.slow as f64 >= self.policy.slow_share * calls && shares.slow > 0;
        slow.then_some(Cause::Slow)
    }

    /// A trial call has ended.
    fn judge(&mut self, outcome: Outcome, slow: bool, now: Instant, rng: &mut Rng) -> Option<Change> {
        let State::Trying { succeeded } = &mut self.state else { return None };
        match outcome {
            Outcome::Ignored => None,
            Outcome::Success if !slow => {
                *succeeded += 1;
                if *succeeded < self.policy.trial_successes {
                    return None;
                }
                self.close(now);
                Some(Change::Closed)
            }
            Outcome::Success | Outcome::Failure => Some(self.open(Cause::Trial, now, rng)),
        }
    }

    fn open(&mut self, cause: Cause, now: Instant, rng: &mut Rng) -> Change {
        if let State::Closed { since, .. } = self.state
            && now.since(since) >= self.policy.rest_most
        {
            self.opened = 0;
        }
        let factor = 1u32.checked_shl(self.opened).unwrap_or(u32::MAX);
        let rest = self.policy.rest_first.saturating_mul(factor).min(self.policy.rest_most);
        self.opened = self.opened.saturating_add(1);
        let jitter = self.policy.jitter.clamp(0.0, 1.0);
        let chance = rng.below(1 << 20) as f64 / f64::from(1 << 20);
        let until = now + rest.mul_f64(1.0 + jitter * (2.0 * chance - 1.0));
        self.turn(State::Open { until });
        Change::Opened { until, cause }
    }

    fn close(&mut self, now: Instant) {
        self.calls.clear();
        self.turn(State::Closed { in_a_row: 0, since: now });
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
