//! A circuit breaker around a service.
//!
//! A layer is one breaker, and all services that it makes share it: make one for each thing that fails by itself. A
//! call that is dropped decides nothing, so put a [`DeadlineLayer`](crate::deadline::DeadlineLayer) inside.
//!
//! Ready when the service inside is; while the breaker is open it is ready always, without asking inside, and refuses
//! in `call`: were it not ready, callers would queue up before a service that is being spared, and the point is to set
//! them free at once.
//!
//! ```
//! use resilience::breaker::{Policy, Position};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, Refusal, World, breaker::BreakerLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let policy = Policy { failures_in_a_row: Some(2), ..Policy::default() };
//! let breaker = BreakerLayer::new(policy, &World::real()).on_change(|change| println!("{change:?}"));
//! let mut service = ServiceBuilder::new()
//!     .layer(breaker.clone())
//!     .service(service_fn(async |_: &str| Err::<(), BoxError>("it is down".into())));
//! for _ in 0..2 {
//!     assert!(service.ready().await?.call("anybody there?").await.is_err());
//! }
//! assert!(matches!(breaker.position(), Position::Open(_)));
//! let error = service.ready().await?.call("and now?").await.unwrap_err();
//! assert!(Refusal::of(&*error).and_then(Refusal::retry_after).is_some());
//! # Ok(())
//! # }
//! ```

use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, ready};

use base::Rng;
use resilience::breaker::{Breaker, Change, Outcome, Permit, Policy, Position};
use tower_layer::Layer;
use tower_service::Service;

use crate::world::lock;
use crate::{Answer, AnyAnswer, BoxError, Ending, Judge, Refusal, Settle, World};

type OnChange = Box<dyn Fn(Change) + Send + Sync>;

struct Shared {
    world: World,
    machine: Mutex<(Breaker, Rng)>,
    on_change: OnceLock<OnChange>,
}

impl Shared {
    fn settle(&self, permit: Permit, outcome: Outcome) {
        let now = self.world.now();
        let change = {
            let (breaker, rng) = &mut *lock(&self.machine);
            breaker.settle(permit, outcome, now, rng)
        };
        self.tell(change);
    }

    fn tell(&self, change: Option<Change>) {
        if let (Some(change), Some(told)) = (change, self.on_change.get()) {
            told(change);
        }
    }
}

/// One breaker, as a layer and to be looked at.
pub struct BreakerLayer<J = AnyAnswer> {
    shared: Arc<Shared>,
    judge: Arc<J>,
}

impl BreakerLayer {
    /// Closed. Any answer is a success until [`judged_by`](Self::judged_by) says otherwise.
    pub fn new(policy: Policy, world: &World) -> Self {
        let machine = Mutex::new((Breaker::new(policy), world.rng()));
        let shared = Shared { world: world.clone(), machine, on_change: OnceLock::new() };
        Self { shared: Arc::new(shared), judge: Arc::new(AnyAnswer) }
    }
}

impl<J> BreakerLayer<J> {
    /// The same breaker with another judge.
    #[must_use]
    pub fn judged_by<K>(self, judge: K) -> BreakerLayer<K> {
        BreakerLayer { shared: self.shared, judge: Arc::new(judge) }
    }

    /// Calls this when it opens or closes, for a log or a metric. The first that is set stays.
    #[must_use]
    pub fn on_change(self, told: impl Fn(Change) + Send + Sync + 'static) -> Self {
        self.shared.on_change.get_or_init(|| Box::new(told));
        self
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        lock(&self.shared.machine).0.position()
    }

    /// Opens it, because somebody knows better.
    pub fn trip(&self) {
        let now = self.shared.world.now();
        let change = {
            let (breaker, rng) = &mut *lock(&self.shared.machine);
            breaker.trip(now, rng)
        };
        self.shared.tell(Some(change));
    }

    /// Closes it and forgets what it has seen.
    pub fn reset(&self) {
        let now = self.shared.world.now();
        lock(&self.shared.machine).0.reset(now);
        self.shared.tell(Some(Change::Closed));
    }
}

impl<J> Clone for BreakerLayer<J> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), judge: Arc::clone(&self.judge) }
    }
}

impl<S, J> Layer<S> for BreakerLayer<J> {
    type Service = BreakerService<S, J>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, is_inner_ready: false, breaker: self.clone() }
    }
}

/// A service that is spared while it fails.
pub struct BreakerService<S, J = AnyAnswer> {
    inner: S,
    /// Since the last `poll_ready`: it may have been refused without asking inside.
    is_inner_ready: bool,
    breaker: BreakerLayer<J>,
}

impl<S: Clone, J> Clone for BreakerService<S, J> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), is_inner_ready: false, breaker: self.breaker.clone() }
    }
}

impl<S, J, R> Service<R> for BreakerService<S, J>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    J: Judge<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Future, Lease<J>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let now = self.breaker.shared.world.now();
        self.is_inner_ready = false;
        if matches!(self.breaker.position(), Position::Open(until) if now < until) {
            return Poll::Ready(Ok(()));
        }
        let asked = ready!(self.inner.poll_ready(cx)).map_err(Into::into);
        if let Err(error) = asked {
            // A service that cannot become ready fails as much as one that does not answer.
            let admitted = lock(&self.breaker.shared.machine).0.admit(now);
            if let Ok(permit) = admitted {
                Lease::new(&self.breaker, permit).settle(Err(&error));
            }
            return Poll::Ready(Err(error));
        }
        self.is_inner_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let shared = &self.breaker.shared;
        let now = shared.world.now();
        let admitted = {
            let breaker = &mut lock(&shared.machine).0;
            match (self.is_inner_ready, breaker.position()) {
                (true, _) => breaker.admit(now).map_err(|refused| refused.until),
                // It was open when the caller asked, so the service inside was not.
                (false, Position::Open(until)) => Err(until),
                (false, Position::Closed | Position::Trying) => Err(now),
            }
        };
        match admitted {
            Ok(permit) => {
                self.is_inner_ready = false;
                let lease = Lease::new(&self.breaker, permit);
                Answer::running(self.inner.call(request), lease)
            }
            Err(until) => Answer::refused(Refusal::BreakerOpen { retry_after: until.since(now) }),
        }
    }
}

/// A call that the breaker learns from.
pub struct Lease<J> {
    breaker: BreakerLayer<J>,
    permit: Option<Permit>,
}

impl<J> Lease<J> {
    fn new(breaker: &BreakerLayer<J>, permit: Permit) -> Self {
        Self { breaker: breaker.clone(), permit: Some(permit) }
    }
}

impl<T, J: Judge<T>> Settle<T> for Lease<J> {
    fn settle(mut self, answer: Result<&T, &BoxError>) {
        let outcome = match self.breaker.judge.judge(answer) {
            Ending::Good => Outcome::Success,
            Ending::Failed(_) => Outcome::Failure,
            // Who says "not now" sheds load by itself, and would be shut off and flooded in turn.
            Ending::NotNow(_) | Ending::Refused(_) | Ending::Void => Outcome::Ignored,
        };
        if let Some(permit) = self.permit.take() {
            self.breaker.shared.settle(permit, outcome);
        }
    }
}

impl<J> Drop for Lease<J> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.shared.settle(permit, Outcome::Ignored);
        }
    }
}
