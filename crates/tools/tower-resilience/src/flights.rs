//! Flights: identical requests that are made at once are made once, and share the answer.
//!
//! A closure gives a request's key, everything that selects its answer, or none for a request that must not be joined.
//! By default every answer is shared; [`FlightsLayer::lands`] says which are not. If the call that others wait for
//! fails or is dropped, one of them makes it instead; an error is not shared.
//!
//! Ready when the service inside is. A request that follows another leaves that readiness to the next; should it have
//! to make its own call after all, it asks the service anew, so what only waits reserves nothing.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use resilience::flights::Policy;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, World, flights::FlightsLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//! let flights = FlightsLayer::new(Policy::default(), &World::real(), |page: &&str| Some(page.to_string()));
//! let mut service = ServiceBuilder::new().layer(flights).service(service_fn(async |page: &'static str| {
//!     CALLS.fetch_add(1, Ordering::Relaxed);
//!     tokio::time::sleep(std::time::Duration::from_millis(10)).await;
//!     Ok::<_, BoxError>(format!("this is {page}"))
//! }));
//! let (first, second) = (service.ready().await?.call("/"), service.ready().await?.call("/"));
//! let (first, second) = tokio::join!(first, second);
//! assert_eq!(first?, second?);
//! assert_eq!(CALLS.load(Ordering::Relaxed), 1);
//! # Ok(())
//! # }
//! ```

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::task::{Context, Poll};

use resilience::flights::{Landing, Policy};
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{BoxAnswer, ask, take_ready};
use crate::{BoxError, World};

mod tower;

use self::tower::{Aloft, Joined, Told, Tower};

type Lands<T> = Arc<dyn Fn(&T) -> Landing + Send + Sync>;

/// One set of flights, which all services of the layer share. `T` is the service's response.
pub struct FlightsLayer<F, T> {
    tower: Arc<Tower<T>>,
    key: F,
    secret: RandomState,
    lands: Lands<T>,
}

impl<F, T> FlightsLayer<F, T> {
    /// None is aloft. `key` gives what selects a request's answer, or none if nobody may share it.
    pub fn new<R, K>(policy: Policy, world: &World, key: F) -> Self
    where
        F: Fn(&R) -> Option<K>,
        K: Hash,
    {
        let tower = Arc::new(Tower::new(policy, world));
        Self { tower, key, secret: RandomState::new(), lands: Arc::new(|_| Landing::Shared) }
    }

    /// Asks this about an answer: whether it is for all, for its own request only, or private.
    #[must_use]
    pub fn lands(self, landing: impl Fn(&T) -> Landing + Send + Sync + 'static) -> Self {
        Self { lands: Arc::new(landing), ..self }
    }

    /// Flights, and requests that follow them, at this moment.
    pub fn load(&self) -> (usize, usize) {
        self.tower.load()
    }
}

impl<F: Clone, T> Clone for FlightsLayer<F, T> {
    fn clone(&self) -> Self {
        Self {
            tower: Arc::clone(&self.tower),
            key: self.key.clone(),
            secret: self.secret.clone(),
            lands: Arc::clone(&self.lands),
        }
    }
}

impl<S, F: Clone, T> Layer<S> for FlightsLayer<F, T> {
    type Service = FlightsService<S, F, T>;

    fn layer(&self, inner: S) -> Self::Service {
        FlightsService { inner, flights: self.clone() }
    }
}

/// A service whose identical calls are joined.
pub struct FlightsService<S, F, T> {
    inner: S,
    flights: FlightsLayer<F, T>,
}

impl<S: Clone, F: Clone, T> Clone for FlightsService<S, F, T> {
    fn clone(&self) -> Self {
        self.flights.layer(self.inner.clone())
    }
}

impl<S, F, R, K, T> Service<R> for FlightsService<S, F, T>
where
    S: Service<R, Response = T> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    T: Clone + Send + 'static,
    R: Send + 'static,
    F: Fn(&R) -> Option<K>,
    K: Hash,
{
    type Response = T;
    type Error = BoxError;
    type Future = BoxAnswer<T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let key = (self.flights.key)(&request).map(|key| self.flights.secret.hash_one(key));
        let lands = Arc::clone(&self.flights.lands);
        match key.map(|key| self.flights.tower.join(key)) {
            None | Some(Joined::Alone) => {
                let call = take_ready(&mut self.inner).call(request);
                Box::pin(async move { call.await.map_err(Into::into) })
            }
            Some(Joined::Lead(aloft)) => {
                let call = take_ready(&mut self.inner).call(request);
                Box::pin(async move {
                    let answer = call.await.map_err(Into::into);
                    land(aloft, &answer, &lands);
                    answer
                })
            }
            Some(Joined::Follow(following)) => {
                let inner = self.inner.clone();
                Box::pin(async move {
                    match following.told().await {
                        Told::Answer(answer) => Ok(answer),
                        Told::Alone => ask(inner, request).await,
                        Told::Lead(aloft) => {
                            let answer = ask(inner, request).await;
                            land(aloft, &answer, &lands);
                            answer
                        }
                    }
                })
            }
        }
    }
}

/// A leader's call has ended. Of an error the next follower makes its own try.
fn land<T: Clone>(aloft: Aloft<T>, answer: &Result<T, BoxError>, lands: &Lands<T>) {
    match answer {
        Ok(answer) => aloft.land(lands(answer), Some(answer)),
        Err(_) => aloft.land(Landing::Failed, None),
    }
}
