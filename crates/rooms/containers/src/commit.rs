//! Making an image of a container: its writable layer over its image.

use std::sync::Arc;

use base::{ContainerId, Kind, Problem, Report};
use images::{ImageId, LayerSource};
use oci::{ImageConfig, Reference};
use tokio::sync::oneshot;

use crate::cell::Cell;
use crate::problem::ContainerError;
use crate::{Containers, changes, events};

/// How an image is made of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// What the image says; its layers are filled in.
    pub config: ImageConfig,
    /// Its name, if it gets one.
    pub name: Option<Reference>,
    /// A remark, for the journal.
    pub comment: String,
    /// The container stands still meanwhile.
    pub pause: bool,
}

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// There is no such container, or it could not be frozen.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The store refused the layer, the image or the name.
    #[error("could not make an image of `{name}`")]
    Images {
        /// The container.
        name: String,
        /// Why.
        source: Report,
    },
}

impl Problem for MakeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Container(error) => error.kind(),
            Self::Images { source, .. } => source.kind,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Container(error) => error.hint(),
            Self::Images { source, .. } => source.hint.clone(),
        }
    }
}

impl Containers {
    /// Makes an image of a container as it is now. What has begun ends, even if nobody waits for it any more.
    pub async fn commit(&self, id: &ContainerId, commit: Commit) -> Result<ImageId, MakeError> {
        let cell = self.cell(id)?;
        let containers = self.clone();
        let (sender, made) = oneshot::channel();
        self.inner.tasks.spawn(format!("commit {}", id.short()), async move {
            let _ = sender.send(containers.commit_in_turn(&cell, commit).await);
        });
        made.await.unwrap_or_else(|_| {
            Err(ContainerError::Invalid("the making of an image broke off".into()).into())
        })
    }

    async fn commit_in_turn(&self, cell: &Arc<Cell>, commit: Commit) -> Result<ImageId, MakeError> {
        let _turn = cell.turn.lock().await;
        self.cell(&cell.id)?;
        let frozen = commit.pause && self.hold_still(cell).await?;
        let (containers, here, wanted) = (self.clone(), cell.clone(), commit.clone());
        let made = tokio::task::spawn_blocking(move || containers.commit_now(&here, wanted)).await;
        if frozen {
            // One that has ended meanwhile needs no more.
            if let Err(error) = self.pause_in_turn(cell, false).await {
                tracing::warn!(container.id = %cell.id, "could not let a container go on: {error}");
            }
            cell.note(|live| live.record.held_still = false);
        }
        let made = made.unwrap_or_else(|error| {
            Err(ContainerError::Invalid(format!("the making of an image broke off: {error}")).into())
        })?;
        let name = commit.name.map(|name| name.familiar()).unwrap_or_default();
        events::committed(self, &cell.record(), &made.to_string(), &name, &commit.comment);
        Ok(made)
    }

    /// Freezes a container that moves; says whether it did.
    async fn hold_still(&self, cell: &Arc<Cell>) -> Result<bool, ContainerError> {
        let moves = matches!(cell.record().state, crate::State::Running { paused: false, .. });
        if !moves {
            return Ok(false);
        }
        cell.update(|live| live.record.held_still = true)?;
        base::crash::point("container: about to stand still for an image");
        match self.pause_in_turn(cell, true).await {
            Ok(frozen) => Ok(frozen),
            Err(error) => {
                cell.note(|live| live.record.held_still = false);
                // One that has just ended stands still by itself.
                if cell.live().record.state.runs() { Err(error) } else { Ok(false) }
            }
        }
    }

    fn commit_now(&self, cell: &Cell, commit: Commit) -> Result<ImageId, MakeError> {
        let record = cell.record();
        let failed = |problem: &dyn Problem| MakeError::Images {
            name: record.name.to_string(),
            source: Report::of(problem),
        };
        let images = &self.inner.rooms.images;
        let rootfs = self.rootfs(&record)?;
        let places = changes::places(&rootfs).map_err(|error| {
            ContainerError::io(format!("compare `{}` with its image", record.name), &error)
        })?;
        let parent = images.find(&record.image_id).map_err(|problem| failed(&problem))?;
        let mut hold = images.hold();
        base::crash::point("container: about to become an image");
        let layer = LayerSource::Upper(&rootfs.upper, &places);
        let made = images.commit(&mut hold, Some(&parent.id), layer, commit.config);
        let id = made.map_err(|problem| failed(&problem))?;
        base::crash::point("container: became an image");
        images.tell(&id, images::Happening::Created);
        if let Some(name) = &commit.name {
            images.tag(&id.to_string(), name).map_err(|problem| failed(&problem))?;
        }
        base::crash::point("container: image named");
        Ok(id)
    }
}
