//! Retries: only where it is safe, within a budget that all calls share, after a random wait, before the deadline.
//!
//! A closure says of each request whether it may be sent twice, and by when its answer is needed ([`Terms`]); the judge
//! says what a failure was. What was surely not processed may be sent again though it is not safe.
//!
//! Ready when the service inside is. A further try waits for it again, after its backoff, which is tokio's sleep.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use resilience::retry::{Policy, Repeatable};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, World, retry::RetryLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! static TRIES: AtomicU32 = AtomicU32::new(0);
//! let safe = |request: &http::Request<()>| Repeatable::of_method(request.method().as_str().as_bytes());
//! let mut service = ServiceBuilder::new()
//!     .layer(RetryLayer::new(Policy::default(), &World::real(), safe))
//!     .service(service_fn(async |_: http::Request<()>| match TRIES.fetch_add(1, Ordering::Relaxed) {
//!         0 => Err(BoxError::from("the connection broke")),
//!         _ => Ok("there you are"),
//!     }));
//! assert_eq!(service.ready().await?.call(http::Request::new(())).await?, "there you are");
//! # Ok(())
//! # }
//! ```

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base::Rng;
use resilience::deadline::Deadline;
use resilience::retry::{Budget, BudgetPolicy, Failed, Policy, Repeatable};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{BoxAnswer, ready, take_ready};
use crate::world::lock;
use crate::{AnyAnswer, BoxError, Ending, Judge, Trouble, World};

/// What a request says of its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Whether it may be sent twice.
    pub repeatable: Repeatable,
    /// No try begins after this.
    pub deadline: Option<Deadline>,
}

impl From<Repeatable> for Terms {
    fn from(repeatable: Repeatable) -> Self {
        Self { repeatable, deadline: None }
    }
}

/// A budget that layers may share: one for all that a program calls, or for each service.
#[derive(Debug, Clone)]
pub struct SharedBudget {
    budget: Arc<Mutex<Budget>>,
}

impl SharedBudget {
    /// With nothing deposited.
    pub fn new(policy: BudgetPolicy) -> Self {
        Self { budget: Arc::new(Mutex::new(Budget::new(policy))) }
    }
}

impl Default for SharedBudget {
    fn default() -> Self {
        Self::new(BudgetPolicy::default())
    }
}

/// Retries under one policy and one budget.
pub struct RetryLayer<F, J = AnyAnswer> {
    rules: Arc<Rules<F>>,
    budget: SharedBudget,
    judge: Arc<J>,
}

struct Rules<F> {
    policy: Policy,
    terms: F,
    world: World,
    rng: Mutex<Rng>,
}

impl<F> RetryLayer<F> {
    /// With a budget of its own. `terms` gives a request's [`Terms`], or a [`Repeatable`] alone.
    pub fn new<R, T>(policy: Policy, world: &World, terms: F) -> Self
    where
        F: Fn(&R) -> T,
        T: Into<Terms>,
    {
        let rules = Rules { policy, terms, world: world.clone(), rng: Mutex::new(world.rng()) };
        Self { rules: Arc::new(rules), budget: SharedBudget::default(), judge: Arc::new(AnyAnswer) }
    }
}

impl<F, J> RetryLayer<F, J> {
    /// The same with another judge.
    #[must_use]
    pub fn judged_by<K>(self, judge: K) -> RetryLayer<F, K> {
        RetryLayer { rules: self.rules, budget: self.budget, judge: Arc::new(judge) }
    }

    /// The same with this budget.
    #[must_use]
    pub fn budget(self, budget: SharedBudget) -> Self {
        Self { budget, ..self }
    }
}

impl<F, J> Clone for RetryLayer<F, J> {
    fn clone(&self) -> Self {
        Self { rules: Arc::clone(&self.rules), budget: self.budget.clone(), judge: Arc::clone(&self.judge) }
    }
}

impl<S, F, J> Layer<S> for RetryLayer<F, J> {
    type Service = RetryService<S, F, J>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService { inner, retry: self.clone() }
    }
}

/// A service whose calls are tried again.
pub struct RetryService<S, F, J = AnyAnswer> {
    inner: S,
    retry: RetryLayer<F, J>,
}

impl<S: Clone, F, J> Clone for RetryService<S, F, J> {
    fn clone(&self) -> Self {
        self.retry.layer(self.inner.clone())
    }
}

impl<S, F, J, R, T> Service<R> for RetryService<S, F, J>
where
    S: Service<R> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Clone + Send + 'static,
    F: Fn(&R) -> T + Send + Sync + 'static,
    T: Into<Terms>,
    J: Judge<S::Response> + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxAnswer<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let terms = (self.retry.rules.terms)(&request).into();
        Box::pin(run(take_ready(&mut self.inner), request, terms, self.retry.clone()))
    }
}

/// Makes the tries of one request.
async fn run<S, F, J, R>(
    mut inner: S,
    request: R,
    terms: Terms,
    retry: RetryLayer<F, J>,
) -> Result<S::Response, BoxError>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    R: Clone,
    J: Judge<S::Response>,
{
    lock(&retry.budget.budget).deposit(retry.rules.world.now());
    let mut tries = 1;
    let mut request = Some(request);
    loop {
        let is_last = tries >= retry.rules.policy.tries;
        let sent = if is_last { request.take() } else { request.clone() };
        let sent = sent.expect("it is given away with the last try");
        let answer = inner.call(sent).await.map_err(Into::into);
        let trouble = match retry.judge.judge(answer.as_ref()) {
            Ending::Good | Ending::Void => return answer,
            Ending::Failed(trouble) | Ending::NotNow(trouble) | Ending::Refused(trouble) => trouble,
        };
        match retry.decide(trouble, terms, tries) {
            Ok(wait) => {
                drop(answer);
                tokio::time::sleep(wait).await;
            }
            Err(marks) => {
                return answer.map(|mut answer| {
                    if marks {
                        retry.judge.mark(&mut answer);
                    }
                    answer
                });
            }
        }
        ready(&mut inner).await?;
        tries += 1;
    }
}

impl<F, J> RetryLayer<F, J> {
    /// How long to wait before the next try, or whether the failure is to be marked.
    fn decide(&self, trouble: Trouble, terms: Terms, tries: u32) -> Result<std::time::Duration, bool> {
        let Trouble { failure, retry_after, marked, breaker_open } = trouble;
        let Terms { repeatable, deadline } = terms;
        let failed = Failed { failure, tries, repeatable, marked, retry_after, breaker_open, deadline };
        let now = self.rules.world.now();
        let (mut budget, mut rng) = (lock(&self.budget.budget), lock(&self.rules.rng));
        let decided = self.rules.policy.decide(&failed, &mut budget, now, &mut rng);
        decided.map(|at| at.since(now)).map_err(|no| no.marks(tries))
    }
}
