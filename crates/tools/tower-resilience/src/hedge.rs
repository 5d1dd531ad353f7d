//! Hedged requests: when an answer takes longer than nearly all do, a second request is sent, and the first good answer
//! wins. The other is dropped, which cancels it.
//!
//! For requests that may be sent twice; a closure says which. Put it around a balancer, so that the second goes to
//! another endpoint, and tell it of breaker and load by [`HedgeLayer::sees`], so that it stops where load is the cause.
//!
//! Ready when the service inside is. The second request waits for the service anew, and the first goes on meanwhile.
//!
//! ```
//! use std::time::Duration;
//! use resilience::hedge::Policy;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, World, hedge::HedgeLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let policy = Policy { least_samples: 10, share: 0.1, ..Policy::default() };
//! let hedge = HedgeLayer::new(policy, &World::real(), |request: &http::Request<()>| request.method().is_safe());
//! let mut service = ServiceBuilder::new()
//!     .layer(hedge.clone())
//!     .service(service_fn(async |_: http::Request<()>| Ok::<_, BoxError>("fast")));
//! for _ in 0..20 {
//!     service.ready().await?.call(http::Request::new(())).await?;
//! }
//! assert_eq!(hedge.sent(), 0, "none was slow");
//! # Ok(())
//! # }
//! ```

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use base::Instant;
use resilience::hedge::{Hedger, Leg, Policy, Race, Sight, Verdict};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{BoxAnswer, ask, take_ready};
use crate::world::lock;
use crate::{AnyAnswer, BoxError, Ending, Judge, World};

/// What is known of the service when a second request is thought of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    /// Its breaker is closed.
    pub breaker_closed: bool,
    /// How much of what there is room for is in use, 1 being all.
    pub load: f64,
}

type Sees = Arc<dyn Fn() -> Around + Send + Sync>;

struct Shared {
    world: World,
    hedger: Mutex<Hedger>,
    sent: AtomicU64,
}

/// Hedging under one policy, which all services of the layer share.
pub struct HedgeLayer<F, J = AnyAnswer> {
    shared: Arc<Shared>,
    safe: F,
    judge: Arc<J>,
    sees: Sees,
}

impl<F> HedgeLayer<F> {
    /// With nothing seen. `safe` says whether a request may be sent twice.
    pub fn new<R>(policy: Policy, world: &World, safe: F) -> Self
    where
        F: Fn(&R) -> bool,
    {
        let hedger = Mutex::new(Hedger::new(policy));
        let shared = Shared { world: world.clone(), hedger, sent: AtomicU64::new(0) };
        let sees = Arc::new(|| Around { breaker_closed: true, load: 0.0 });
        Self { shared: Arc::new(shared), safe, judge: Arc::new(AnyAnswer), sees }
    }
}

impl<F, J> HedgeLayer<F, J> {
    /// The same with another judge.
    #[must_use]
    pub fn judged_by<K>(self, judge: K) -> HedgeLayer<F, K> {
        HedgeLayer { shared: self.shared, safe: self.safe, judge: Arc::new(judge), sees: self.sees }
    }

    /// Asks this before a second request is sent; usually a breaker's position and a limit's utilisation.
    #[must_use]
    pub fn sees(self, around: impl Fn() -> Around + Send + Sync + 'static) -> Self {
        Self { sees: Arc::new(around), ..self }
    }

    /// How many second requests were sent.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl<F: Clone, J> Clone for HedgeLayer<F, J> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            safe: self.safe.clone(),
            judge: Arc::clone(&self.judge),
            sees: Arc::clone(&self.sees),
        }
    }
}

impl<S, F: Clone, J> Layer<S> for HedgeLayer<F, J> {
    type Service = HedgeService<S, F, J>;

    fn layer(&self, inner: S) -> Self::Service {
        HedgeService { inner, hedge: self.clone() }
    }
}

/// A service whose slow calls are made twice.
pub struct HedgeService<S, F, J = AnyAnswer> {
    inner: S,
    hedge: HedgeLayer<F, J>,
}

