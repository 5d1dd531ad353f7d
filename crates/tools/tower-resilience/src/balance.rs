//! Balancing over several services: each request goes to the one that is likely to answer it soonest.
//!
//! By the default policy of [`resilience::balance`]: five are drawn, and the cheapest by latency times requests in
//! flight is taken. Endpoints that do worse than the rest are ejected for a while, those that say "not now" are spared
//! for as long as they ask, new ones start slowly, and when too few are well all are used.
//!
//! Ready when one that may be used is. If all that are well asked to be spared, or there are none, it is ready too and
//! refuses in `call`, with the time at which the first comes back: nobody can say how long a caller would wait.
//!
//! It keeps an endpoint that became ready until that is picked, so endpoints should not reserve anything in `poll_ready`;
//! those made of layers of this crate do not.
//!
//! A call that is dropped counts with the time it had, so an endpoint that hangs gets less; but only an error is a
//! failure, so put a [`DeadlineLayer`](crate::deadline::DeadlineLayer) around each endpoint.
//!
//! ```
//! use tower::{Service, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, World, balance::{Balance, BalancePolicy, Endpoint}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! fn replica(name: &'static str) -> impl Service<(), Response = &'static str, Error = BoxError> + Clone {
//!     service_fn(move |(): ()| async move { Ok(name) })
//! }
//! let endpoints = ["a", "b", "c"].map(|name| Endpoint::new(name, replica(name)));
//! let mut service = Balance::new(BalancePolicy::default(), &World::real(), endpoints);
//! let mut answered: Vec<&str> = Vec::new();
//! for _ in 0..3 {
//!     answered.push(service.ready().await?.call(()).await?);
//! }
//! answered.sort_unstable();
//! assert_eq!(answered, ["a", "b", "c"], "those that were never tried come first");
//!
//! let pool = service.pool();
//! pool.replace([Endpoint::new("c", replica("c"))]);
//! assert_eq!(service.ready().await?.call(()).await?, "c");
//! assert_eq!(pool.view()[0].in_flight, 0);
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use resilience::balance::choices::DEFAULT_CHOICES;
use resilience::balance::{EwmaPolicy, Rules, Standing, Weight};
use resilience::health::outliers::OutlierPolicy;
use resilience::health::readiness::ReadinessPolicy;
use tokio::time::Sleep;
use tower_service::Service;

use crate::{Answer, AnyAnswer, BoxError, Judge, World};

mod lease;
mod state;

pub use lease::Lease;
pub use state::Change;

use state::{Picked, Shared, Wait};

/// How endpoints are chosen, and when they are not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BalancePolicy {
    /// Slow start and the panic threshold.
    pub rules: Rules,
    /// How latencies are remembered.
    pub ewma: EwmaPolicy,
    /// How many endpoints are compared.
    pub choices: usize,
    /// What is ejected.
    pub outliers: OutlierPolicy,
    /// What is made of "not now".
    pub readiness: ReadinessPolicy,
}

impl Default for BalancePolicy {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            ewma: EwmaPolicy::default(),
            choices: DEFAULT_CHOICES,
            outliers: OutlierPolicy::default(),
            readiness: ReadinessPolicy::default(),
        }
    }
}

/// One of the services.
#[derive(Debug, Clone)]
pub struct Endpoint<K, S> {
    /// Its name, unique among them.
    pub key: K,
    /// What it is worth.
    pub weight: Weight,
    /// The service.
    pub service: S,
}

impl<K, S> Endpoint<K, S> {
    /// Worth as much as others.
    pub fn new(key: K, service: S) -> Self {
        Self { key, weight: Weight::USUAL, service }
    }
}

/// One of the services, for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView<K> {
    /// Its name.
    pub key: K,
    /// How it stands.
    pub standing: Standing,
    /// Calls that are out.
    pub in_flight: u32,
    /// How long it takes, as remembered; nothing before its first answer.
    pub latency: Option<Duration>,
}

/// The endpoints of a [`Balance`] and all its clones, to be changed and looked at.
pub struct Pool<K, S> {
    shared: Arc<Shared<K, S>>,
}

impl<K, S> Clone for Pool<K, S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Clone + PartialEq, S> Pool<K, S> {
    /// Takes these endpoints. Those whose keys were there keep their services and what is known of them; calls to those
    /// that left go on.
    pub fn replace(&self, endpoints: impl IntoIterator<Item = Endpoint<K, S>>) {
        self.shared.replace(endpoints.into_iter().collect());
    }

    /// How all of them stand.
    pub fn view(&self) -> Vec<EndpointView<K>> {
        self.shared.view()
    }
}

/// A service made of several.
pub struct Balance<K, S, J = AnyAnswer> {
    shared: Arc<Shared<K, S>>,
    judge: Arc<J>,
    /// Names this clone to the shared state while it waits.
    id: u64,
    /// Which endpoints `own` is a copy of.
    generation: u64,
    own: Vec<Own<S>>,
    /// When to look again by time alone, while none is ready.
    timer: Option<Pin<Box<Sleep>>>,
}

