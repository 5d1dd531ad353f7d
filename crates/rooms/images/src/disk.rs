//! The disk: the few writes that the store does, and the errors that they end in.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use rustix::fs::{AtFlags, Dir, IFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// The disk did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} `{}`", path.display())]
pub struct DiskError {
    /// As in `write`.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Problem for DiskError {
    fn kind(&self) -> Kind {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
            io::ErrorKind::ReadOnlyFilesystem => Kind::Unavailable,
            io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk is full: free some space, for example with `sea image prune`, and try again; nothing is lost"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is read-only: look into the kernel log for disk errors, or mount it writable"
            }
            io::ErrorKind::PermissionDenied => {
                "run as root: unpacking an image sets owners and device numbers"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

/// Says what was being done on what when a call failed.
pub(crate) trait OnPath<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T, E: Into<io::Error>> OnPath<T> for Result<T, E> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|error| DiskError { doing, path: path.to_owned(), source: error.into() })
    }
}

/// Creates a folder and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(path).on("create", path)
}

/// Tells the file system that the folders in this one have nothing to do with each other.
///
/// ext4 then spreads them over its groups of inodes. Without it a new layer's files look for their inodes among those of
/// the layer that was removed a moment ago, one by one, since ext4 gives none out again for some seconds: 20,000 files
/// cost 1.3 s of processor time and not 0.2. File systems that know no such hint need none.
pub(crate) fn spread(path: &Path) {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(path, flags, Mode::empty()) else { return };
    if let Ok(flags) = rustix::fs::ioctl_getflags(&folder)
        && !flags.contains(IFlags::TOPDIR)
    {
        let _ = rustix::fs::ioctl_setflags(&folder, flags | IFlags::TOPDIR);
    }
}

/// Writes a file and brings it to the disk; the name is not durable until its folder is synced.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = File::create(path).on("create", path)?;
    file.write_all(bytes).on("write", path)?;
    file.sync_all().on("sync", path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|dir| dir.sync_all()).on("sync", path)
}

/// Brings everything written on this file system to the disk: one call for thousands of small files.
pub(crate) fn sync_file_system(path: &Path) -> Result<(), DiskError> {
    let dir = File::open(path).on("open", path)?;
    rustix::fs::syncfs(&dir).on("sync", path)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).on("rename", from)
}

/// Removes a file or a folder with all it holds; what is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.on("look at", path)?,
    };
    if meta.is_dir() { remove_tree(path) } else { fs::remove_file(path) }.on("remove", path)
}

/// Folders within folders that are removed in place; what is deeper is brought to the top first. A container can make
/// them deeper than any stack and any number of descriptors.
const IN_PLACE: usize = 64;

fn remove_tree(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(path, flags, Mode::empty())?;
    let mut spilled = 0;
    loop {
        let before = spilled;
        empty(&root, &root, 0, &mut spilled)?;
        if spilled == before {
            return fs::remove_dir(path);
        }
    }
}

/// Removes all that is in a folder; what is too deep goes to `root` under a number.
fn empty(folder: &OwnedFd, root: &OwnedFd, depth: usize, spilled: &mut u64) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            // Gone meanwhile, or moved to the top by ourselves.
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        if depth >= IN_PLACE {
            loop {
                *spilled += 1;
                let place = format!(".removed-{spilled}");
                match rustix::fs::renameat_with(folder, name, root, place.as_str(), RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => {}
                    moved => break moved?,
                }
            }
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = rustix::fs::openat(folder, name, flags, Mode::empty())?;
        empty(&inner, root, depth + 1, spilled)?;
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Bytes on the disk of a file or of a folder with all it holds; a file of several names counts once.
pub(crate) fn tree_size(path: &Path) -> Result<u64, DiskError> {
    use std::os::unix::fs::MetadataExt as _;
    let mut seen = std::collections::HashSet::new();
    let mut total = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let meta = match fs::symlink_metadata(&path) {
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta.on("look at", &path)?,
        };
        if meta.nlink() > 1 && !meta.is_dir() && !seen.insert(meta.ino()) {
            continue;
        }
        total += meta.blocks() * 512;
        if meta.is_dir() {
            for entry in fs::read_dir(&path).on("read", &path)? {
                left.push(entry.on("read", &path)?.path());
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Folders within folders, made name by name; gives the innermost.
    fn nest(top: &Path, depth: usize) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut here = rustix::fs::open(top, flags, Mode::empty()).expect("a folder of the test");
        for _ in 0..depth {
            rustix::fs::mkdirat(&here, "a", Mode::RWXU).expect("a folder");
            here = rustix::fs::openat(&here, "a", flags, Mode::empty()).expect("it was just made");
        }
        here
    }

    #[test]
    fn what_is_deeper_than_any_stack_is_removed_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).expect("a folder");
        fs::write(outside.join("file"), "stays").expect("a file");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join(".removed-1/x")).expect("folders");
        symlink(&outside, tree.join("link")).expect("a link");
        let deepest = nest(&tree, 30_000);
        rustix::fs::symlinkat(&outside, &deepest, "link").expect("a link");
        drop(deepest);
        remove(&tree).expect("all of it can be removed");
        assert!(!tree.exists());
        assert!(outside.join("file").exists());
        remove(&tree).expect("what is not there is removed already");
    }
}
