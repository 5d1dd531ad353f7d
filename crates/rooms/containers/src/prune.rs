//! Removing all containers that do not run and that nobody will start again.

use base::ContainerId;

use crate::{ContainerError, Containers, Record, Removal};

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// The containers.
    pub removed: Vec<ContainerId>,
    /// Bytes that they had written.
    pub bytes: u64,
}

impl Containers {
    /// Removes the containers at rest that `which` is true of. Instances of apps belong to their loops, and stay.
    pub async fn prune(&self, which: impl Fn(&Record) -> bool) -> Pruned {
        let mut pruned = Pruned::default();
        for cell in self.cells() {
            let record = cell.record();
            let rests = !record.state.runs() && !record.restarts_soon() && record.owner.is_none();
            if !rests || !which(&record) {
                continue;
            }
            let bytes = self.sizes(&cell.id).await.map_or(0, |(own, _)| own);
            match self.remove(&cell.id, Removal::default()).await {
                Ok(()) => {
                    pruned.removed.push(cell.id.clone());
                    pruned.bytes += bytes;
                }
                // It was started, or removed, while we looked at others.
                Err(ContainerError::Running(_) | ContainerError::Missing(_)) => {}
                Err(error) => {
                    tracing::warn!(container.id = %cell.id, "could not prune a container: {error}");
                }
            }
        }
        pruned
    }
}
