//! Making images here: a parent, one more layer or none, and a configuration.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use oci::{Digest, ImageConfig, Sha256Hasher};

use crate::apply::LayerError;
use crate::archive::Spooled;
use crate::disk::{self, DiskError, OnPath as _};
use crate::find::FindError;
use crate::image::ImageId;
use crate::load::{LoadError, NewImage, NewLayer};
pub use crate::pack::PackOptions;
use crate::pack::{self, Way};
use crate::state::{LayerRecord, Packing};
use crate::store::{Hold, Images};

/// What the new layer is made of.
pub enum LayerSource<'a> {
    /// The image differs from its parent in its configuration only.
    None,
    /// A snapshot's upper folder, which becomes the layer; it must not be mounted any more, and is gone afterwards.
    Snapshot(&'a str, PackOptions),
    /// A folder with an overlay's marks for deletions, or without any; it stays as it is.
    Dir(&'a Path, PackOptions),
    /// The same without these paths, below the folder, which are there for the mounts of whoever runs above it, and
    /// without devices.
    Upper(&'a Path, &'a [PathBuf]),
    /// A layer's tar, plain or packed.
    Tar(&'a mut dyn Read),
    /// The last layer of another image, as it is there.
    LastOf(&'a ImageId),
}

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// There is no such parent.
    #[error(transparent)]
    Find(#[from] FindError),
    /// There is no such snapshot.
    #[error("no snapshot `{0}` is here")]
    NoSnapshot(String),
    /// The folder cannot be packed.
    #[error("could not make a layer of `{}`", path.display())]
    Pack {
        /// The folder.
        path: PathBuf,
        /// Why, with the entry.
        source: LayerError,
    },
    /// The layer or the image was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for CommitError {
    fn kind(&self) -> Kind {
        match self {
            Self::Find(find) => find.kind(),
            Self::NoSnapshot(_) => Kind::NotFound,
            Self::Pack { source, .. } => source.kind(),
            Self::Load(load) => load.kind(),
            Self::Disk(disk) => disk.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Find(find) => find.hint(),
            Self::NoSnapshot(_) | Self::Pack { .. } => None,
            Self::Load(load) => load.hint(),
            Self::Disk(disk) => disk.hint(),
        }
    }
}

impl Images {
    /// Makes an image of a parent (none for scratch), a layer on top, and a configuration.
    ///
    /// The configuration is the caller's, with its history; `rootfs` is filled in here. The image has no name yet;
    /// `hold` keeps it from being collected until it is dropped.
    pub fn commit(
        &self,
        hold: &mut Hold,
        parent: Option<&ImageId>,
        layer: LayerSource<'_>,
        config: ImageConfig,
    ) -> Result<ImageId, CommitError> {
        let inner = &*self.0;
        let work = inner.work()?;
        let mut layers: Vec<NewLayer> = Vec::new();
        if let Some(parent) = parent {
            let mut state = inner.state();
            let record = state.record.images.get(parent);
            let record = record.ok_or_else(|| FindError::NoImage { name: parent.to_string() })?.clone();
            for layer in record.layers {
                hold.pin(&mut state, &layer.chain_id);
                hold.pin(&mut state, &layer.blob);
                layers.push(NewLayer { record: layer, blob: None, folder: None });
            }
        }
        let taken = match &layer {
            LayerSource::Snapshot(key, _) => Some((*key).to_owned()),
            LayerSource::None
            | LayerSource::Dir(..)
            | LayerSource::Upper(..)
            | LayerSource::Tar(_)
            | LayerSource::LastOf(_) => None,
        };
        layers.extend(match layer {
            LayerSource::LastOf(image) => Some(self.last_layer(&layers, image, hold, &work.path)?),
            layer => self.new_layer(&layers, layer, &work.path)?,
        });
        let mut config = config;
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.record.diff_id.clone()).collect();
        let bytes = serde_json::to_vec(&config).map_err(io::Error::other).on("write", &work.path)?;
        let id = ImageId(Digest::sha256(&bytes));
        // An image that says the same as its parent is its parent.
        let parent = parent.filter(|parent| **parent != id).cloned();
        let image =
            NewImage { id: id.clone(), config: bytes, layers, names: Vec::new(), parent, origin: None };
        inner.publish(&work.path, hold, vec![image])?;
        if let Some(key) = taken {
            // Its upper folder is the layer now; what remains is empty.
            inner.state().snapshots.remove(&key);
            disk::remove(&inner.snapshot_path(&key))?;
        }
        Ok(id)
    }

    /// Makes an image of the lowest layers of another, with this configuration; its history is cut to them too.
    pub fn cut(
        &self,
        hold: &mut Hold,
        image: &ImageId,
        layers: usize,
        mut config: ImageConfig,
    ) -> Result<ImageId, CommitError> {
        let inner = &*self.0;
        let work = inner.work()?;
        let kept = {
            let mut state = inner.state();
            let record = state.record.images.get(image);
            let record = record.ok_or_else(|| FindError::NoImage { name: image.to_string() })?.clone();
            let kept: Vec<_> = record.layers.into_iter().take(layers).collect();
            for layer in &kept {
                hold.pin(&mut state, &layer.chain_id);
                hold.pin(&mut state, &layer.blob);
            }
            kept
        };
        config.rootfs.diff_ids = kept.iter().map(|layer| layer.diff_id.clone()).collect();
        let mut left = kept.len();
        config.history.retain(|step| {
            let stays = left > 0;
            left -= usize::from(stays && !step.empty_layer);
            stays
        });
        let bytes = serde_json::to_vec(&config).map_err(io::Error::other).on("write", &work.path)?;
        let id = ImageId(Digest::sha256(&bytes));
        let layers = kept.into_iter().map(|record| NewLayer { record, blob: None, folder: None }).collect();
        let image =
            NewImage { id: id.clone(), config: bytes, layers, names: Vec::new(), parent: None, origin: None };
        inner.publish(&work.path, hold, vec![image])?;
        Ok(id)
    }

    fn new_layer(
        &self,
        below: &[NewLayer],
        layer: LayerSource<'_>,
        work: &Path,
    ) -> Result<Option<NewLayer>, CommitError> {
        let inner = &*self.0;
        let lower: Vec<PathBuf> =
            below.iter().rev().map(|layer| inner.diff_path(&layer.record.chain_id)).collect();
        match layer {
            LayerSource::None | LayerSource::LastOf(_) => Ok(None),
            LayerSource::Snapshot(key, options) => {
                if !inner.state().snapshots.contains_key(key) {
                    return Err(CommitError::NoSnapshot(key.to_owned()));
                }
                let upper = inner.snapshot_path(key).join("upper");
                let blob = pack_blob(&upper, work, options, Way::Settle)?;
                let record = plain_record(below, &blob, disk::tree_size(&upper)?);
                let folder = work.join(record.chain_id.hex());
                disk::make_dir(&folder)?;
                inner.faults.point("image: layer packed").on("rename", &upper)?;
                disk::rename(&upper, &folder.join("diff"))?;
                Ok(Some(NewLayer { record, blob: Some(blob.path), folder: Some(folder) }))
            }
            LayerSource::Upper(path, without) => {
                let blob = pack_blob(path, work, PackOptions::default(), Way::OfContainer(without))?;
                let record = plain_record(below, &blob, 0);
                Ok(Some(inner.unpack(&blob, record.chain_id, record.diff_id, &lower, work)?))
            }
            LayerSource::Dir(path, options) => {
                let blob = pack_blob(path, work, options, Way::Keep)?;
                let record = plain_record(below, &blob, 0);
                Ok(Some(inner.unpack(&blob, record.chain_id, record.diff_id, &lower, work)?))
            }
            LayerSource::Tar(reader) => {
                let blob = spool(reader, work)?;
                let diff_id = self.diff_id(&blob)?;
                let record = LayerRecord { diff_id, ..plain_record(below, &blob, 0) };
                let chain_id = chain_above(below, &record.diff_id);
                Ok(Some(inner.unpack(&blob, chain_id, record.diff_id, &lower, work)?))
            }
        }
    }

    /// The last layer of an image above other layers.
    fn last_layer(
        &self,
        below: &[NewLayer],
        image: &ImageId,
        hold: &mut Hold,
        work: &Path,
    ) -> Result<NewLayer, CommitError> {
        let inner = &*self.0;
        let layer = {
            let mut state = inner.state();
            let record = state.record.images.get(image);
            let layer = record.and_then(|record| record.layers.last());
            let layer = layer.ok_or_else(|| FindError::NoImage { name: image.to_string() })?.clone();
            hold.pin(&mut state, &layer.blob);
            layer
        };
        let chain_id = chain_above(below, &layer.diff_id);
        if let Some(record) = inner.known_layer(&chain_id, hold) {
            return Ok(NewLayer { record, blob: None, folder: None });
        }
        let lower: Vec<PathBuf> =
            below.iter().rev().map(|layer| inner.diff_path(&layer.record.chain_id)).collect();
        let blob =
            Spooled { path: inner.blob_path(&layer.blob), digest: layer.blob.clone(), size: layer.blob_size };
        let unpacked = inner.unpack(&blob, chain_id, layer.diff_id, &lower, work)?;
        // The blob has its place already.
        Ok(NewLayer { blob: None, ..unpacked })
    }

    /// The digest of a layer's uncompressed tar.
    fn diff_id(&self, blob: &Spooled) -> Result<Digest, CommitError> {
        let file = File::open(&blob.path).on("open", &blob.path)?;
        let refused =
            |error| LoadError::Layer { layer: blob.digest.clone(), source: LayerError::from_read(error) };
        let (_, reader) = crate::compression::unpacked(file, &self.0.limits).map_err(refused)?;
        let mut hasher = Sha256Hasher::new(reader);
        io::copy(&mut hasher, &mut io::sink()).map_err(refused)?;
        Ok(hasher.finish().1)
    }
}

fn chain_above(below: &[NewLayer], diff_id: &Digest) -> Digest {
    match below.last() {
        None => diff_id.clone(),
        Some(layer) => Digest::sha256(format!("{} {diff_id}", layer.record.chain_id).as_bytes()),
    }
}

/// The record of a layer whose blob is a plain tar.
fn plain_record(below: &[NewLayer], blob: &Spooled, size: u64) -> LayerRecord {
    LayerRecord {
        chain_id: chain_above(below, &blob.digest),
        diff_id: blob.digest.clone(),
        blob: blob.digest.clone(),
        packing: Packing::Tar,
        blob_size: blob.size,
        tar_size: blob.size,
        size,
    }
}

fn pack_blob(dir: &Path, work: &Path, options: PackOptions, way: Way<'_>) -> Result<Spooled, CommitError> {
    let path = work.join("layer.tar");
    let file = File::create(&path).on("create", &path)?;
    let out = BufWriter::with_capacity(256 << 10, Sha256Hasher::new(file));
    let (out, devices) = pack::pack(dir, out, options, way)
        .map_err(|source| CommitError::Pack { path: dir.to_owned(), source })?;
    if !devices.is_empty() {
        crate::events::without_devices(&devices);
    }
    let (_, digest, size) =
        out.into_inner().map_err(io::IntoInnerError::into_error).on("write", &path)?.finish();
    Ok(Spooled { path, digest, size })
}

fn spool(reader: &mut dyn Read, work: &Path) -> Result<Spooled, CommitError> {
    let path = work.join("layer.tar");
    let file = File::create(&path).on("create", &path)?;
    let mut out = Sha256Hasher::new(file);
    io::copy(reader, &mut out).on("write", &path)?;
    out.flush().on("write", &path)?;
    let (_, digest, size) = out.finish();
    Ok(Spooled { path, digest, size })
}

#[cfg(test)]
mod tests;
