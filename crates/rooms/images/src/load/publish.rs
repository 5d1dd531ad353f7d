//! Bringing new images under their final names, in an order in which a crash at any point harms nothing.

use std::path::{Path, PathBuf};

use oci::{Digest, Reference};

use super::{LoadError, Loaded};
use crate::disk::{self, DiskError, OnPath as _};
use crate::image::ImageId;
use crate::state::{ImageRecord, LayerRecord};
use crate::store::{Hold, Inner, Place, State};

/// An image that is ready to come in.
pub(crate) struct NewImage {
    pub(crate) id: ImageId,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<NewLayer>,
    pub(crate) names: Vec<Reference>,
    /// The image that it was made from, if it was made here.
    pub(crate) parent: Option<ImageId>,
    /// Where it came from, if it came from a registry.
    pub(crate) origin: Option<Origin>,
}

/// Which image of which registry it is.
pub(crate) struct Origin {
    /// Its manifest to the byte.
    pub(crate) manifest: Vec<u8>,
    /// The repository with the digest that names it there.
    pub(crate) called: Reference,
}

/// A layer of it, with its files if the store does not have them.
pub(crate) struct NewLayer {
    pub(crate) record: LayerRecord,
    /// The tar as it came.
    pub(crate) blob: Option<PathBuf>,
    /// The folder that holds its `diff`.
    pub(crate) folder: Option<PathBuf>,
}

impl Inner {
    /// Content first, on the disk; then final names; then the record, which alone makes an image exist.
    pub(crate) fn publish(
        &self,
        work: &Path,
        hold: &mut Hold,
        images: Vec<NewImage>,
    ) -> Result<Vec<Loaded>, LoadError> {
        for (number, image) in images.iter().enumerate() {
            let path = config_path(work, number);
            disk::write_synced(&path, &image.config)?;
            if let Some(origin) = &image.origin {
                disk::write_synced(&manifest_path(work, number), &origin.manifest)?;
            }
        }
        self.faults.point("image: configurations written").on("sync", work)?;
        // One call for thousands of files; an image that only changes its configuration does not wait for it.
        if images
            .iter()
            .flat_map(|image| &image.layers)
            .any(|layer| layer.folder.is_some() || layer.blob.is_some())
        {
            disk::sync_file_system(&self.dir)?;
        }
        let mut state = self.state();
        for (number, image) in images.iter().enumerate() {
            self.place(&mut state, hold, &config_path(work, number), &image.id.0, Place::Blob)?;
            if let Some(origin) = &image.origin {
                let digest = Digest::sha256(&origin.manifest);
                self.place(&mut state, hold, &manifest_path(work, number), &digest, Place::Blob)?;
            }
            for layer in &image.layers {
                if let Some(blob) = &layer.blob {
                    self.place(&mut state, hold, blob, &layer.record.blob, Place::Blob)?;
                }
                if let Some(folder) = &layer.folder {
                    self.place(&mut state, hold, folder, &layer.record.chain_id, Place::Layer)?;
                }
            }
        }
        self.faults.point("image: content placed").on("sync", &self.dir)?;
        disk::sync_dir(&self.dir.join("blobs/sha256"))?;
        disk::sync_dir(&self.dir.join("layers"))?;
        self.enter(&mut state, images)
    }

    /// Gives a file or folder its final name, unless something sound has it.
    fn place(
        &self,
        state: &mut State,
        hold: &mut Hold,
        from: &Path,
        digest: &Digest,
        kind: Place,
    ) -> Result<(), DiskError> {
        let to = match kind {
            Place::Blob => self.blob_path(digest),
            Place::Layer => self.layer_path(digest),
        };
        hold.pin(state, digest);
        self.faults.point("image: content about to be placed").on("rename", from)?;
        if to.symlink_metadata().is_ok() {
            let len = |path: &Path| std::fs::metadata(path).map(|meta| meta.len());
            let whole = match kind {
                Place::Layer => to.join("diff").is_dir(),
                Place::Blob => len(&to).ok() == len(from).ok(),
            };
            if !from.exists() || (whole && !state.suspect.contains(&(kind, digest.clone()))) {
                return Ok(());
            }
            self.discard(&to)?.map_or(Ok(()), |trash| disk::remove(&trash))?;
        }
        // Two images of one archive may bring the same file; the first has moved it.
        if !from.exists() {
            return Ok(());
        }
        disk::rename(from, &to)?;
        state.suspect.remove(&(kind, digest.clone()));
        Ok(())
    }

    fn enter(&self, state: &mut State, images: Vec<NewImage>) -> Result<Vec<Loaded>, LoadError> {
        let added = self.clock.wall();
        let most = self.limits.images;
        self.change(state, |record| {
            let mut loaded = Vec::with_capacity(images.len());
            for image in images {
                let known = record.images.contains_key(&image.id);
                let layers = image.layers.into_iter().map(|layer| layer.record).collect();
                let entry = record
                    .images
                    .entry(image.id.clone())
                    .or_insert_with(|| ImageRecord { parent: image.parent, ..ImageRecord::new(added) });
                entry.layers = layers;
                if let Some(origin) = image.origin {
                    entry.manifest = Some(Digest::sha256(&origin.manifest));
                    entry.digests.insert(origin.called);
                    entry.pulled = Some(added);
                }
                for name in &image.names {
                    record.names.insert(name.clone(), image.id.clone());
                }
                loaded.push(Loaded { id: image.id, names: image.names, known });
            }
            if record.images.len() > most || record.names.len() > most {
                Err(LoadError::Full { most })
            } else {
                Ok(loaded)
            }
        })
    }
}

fn manifest_path(work: &Path, number: usize) -> PathBuf {
    work.join(format!("manifest{number}"))
}

fn config_path(work: &Path, number: usize) -> PathBuf {
    work.join(format!("config{number}"))
}
