//! Rate limits by key: so many requests in a time of each client, with bursts, in memory that does not grow.
//!
//! Ready when the service inside is, and refuses in `call`: only the request says whose it is, and one client that sends
//! too much must not make the others wait.
//!
//! ```
//! use std::time::Duration;
//! use resilience::rate::Quota;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_resilience::{BoxError, Refusal, World, rate::RateLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let quota = Quota::new(1, Duration::from_secs(60), 2);
//! let by_name = |(name, _): &(&'static str, u32)| *name;
//! let mut service = ServiceBuilder::new()
//!     .layer(RateLayer::new(quota, &World::real(), by_name))
//!     .service(service_fn(async |(_, number): (&'static str, u32)| Ok::<_, BoxError>(number + 1)));
//! for number in 0..2 {
//!     assert_eq!(service.ready().await?.call(("ann", number)).await?, number + 1);
//! }
//! let error = service.ready().await?.call(("ann", 2)).await.unwrap_err();
//! assert!(matches!(Refusal::of(&*error), Some(Refusal::RateExceeded { told }) if told.remaining == 0));
//! assert!(service.ready().await?.call(("bob", 2)).await.is_ok());
//! # Ok(())
//! # }
//! ```

use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use resilience::rate::{Limiter, Quota};
use tower_layer::Layer;
use tower_service::Service;

use crate::client::{ByKey, Client};
use crate::world::lock;
use crate::{Answer, BoxError, Refusal, World};

/// One table of keys under one quota, which all services of the layer share.
#[derive(Clone)]
pub struct RateLayer<C> {
    limiter: Arc<Mutex<Limiter>>,
    world: World,
    client: Arc<C>,
}

impl<F> RateLayer<ByKey<F>> {
    /// With the table's usual size, [`Limiter::KEYS`]. `key` reads off a request whose quota it uses.
    pub fn new<R, K>(quota: Quota, world: &World, key: F) -> Self
    where
        F: Fn(&R) -> K,
        K: Hash,
    {
        let limiter = Arc::new(Mutex::new(Limiter::new(quota, Limiter::KEYS)));
        Self { limiter, world: world.clone(), client: Arc::new(ByKey::new(key)) }
    }
}

impl<C> RateLayer<C> {
    /// The same with an empty table for at least so many keys.
    #[must_use]
    pub fn with_keys(self, keys: usize) -> Self {
        let quota = lock(&self.limiter).quota();
        Self { limiter: Arc::new(Mutex::new(Limiter::new(quota, keys))), ..self }
    }

    /// Changes the quota for all keys; what they have used stays used.
    pub fn set_quota(&self, quota: Quota) {
        lock(&self.limiter).set_quota(quota);
    }
}

impl<S, C> Layer<S> for RateLayer<C> {
    type Service = RateService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let (limiter, client) = (Arc::clone(&self.limiter), Arc::clone(&self.client));
        RateService { inner, rate: RateLayer { limiter, world: self.world.clone(), client } }
    }
}

/// A service that each client may use so often.
pub struct RateService<S, C> {
    inner: S,
    rate: RateLayer<C>,
}

impl<S: Clone, C> Clone for RateService<S, C> {
    fn clone(&self) -> Self {
        self.rate.layer(self.inner.clone())
    }
}

impl<S, C, R> Service<R> for RateService<S, C>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    C: Client<R>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Future, ()>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (key, now) = (self.rate.client.client(&request), self.rate.world.now());
        let checked = lock(&self.rate.limiter).check(key, 1, now);
        match checked {
            Ok(_) => Answer::running(self.inner.call(request), ()),
            Err(told) => Answer::refused(Refusal::RateExceeded { told }),
        }
    }
}
