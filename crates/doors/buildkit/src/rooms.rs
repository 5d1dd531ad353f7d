//! The port [`Builds`] with the rooms of this program behind it.

use std::path::Path;
use std::sync::Arc;

use base::Report;
use build::git::Checkout;
use build::{BuildError, BuildRequest, Builder, Built, Progress, RunLimits, Runner};

use crate::order::{Builds, Credentials, Pullers};

/// Builds with the build room.
pub struct RoomBuilds {
    builder: Builder,
    runner: Arc<dyn Runner + Send + Sync>,
    pullers: Option<Arc<dyn Pullers>>,
}

impl RoomBuilds {
    /// With this builder, whose commands run so.
    pub fn new(builder: Builder, runner: Arc<dyn Runner + Send + Sync>) -> Self {
        Self { builder, runner, pullers: None }
    }

    /// The same with a way to images by the client's credentials; else the builder's own is taken, if it has one.
    #[must_use]
    pub fn with_pullers(self, pullers: Arc<dyn Pullers>) -> Self {
        Self { pullers: Some(pullers), ..self }
    }
}

impl Builds for RoomBuilds {
    fn build(
        &self,
        mut request: BuildRequest,
        credentials: Arc<dyn Credentials>,
        tell: &(dyn Fn(Progress) + Sync),
    ) -> Result<Built, BuildError> {
        request.run.limits = RunLimits::usual();
        let builder = match &self.pullers {
            Some(pullers) => self.builder.clone().with_puller(pullers.puller(credentials)),
            None => self.builder.clone(),
        };
        builder.build(request, &*self.runner, tell)
    }

    fn checkout(&self, order: &Checkout<'_>, into: &Path) -> Result<(), Report> {
        self.builder.checkout(order, into).map(drop)
    }

    fn clear_caches(&self) -> Result<(), BuildError> {
        self.builder.prune_caches().map(drop)
    }
}
