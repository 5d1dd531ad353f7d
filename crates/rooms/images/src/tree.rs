//! A folder that entries are put into, one name at a time, never through a symbolic link.
//!
//! Every path is resolved by the kernel beneath the folder's descriptor with no links and no other file system on the
//! way, so that whatever an archive says, nothing outside the folder is touched.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// No link of any kind is followed, and the way stays beneath the start on one file system.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// The overlay attribute that hides what lower layers have in a folder.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// Opens a path beneath `root` without following a link; `.` for the empty path.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(
        root,
        OsStr::from_bytes(path),
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
        RESOLVE,
    )
}

/// Opens a folder as a root to work beneath.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// What a name in a folder is; none when nothing is there.
pub(crate) fn stat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        stat => stat.map(Some),
    }
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether this is how an overlay marks a deleted name: a character device 0/0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Marks a name as deleted.
pub(crate) fn make_whiteout(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    rustix::fs::mknodat(dir, OsStr::from_bytes(name), FileType::CharacterDevice, Mode::empty(), 0)
}

/// Marks a folder as hiding what lower layers have in it.
pub(crate) fn make_opaque(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fsetxattr(dir, OPAQUE, b"y", rustix::fs::XattrFlags::empty())
}

/// Removes a name with all that it holds.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let os_name = OsStr::from_bytes(name);
    match rustix::fs::unlinkat(dir, os_name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    // Depth is bounded by the length of the paths that made it; the stack holds one descriptor a level at most.
    let inner = open_beneath(dir, name, OFlags::DIRECTORY | OFlags::RDONLY)?;
    for entry in rustix::fs::Dir::read_from(&inner)? {
        let entry = entry?;
        let child = entry.file_name().to_bytes();
        if child != b"." && child != b".." {
            remove(inner.as_fd(), child)?;
        }
    }
    Ok(rustix::fs::unlinkat(dir, os_name, AtFlags::REMOVEDIR)?)
}

/// A new file in a folder, open for writing; fails if the name is taken.
pub(crate) fn create_file(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, OsStr::from_bytes(name), flags, Mode::from_raw_mode(mode)).map(File::from)
}
