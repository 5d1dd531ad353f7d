//! Taking in archives: `docker save` in its old and its new layout, and OCI layouts.
//!
//! An archive is spooled, its documents say which images it holds, each layer is unpacked and held to its digest, and
//! only then do names change: all images of an archive come in together, or none does.

mod documents;
mod errors;
mod publish;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use oci::{Digest, Reference, chain_ids};

pub use errors::LoadError;
pub(crate) use publish::{NewImage, NewLayer, Origin};

use crate::apply;
use crate::archive::{Archive, Spooled};
use crate::disk::OnPath as _;
use crate::events;
use crate::image::ImageId;
use crate::journal::Happening;
use crate::pipeline::{self, Pieces};
use crate::state::{LayerRecord, Packing};
use crate::store::{Hold, Images, Inner, Place};
use documents::Found;

/// An image that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: ImageId,
    /// The names that it came with; from now on they mean this image.
    pub names: Vec<Reference>,
    /// Whether it was here already.
    pub known: bool,
}

/// How far a load is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So much of the archive is read.
    Read {
        /// Bytes of its files so far.
        bytes: u64,
    },
    /// A layer is being unpacked.
    Layer {
        /// Which.
        diff_id: Digest,
        /// Counted from 1.
        number: usize,
        /// Layers of this image.
        of: usize,
        /// Bytes of the layer as it came.
        bytes: u64,
    },
    /// A layer was here already.
    Known {
        /// Which.
        diff_id: Digest,
    },
}

impl Images {
    /// Takes in an archive: plain or packed with gzip or zstd, of `docker save` or an OCI layout.
    ///
    /// Layers are verified, unpacked, and shared with those that are here; those may be left out of the archive. Loading again mends what [`Images::fsck`]
    /// found damaged.
    pub fn load(
        &self,
        reader: impl Read,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Loaded>, LoadError> {
        let inner = &*self.0;
        let work = inner.work()?;
        let archive = Archive::spool(reader, &work.path, &inner.limits, progress)?;
        let found = documents::images(&archive, &inner.limits)?;
        let mut hold = self.hold();
        let mut images = Vec::with_capacity(found.len());
        let mut intake =
            Intake { inner, work: &work.path, hold: &mut hold, unpacked: HashMap::new(), progress };
        for image in found {
            let layers = intake.layers(&image)?;
            let id = ImageId(Digest::sha256(&image.config_bytes));
            images.push(NewImage {
                id,
                config: image.config_bytes,
                layers,
                names: image.names,
                parent: None,
                origin: None,
            });
        }
        let loaded = inner.publish(&work.path, &mut hold, images)?;
        for image in &loaded {
            let names: Vec<String> = image.names.iter().map(Reference::familiar).collect();
            events::loaded(&image.id, &names.join(", "));
            self.tell(&image.id, Happening::Loaded);
        }
        Ok(loaded)
    }
}

/// Where a layer is unpacked.
pub(crate) struct Shelf<'a> {
    /// The layers below it, the topmost first.
    pub(crate) lower: &'a [PathBuf],
    /// The folder for work under way.
    pub(crate) work: &'a Path,
}