/// This clone's copy of an endpoint's service.
struct Own<S> {
    number: u64,
    service: S,
    is_ready: bool,
    /// It failed while it became ready, and is a fresh copy since.
    has_failed: bool,
}

impl<K: Clone + PartialEq, S: Clone> Balance<K, S> {
    /// Over these. Any answer is good until [`judged_by`](Self::judged_by) says otherwise.
    pub fn new(
        policy: BalancePolicy,
        world: &World,
        endpoints: impl IntoIterator<Item = Endpoint<K, S>>,
    ) -> Self {
        let shared = Arc::new(Shared::new(policy, world));
        shared.replace(endpoints.into_iter().collect());
        Self::over(shared, Arc::new(AnyAnswer))
    }
}

impl<K, S, J> Balance<K, S, J> {
    fn over(shared: Arc<Shared<K, S>>, judge: Arc<J>) -> Self {
        let id = shared.new_id();
        Self { shared, judge, id, generation: 0, own: Vec::new(), timer: None }
    }

    /// The same endpoints with another judge.
    #[must_use]
    pub fn judged_by<L>(self, judge: L) -> Balance<K, S, L> {
        Balance::over(Arc::clone(&self.shared), Arc::new(judge))
    }

    /// Calls this when an endpoint is ejected or comes back, for a log or a metric. The first that is set stays.
    #[must_use]
    pub fn on_change(self, told: impl Fn(&K, Change) + Send + Sync + 'static) -> Self {
        self.shared.on_change(Box::new(told));
        self
    }

    /// Its endpoints.
    pub fn pool(&self) -> Pool<K, S> {
        Pool { shared: Arc::clone(&self.shared) }
    }
}

impl<K, S, J> Clone for Balance<K, S, J> {
    /// The clone takes fresh copies of the services when it is first asked.
    fn clone(&self) -> Self {
        Self::over(Arc::clone(&self.shared), Arc::clone(&self.judge))
    }
}

impl<K, S, J> Drop for Balance<K, S, J> {
    fn drop(&mut self) {
        self.shared.forget(self.id);
    }
}

impl<K, S: Clone, J> Balance<K, S, J> {
    /// Takes over a change of endpoints.
    fn catch_up(&mut self) {
        let Some((generation, services)) = self.shared.since(self.generation) else { return };
        let mut old = std::mem::take(&mut self.own);
        self.own = services
            .into_iter()
            .map(|(number, service)| match old.iter().position(|own| own.number == number) {
                Some(at) => old.swap_remove(at),
                None => Own { number, service, is_ready: false, has_failed: false },
            })
            .collect();
        self.generation = generation;
    }

    /// Asks all that are not ready yet; they wake the caller when they are.
    fn ask_all<R>(&mut self, cx: &mut Context<'_>)
    where
        S: Service<R>,
        S::Error: Into<BoxError>,
        J: Judge<S::Response>,
    {
        for own in self.own.iter_mut().filter(|own| !own.is_ready) {
            own.has_failed = false;
            match own.service.poll_ready(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => own.is_ready = true,
                Poll::Ready(Err(error)) => {
                    let ending = self.judge.judge(Err(&error.into()));
                    self.shared.could_not(own.number, ending);
                    own.has_failed = true;
                    if let Some(fresh) = self.shared.service(own.number) {
                        own.service = fresh;
                    }
                }
            }
        }
    }
}

impl<K, S, J, R> Service<R> for Balance<K, S, J>
where
    S: Service<R> + Clone,
    S::Error: Into<BoxError>,
    J: Judge<S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Future, Lease<K, S, J>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            self.catch_up();
            self.ask_all(cx);
            let own = &self.own;
            let is_ready = |at: usize| own[at].is_ready;
            let may_come = |at: usize| !own[at].has_failed;
            let look_again = match self.shared.wait(self.id, self.generation, cx, is_ready, may_come) {
                Wait::For(time) => time,
                Wait::Stale => continue,
                Wait::No => {
                    self.timer = None;
                    return Poll::Ready(Ok(()));
                }
            };
            let mut timer = Box::pin(tokio::time::sleep(look_again));
            if timer.as_mut().poll(cx).is_pending() {
                self.timer = Some(timer);
                return Poll::Pending;
            }
        }
    }

    fn call(&mut self, request: R) -> Self::Future {
        let picked = loop {
            self.catch_up();
            let own = &self.own;
            if let Some(picked) = self.shared.pick(self.generation, |place| own[place].is_ready) {
                break picked;
            }
        };
        let Picked { place, number, began } = match picked {
            Ok(picked) => picked,
            Err(refusal) => return Answer::refused(refusal),
        };
        let lease = Lease::new(&self.shared, &self.judge, number, began);
        let own = &mut self.own[place];
        own.is_ready = false;
        Answer::running(own.service.call(request), lease)
    }
}
