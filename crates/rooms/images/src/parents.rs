//! The layers below one: what a name looks like to an overlay of them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use rustix::fs::{FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::tree;

/// Lower layers, the topmost first.
pub(crate) struct Parents(Vec<OwnedFd>);

impl Parents {
    /// A layer that is gone is passed over here; the mount would say so.
    pub(crate) fn open(lower: &[PathBuf]) -> Self {
        Self(lower.iter().filter_map(|path| tree::open_root(path).ok()).collect())
    }

    /// Gives a folder the owner, mode, attributes and times that it has below; a new one keeps what it has.
    ///
    /// Answers the time that it has below: what is put into the folder changes it.
    pub(crate) fn inherit(&self, parts: &[&[u8]], dir: BorrowedFd<'_>) -> Result<Option<Timespec>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Some((below, stat)) = self.find(parts, flags)? else { return Ok(None) };
        if tree::file_type(&stat) != FileType::Directory {
            return Ok(None);
        }
        copy_meta(below.as_fd(), &stat, dir)?;
        Ok(Some(mtime(&stat)))
    }

    /// A regular file below.
    pub(crate) fn find_file(&self, parts: &[&[u8]]) -> Result<Option<Below>, Errno> {
        let found = self.find(parts, OFlags::RDONLY | OFlags::NONBLOCK)?;
        Ok(found.and_then(|(fd, stat)| {
            (tree::file_type(&stat) == FileType::RegularFile).then(|| Below { file: File::from(fd), stat })
        }))
    }

    /// The topmost layer that says anything of this path decides.
    fn find(&self, parts: &[&[u8]], flags: OFlags) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        let path = parts.join(&b'/');
        for root in &self.0 {
            // A device or pipe is looked at before it would be opened.
            match tree::open_beneath(root.as_fd(), &path, OFlags::PATH) {
                Ok(there) => {
                    let stat = rustix::fs::fstat(&there)?;
                    let fits = matches!(tree::file_type(&stat), FileType::Directory | FileType::RegularFile);
                    return if fits {
                        Ok(Some((tree::open_beneath(root.as_fd(), &path, flags)?, stat)))
                    } else {
                        Ok(None)
                    };
                }
                Err(Errno::NOENT) if !hides(root.as_fd(), parts)? => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Whether a layer hides this path of the layers below it, by an opaque folder or a deleted one on the way.
fn hides(root: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<bool, Errno> {
    for depth in 1..parts.len() {
        match tree::open_beneath(root, &parts[..depth].join(&b'/'), OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(dir) => {
                let mut value = [0; 1];
                if rustix::fs::fgetxattr(&dir, tree::OPAQUE, &mut value).is_ok_and(|_| value == *b"y") {
                    return Ok(true);
                }
            }
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// A file of a layer below.
pub(crate) struct Below {
    file: File,
    stat: Stat,
}

impl Below {
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Copies content and metadata.
    pub(crate) fn copy_to(mut self, to: &mut File) -> io::Result<()> {
        io::copy(&mut self.file, to)?;
        Ok(copy_meta(self.file.as_fd(), &self.stat, to.as_fd())?)
    }
}

fn mtime(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) }
}

fn copy_meta(from: BorrowedFd<'_>, stat: &Stat, to: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (key, value) in attributes(from)? {
        if belongs_to_image(&key) {
            rustix::fs::fsetxattr(to, OsStr::from_bytes(&key), &value, XattrFlags::empty())?;
        }
    }
    let time = mtime(stat);
    rustix::fs::futimens(to, &Timestamps { last_access: time, last_modification: time })
}

/// An extended attribute: its name and its value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// The extended attributes of an open file, sorted by name.
pub(crate) fn attributes(fd: BorrowedFd<'_>) -> Result<Vec<Attribute>, Errno> {
    // The kernel's own bounds for the list of names and for one value.
    let mut names = vec![0u8; 64 << 10];
    let len = match rustix::fs::flistxattr(fd, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        len => len?,
    };
    let mut found = Vec::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; 64 << 10];
        let len = rustix::fs::fgetxattr(fd, OsStr::from_bytes(name), &mut value[..])?;
        value.truncate(len);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Attributes that travel with an image; the rest belong to the overlay or to the host's security policy.
pub(crate) fn belongs_to_image(key: &[u8]) -> bool {
    let overlay = key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
    let travels = key.starts_with(b"user.")
        || key.starts_with(b"trusted.")
        || key == b"security.capability"
        || key.starts_with(b"system.posix_acl_");
    travels && !overlay
}
