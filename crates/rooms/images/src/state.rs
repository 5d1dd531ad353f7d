//! The record on disk: which images are here, of which layers, and under which names.
//!
//! `images.json` is versioned and replaced as a whole: the new one is written beside it, brought to the disk and
//! renamed over the old one. Maps are sorted, so equal records are equal files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use base::Timestamp;
use oci::{Compression, Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, OnPath as _};
use crate::fault::Faults;
use crate::image::ImageId;

/// The version of the record that this program writes.
pub(crate) const VERSION: u32 = 1;

/// What `images.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) images: BTreeMap<ImageId, ImageRecord>,
    pub(crate) names: BTreeMap<Reference, ImageId>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) added: Timestamp,
    /// When it got a name here last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tagged: Option<Timestamp>,
    /// The image that it was made from here; it may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<ImageId>,
    /// The lowest first.
    pub(crate) layers: Vec<LayerRecord>,
    /// What it is called at registries: repositories with the digest of its manifest or index there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) digests: BTreeSet<Reference>,
    /// Its manifest as it came, a blob: pushed as it is, it stays the same image everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Digest>,
    /// When a registry last said that this is what a name means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pulled: Option<Timestamp>,
}

impl ImageRecord {
    /// An image without anything yet.
    pub(crate) fn new(added: Timestamp) -> Self {
        Self {
            added,
            tagged: None,
            parent: None,
            layers: Vec::new(),
            digests: BTreeSet::new(),
            manifest: None,
            pulled: None,
        }
    }
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Names the unpacked folder.
    pub(crate) chain_id: Digest,
    /// The uncompressed tar.
    pub(crate) diff_id: Digest,
    /// The tar as it came.
    pub(crate) blob: Digest,
    pub(crate) packing: Packing,
    /// Bytes of the blob.
    pub(crate) blob_size: u64,
    /// Bytes of the uncompressed tar.
    pub(crate) tar_size: u64,
    /// Bytes of the files.
    pub(crate) size: u64,
}

/// How a layer's blob is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Packing {
    Tar,
    Gzip,
    Zstd,
}

impl From<Compression> for Packing {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Tar,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}

impl From<Packing> for Compression {
    fn from(packing: Packing) -> Self {
        match packing {
            Packing::Tar => Self::None,
            Packing::Gzip => Self::Gzip,
            Packing::Zstd => Self::Zstd,
        }
    }
}

/// Why the record cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Disk(DiskError),
    Damaged(serde_json::Error),
    Newer(u32),
}

impl Default for Record {
    fn default() -> Self {
        Self { version: VERSION, images: BTreeMap::new(), names: BTreeMap::new() }
    }
}

impl Record {
    /// Reads the record; an absent file is an empty record.
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes.on("read", path).map_err(Unreadable::Disk)?,
        };
        // The version alone is read first: the rest of a newer record may look like damage.
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(Unreadable::Damaged)?;
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        serde_json::from_slice(&bytes).map_err(Unreadable::Damaged)
    }

    /// Replaces the record on disk; when this fails the old one stands.
    pub(crate) fn write(&self, path: &Path, incoming: &Path, faults: &Faults) -> Result<(), DiskError> {
        let fresh = incoming.join("images.json");
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other).on("write", &fresh)?;
        faults.point("image: record about to change").on("write", &fresh)?;
        disk::write_synced(&fresh, &text)?;
        faults.point("image: record beside").on("rename", &fresh)?;
        disk::rename(&fresh, path)?;
        faults.point("image: record written").on("sync", path)?;
        disk::sync_dir(path.parent().unwrap_or(path))
    }

    /// The names of this image, sorted.
    pub(crate) fn names_of(&self, image: &ImageId) -> Vec<Reference> {
        self.names.iter().filter(|(_, id)| *id == image).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
