//! How a call ended: one judgment, made by the caller, from which every layer learns what it needs.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, SystemClock};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response};
use resilience::retry::{self, Failure};

use crate::{BoxError, Refusal};

/// How a call ended, as far as it tells of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With an answer that is as it should be, or whose fault is the client's.
    Good,
    /// The service failed.
    Failed(Trouble),
    /// The service said "not now": it did nothing, and is well.
    NotNow(Trouble),
    /// A layer on the way refused, so the service was not asked.
    Refused(Trouble),
    /// It says nothing, and another try would not change it.
    Void,
}

/// What is known of a call that went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong; it decides whether the call may be made again.
    pub failure: Failure,
    /// The wait that was asked for.
    pub retry_after: Option<Duration>,
    /// Somebody further in has retried already.
    pub marked: bool,
    /// A breaker on the way is not closed.
    pub breaker_open: bool,
}

impl Trouble {
    /// With nothing else known.
    pub fn new(failure: Failure) -> Self {
        Self { failure, retry_after: None, marked: false, breaker_open: false }
    }
}

/// Judges how calls ended. Closures from `Result<&Response, &BoxError>` to [`Ending`] do.
///
/// ```
/// use resilience::retry::Failure;
/// use tower_resilience::{AnyAnswer, BoxError, Ending, Judge, Trouble};
///
/// let judge = |answer: Result<&String, &BoxError>| match answer {
///     Ok(text) if text.starts_with("-ERR") => Ending::Failed(Trouble::new(Failure::Status(500))),
///     Ok(_) => Ending::Good,
///     Err(error) => AnyAnswer::of_error(error),
/// };
/// assert_eq!(judge.judge(Ok(&"+OK".to_owned())), Ending::Good);
/// ```
pub trait Judge<T> {
    /// How the call ended.
    fn judge(&self, answer: Result<&T, &BoxError>) -> Ending;

    /// Marks an answer that was retried here, or would have been, so that nobody further out retries it; see
    /// [`retry::NO_RETRY`].
    fn mark(&self, answer: &mut T) {
        let _ = answer;
    }
}

impl<T, F: Fn(Result<&T, &BoxError>) -> Ending> Judge<T> for F {
    fn judge(&self, answer: Result<&T, &BoxError>) -> Ending {
        self(answer)
    }
}

/// Any answer is good, and any error is the service's failure unless it is a [`Refusal`]. The default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnyAnswer;

impl AnyAnswer {
    /// How a call ended that has this error.
    pub fn of_error(error: &BoxError) -> Ending {
        let Some(refusal) = Refusal::of(&**error) else {
            return Ending::Failed(Trouble::new(Failure::Unknown));
        };
        let trouble = Trouble {
            retry_after: refusal.retry_after(),
            breaker_open: matches!(refusal, Refusal::BreakerOpen { .. }),
            ..Trouble::new(Failure::NotProcessed)
        };
        match refusal {
            Refusal::Expired | Refusal::TimedOut { fair: false, .. } => Ending::Void,
            Refusal::TimedOut { fair: true, .. } => Ending::Failed(Trouble::new(Failure::Unknown)),
            Refusal::BreakerOpen { .. }
            | Refusal::BulkheadFull { .. }
            | Refusal::LimitReached { .. }
            | Refusal::Shed { .. }
            | Refusal::RateExceeded { .. }
            | Refusal::AllSpared { .. }
            | Refusal::NoEndpoint => Ending::Refused(trouble),
        }
    }
}

impl<T> Judge<T> for AnyAnswer {
    fn judge(&self, answer: Result<&T, &BoxError>) -> Ending {
        answer.map_or_else(Self::of_error, |_| Ending::Good)
    }
}

/// HTTP answers by status: those from 500 on are failures, and 503 or 429 with `Retry-After` is "not now". Knows and
/// sets the mark [`retry::NO_RETRY`].
#[derive(Clone)]
pub struct ByStatus {
    clock: Arc<dyn Clock>,
}

impl ByStatus {
    /// With this clock, for `Retry-After` that is a date.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl Default for ByStatus {
    fn default() -> Self {
        Self::new(SystemClock::shared())
    }
}

impl<B> Judge<Response<B>> for ByStatus {
    fn judge(&self, answer: Result<&Response<B>, &BoxError>) -> Ending {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return AnyAnswer::of_error(error),
        };
        let status = answer.status().as_u16();
        if status < 500 && status != 429 {
            return Ending::Good;
        }
        let field = |name: &str| answer.headers().get(name).map(HeaderValue::as_bytes);
        let asked = field(RETRY_AFTER.as_str());
        let trouble = Trouble {
            retry_after: asked.and_then(|value| retry::parse_retry_after(value, self.clock.wall())),
            marked: field(retry::NO_RETRY).is_some_and(retry::is_mark),
            ..Trouble::new(Failure::Status(status))
        };
        match status {
            429 | 503 if trouble.retry_after.is_some() => Ending::NotNow(trouble),
            429 => Ending::Good,
            _ => Ending::Failed(trouble),
        }
    }

    fn mark(&self, answer: &mut Response<B>) {
        answer.headers_mut().insert(retry::NO_RETRY, HeaderValue::from_static("false"));
    }
}
