//! Removing a container with all that is its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{ContainerId, VolumeName};
use images::Trash;

use crate::cell::Cell;
use crate::problem::{ContainerError, VolumeError};
use crate::record::{Record, Stage};
use crate::{Containers, events};

/// How to remove a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal {
    /// Kill it first if it runs.
    pub force: bool,
    /// Its anonymous volumes go too.
    pub volumes: bool,
}

impl Containers {
    /// Removes it.
    pub async fn remove(&self, id: &ContainerId, removal: Removal) -> Result<(), ContainerError> {
        let cell = self.cell(id)?;
        let _turn = cell.turn.lock().await;
        // Somebody else may have removed it while we waited.
        self.cell(id)?;
        if cell.live().record.state.runs() {
            if !removal.force {
                return Err(ContainerError::Running(cell.record().name));
            }
            cell.note(|live| live.record.stopped_by_hand = true);
            self.stop_now(&cell, Some(std::time::Duration::ZERO)).await?;
        }
        self.remove_in_turn(&cell, removal.volumes).await
    }

    /// Removes one that was made to go when it ends.
    pub(crate) async fn remove_ended(&self, cell: &Arc<Cell>) {
        let _turn = cell.turn.lock().await;
        if cell.live().record.state.runs() || self.cell(&cell.id).is_err() {
            return;
        }
        if let Err(error) = self.remove_in_turn(cell, true).await {
            tracing::warn!(container.id = %cell.id, "could not remove a container that ended: {error}");
        }
    }

    async fn remove_in_turn(&self, cell: &Arc<Cell>, volumes: bool) -> Result<(), ContainerError> {
        base::crash::point("container: about to be removed");
        // From here on it goes, also after a crash: nobody must find half of it.
        cell.note(|live| live.record.stage = Stage::Going { volumes });
        let record = cell.record();
        if record.owner.is_some() {
            self.disconnect(cell).await;
        } else {
            self.unpublish(cell).await;
            // The kernel takes tens of milliseconds to give a link back. Nobody waits for the addresses of a container
            // that belongs to no app; the next one gets others.
            let (containers, gone) = (self.clone(), cell.clone());
            self.inner.tasks.spawn("give addresses back", async move { containers.disconnect(&gone).await });
        }
        base::crash::point("container: unpublished");
        let (containers, gone) = (self.clone(), record.clone());
        let released = tokio::task::spawn_blocking(move || {
            if volumes {
                containers.drop_own_volumes(&gone);
            }
            containers.inner.rooms.images.release_snapshot(gone.id.as_str())
        });
        match released.await {
            Ok(Ok(trash)) => self.clear_away_later(&record, cell.folder.clone(), trash),
            Ok(Err(error)) => {
                tracing::warn!(container.id = %cell.id, "could not remove the files of a container: {error}");
            }
            Err(error) => {
                tracing::error!(container.id = %cell.id, "the removal of a container broke off: {error}");
            }
        }
        {
            let mut index = self.index();
            index.cells.remove(&record.id);
            if index.names.get(record.name.as_str()) == Some(&record.id) {
                index.names.remove(record.name.as_str());
            }
        }
        self.tidy_cgroups();
        base::crash::point("container: forgotten");
        {
            let mut live = cell.live();
            live.gone = true;
            live.ahead.clear();
        }
        self.forget_execs(&record.id);
        events::removed(self, &record);
        self.announce(cell);
        Ok(())
    }

    pub(crate) fn drop_own_volumes(&self, record: &Record) {
        for name in record.anonymous.values() {
            match self.inner.volumes.remove(name) {
                Ok(()) | Err(VolumeError::Missing(_)) => {}
                Err(error) => tracing::warn!(volume.name = %name, "could not remove a volume: {error}"),
            }
        }
        base::crash::point("container: own volumes removed");
    }

    /// Removes the files of a container that nobody knows any more. Thousands of them take their time, for which nobody
    /// has to wait; its record says that it goes, so the next daemon finishes what this one does not.
    fn clear_away_later(&self, record: &Record, folder: PathBuf, trash: Trash) {
        let id = record.id.clone();
        self.inner.tasks.spawn(format!("clear {} away", id.short()), async move {
            let cleared = tokio::task::spawn_blocking(move || {
                if let Err(error) = trash.remove() {
                    tracing::warn!(container.id = %id, "could not remove the files of a container: {error}");
                }
                base::crash::point("container: files removed");
                remove_folder(&id, &folder);
                base::crash::point("container: cleared away");
            });
            // A panic was told by whoever panicked, and what is left goes with the next start.
            let _ = cleared.await;
        });
    }

    /// Removes its writable layer, then its folder. What cannot be removed now is found at the next start.
    pub(crate) fn clear_away(&self, record: &Record, folder: &Path) {
        if let Err(error) = self.inner.rooms.images.drop_snapshot(record.id.as_str()) {
            tracing::warn!(container.id = %record.id, "could not remove the files of a container: {error}");
            return;
        }
        base::crash::point("container: snapshot dropped");
        remove_folder(&record.id, folder);
    }

    /// Removes a volume that nobody uses.
    pub fn remove_volume(&self, name: &VolumeName) -> Result<(), VolumeError> {
        if let Some(by) = self.users_of(name).into_iter().next() {
            return Err(VolumeError::InUse { name: name.to_string(), by });
        }
        self.inner.volumes.remove(name)
    }

    /// The names of the containers that have this volume.
    pub fn users_of(&self, name: &VolumeName) -> Vec<String> {
        let records = self.cells().into_iter().map(|cell| cell.record());
        let uses = |record: &Record| {
            record.volumes.values().chain(record.anonymous.values()).any(|used| used == name)
        };
        records.filter(uses).map(|record| record.name.to_string()).collect()
    }
}

fn remove_folder(id: &ContainerId, folder: &Path) {
    match fs::remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(container.id = %id, "could not remove the folder of a container: {error}");
        }
    }
}