/// A load under way.
struct Intake<'a> {
    inner: &'a Inner,
    work: &'a Path,
    hold: &'a mut Hold,
    /// What was unpacked for an image before: images of one archive mostly share layers.
    unpacked: HashMap<Digest, LayerRecord>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Intake<'_> {
    fn layers(&mut self, image: &Found) -> Result<Vec<NewLayer>, LoadError> {
        let diff_ids = &image.config.rootfs.diff_ids;
        let mut layers: Vec<NewLayer> = Vec::with_capacity(diff_ids.len());
        // The topmost first, as whoever applies the next one wants them.
        let mut lower: Vec<PathBuf> = Vec::new();
        for (number, (chain_id, (diff_id, blob))) in
            chain_ids(diff_ids).into_iter().zip(diff_ids.iter().zip(&image.layers)).enumerate()
        {
            let aside = self.work.join(chain_id.hex()).join("diff");
            let layer = if let Some(record) = self.unpacked.get(&chain_id) {
                lower.insert(0, aside);
                NewLayer { record: record.clone(), blob: None, folder: None }
            } else if let Some(record) = self.inner.known_layer(&chain_id, self.hold) {
                (self.progress)(Progress::Known { diff_id: diff_id.clone() });
                lower.insert(0, self.inner.diff_path(&chain_id));
                NewLayer { record, blob: None, folder: None }
            } else {
                let missing = || LoadError::Missing { entry: blob.name.clone(), by: "an image".into() };
                let blob = blob.file.as_ref().ok_or_else(missing)?;
                let (number, of, bytes) = (number + 1, diff_ids.len(), blob.size);
                (self.progress)(Progress::Layer { diff_id: diff_id.clone(), number, of, bytes });
                let layer = self.inner.unpack(blob, chain_id, diff_id.clone(), &lower, self.work)?;
                self.unpacked.insert(layer.record.chain_id.clone(), layer.record.clone());
                lower.insert(0, aside);
                layer
            };
            layers.push(layer);
        }
        Ok(layers)
    }
}

impl Inner {
    /// Unpacks a layer into `work`, and refuses it unless it is what the image says.
    pub(crate) fn unpack(
        &self,
        blob: &Spooled,
        chain_id: Digest,
        diff_id: Digest,
        lower: &[PathBuf],
        work: &Path,
    ) -> Result<NewLayer, LoadError> {
        self.faults.point("image: layer about to be unpacked").on("write", work)?;
        let file = File::open(&blob.path).on("open", &blob.path)?;
        self.unpack_from(file, blob, chain_id, diff_id, &Shelf { lower, work })
    }

    /// The same from a reader of the blob's bytes, which need not be all there yet.
    pub(crate) fn unpack_from(
        &self,
        packed: impl Read + Send,
        blob: &Spooled,
        chain_id: Digest,
        diff_id: Digest,
        shelf: &Shelf<'_>,
    ) -> Result<NewLayer, LoadError> {
        let folder = shelf.work.join(chain_id.hex());
        let diff = folder.join("diff");
        fs::create_dir_all(&diff).on("create", &diff)?;
        let in_layer = |source| LoadError::Layer { layer: diff_id.clone(), source };
        let unpacking = |tar: &mut Pieces| apply::apply(tar, &diff, shelf.lower, &self.limits);
        let (applied, unpacked) = pipeline::unpacked(packed, &self.limits, unpacking).map_err(in_layer)?;
        // A blob that is not packed is its own tar, and whoever brought it has hashed these very bytes.
        let (got, tar_size) = unpacked.hashed.unwrap_or_else(|| (blob.digest.clone(), blob.size));
        let compression = unpacked.compression;
        if got != diff_id {
            return Err(LoadError::WrongLayer { want: diff_id, got });
        }
        let record = LayerRecord {
            chain_id,
            diff_id,
            blob: blob.digest.clone(),
            packing: Packing::from(compression),
            blob_size: blob.size,
            tar_size,
            size: applied.size,
        };
        Ok(NewLayer { record, blob: Some(blob.path.clone()), folder: Some(folder) })
    }

    /// A layer that is here whole, kept from collection until the hold ends.
    pub(crate) fn known_layer(&self, chain_id: &Digest, hold: &mut Hold) -> Option<LayerRecord> {
        let mut state = self.state();
        let layer = state.layer(chain_id)?.clone();
        let suspect = |place, digest: &Digest| state.suspect.contains(&(place, digest.clone()));
        let sound = !suspect(Place::Layer, &layer.chain_id)
            && !suspect(Place::Blob, &layer.blob)
            && self.diff_path(chain_id).is_dir()
            && fs::metadata(self.blob_path(&layer.blob)).is_ok_and(|meta| meta.len() == layer.blob_size);
        if !sound {
            return None;
        }
        hold.pin(&mut state, &layer.chain_id);
        hold.pin(&mut state, &layer.blob);
        Some(layer)
    }
}

#[cfg(test)]
mod tests;
