//! Retries that cannot make things worse: only where it is safe, within a budget, at one hop, after a random wait.
//!
//! Model: some failures are of one instance or one moment, and another try helps; those of overload are not, and
//! another try feeds them. The two look alike to the caller. So retries of all calls together are a small share of
//! them ([`Budget`]), are spread by chance ([`Backoff`]), never go into a breaker that is not closed, nor past the
//! deadline, and happen at *one* hop of a chain: a hop that has retried, or wanted to and had no budget, marks its
//! answer ([`NO_RETRY`]), and hops further out pass the failure and the mark on. Without the mark, three hops of three
//! tries make 27.
//!
//! Sources: RFC 9110, sections 9.2.2 (idempotent methods), 10.2.3 (`Retry-After`); Beyer et al., "Site Reliability
//! Engineering", 2016, chapter 22 (budgets, retries at one layer); Bronson et al., "Metastable failures in distributed
//! systems", HotOS 2021.
//!
//! Defaults of [`Policy`]: `tries` 3, for a third try helps one request in thousands and a fourth hardly any;
//! `statuses` 502, 503 and 504, by which a gateway says that it got no answer or none in time; not 500, which the
//! application meant, and not 429, which asks for fewer requests; `wait_most` 2 s, for people do not wait longer for a
//! page, and a request that waits holds a place.
//!
//! ```
//! use base::{Instant, Rng};
//! use resilience::retry::{Budget, BudgetPolicy, Failed, Failure, Policy, Repeatable};
//!
//! let (now, mut rng) = (Instant::from_secs(1), Rng::seeded(1));
//! let mut budget = Budget::new(BudgetPolicy::default());
//! budget.deposit(now);
//! let failed = Failed { repeatable: Repeatable::of_method(b"GET"), ..Failed::new(Failure::Status(503), 1) };
//! let again = Policy::default().decide(&failed, &mut budget, now, &mut rng);
//! assert!(again.is_ok_and(|at| at >= now));
//! ```

mod backoff;
mod budget;

pub use backoff::Backoff;
pub use budget::{Budget, BudgetPolicy};

use std::time::Duration;

use base::{Instant, Rng, Timestamp};

use crate::deadline::Deadline;
use crate::http_date;
use crate::refusal::sentences;

/// The field by which a hop says that its failure must not be retried further out; its value is `false`.
pub const NO_RETRY: &str = "x-should-retry";

/// Whether this value of the field [`NO_RETRY`] is the mark.
pub fn is_mark(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"false")
}

/// Whether sending a request twice does no more than sending it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    /// GET, HEAD, OPTIONS, TRACE, PUT and DELETE, or what the route declares to be so.
    Yes,
    /// POST, PATCH and what we do not know.
    No,
}

