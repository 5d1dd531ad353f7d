//! Hedged requests: when an answer takes longer than nearly all do, ask a second instance and take the first answer.
//!
//! Model: slow answers have causes that another instance does not share (a pause, a queue, a cold page), the request
//! may be sent twice without harm, and there is room for a little more load. Where load itself is the cause, hedging
//! makes it worse; so it stops while the breaker is not closed or load is high, and the second requests are at most a
//! share of the first ones, whatever happens: tokens begin at zero, each first request brings a share of one, and a
//! hedge takes one.
//!
//! The delay is a quantile of how long *first* requests took. One that lost against its hedge counts with the time
//! until then ([`Hedger::observe`]): it was beyond the delay, so the quantile keeps its rank, whereas leaving it out
//! would shorten the delay again and again.
//!
//! Source: Dean, Barroso: "The Tail at Scale", Communications of the ACM 56(2), 2013.
//!
//! Defaults of [`Policy`]: `quantile` 0.95 and `share` 5 %, which belong together, are the paper's; `burst` 10, so
//! that a pause of one instance is covered but hours without hedges do not save up a flood; `least_samples` 100, for a
//! p95 of fewer is a guess, unless `delay_fixed` takes its place; `most_load` 0.8, for above it queues begin to make the delays; `delay_least` 1 ms, the
//! accuracy of a timer.
//!
//! ```
//! use std::time::Duration;
//! use base::Instant;
//! use resilience::hedge::{Hedger, Policy, Sight};
//!
//! let mut hedger = Hedger::new(Policy::default());
//! for _ in 0..200 {
//!     hedger.begin();
//!     hedger.observe(Duration::from_millis(10), Instant::from_secs(1));
//! }
//! let delay = hedger.begin().expect("enough was seen");
//! assert!(delay >= Duration::from_millis(10) && delay < Duration::from_millis(12));
//! // The delay has passed without an answer:
//! assert_eq!(hedger.fire(Sight { safe: true, breaker_closed: true, load: 0.3 }), Ok(()));
//! ```

use std::time::Duration;

use base::Instant;

use crate::quantile::Durations;
use crate::refusal::sentences;

/// A request's worth of budget, in millionths.
const TOKEN: u64 = 1_000_000;
/// The delay is worked out anew after so many observations.
const REFRESH: u32 = 64;

/// When to hedge, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The share of first requests that are answered before a hedge is thought of; from 0.5 to 0.9999.
    pub quantile: f64,
    /// Hedges as a share of first requests; from 0 to 1.
    pub share: f64,
    /// Hedges that quiet times can save up.
    pub burst: u32,
    /// No hedge before so many answers were seen.
    pub least_samples: u32,
    /// No hedge at or above this load, 1 being all that there is room for.
    pub most_load: f64,
    /// The delay is never shorter.
    pub delay_least: Duration,
    /// A delay that somebody has chosen, in place of one that is learnt.
    pub delay_fixed: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            quantile: 0.95,
            share: 0.05,
            burst: 10,
            least_samples: 100,
            most_load: 0.8,
            delay_least: Duration::from_millis(1),
            delay_fixed: None,
        }
    }
}

/// What the caller sees when the delay has passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// The method is safe (RFC 9110, section 9.2.1), so that two requests do no more than one.
    pub safe: bool,
    /// The breaker of the instance, or service, that the hedge would go to is closed.
    pub breaker_closed: bool,
    /// How much of what there is room for is in use, 1 being all.
    pub load: f64,
}

/// Why no second request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHedge {
    /// Sending it twice may do something twice.
    Unsafe,
    /// The breaker is not closed.
    BreakerOpen,
    /// There is too much load already.
    Busy,
    /// The share of hedges is used up.
    BudgetSpent,
}

sentences! {
    NoHedge: |it, f| f.write_str(match it {
        NoHedge::Unsafe => "the method is not safe to send twice",
        NoHedge::BreakerOpen => "the breaker is not closed",
        NoHedge::Busy => "the load is too high for a second request",
        NoHedge::BudgetSpent => "the share of second requests is used up",
    });
}

/// Decides on hedges for one route or service.
#[derive(Debug, Clone)]
pub struct Hedger {
    policy: Policy,
    share: u64,
    tokens: u64,
    seen: Durations,
    delay: Option<Duration>,
    stale: u32,
}

impl Hedger {
    /// With nothing seen and nothing to spend. Values out of range are brought into it.
    pub fn new(policy: Policy) -> Self {
        let policy = Policy { quantile: policy.quantile.clamp(0.5, 0.9999), ..policy };
        let share = (policy.share.clamp(0.0, 1.0) * TOKEN as f64) as u64;
        let seen = Durations::new(Durations::HALF_LIFE);
        Self { delay: policy.delay_fixed, policy, share, tokens: 0, seen, stale: 0 }
    }

    /// Counts a first request that may be hedged, and says after which silence to [`fire`](Self::fire); none while too
    /// little was seen.
    pub fn begin(&mut self) -> Option<Duration> {
        self.tokens = (self.tokens + self.share).min(u64::from(self.policy.burst) * TOKEN);
        self.delay
    }

    /// After which silence [`fire`](Self::fire) is asked now, for whoever looks; none while too little was seen.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// Takes leave for a second request, when the delay has passed without an answer.
    ///
    /// # Errors
    /// Why it must not be sent; nothing is spent then.
    pub fn fire(&mut self, sight: Sight) -> Result<(), NoHedge> {
        if !sight.safe {
            return Err(NoHedge::Unsafe);
        }
        if !sight.breaker_closed {
            return Err(NoHedge::BreakerOpen);
        }
        if sight.load >= self.policy.most_load {
            return Err(NoHedge::Busy);
        }
        self.tokens = self.tokens.checked_sub(TOKEN).ok_or(NoHedge::BudgetSpent)?;
        Ok(())
    }

    /// How long a first request took, or, if its hedge won, how long it had taken by then.
    pub fn observe(&mut self, took: Duration, now: Instant) {
        if self.policy.delay_fixed.is_some() {
            return;
        }
        self.seen.observe(took, now);
        self.stale += 1;
        if self.stale >= REFRESH || self.delay.is_none() {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        self.stale = 0;
        self.delay = (self.seen.weight() >= u64::from(self.policy.least_samples))
            .then(|| self.seen.quantile(self.policy.quantile))
            .flatten()
            .map(|delay| delay.max(self.policy.delay_least));
    }
}

/// Which of the two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The one sent at once.
    First,
    /// The hedge.
    Second,
}

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Give it to the client, and cancel the other request, if one is out.
    Use {
        /// The request to cancel.
        cancel: Option<Leg>,
    },
    /// It is a failure, and the other request may still do better.
    Wait,
    /// The race is over.
    TooLate,
}

/// One request and perhaps its hedge: the first good answer wins, and a bad one only if no other can come.
#[derive(Debug, Clone, Default)]
pub struct Race {
    hedged: bool,
    failed: bool,
    over: bool,
}

impl Race {
    /// The second request was sent.
    pub fn hedge(&mut self) {
        self.hedged = true;
    }

    /// An answer, or a failure, came from this request.
    pub fn answer(&mut self, leg: Leg, good: bool) -> Verdict {
        if self.over {
            return Verdict::TooLate;
        }
        let other_is_out = self.hedged && !self.failed;
        if !good && other_is_out {
            self.failed = true;
            return Verdict::Wait;
        }
        self.over = true;
        let other = match leg {
            Leg::First => Leg::Second,
            Leg::Second => Leg::First,
        };
        Verdict::Use { cancel: other_is_out.then_some(other) }
    }
}

#[cfg(test)]
mod tests;
