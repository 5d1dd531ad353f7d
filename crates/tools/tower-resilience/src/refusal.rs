//! Why a layer did not make a call, or did not wait for its end.

use std::error::Error;
use std::time::Duration;

use base::{Kind, Problem};
use resilience::bulkhead::Why;
use resilience::rate::Told;

/// The error of all services here, as in tower: a [`Refusal`], or what the service inside said.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A layer's own error. It comes as a [`BoxError`]; [`Refusal::of`] finds it.
///
/// ```
/// use std::time::Duration;
/// use tower_resilience::{BoxError, Refusal};
///
/// let error: BoxError = Refusal::Shed { retry_after: Duration::from_secs(1) }.into();
/// let told = Refusal::of(&*error).and_then(Refusal::retry_after);
/// assert_eq!(told, Some(Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The deadline had passed before anything was done.
    #[error("the deadline of the request has passed")]
    Expired,
    /// The call was made, and did not end by its deadline.
    #[error("the call did not end within {} ms", after.as_millis())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// That was long enough for the service to be blamed.
        fair: bool,
    },
    /// The breaker spares the service.
    #[error("the service has been failing and is being spared")]
    BreakerOpen {
        /// When the breaker tries it again.
        retry_after: Duration,
    },
    /// As many calls run and wait as may, or this one waited too long.
    #[error("{}", match why {
        Why::Queue => "as many calls run and wait as may",
        Why::Share => "the client has its share of the calls that may run and wait",
        Why::Waited => "the call has waited for a place as long as it may",
    })]
    BulkheadFull {
        /// What exactly.
        why: Why,
    },
    /// As many calls are in flight as the service can do.
    #[error("{limit} calls are in flight, and no more may be")]
    LimitReached {
        /// The limit at that moment.
        limit: u32,
    },
    /// More important requests go first.
    #[error("there is more load than can be served, and more important requests go first")]
    Shed {
        /// What to tell the client.
        retry_after: Duration,
    },
    /// The client has sent too much.
    #[error("the client has sent more requests than its rate allows")]
    RateExceeded {
        /// Where its key stands, for the fields of the answer.
        told: Told,
    },
    /// All endpoints that are well said "not now".
    #[error("all endpoints asked to be left alone for a while")]
    AllSpared {
        /// When the first comes back.
        retry_after: Duration,
    },
    /// No endpoint may be used.
    #[error("there is no endpoint for the call")]
    NoEndpoint,
}

impl Refusal {
    /// The refusal that this error is, or that lies behind it.
    pub fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(refusal) = error.downcast_ref() {
                return Some(refusal);
            }
            at = error.source();
        }
        None
    }

    /// When it may be asked again with hope, where that is known: for `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after }
            | Self::Shed { retry_after }
            | Self::AllSpared { retry_after } => Some(*retry_after),
            Self::RateExceeded { told } => told.retry_after,
            Self::Expired
            | Self::TimedOut { .. }
            | Self::BulkheadFull { .. }
            | Self::LimitReached { .. }
            | Self::NoEndpoint => None,
        }
    }

    /// Whether the service was surely not asked.
    pub fn is_before_work(&self) -> bool {
        !matches!(self, Self::TimedOut { .. })
    }

    /// The HTTP status that says it.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::Expired | Self::TimedOut { .. } => http::StatusCode::GATEWAY_TIMEOUT,
            Self::RateExceeded { .. } => http::StatusCode::TOO_MANY_REQUESTS,
            Self::BreakerOpen { .. }
            | Self::BulkheadFull { .. }
            | Self::LimitReached { .. }
            | Self::Shed { .. }
            | Self::AllSpared { .. }
            | Self::NoEndpoint => http::StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Problem for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Expired | Self::TimedOut { .. } => Kind::TimedOut,
            Self::BulkheadFull { .. } | Self::LimitReached { .. } | Self::RateExceeded { .. } => {
                Kind::Exhausted
            }
            Self::BreakerOpen { .. } | Self::Shed { .. } | Self::AllSpared { .. } | Self::NoEndpoint => {
                Kind::Unavailable
            }
        }
    }

    fn hint(&self) -> Option<String> {
        self.retry_after().map(|after| format!("ask again in {} ms", after.as_millis()))
    }
}
