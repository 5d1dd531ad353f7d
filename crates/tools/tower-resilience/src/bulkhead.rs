//! Bulkheads: so many calls at once, and a queue that is bounded in number and in time.
//!
//! A layer is one compartment, or a path through several of a shared set of [`Compartments`]; all services that it
//! makes share it. A call's place, or its place in the queue, goes back when its future ends or is dropped.
//!
//! Ready always: it is a queue itself, whose bound is in its [`Limits`], and it refuses in `call` what finds it full.
//! Were it to wait in `poll_ready`, it could not tell clients apart, and whoever never calls would hold a place. The
//! service inside is asked whether it is ready once a call has its place, so what waits reserves nothing there.
//!
//! ```
//! use std::time::Duration;
//! use resilience::bulkhead::{Limits, Why};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, Refusal, World, bulkhead::BulkheadLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let limits = Limits { at_once: 1, waiting: 1, wait: Duration::from_millis(50), ..Limits::default() };
//! let bulkhead = BulkheadLayer::new(limits, &World::real());
//! let mut service = ServiceBuilder::new().layer(bulkhead.clone()).service(service_fn(async |ms: u64| {
//!     tokio::time::sleep(Duration::from_millis(ms)).await;
//!     Ok::<_, BoxError>(ms)
//! }));
//! let (first, second) = (service.ready().await?.call(20), service.ready().await?.call(1));
//! let third = service.ready().await?.call(1);
//! let (first, second, third) = tokio::join!(first, second, third);
//! assert!(first.is_ok() && second.is_ok());
//! assert_eq!(Refusal::of(&*third.unwrap_err()), Some(&Refusal::BulkheadFull { why: Why::Queue }));
//! assert_eq!(bulkhead.load(), (0, 0));
//! # Ok(())
//! # }
//! ```

use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use resilience::bulkhead::{Limits, Part};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{BoxAnswer, ask};
use crate::client::{ByKey, Client, Everyone};
use crate::signals::Signals;
use crate::{BoxError, Refusal, World};

mod hall;

use hall::Hall;

/// Compartments that layers share, so that a call can hold a place in several, all or none.
#[derive(Clone)]
pub struct Compartments {
    hall: Arc<Hall>,
}

impl Compartments {
    /// None yet.
    pub fn new(world: &World) -> Self {
        Self { hall: Arc::new(Hall::new(world)) }
    }

    /// Adds one. A `client_share` below 1 wants layers that know clients: [`BulkheadLayer::by_client`].
    pub fn add(&self, limits: Limits) -> Part {
        self.hall.add(limits)
    }

    /// Changes the limits of one. Calls that run or wait are not taken back, and those that fit now run.
    pub fn set(&self, part: Part, limits: Limits) {
        self.hall.set(part, limits);
    }

    /// Calls that run in one, and those that wait for it.
    pub fn load(&self, part: Part) -> (u32, u32) {
        self.hall.load(part)
    }
}

/// One compartment, or a path through several.
pub struct BulkheadLayer<C = Everyone> {
    hall: Arc<Hall>,
    parts: Arc<[Part]>,
    /// The last compartment on the path, and its limits.
    innermost: Option<(Part, Limits)>,
    client: Arc<C>,
    signals: Option<Signals>,
}

impl BulkheadLayer {
    /// A compartment of its own, for clients that are not told apart.
    pub fn new(limits: Limits, world: &World) -> Self {
        let compartments = Compartments::new(world);
        let part = compartments.add(Limits { client_share: 1.0, ..limits });
        let layer = Self::through(&compartments, &[part]);
        Self { innermost: Some((part, limits)), ..layer }
    }

    /// Through these compartments of a shared set, at most four.
    pub fn through(compartments: &Compartments, parts: &[Part]) -> Self {
        Self {
            hall: Arc::clone(&compartments.hall),
            parts: parts.into(),
            innermost: None,
            client: Arc::new(Everyone),
            signals: None,
        }
    }

    /// Tells clients apart by this key, so that under contention none has more than its share.
    #[must_use]
    pub fn by_client<R, K, F>(self, key: F) -> BulkheadLayer<ByKey<F>>
    where
        F: Fn(&R) -> K,
        K: Hash,
    {
        if let Some((part, limits)) = self.innermost {
            self.hall.set(part, limits);
        }
        BulkheadLayer {
            hall: self.hall,
            parts: self.parts,
            innermost: self.innermost,
            client: Arc::new(ByKey::new(key)),
            signals: self.signals,
        }
    }
}

impl<C> BulkheadLayer<C> {
    /// Tells load shedding in front of it how much of it is in use, and of each call that it refuses.
    #[must_use]
    pub fn tells(self, signals: Signals) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// Calls that run, and those that wait, in a compartment of its own; zero for one of a shared set, which is asked
    /// itself.
    pub fn load(&self) -> (u32, u32) {
        self.innermost.map_or((0, 0), |(part, _)| self.hall.load(part))
    }
}

impl<C> Clone for BulkheadLayer<C> {
    fn clone(&self) -> Self {
        Self {
            hall: Arc::clone(&self.hall),
            parts: Arc::clone(&self.parts),
            innermost: self.innermost,
            client: Arc::clone(&self.client),
            signals: self.signals.clone(),
        }
    }
}

impl<S, C> Layer<S> for BulkheadLayer<C> {
    type Service = BulkheadService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService { inner, bulkhead: self.clone() }
    }
}

/// A service whose calls go through a bulkhead.
pub struct BulkheadService<S, C = Everyone> {
    inner: S,
    bulkhead: BulkheadLayer<C>,
}

impl<S: Clone, C> Clone for BulkheadService<S, C> {
    fn clone(&self) -> Self {
        self.bulkhead.layer(self.inner.clone())
    }
}

impl<S, C, R> Service<R> for BulkheadService<S, C>
where
    S: Service<R> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    C: Client<R>,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxAnswer<S::Response>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let client = self.bulkhead.client.client(&request);
        let (hall, parts) = (Arc::clone(&self.bulkhead.hall), Arc::clone(&self.bulkhead.parts));
        let (inner, signals) = (self.inner.clone(), self.bulkhead.signals.clone());
        Box::pin(async move {
            if let Some(signals) = &signals {
                signals.used(hall.used(&parts));
            }
            let place = hall.enter(&parts, client).await;
            if let Some(signals) = signals.filter(|_| place.is_err()) {
                signals.dropped();
            }
            let _place = place.map_err(|full| Refusal::BulkheadFull { why: full.why })?;
            ask(inner, request).await
        })
    }
}
