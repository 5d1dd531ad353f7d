//! The port [`Builds`] with the rooms of this program behind it.

use std::sync::Arc;

use build::{BuildError, BuildRequest, Builder, Built, Context, Progress, RunLimits, Runner};

use crate::order::{Builds, NoCache, Order};

/// A build must not starve what serves: a quarter of the usual weight, and a bound on its processes.
const CPU_SHARES: u64 = 256;
const PIDS: i64 = 4096;

/// Builds with the build room.
pub struct RoomBuilds {
    builder: Builder,
    runner: Arc<dyn Runner + Send + Sync>,
}

impl RoomBuilds {
    /// With this builder, whose commands run so.
    pub fn new(builder: Builder, runner: Arc<dyn Runner + Send + Sync>) -> Self {
        Self { builder, runner }
    }
}

impl Builds for RoomBuilds {
    fn build(&self, order: Order, tell: &dyn Fn(Progress)) -> Result<Built, BuildError> {
        let request = BuildRequest {
            context: order.context.map_or(Context::Empty, Context::Folder),
            dockerfile: order.dockerfile,
            args: order.args,
            target: order.target,
            tags: Vec::new(),
            labels: order.labels,
            no_cache: order.no_cache != NoCache::Never,
            epoch: None,
            limits: RunLimits { memory: None, cpu_shares: Some(CPU_SHARES), pids: Some(PIDS) },
            cancel: order.cancel,
        };
        self.builder.build(request, &*self.runner, tell)
    }
}
