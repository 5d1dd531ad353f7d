//! Changing a container's bounds and its restart policy, also while it runs.

use std::sync::Arc;

use base::ContainerId;
use serde_json::Value;
use spec::{Limits, Restart};

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::record::Record;
use crate::{Containers, events};

/// What a container gets in place of what it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// All its bounds.
    pub limits: Limits,
    /// When it is started again.
    pub restart: Restart,
    /// What the door is to tell of it from now on, in its words; as before when null.
    pub asked: Value,
}

impl Containers {
    /// Changes the bounds of a container; `change` makes the new ones of what it has. What this machine cannot bound is
    /// told.
    pub async fn update<E: From<ContainerError>>(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&Record) -> Result<Update, E>,
    ) -> Result<Vec<String>, E> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        self.cell(id)?;
        let before = cell.record();
        let update = change(&before)?;
        let runs = before.state.runs();
        base::crash::point("container: about to be bounded anew");
        let wanted = update.limits.clone();
        let written = cell.update(|live| {
            live.record.service.limits = update.limits;
            live.record.service.restart = update.restart;
            if !update.asked.is_null() {
                live.record.asked = update.asked;
            }
            live.record.bounds_due = runs;
        });
        let back = |record: &mut Record| {
            record.service.limits = before.service.limits.clone();
            record.service.restart = before.service.restart;
            record.asked = before.asked.clone();
            record.bounds_due = false;
        };
        if let Err(error) = written {
            // Memory must say what the disk says.
            back(&mut cell.live().record);
            return Err(ContainerError::Record(error).into());
        }
        base::crash::point("container: new bounds written down");
        let notes = match self.bound(&cell, &before.service.limits).await {
            Ok(notes) => notes,
            Err(error) => {
                // It keeps what it had; so says the record.
                cell.note(|live| back(&mut live.record));
                if let Err(problem) = self.bound(&cell, &wanted).await {
                    tracing::warn!(container.id = %id, "could not give a container its old bounds again: {problem}");
                }
                return Err(error.into());
            }
        };
        events::updated(self, &cell.record());
        self.announce(&cell);
        Ok(notes)
    }

    /// Gives a container that runs the bounds of its record. `before` are those that it had.
    pub(crate) async fn bound(
        &self,
        cell: &Arc<Cell>,
        before: &Limits,
    ) -> Result<Vec<String>, ContainerError> {
        let Some(shim) = cell.shim() else {
            cell.note(|live| live.record.bounds_due = false);
            return Ok(Vec::new());
        };
        let record = cell.record();
        let limits = crate::order::limits(&lifted(record.service.limits.clone(), before));
        let notes = shim.update(&limits).await.map_err(|problem| {
            ContainerError::failed(format!("change the bounds of `{}`", record.name), &problem)
        })?;
        base::crash::point("container: bounded anew");
        cell.note(|live| live.record.bounds_due = false);
        Ok(notes)
    }
}

/// What a container may have had of which nothing is known: all that can be lifted.
pub(crate) fn anything() -> Limits {
    Limits { pids: Some(1), cpus: Some(1.0), ..Limits::default() }
}

/// Bounds that are gone have to be lifted by name.
fn lifted(mut limits: Limits, before: &Limits) -> Limits {
    if limits.pids.is_none() && before.pids.is_some() {
        limits.pids = Some(-1);
    }
    let quota = |limits: &Limits| limits.cpus.is_some() || limits.cpu_quota.is_some();
    if quota(before) && !quota(&limits) {
        limits.cpu_quota = Some(-1);
    }
    limits
}

#[cfg(test)]
mod tests;
