//! The ports through which the loops know the rooms.

use std::future::Future;
use std::pin::Pin;

use base::{AppName, ContainerId, ReleaseNumber, Report, Revision, ServiceName};
use spec::{App, HealthCheck, PullPolicy, Service};

use crate::seen::Seen;
use crate::traffic::{RouteShare, TrafficSeen};

/// A future in a box, as ports need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever carries requests.
pub trait Traffic: Send + Sync {
    /// Replaces the owner's share, and answers once every thread of the edge goes by it.
    fn apply<'a>(&'a self, owner: &'a str, share: RouteShare) -> BoxFuture<'a, Result<(), Report>>;

    /// What happens at this moment, for all owners.
    fn look(&self) -> BoxFuture<'_, Result<TrafficSeen, Report>>;
}

/// Whoever runs instances.
///
/// Every call can be made twice without harm, and a call that was cut off by a crash can be made again. An instance is
/// known by the labels app, service, revision and number.
pub trait Driver: Send + Sync {
    /// Every instance of the app, also those that ended. One is listed from before its process exists until it is
    /// removed, whatever calls are under way.
    fn look<'a>(&'a self, app: &'a AppName) -> BoxFuture<'a, Result<Vec<Seen>, Report>>;

    /// Makes the app's networks and volumes, where they are missing.
    fn prepare<'a>(&'a self, app: &'a App) -> BoxFuture<'a, Result<(), Report>>;

    /// Makes an instance and starts it; answers once its process runs. One with these labels that was made but never
    /// started is started; one that runs or ran is left alone.
    fn start(&self, order: StartOrder) -> BoxFuture<'_, Result<ContainerId, Report>>;

    /// Starts an instance that ended again, in place. Does nothing when it runs. `restarts` is kept for
    /// [`Seen::restarts`].
    fn restart<'a>(&'a self, id: &'a ContainerId, restarts: u32) -> BoxFuture<'a, Result<(), Report>>;

    /// Stops it with the signal and the grace that it was made with, and answers once its processes are gone.
    /// From then on it is seen as [`State::Exited`](crate::seen::State::Exited) with `asked`.
    fn stop<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<(), Report>>;

    /// Removes one that ended, or was never started, with its anonymous volumes.
    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Result<(), Report>>;

    /// Removes what [`prepare`](Self::prepare) made; the volumes only if asked.
    fn retire<'a>(&'a self, app: &'a App, volumes: bool) -> BoxFuture<'a, Result<(), Report>>;

    /// Answers once something of this app changed since the last call of `changed` for it: an instance became ready or
    /// unhealthy, or ended. May answer without a reason. Only ever makes the loop look sooner.
    fn changed<'a>(&'a self, app: &'a AppName) -> BoxFuture<'a, ()>;
}

/// What to start.
#[derive(Debug, Clone, PartialEq)]
pub struct StartOrder {
    /// The whole app, resolved: networks, volumes, secrets and configs by key.
    pub app: std::sync::Arc<App>,
    /// The release that asks for it; a label for people, no part of the identity.
    pub release: ReleaseNumber,
    /// A key of the app's services.
    pub service: ServiceName,
    /// The image, by digest.
    pub image: String,
    /// What it is made from, as a digest.
    pub revision: Revision,
    /// Unique among the service's instances that exist, from 1 up.
    pub number: u32,
    /// A one-off job: it is expected to end.
    pub job: bool,
}

impl StartOrder {
    /// The service's document.
    pub fn spec(&self) -> Option<&Service> {
        self.app.services.get(&self.service)
    }
}

/// Whoever has images.
pub trait Images: Send + Sync {
    /// Finds what this name means now, fetching it where the policy says so.
    fn resolve<'a>(&'a self, name: &'a str, policy: PullPolicy) -> BoxFuture<'a, Result<ImageFacts, Report>>;
}

/// What matters of an image to those who plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFacts {
    /// Of its manifest or configuration: the same digest means the same image.
    pub digest: String,
    /// `HEALTHCHECK`, used when the service has none of its own.
    pub healthcheck: Option<HealthCheck>,
    /// `EXPOSE`: TCP ports.
    pub exposed: Vec<u16>,
}
