//! What a container changed of its image.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use base::ContainerId;
use runtime::order::Rootfs;

use crate::Containers;
use crate::problem::ContainerError;
use crate::root::off_thread;

/// What became of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is another than in the image.
    Modified,
    /// The image does not have it.
    Added,
    /// The image alone has it.
    Deleted,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The absolute path.
    pub path: PathBuf,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What is made in every container to mount at, and says nothing about what its program did.
const PLACES: [&str; 14] = [
    "/.dockerenv",
    "/dev",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
    "/sys/fs",
    "/sys/fs/cgroup",
];

impl Containers {
    /// What a container changed of its image, in the order of the paths.
    pub async fn changes(&self, id: &ContainerId) -> Result<Vec<Change>, ContainerError> {
        let cell = self.cell(id)?;
        let containers = self.clone();
        off_thread(move || {
            let record = cell.record();
            let rootfs = containers.rootfs(&record)?;
            let failed =
                |error| ContainerError::io(format!("compare `{}` with its image", record.name), &error);
            look(&rootfs).map_err(failed)
        })
        .await
    }

    /// What a container wrote above its image, and what all of its root comes to, in bytes.
    pub async fn sizes(&self, id: &ContainerId) -> Result<(u64, u64), ContainerError> {
        let cell = self.cell(id)?;
        let containers = self.clone();
        off_thread(move || {
            let record = cell.record();
            let rootfs = containers.rootfs(&record)?;
            let failed =
                |error| ContainerError::io(format!("measure the files of `{}`", record.name), &error);
            let own = written(&rootfs.upper).map_err(failed)?;
            let image = containers.inner.rooms.images.find(&record.image_id).map_or(0, |image| image.size);
            Ok((own, own + image))
        })
        .await
    }
}

/// The paths that are there to be mounted at, in a layer: only where they are empty and new.
pub(crate) fn is_place(path: &Path) -> bool {
    PLACES.iter().any(|place| Path::new(place) == path)
}

/// Bytes of the files in a layer; a file of several names counts once.
fn written(upper: &Path) -> io::Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut total = 0;
    each(upper, &mut |_, meta| {
        if !meta.is_dir() && (meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino()))) {
            total += meta.len();
        }
        Ok(())
    })?;
    Ok(total)
}

/// Calls for everything below a folder, by its path from there; what goes meanwhile is passed over.
fn each(top: &Path, found: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    let mut left = vec![PathBuf::new()];
    while let Some(inside) = left.pop() {
        let entries = match fs::read_dir(top.join(&inside)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = inside.join(entry?.file_name());
            let meta = match fs::symlink_metadata(top.join(&path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                meta => meta?,
            };
            found(&path, &meta)?;
            if meta.is_dir() {
                left.push(path);
            }
        }
    }
    Ok(())
}

fn look(rootfs: &Rootfs) -> io::Result<Vec<Change>> {
    let mut changes: BTreeMap<PathBuf, ChangeKind> = BTreeMap::new();
    let mut folders = Vec::new();
    each(&rootfs.upper, &mut |inside, meta| {
        let path = Path::new("/").join(inside);
        if meta.file_type().is_char_device() && meta.rdev() == 0 {
            changes.insert(path, ChangeKind::Deleted);
            return Ok(());
        }
        let below = below(&rootfs.lower, inside)?;
        if meta.is_dir() {
            folders.push((inside.to_owned(), below.is_some()));
        }
        let kind = match below {
            None => ChangeKind::Added,
            // A folder that only holds something changed looks as it did.
            Some(below) if meta.is_dir() && below.is_dir() && same(meta, &below) => return Ok(()),
            Some(_) => ChangeKind::Modified,
        };
        changes.insert(path, kind);
        Ok(())
    })?;
    for (inside, known) in folders {
        hidden(rootfs, &inside, known, &mut changes)?;
    }
    forget_places(rootfs, &mut changes);
    let parents: Vec<PathBuf> =
        changes.keys().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).collect();
    for parent in parents.into_iter().filter(|parent| parent != Path::new("/")) {
        changes.entry(parent).or_insert(ChangeKind::Modified);
    }
    Ok(changes.into_iter().map(|(path, kind)| Change { path, kind }).collect())
}

/// What an image has in a folder that hides it whole.
fn hidden(
    rootfs: &Rootfs,
    inside: &Path,
    known: bool,
    changes: &mut BTreeMap<PathBuf, ChangeKind>,
) -> io::Result<()> {
    if !known || !is_opaque(&rootfs.upper.join(inside)) {
        return Ok(());
    }
    for layer in &rootfs.lower {
        let Ok(entries) = fs::read_dir(layer.join(inside)) else { continue };
        for entry in entries {
            let path = inside.join(entry?.file_name());
            if below(&rootfs.lower, &path)?.is_some()
                && fs::symlink_metadata(rootfs.upper.join(&path)).is_err()
            {
                changes.insert(Path::new("/").join(path), ChangeKind::Deleted);
            }
        }
    }
    Ok(())
}

fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 1];
    rustix::fs::getxattr(folder, "trusted.overlay.opaque", &mut value).is_ok_and(|_| value == *b"y")
}

/// What an image has at a path: the topmost layer that says anything of it decides.
fn below(layers: &[PathBuf], inside: &Path) -> io::Result<Option<fs::Metadata>> {
    for layer in layers {
        let mut here = layer.clone();
        let mut hides = false;
        let mut last = None;
        for name in inside {
            here.push(name);
            match fs::symlink_metadata(&here) {
                Ok(meta) if meta.file_type().is_char_device() && meta.rdev() == 0 => return Ok(None),
                Ok(meta) => {
                    hides |= meta.is_dir() && is_opaque(&here);
                    last = Some(meta);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    last = None;
                    break;
                }
                // Something on the way is no folder here, and hides those of layers below.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        if last.is_some() {
            return Ok(last);
        }
        if hides {
            return Ok(None);
        }
    }
    Ok(None)
}

fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    let looks = |meta: &fs::Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
    looks(one) == looks(other)
}

/// Takes out what was made to mount at, and folders that hold nothing else.
fn forget_places(rootfs: &Rootfs, changes: &mut BTreeMap<PathBuf, ChangeKind>) {
    let places: Vec<PathBuf> = changes
        .iter()
        .filter(|(path, kind)| **kind == ChangeKind::Added && is_place(path))
        .map(|(path, _)| path.clone())
        .collect();
    // The innermost first, so that a folder is empty of others by then.
    for place in places.into_iter().rev() {
        let real = rootfs.upper.join(place.strip_prefix("/").unwrap_or(&place));
        let empty = match fs::symlink_metadata(&real) {
            Ok(meta) if meta.is_dir() => {
                !changes.range(place.clone()..).skip(1).any(|(path, _)| path.starts_with(&place))
            }
            Ok(meta) => meta.len() == 0 || meta.is_symlink(),
            Err(_) => false,
        };
        if empty {
            changes.remove(&place);
        }
    }
    // `/etc` was touched by that alone.
    let etc = Path::new("/etc");
    let holds = changes.keys().any(|path| path != etc && path.starts_with(etc));
    if !holds && !below(&rootfs.lower, Path::new("etc")).is_ok_and(|below| below.is_some()) {
        changes.remove(etc);
    }
}

#[cfg(test)]
mod tests;
