//! What the edge answers between services, as the machine leads it there: after the edge listens, and no longer than it does.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use base::Report;
use network::Networks;
use plan::ports::{BoxFuture, Traffic};
use plan::traffic::{Listener, RouteShare, TrafficSeen};
use proxy::Edge;

/// The edge, and the networks whose services it answers for.
pub(crate) struct Between {
    edge: Edge,
    networks: Networks,
    /// Owners that have had such services, with whom alone the networks are concerned.
    owners: Mutex<BTreeSet<String>>,
}

impl Between {
    pub(crate) fn new(edge: Edge, networks: Networks) -> Self {
        Self { edge, networks, owners: Mutex::default() }
    }
}

impl Traffic for Between {
    fn apply<'a>(&'a self, owner: &'a str, share: RouteShare) -> BoxFuture<'a, Result<(), Report>> {
        let answered = Listener::answered(&share);
        let known = {
            let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            if answered.is_empty() { owners.remove(owner) } else { !owners.insert(owner.to_owned()) }
        };
        if answered.is_empty() && !known {
            return self.edge.apply(owner, share);
        }
        Box::pin(async move {
            let before = self.networks.keep_answered(owner, answered.clone()).await;
            let applied = self.edge.apply(owner, share).await;
            // An edge that refused goes on as before.
            self.networks.answer(owner, if applied.is_ok() { answered } else { before }).await;
            applied
        })
    }

    fn look(&self) -> BoxFuture<'_, Result<TrafficSeen, Report>> {
        self.edge.look()
    }
}
