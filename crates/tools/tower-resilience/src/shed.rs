//! Load shedding by class: under overload the least important requests are refused first, and cheaply.
//!
//! What overload is, the queue or the limit behind tells by [`Signals`]: give them to a
//! [`BulkheadLayer`](crate::bulkhead::BulkheadLayer) or a [`LimitLayer`](crate::limit::LimitLayer) further in. Once an
//! hour ranks are dealt anew, so that it is not always the same clients who are shed.
//!
//! Ready when the service inside is, and refuses in `call`: only the request says how important it is.
//!
//! ```
//! use std::time::Duration;
//! use resilience::limit;
//! use resilience::shed::{Class, Policy};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, World, limit::LimitLayer, shed::ShedLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! struct Order { client: u64, pays: bool }
//!
//! let world = World::real();
//! let shed = ShedLayer::new(Policy::default(), &world, |order: &Order| {
//!     (if order.pays { Class::Critical } else { Class::Default }, order.client)
//! });
//! let limit = LimitLayer::new(limit::Policy::default(), &world).tells(shed.signals());
//! let mut service = ServiceBuilder::new()
//!     .layer(shed.clone())
//!     .layer(limit)
//!     .service(service_fn(async |order: Order| Ok::<_, BoxError>(order.client)));
//! assert_eq!(service.ready().await?.call(Order { client: 7, pays: true }).await?, 7);
//! assert_eq!(shed.admitted_share(Class::Default), 1.0);
//! # Ok(())
//! # }
//! ```

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use resilience::shed::{Class, Policy, Shed};
use tower_layer::Layer;
use tower_service::Service;

use crate::signals::Machine;
use crate::world::lock;
use crate::{Answer, BoxError, Refusal, World};

pub use crate::signals::Signals;

/// How long a client keeps its rank.
const DEAL_EVERY: Duration = Duration::from_secs(3600);

/// Sheds by the class and client that a closure reads off a request.
#[derive(Clone)]
pub struct ShedLayer<F> {
    signals: Signals,
    world: World,
    class: F,
}

impl<F> ShedLayer<F> {
    /// Admits all, until it is told of overload. `class` gives a request's class, and any number that stays the same
    /// for a client.
    pub fn new<R>(policy: Policy, world: &World, class: F) -> Self
    where
        F: Fn(&R) -> (Class, u64),
    {
        let mut rng = world.rng();
        let mut shed = Shed::new(policy);
        shed.rotate(rng.next_u64());
        let machine = Machine { shed, rng, deal_at: world.now() + DEAL_EVERY };
        let signals = Signals { machine: Arc::new(Mutex::new(machine)) };
        Self { signals, world: world.clone(), class }
    }

    /// Where to tell of overload.
    pub fn signals(&self) -> Signals {
        self.signals.clone()
    }

    /// The share of all clients of a class that is admitted now.
    pub fn admitted_share(&self, class: Class) -> f64 {
        lock(&self.signals.machine).shed.admitted_share(class)
    }
}

impl<S, F: Clone> Layer<S> for ShedLayer<F> {
    type Service = ShedService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        ShedService { inner, shed: self.clone() }
    }
}

/// A service that is spared the least important requests.
#[derive(Clone)]
pub struct ShedService<S, F> {
    inner: S,
    shed: ShedLayer<F>,
}

impl<S, F, R> Service<R> for ShedService<S, F>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    F: Fn(&R) -> (Class, u64),
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Future, ()>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (class, client) = (self.shed.class)(&request);
        let now = self.shed.world.now();
        let admitted = {
            let machine = &mut *lock(&self.shed.signals.machine);
            if now >= machine.deal_at {
                machine.shed.rotate(machine.rng.next_u64());
                machine.deal_at = now + DEAL_EVERY;
            }
            machine.shed.admit(class, client, now)
        };
        match admitted {
            Ok(()) => Answer::running(self.inner.call(request), ()),
            Err(refused) => Answer::refused(Refusal::Shed { retry_after: refused.retry_after }),
        }
    }
}