impl<S: Clone, F: Clone, J> Clone for HedgeService<S, F, J> {
    fn clone(&self) -> Self {
        self.hedge.layer(self.inner.clone())
    }
}

impl<S, F, J, R> Service<R> for HedgeService<S, F, J>
where
    S: Service<R> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Clone + Send + 'static,
    F: Fn(&R) -> bool,
    J: Judge<S::Response> + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxAnswer<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let mut first = take_ready(&mut self.inner);
        if !(self.hedge.safe)(&request) {
            let call = first.call(request);
            return Box::pin(async move { call.await.map_err(Into::into) });
        }
        let shared = Arc::clone(&self.hedge.shared);
        let delay = lock(&shared.hedger).begin();
        let began = shared.world.now();
        let (judge, sees) = (Arc::clone(&self.hedge.judge), Arc::clone(&self.hedge.sees));
        // Without a delay there will be no second request, so nothing to copy.
        let second = delay.map(|delay| (delay, self.inner.clone(), request.clone()));
        let call = first.call(request);
        Box::pin(async move {
            let first = async move { call.await.map_err(Into::into) };
            let is_good = |answer: &Result<S::Response, BoxError>| {
                matches!(judge.judge(answer.as_ref()), Ending::Good | Ending::Void)
            };
            let contest = Contest { shared: &shared, began, is_good };
            let Some((delay, inner, request)) = second else { return contest.alone(first).await };
            contest.hedged(first, (delay, sees), move || ask(inner, request)).await
        })
    }
}

/// One request and perhaps its hedge.
struct Contest<'a, G> {
    shared: &'a Shared,
    began: Instant,
    is_good: G,
}

impl<G> Contest<'_, G> {
    async fn alone<T>(self, first: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError>
    where
        G: Fn(&Result<T, BoxError>) -> bool,
    {
        let answer = first.await;
        // A failure's time says nothing of how long answers take.
        if (self.is_good)(&answer) {
            self.observe();
        }
        answer
    }

    async fn hedged<T, H: Future<Output = Result<T, BoxError>>>(
        self,
        first: impl Future<Output = Result<T, BoxError>>,
        (delay, sees): (Duration, Sees),
        second: impl FnOnce() -> H,
    ) -> Result<T, BoxError>
    where
        G: Fn(&Result<T, BoxError>) -> bool,
    {
        let mut first = pin!(first);
        tokio::select! {
            biased;
            answer = &mut first => {
                if (self.is_good)(&answer) {
                    self.observe();
                }
                return answer;
            }
            () = tokio::time::sleep(delay) => {}
        }
        let Around { breaker_closed, load } = sees();
        let sight = Sight { safe: true, breaker_closed, load };
        if lock(&self.shared.hedger).fire(sight).is_err() {
            return self.alone(first).await;
        }
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
        self.race(first, pin!(second())).await
    }

    async fn race<T>(
        self,
        mut first: impl Future<Output = Result<T, BoxError>> + Unpin,
        mut second: impl Future<Output = Result<T, BoxError>> + Unpin,
    ) -> Result<T, BoxError>
    where
        G: Fn(&Result<T, BoxError>) -> bool,
    {
        let mut race = Race::default();
        race.hedge();
        let (mut first_runs, mut second_runs) = (true, true);
        loop {
            let (leg, answer) = tokio::select! {
                biased;
                answer = &mut first, if first_runs => (Leg::First, answer),
                answer = &mut second, if second_runs => (Leg::Second, answer),
                never = pending() => never,
            };
            let good = (self.is_good)(&answer);
            match race.answer(leg, good) {
                Verdict::Wait => match leg {
                    Leg::First => first_runs = false,
                    Leg::Second => second_runs = false,
                },
                Verdict::Use { .. } | Verdict::TooLate => {
                    // One that lost against its hedge counts with the time until then.
                    if good && first_runs {
                        self.observe();
                    }
                    return answer;
                }
            }
        }
    }

    fn observe(&self) {
        let now = self.shared.world.now();
        lock(&self.shared.hedger).observe(now.since(self.began), now);
    }
}
