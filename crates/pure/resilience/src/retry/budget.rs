//! A budget for retries: a share of the calls of the last seconds, whatever happens.
//!
//! Model: each first try deposits a share of a retry, each retry withdraws one, and both expire with the window. In
//! any window, retries are at most `share` times the first tries, or `least_per_second` times its length, whichever is
//! more. The second is a floor and not an addition, so that a busy service stays within its share, while one with a
//! call a minute may retry it at all. A machine holds twelve bytes a second of its window.
//!
//! Source: Finagle's `RetryBudget` (Twitter, 2015) and Linkerd's, which add the two; Beyer et al., "Site Reliability
//! Engineering", 2016, chapter 22.
//!
//! Defaults: `share` 20 % and `least_per_second` 10, as in both; `window` 10 s, as in both. If the caller keeps a
//! budget for each thread, the floor is one for each thread.
//!
//! ```
//! use base::Instant;
//! use resilience::retry::{Budget, BudgetPolicy};
//!
//! let now = Instant::from_secs(1);
//! let mut budget = Budget::new(BudgetPolicy { least_per_second: 0, ..BudgetPolicy::default() });
//! for _ in 0..10 {
//!     budget.deposit(now);
//! }
//! assert!(budget.withdraw(now) && budget.withdraw(now) && !budget.withdraw(now));
//! ```

use std::time::Duration;

use base::Instant;

use crate::window::Ring;

const DEPOSITED: usize = 0;
const WITHDRAWN: usize = 1;
const MILLION: u64 = 1_000_000;

/// How many retries there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetPolicy {
    /// Retries as a share of first tries; from 0 to 10.
    pub share: f64,
    /// So many retries a second are always allowed.
    pub least_per_second: u32,
    /// How long deposits and withdrawals count; whole seconds, from 1 to 60.
    pub window: Duration,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { share: 0.2, least_per_second: 10, window: Duration::from_secs(10) }
    }
}

/// The budget of one service, or of all that a caller calls.
#[derive(Debug, Clone)]
pub struct Budget {
    ring: Ring<2>,
    share_millionths: u64,
    floor: u64,
}

impl Budget {
    /// With nothing deposited. Values out of range are brought into it.
    pub fn new(policy: BudgetPolicy) -> Self {
        let seconds = policy.window.as_secs().clamp(1, 60);
        Self {
            ring: Ring::new(Duration::from_secs(seconds), seconds as usize),
            share_millionths: (policy.share.clamp(0.0, 10.0) * MILLION as f64).round() as u64,
            floor: u64::from(policy.least_per_second) * seconds,
        }
    }

    /// Counts a first try. Retries deposit nothing.
    pub fn deposit(&mut self, now: Instant) {
        self.ring.add(DEPOSITED, 1, now);
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let there = self.left(now) > 0;
        if there {
            self.ring.add(WITHDRAWN, 1, now);
        }
        there
    }

    /// How many retries could be taken now.
    pub fn left(&mut self, now: Instant) -> u64 {
        let [deposited, withdrawn] = self.ring.sums(now);
        let allowed = (deposited * self.share_millionths / MILLION).max(self.floor);
        allowed.saturating_sub(withdrawn)
    }
}
