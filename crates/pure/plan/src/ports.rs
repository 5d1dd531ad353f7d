//! The ports through which the loops know the rooms.

use std::future::Future;
use std::pin::Pin;

use base::Report;

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