impl Repeatable {
    /// By RFC 9110, section 9.2.2. Methods are case-sensitive.
    pub fn of_method(method: &[u8]) -> Self {
        match method {
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Self::Yes,
            _ => Self::No,
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request was surely not processed: no connection, no byte sent, or a protocol that says so (HTTP/2's
    /// `REFUSED_STREAM`, a refusal that an edge made before passing it on).
    NotProcessed,
    /// It was sent, and the connection broke or the try took too long: it may have been processed.
    Unknown,
    /// An answer with this status.
    Status(u16),
}

/// A try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// What went wrong.
    pub failure: Failure,
    /// Tries made so far, this one included.
    pub tries: u32,
    /// Whether it may be sent twice.
    pub repeatable: Repeatable,
    /// The answer bore the mark [`NO_RETRY`].
    pub marked: bool,
    /// The wait that the answer asked for.
    pub retry_after: Option<Duration>,
    /// The breaker on the way of the next try is not closed.
    pub breaker_open: bool,
    /// When nobody waits any more.
    pub deadline: Option<Deadline>,
}

impl Failed {
    /// Of a request that must not be repeated, with nothing else known.
    pub fn new(failure: Failure, tries: u32) -> Self {
        Self {
            failure,
            tries,
            repeatable: Repeatable::No,
            marked: false,
            retry_after: None,
            breaker_open: false,
            deadline: None,
        }
    }
}

/// Why there is no further try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRetry {
    /// The failure is an answer that another try would not change.
    Final,
    /// It may have been processed and must not be twice.
    NotRepeatable,
    /// All tries are used up.
    TriesUsedUp,
    /// A hop further in has retried already.
    Marked,
    /// The breaker is not closed.
    BreakerOpen,
    /// The wait would be longer than `wait_most`.
    WaitTooLong,
    /// The wait would end after the deadline.
    PastDeadline,
    /// The share of retries is used up.
    BudgetSpent,
}

sentences! {
    NoRetry: |it, f| f.write_str(match it {
        NoRetry::Final => "the answer is final",
        NoRetry::NotRepeatable => "the request may have been processed and must not be twice",
        NoRetry::TriesUsedUp => "all tries are used up",
        NoRetry::Marked => "a hop further in has retried already",
        NoRetry::BreakerOpen => "the breaker is not closed",
        NoRetry::WaitTooLong => "the wait that was asked for is too long",
        NoRetry::PastDeadline => "the next try would come after the deadline",
        NoRetry::BudgetSpent => "the share of retries is used up",
    });
}

impl NoRetry {
    /// Whether the failure, passed on, is to bear the mark [`NO_RETRY`]; `tries` were made here.
    pub fn marks(self, tries: u32) -> bool {
        match self {
            // Nothing was repeated here, and nothing forbids it further out, where a deadline or a wait may be longer.
            // A hop that may try once only leaves the retries to one further out.
            Self::Final
            | Self::NotRepeatable
            | Self::WaitTooLong
            | Self::PastDeadline
            | Self::TriesUsedUp => tries > 1,
            // What hops further out did now would be the very retries that we hold back.
            Self::Marked | Self::BreakerOpen | Self::BudgetSpent => true,
        }
    }
}

/// The rules for the retries of one route or service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Tries of a request, the first included; 1 means no retry.
    pub tries: u32,
    /// The statuses that a retry may mend.
    pub statuses: Vec<u16>,
    /// The waits between tries.
    pub backoff: Backoff,
    /// No try is waited for longer than this.
    pub wait_most: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tries: 3,
            statuses: vec![502, 503, 504],
            backoff: Backoff::default(),
            wait_most: Duration::from_secs(2),
        }
    }
}

impl Policy {
    /// When to try again. Takes one retry from the budget if the answer is `Ok`.
    ///
    /// `Retry-After` is the least wait, and the chance of the backoff comes on top of it, so that those who were told
    /// the same second do not come at the same moment.
    ///
    /// # Errors
    /// Why the failure must be passed on; see [`NoRetry::marks`].
    pub fn decide(
        &self,
        failed: &Failed,
        budget: &mut Budget,
        now: Instant,
        rng: &mut Rng,
    ) -> Result<Instant, NoRetry> {
        self.allows(failed)?;
        let asked = failed.retry_after.unwrap_or_default();
        if asked > self.wait_most {
            return Err(NoRetry::WaitTooLong);
        }
        let wait = asked + self.backoff.wait(failed.tries, rng);
        let at = now + wait.min(self.wait_most);
        if failed.deadline.is_some_and(|deadline| deadline.left(at).is_err()) {
            return Err(NoRetry::PastDeadline);
        }
        if budget.withdraw(now) { Ok(at) } else { Err(NoRetry::BudgetSpent) }
    }

    /// The rules that need no time.
    fn allows(&self, failed: &Failed) -> Result<(), NoRetry> {
        let safe = failed.repeatable == Repeatable::Yes;
        match failed.failure {
            Failure::NotProcessed => {}
            Failure::Status(status) if !self.statuses.contains(&status) => return Err(NoRetry::Final),
            Failure::Status(_) | Failure::Unknown if !safe => return Err(NoRetry::NotRepeatable),
            Failure::Status(_) | Failure::Unknown => {}
        }
        if failed.marked {
            return Err(NoRetry::Marked);
        }
        if failed.tries >= self.tries {
            return Err(NoRetry::TriesUsedUp);
        }
        if failed.breaker_open { Err(NoRetry::BreakerOpen) } else { Ok(()) }
    }
}

/// Reads `Retry-After`: seconds in digits, or a date, which is compared with the calendar. None if it is neither.
pub fn parse_retry_after(value: &[u8], wall: Timestamp) -> Option<Duration> {
    if !value.is_empty() && value.len() <= 9 && value.iter().all(u8::is_ascii_digit) {
        let seconds = value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        return Some(Duration::from_secs(seconds));
    }
    http_date::parse(value, wall).map(|at| at.since(wall))
}

#[cfg(test)]
mod tests;
