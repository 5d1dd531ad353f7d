//! Deadlines: a request carries the moment after which nobody waits for its answer, and no call outlives it.
//!
//! What came too late is refused before any work. What runs at its deadline is dropped, which cancels it. The request
//! that goes on carries the deadline that holds here, the nearer of its own and the policy's timeout.
//!
//! Ready when the service inside is. Put it *inside* a breaker, a limit or a balancer, so that they learn of timeouts,
//! and outside retries and queues as well where the deadline is to hold for them together.
//!
//! ```
//! use std::time::Duration;
//! use resilience::deadline::{Deadline, Policy};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, Refusal, World, deadline::DeadlineLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let world = World::real();
//! let policy = Policy { timeout: Duration::from_secs(2), ..Policy::default() };
//! let mut service = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new(policy, &world))
//!     .service(service_fn(async |request: http::Request<()>| {
//!         Ok::<_, BoxError>(request.extensions().get::<Deadline>().is_some())
//!     }));
//! assert!(service.ready().await?.call(http::Request::new(())).await?, "what is inside can see it");
//!
//! let mut late = http::Request::new(());
//! late.extensions_mut().insert(Deadline::at(world.clock().now()));
//! let error = service.ready().await?.call(late).await.unwrap_err();
//! assert_eq!(Refusal::of(&*error), Some(&Refusal::Expired));
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use pin_project_lite::pin_project;
use resilience::deadline::{self, Deadline, Policy};
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Answer, BoxError, Refusal, World};

/// A request that can carry a deadline. Those of `http` carry it as an extension.
pub trait HasDeadline {
    /// The one that it carries.
    fn deadline(&self) -> Option<Deadline>;
    /// Makes it carry this one.
    fn set_deadline(&mut self, deadline: Deadline);
}

impl<B> HasDeadline for http::Request<B> {
    fn deadline(&self) -> Option<Deadline> {
        self.extensions().get().copied()
    }

    fn set_deadline(&mut self, deadline: Deadline) {
        self.extensions_mut().insert(deadline);
    }
}

/// The time that the fields of a request leave for it, the less of the two if both are there; for whoever takes requests
/// off the wire and makes a [`Deadline`] of it by [`Policy::enter`].
///
/// ```
/// let mut fields = http::HeaderMap::new();
/// fields.insert("grpc-timeout", http::HeaderValue::from_static("250m"));
/// let told = tower_resilience::deadline::read_fields(&fields);
/// assert_eq!(told, Some(std::time::Duration::from_millis(250)));
/// ```
pub fn read_fields(fields: &HeaderMap) -> Option<Duration> {
    let field = |name| fields.get(name).map(http::HeaderValue::as_bytes);
    let grpc = field(deadline::GRPC_HEADER).and_then(|value| deadline::parse_grpc(value).ok());
    let millis = field(deadline::MILLIS_HEADER).and_then(|value| deadline::parse_millis(value).ok());
    [grpc, millis].into_iter().flatten().min()
}

/// Gives each request a deadline and holds it to it.
#[derive(Debug, Clone)]
pub struct DeadlineLayer {
    policy: Policy,
    fair_from: Duration,
    world: World,
}

impl DeadlineLayer {
    /// By this policy; `margin` is for those who tell the next hop.
    pub fn new(policy: Policy, world: &World) -> Self {
        Self { policy, fair_from: Duration::ZERO, world: world.clone() }
    }

    /// A call that had less time than this, because its request came with a near deadline, and did not end, is not the
    /// service's failure. Without it clients that choose short deadlines could open a breaker for all.
    #[must_use]
    pub fn fair_from(self, time: Duration) -> Self {
        Self { fair_from: time, ..self }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, deadlines: self.clone() }
    }
}

/// A service whose calls end by their deadlines.
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    inner: S,
    deadlines: DeadlineLayer,
}

impl<S, R> Service<R> for DeadlineService<S>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    R: HasDeadline,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<Bounded<S::Future>, ()>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: R) -> Self::Future {
        let DeadlineLayer { policy, fair_from, world } = &self.deadlines;
        let now = world.now();
        let told = request.deadline().map(|deadline| deadline.left(now)).transpose();
        let entered = told.and_then(|told| {
            let deadline = policy.enter(told, now, now)?;
            Ok((deadline, deadline.left(now)?))
        });
        let Ok((deadline, left)) = entered else { return Answer::refused(Refusal::Expired) };
        request.set_deadline(deadline);
        let call = self.inner.call(request);
        let timed_out = Refusal::TimedOut { after: left, fair: left >= *fair_from };
        Answer::running(Bounded { call, sleep: tokio::time::sleep(left), timed_out }, ())
    }
}

pin_project! {
    /// A call that is dropped at its deadline.
    #[must_use = "futures do nothing unless polled"]
    pub struct Bounded<F> {
        #[pin]
        call: F,
        #[pin]
        sleep: Sleep,
        timed_out: Refusal,
    }
}

impl<F, T, E> Future for Bounded<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.call.poll(cx) {
            return Poll::Ready(answer.map_err(Into::into));
        }
        this.sleep.poll(cx).map(|()| Err((*this.timed_out).into()))
    }
}
