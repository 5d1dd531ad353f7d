//! A limit on calls in flight that finds itself, by the times that calls take.
//!
//! A layer is one limit, and all services that it makes share it. A call's place goes back when its future ends or is
//! dropped. One that is dropped tells nothing, so put a [`DeadlineLayer`](crate::deadline::DeadlineLayer) inside:
//! timeouts are what shrinks the limit.
//!
//! Ready when the service inside is, and refuses in `call` what is beyond the limit. It does not wait in `poll_ready`:
//! a place that a caller holds before it calls is lost to others, and its time would count as the service's. For a
//! bounded wait in front of it take a [`BulkheadLayer`](crate::bulkhead::BulkheadLayer).
//!
//! ```
//! use resilience::limit::Policy;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, World, limit::LimitLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let limit = LimitLayer::new(Policy { initial: 1, least: 1, ..Policy::default() }, &World::real());
//! let mut service = ServiceBuilder::new()
//!     .layer(limit.clone())
//!     .service(service_fn(async |(): ()| std::future::pending::<Result<(), BoxError>>().await));
//! let running = service.ready().await?.call(());
//! assert!(service.ready().await?.call(()).await.is_err(), "one is in flight");
//! drop(running);
//! assert_eq!(limit.in_flight(), 0);
//! # Ok(())
//! # }
//! ```

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base::Rng;
use resilience::limit::{AdaptiveLimit, Outcome, Permit, Policy};
use resilience::retry::Failure;
use tower_layer::Layer;
use tower_service::Service;

use crate::signals::Signals;
use crate::world::lock;
use crate::{Answer, AnyAnswer, BoxError, Ending, Judge, Refusal, Settle, World};

struct Shared {
    world: World,
    machine: Mutex<(AdaptiveLimit, Rng)>,
}

impl Shared {
    fn settle(&self, permit: Permit, outcome: Outcome) {
        let now = self.world.now();
        let (limit, rng) = &mut *lock(&self.machine);
        limit.settle(permit, outcome, now, rng);
    }
}

/// One limit, as a layer and to be looked at.
pub struct LimitLayer<J = AnyAnswer> {
    shared: Arc<Shared>,
    judge: Arc<J>,
    signals: Option<Signals>,
}

impl LimitLayer {
    /// At its initial limit. Any answer counts by its time until [`judged_by`](Self::judged_by) says otherwise.
    pub fn new(policy: Policy, world: &World) -> Self {
        let machine = Mutex::new((AdaptiveLimit::new(policy), world.rng()));
        let shared = Arc::new(Shared { world: world.clone(), machine });
        Self { shared, judge: Arc::new(AnyAnswer), signals: None }
    }
}

impl<J> LimitLayer<J> {
    /// The same limit with another judge.
    #[must_use]
    pub fn judged_by<K>(self, judge: K) -> LimitLayer<K> {
        LimitLayer { shared: self.shared, judge: Arc::new(judge), signals: self.signals }
    }

    /// Tells load shedding in front of it how full it is, and what it refuses.
    #[must_use]
    pub fn tells(self, signals: Signals) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// The limit as it was last found.
    pub fn limit(&self) -> u32 {
        lock(&self.shared.machine).0.limit()
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> u32 {
        lock(&self.shared.machine).0.in_flight()
    }

    /// How much of the limit is in use; above 1 for a while after it shrank.
    pub fn utilisation(&self) -> f64 {
        lock(&self.shared.machine).0.utilisation()
    }
}

impl<J> Clone for LimitLayer<J> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            judge: Arc::clone(&self.judge),
            signals: self.signals.clone(),
        }
    }
}

impl<S, J> Layer<S> for LimitLayer<J> {
    type Service = LimitService<S, J>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, limit: self.clone() }
    }
}

/// A service with no more calls in flight than it can do.
pub struct LimitService<S, J = AnyAnswer> {
    inner: S,
    limit: LimitLayer<J>,
}

impl<S: Clone, J> Clone for LimitService<S, J> {
    fn clone(&self) -> Self {
        self.limit.layer(self.inner.clone())
    }
}

impl<S, J, R> Service<R> for LimitService<S, J>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    J: Judge<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Future, Lease<J>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let shared = &self.limit.shared;
        let now = shared.world.now();
        let (admitted, used) = {
            let limit = &mut lock(&shared.machine).0;
            let used = limit.utilisation();
            (limit.admit(now), used)
        };
        if let Some(signals) = &self.limit.signals {
            signals.used(used);
            if admitted.is_err() {
                signals.dropped();
            }
        }
        match admitted {
            Ok(permit) => {
                let (shared, judge) = (Arc::clone(shared), Arc::clone(&self.limit.judge));
                let lease = Lease { shared, judge, permit: Some(permit) };
                Answer::running(self.inner.call(request), lease)
            }
            Err(full) => Answer::refused(Refusal::LimitReached { limit: full.limit }),
        }
    }
}

/// A place in flight.
pub struct Lease<J> {
    shared: Arc<Shared>,
    judge: Arc<J>,
    permit: Option<Permit>,
}

impl<T, J: Judge<T>> Settle<T> for Lease<J> {
    fn settle(mut self, answer: Result<&T, &BoxError>) {
        let outcome = match self.judge.judge(answer) {
            Ending::Good => Outcome::Done,
            Ending::NotNow(_) => Outcome::Dropped,
            Ending::Failed(trouble) if trouble.failure == Failure::Status(504) => Outcome::Dropped,
            Ending::Failed(_) | Ending::Refused(_) | Ending::Void => of_error(answer.err()),
        };
        if let Some(permit) = self.permit.take() {
            self.shared.settle(permit, outcome);
        }
    }
}

/// An error's time says nothing, unless it is one of overload.
fn of_error(error: Option<&BoxError>) -> Outcome {
    match error.and_then(|error| Refusal::of(&**error)) {
        Some(
            Refusal::TimedOut { fair: true, .. }
            | Refusal::BulkheadFull { .. }
            | Refusal::LimitReached { .. },
        ) => Outcome::Dropped,
        Some(
            Refusal::Expired
            | Refusal::TimedOut { fair: false, .. }
            | Refusal::BreakerOpen { .. }
            | Refusal::Shed { .. }
            | Refusal::RateExceeded { .. }
            | Refusal::AllSpared { .. }
            | Refusal::NoEndpoint,
        )
        | None => Outcome::Ignored,
    }
}

impl<J> Drop for Lease<J> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.shared.settle(permit, Outcome::Ignored);
        }
    }
}
