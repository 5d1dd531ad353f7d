//! Snapshots: a container's own writable folders above an image's shared layers.
//!
//! A snapshot is folders only; whoever runs the container mounts them. Nothing is brought to the disk by force: a
//! snapshot that a crash of the machine takes away is made again, and one half made is not there at all.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use rustix::fs::{Gid, Mode, OFlags, Uid};

use crate::disk::{self, DiskError, OnPath as _};
use crate::find::FindError;
use crate::image::ImageId;
use crate::store::{Images, Inner, SnapshotState};

/// What an overlay is mounted of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The image's layers, the topmost first; never empty.
    pub lower: Vec<PathBuf>,
    /// What the container writes.
    pub upper: PathBuf,
    /// The overlay's own; on the same file system as `upper`.
    pub work: PathBuf,
}

/// Why a snapshot was not made or dropped.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The key is no file's name.
    #[error("`{0}` is not a snapshot's key")]
    BadKey(String),
    /// The key is taken by a snapshot of another image.
    #[error("snapshot `{key}` is one of image `{image}` already")]
    Taken {
        /// The key.
        key: String,
        /// Its image.
        image: ImageId,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for SnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::Find(find) => find.kind(),
            Self::BadKey(_) => Kind::Invalid,
            Self::Taken { .. } => Kind::Conflict,
            Self::Disk(disk) => disk.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Find(find) => find.hint(),
            Self::BadKey(_) => {
                Some("use letters, digits, `_`, `.` and `-`, beginning with a letter or digit".into())
            }
            Self::Taken { .. } => Some("drop that snapshot first".into()),
            Self::Disk(disk) => disk.hint(),
        }
    }
}

impl Images {
    /// Prepares a container's root above an image. The same call again answers the same, with what was written.
    pub fn snapshot(&self, image: &ImageId, key: &str) -> Result<Snapshot, SnapshotError> {
        check_key(key)?;
        let inner = &*self.0;
        let mut state = inner.state();
        let chain: Vec<_> = match state.record.images.get(image) {
            Some(record) => record.layers.iter().rev().map(|layer| layer.chain_id.clone()).collect(),
            None => return Err(FindError::NoImage { name: image.to_string() }.into()),
        };
        let folder = inner.snapshot_path(key);
        let snapshot =
            Snapshot { lower: inner.lower(&chain), upper: folder.join("upper"), work: folder.join("work") };
        match state.snapshots.get_mut(key) {
            Some(there) if there.image != *image => {
                return Err(SnapshotError::Taken { key: key.into(), image: there.image.clone() });
            }
            Some(there) if snapshot.upper.is_dir() && snapshot.work.is_dir() => {
                there.fresh = true;
                return Ok(snapshot);
            }
            Some(_) | None => {}
        }
        inner.make_snapshot(image, &folder, &snapshot.lower[0])?;
        state.snapshots.insert(key.to_owned(), SnapshotState { image: image.clone(), fresh: true });
        Ok(snapshot)
    }

    /// Forgets a snapshot and removes what was written; one that is not there is dropped already.
    ///
    /// It must not be mounted any more.
    pub fn drop_snapshot(&self, key: &str) -> Result<(), SnapshotError> {
        self.release_snapshot(key)?.remove()
    }

    /// Forgets a snapshot, which is quick, and leaves it to the caller when to remove what was written, which is not.
    pub fn release_snapshot(&self, key: &str) -> Result<Trash, SnapshotError> {
        check_key(key)?;
        let inner = &*self.0;
        let mut state = inner.state();
        let trash = inner.discard(&inner.snapshot_path(key))?;
        state.snapshots.remove(key);
        Ok(Trash(trash))
    }

    /// The keys of all snapshots with their images.
    pub fn snapshots(&self) -> Vec<(String, ImageId)> {
        self.0.state().snapshots.iter().map(|(key, one)| (key.clone(), one.image.clone())).collect()
    }

    /// Bytes on the disk that a container wrote above its image.
    pub fn snapshot_size(&self, key: &str) -> Result<u64, SnapshotError> {
        check_key(key)?;
        Ok(disk::tree_size(&self.0.snapshot_path(key).join("upper"))?)
    }
}

/// What a snapshot that is forgotten has left on the disk. The next opening of the store removes it, if nobody does
/// before.
#[must_use]
#[derive(Debug)]
pub struct Trash(Option<PathBuf>);

impl Trash {
    /// Removes it.
    pub fn remove(self) -> Result<(), SnapshotError> {
        Ok(self.0.map_or(Ok(()), |path| disk::remove(&path))?)
    }
}

impl Inner {
    pub(crate) fn snapshot_path(&self, key: &str) -> PathBuf {
        self.dir.join("snapshots").join(key)
    }

    /// The lower folders of a chain given from the top down; an empty one for an image without layers.
    pub(crate) fn lower(&self, topmost_first: &[oci::Digest]) -> Vec<PathBuf> {
        if topmost_first.is_empty() {
            return vec![self.dir.join("empty")];
        }
        topmost_first.iter().map(|chain_id| self.diff_path(chain_id)).collect()
    }

    /// Made aside and renamed, so that a snapshot which has its name is whole.
    fn make_snapshot(&self, image: &ImageId, folder: &Path, top: &Path) -> Result<(), DiskError> {
        let aside = self.fresh_path();
        let (upper, work) = (aside.join("upper"), aside.join("work"));
        fs::create_dir(&aside).on("create", &aside)?;
        fs::create_dir(&upper).on("create", &upper)?;
        fs::create_dir(&work).on("create", &work)?;
        // The mounted root looks as `upper` does, and must look as the image's.
        let like = rustix::fs::stat(top).on("look at", top)?;
        let fd =
            rustix::fs::open(&upper, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .on("open", &upper)?;
        let (uid, gid) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
        rustix::fs::fchown(&fd, Some(uid), Some(gid)).on("change the owner of", &upper)?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(like.st_mode & 0o7777))
            .on("change the mode of", &upper)?;
        let note = aside.join("image");
        symlink(image.to_string(), &note).on("create", &note)?;
        self.faults.point("snapshot: made aside").on("rename", &aside)?;
        if let Some(trash) = self.discard(folder)? {
            disk::remove(&trash)?;
        }
        disk::rename(&aside, folder)
    }
}

/// The snapshots in a folder; the note of the image is a link's text, written and read in one call.
pub(crate) fn read_all(dir: &Path) -> Result<BTreeMap<String, SnapshotState>, DiskError> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).on("read", dir)? {
        let entry = entry.on("read", dir)?;
        let image = fs::read_link(entry.path().join("image"));
        let image = image.ok().as_deref().and_then(Path::to_str).and_then(|text| text.parse().ok());
        if let (Some(image), Some(key)) = (image, entry.file_name().to_str()) {
            found.insert(key.to_owned(), SnapshotState { image, fresh: false });
        }
    }
    Ok(found)
}

fn check_key(key: &str) -> Result<(), SnapshotError> {
    let fits = key.len() <= 200
        && key.starts_with(|c: char| c.is_ascii_alphanumeric())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if fits { Ok(()) } else { Err(SnapshotError::BadKey(key.chars().take(200).collect())) }
}

#[cfg(test)]
mod tests;
