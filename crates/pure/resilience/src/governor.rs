//! A governor on automation: what is safe goes fast, what cannot be taken back goes slowly, and much of it needs a
//! person.
//!
//! Model: automation acts on what it believes, at machine speed, and what it believes may be wrong: a monitor that
//! sees every instance sick is more likely to be wrong than all of them are to be sick. So acts in the dangerous
//! direction (restart, scale down, eject, delete) are limited in any stretch of time, so slow that people can notice
//! and step in; acts in the safe direction (start, scale up, let back in) hardly are. Past a hard limit over a longer
//! stretch nothing dangerous happens until a person approves, and an approval is for a number of acts and a time. The
//! windows slide exactly: of each kind the times of the last `count` acts are kept, eight bytes each.
//!
//! Source: Nygard: "Release It!", 2nd edition, 2018, "Governor".
//!
//! Defaults of [`Policy`]: `safe` 100 in a minute, which only stops a runaway loop; `dangerous` 3 in a minute, slower
//! than the minute in which an alert reaches a person; `hard` 15 in an hour, five such minutes. [`Allowance::share`]
//! makes them of a fleet's size.
//!
//! ```
//! use base::Instant;
//! use resilience::governor::{Denied, Direction, Governor, Policy};
//!
//! let mut governor = Governor::new(Policy::default());
//! let now = Instant::from_secs(100);
//! assert!(governor.ask(Direction::Dangerous, 3, now).is_ok());
//! let until = Instant::from_secs(160);
//! assert_eq!(governor.ask(Direction::Dangerous, 1, now), Err(Denied::NotBefore(until)));
//! assert!(governor.ask(Direction::Safe, 20, now).is_ok());
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use base::Instant;

use crate::refusal::sentences;

/// The most acts that an allowance remembers, and so allows.
const MOST: u32 = 10_000;

/// So many acts in any stretch of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The number of acts, at most 10,000.
    pub count: u32,
    /// The length of the stretch.
    pub window: Duration,
}

impl Allowance {
    /// A share (0 to 1) of a fleet, at least one act.
    pub fn share(of: u32, share: f64, window: Duration) -> Self {
        Self { count: ((f64::from(of) * share.clamp(0.0, 1.0)) as u32).max(1), window }
    }
}

/// The limits of one kind of automation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// For acts in the safe direction.
    pub safe: Allowance,
    /// For those that cannot be taken back.
    pub dangerous: Allowance,
    /// Past this a person must approve.
    pub hard: Allowance,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            safe: Allowance { count: 100, window: Duration::from_secs(60) },
            dangerous: Allowance { count: 3, window: Duration::from_secs(60) },
            hard: Allowance { count: 15, window: Duration::from_secs(3600) },
        }
    }
}

/// Which way an act goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More capacity, or back to normal.
    Safe,
    /// Less capacity, or something that cannot be taken back.
    Dangerous,
}

/// Why an act must not be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It would be too fast; it is allowed from then on, if nothing else is done.
    NotBefore(Instant),
    /// Too much was done in the long window: a person must [`approve`](Governor::approve), or wait until then.
    NeedsPerson {
        /// When the window has moved on far enough by itself; the end of time if it never will, because more is asked
        /// for than the hard limit.
        until: Instant,
    },
    /// More at once than is ever allowed: ask for less, one after another.
    TooManyAtOnce {
        /// The most at once.
        most: u32,
    },
}

sentences! {
    Denied: |it, f| match it {
        Denied::NotBefore(_) => f.write_str("automation has done as much as it may in this time"),
        Denied::NeedsPerson { .. } => f.write_str("automation has done so much that a person must look at it first"),
        Denied::TooManyAtOnce { most } => write!(f, "automation may do at most {most} of these at once"),
    };
}

/// The times of the last acts under one allowance.
#[derive(Debug, Clone)]
struct Past {
    allowance: Allowance,
    acts: VecDeque<Instant>,
}

impl Past {
    fn new(allowance: Allowance) -> Self {
        let allowance = Allowance { count: allowance.count.min(MOST), ..allowance };
        Self { allowance, acts: VecDeque::new() }
    }

    /// From when on so many more would be within the allowance; none if that is now.
    fn wait(&self, more: u32, now: Instant) -> Option<Instant> {
        if more > self.allowance.count {
            return Some(Instant(u64::MAX));
        }
        // Only the last `count` are kept, so the one that must have left the window is found from the end.
        let kept = (self.allowance.count - more) as usize;
        let blocking = self.acts.iter().rev().nth(kept)?;
        let free = *blocking + self.allowance.window;
        (now < free).then_some(free)
    }

    fn note(&mut self, acts: u32, now: Instant) {
        for _ in 0..acts.min(self.allowance.count) {
            if self.acts.len() >= self.allowance.count as usize {
                self.acts.pop_front();
            }
            self.acts.push_back(now);
        }
    }
}

/// Limits one kind of automation, such as the restarts of one service.
#[derive(Debug, Clone)]
pub struct Governor {
    safe: Past,
    dangerous: Past,
    hard: Past,
    approved: u32,
    approved_until: Instant,
}

impl Governor {
    /// Nothing was done so far.
    pub fn new(policy: Policy) -> Self {
        Self {
            safe: Past::new(policy.safe),
            dangerous: Past::new(policy.dangerous),
            hard: Past::new(policy.hard),
            approved: 0,
            approved_until: Instant(0),
        }
    }

    /// Asks for leave to do so many acts at once, all or none, and counts them as done.
    ///
    /// # Errors
    /// Why not, and when; nothing is counted then.
    pub fn ask(&mut self, direction: Direction, acts: u32, now: Instant) -> Result<(), Denied> {
        let most = match direction {
            Direction::Safe => self.safe.allowance.count,
            Direction::Dangerous => self.dangerous.allowance.count,
        };
        if acts > most {
            return Err(Denied::TooManyAtOnce { most });
        }
        match direction {
            Direction::Safe => {
                may(&self.safe, acts, now).map_err(Denied::NotBefore)?;
                self.safe.note(acts, now);
            }
            Direction::Dangerous => {
                let approved = now < self.approved_until && self.approved >= acts;
                if !approved {
                    may(&self.hard, acts, now).map_err(|until| Denied::NeedsPerson { until })?;
                }
                may(&self.dangerous, acts, now).map_err(Denied::NotBefore)?;
                if may(&self.hard, acts, now).is_err() {
                    self.approved -= acts;
                }
                self.dangerous.note(acts, now);
                self.hard.note(acts, now);
            }
        }
        Ok(())
    }

    /// A person allows so many dangerous acts past the hard limit, until then, at the usual speed. Replaces what was
    /// approved before.
    pub fn approve(&mut self, acts: u32, until: Instant) {
        self.approved = acts;
        self.approved_until = until;
    }
}

fn may(past: &Past, acts: u32, now: Instant) -> Result<(), Instant> {
    past.wait(acts, now).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
