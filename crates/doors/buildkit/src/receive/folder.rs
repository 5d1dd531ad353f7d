//! The folder that a tree is taken into. Every path is resolved below it and through no link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

use super::ReceiveError;
use crate::proto::files::{Stat, mode};

/// Below, and through no link; neither changes while we look, for nobody else writes there.
const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);
/// The longest target of a link.
const TARGET_BYTES: usize = 4095;

/// A tree under way.
pub(crate) struct Folder {
    root: OwnedFd,
    earlier: Option<Earlier>,
    /// The folder that the last path was in: most paths are in the same as the one before.
    parent: Option<(String, OwnedFd)>,
    /// Folders get their permissions and times at the end, when nothing is put into them any more.
    folders: Vec<(String, u32, i64)>,
}

/// A tree that files may be shared with.
struct Earlier {
    root: OwnedFd,
    /// The folder that the last path was in, if it is there.
    parent: Option<(String, Option<OwnedFd>)>,
}

impl Folder {
    /// Into this folder, which is empty. Files may be shared with those of an earlier tree.
    pub(crate) fn open(target: &Path, earlier: Option<&Path>) -> Result<Self, ReceiveError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(target, flags, Mode::empty()).map_err(|error| fail("", error))?;
        let earlier = earlier
            .and_then(|path| rustix::fs::open(path, flags, Mode::empty()).ok())
            .map(|root| Earlier { root, parent: None });
        Ok(Self { root, earlier, parent: None, folders: Vec::new() })
    }

    /// Makes a folder.
    pub(crate) fn make(&mut self, stat: &Stat) -> Result<(), ReceiveError> {
        self.within(&stat.path, |parent, name| rustix::fs::mkdirat(parent, name, Mode::RWXU))?;
        self.folders.push((stat.path.clone(), mode::permissions(stat.mode), stat.mod_time));
        Ok(())
    }

    /// Makes a symbolic link, wherever it leads: nobody here follows it.
    pub(crate) fn link(&mut self, stat: &Stat) -> Result<(), ReceiveError> {
        let target = stat.linkname.as_str();
        if target.is_empty() || target.len() > TARGET_BYTES || target.contains('\0') {
            return Err(ReceiveError::Path { path: stat.path.clone(), why: "its link leads nowhere" });
        }
        self.within(&stat.path, |parent, name| {
            rustix::fs::symlinkat(target, parent, name)?;
            rustix::fs::utimensat(parent, name, &times(stat.mod_time), AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// Makes a file to be written to.
    pub(crate) fn create(&mut self, path: &str) -> Result<File, ReceiveError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.within(path, |parent, name| {
            rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
        })
    }

    /// The file is whole.
    pub(crate) fn close(&self, file: &File, stat: &Stat) -> Result<(), ReceiveError> {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode::permissions(stat.mode)))
            .and_then(|()| rustix::fs::futimens(file, &times(stat.mod_time)))
            .map_err(|error| fail(&stat.path, error))
    }

    /// Takes the file from the earlier tree if it is the same there, and says how large it is.
    pub(crate) fn share(&mut self, stat: &Stat) -> Result<Option<u64>, ReceiveError> {
        let Some(earlier) = self.earlier.take() else { return Ok(None) };
        let (parent, name) = stat.path.rsplit_once('/').unwrap_or(("", &stat.path));
        let known = earlier.parent.filter(|(known, _)| known == parent);
        // A folder that is not there, or is a link there, has nothing to share.
        let (parent, folder) =
            known.unwrap_or_else(|| (parent.to_owned(), below(&earlier.root, parent, OFlags::PATH).ok()));
        let shared = folder.as_ref().and_then(|folder| self.share_from(folder, name, stat));
        self.earlier = Some(Earlier { root: earlier.root, parent: Some((parent, folder)) });
        Ok(shared)
    }

    /// Nobody writes to the earlier tree, so what is looked at is what is shared.
    fn share_from(&mut self, folder: &OwnedFd, name: &str, stat: &Stat) -> Option<u64> {
        let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let time = there.st_mtime.saturating_mul(1_000_000_000).saturating_add(there.st_mtime_nsec as i64);
        let same = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
            && there.st_size == stat.size
            && time == stat.mod_time
            && there.st_mode & 0o7777 == mode::permissions(stat.mode);
        if !same {
            return None;
        }
        // A file may have too many names already, or the kernel may not allow it: then it is sent.
        let link =
            |parent: &OwnedFd, new: &str| rustix::fs::linkat(folder, name, parent, new, AtFlags::empty());
        self.within(&stat.path, link).ok()?;
        u64::try_from(there.st_size).ok()
    }

    /// Makes what must wait for the end: links to files, then the permissions and times of folders.
    pub(crate) fn finish(&mut self, links: &[(String, String)]) -> Result<(), ReceiveError> {
        for (from, to) in links {
            let source = self.inside(from)?;
            let name = from.rsplit('/').next().unwrap_or(from);
            self.within(to, |parent, new| rustix::fs::linkat(&source, name, parent, new, AtFlags::empty()))?;
        }
        self.parent = None;
        let folders = std::mem::take(&mut self.folders);
        // The inner ones first: what happens in a folder changes its time, and its permissions may forbid to enter.
        for (path, permissions, time) in folders.iter().rev() {
            let folder = below(&self.root, path, OFlags::RDONLY).map_err(|error| fail(path, error))?;
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(*permissions))
                .and_then(|()| rustix::fs::futimens(&folder, &times(*time)))
                .map_err(|error| fail(path, error))?;
        }
        Ok(())
    }

    /// The folder that holds this path, anew.
    fn inside(&self, path: &str) -> Result<OwnedFd, ReceiveError> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        below(&self.root, parent, OFlags::PATH).map_err(|error| fail(path, error))
    }

    /// Does something with the folder that holds this path, and the name in it.
    fn within<T>(
        &mut self,
        path: &str,
        act: impl FnOnce(&OwnedFd, &str) -> rustix::io::Result<T>,
    ) -> Result<T, ReceiveError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let known = self.parent.take().filter(|(known, _)| known == parent);
        let (parent, folder) = match known {
            Some(known) => known,
            None => (parent.to_owned(), self.inside(path)?),
        };
        let result = act(&folder, name).map_err(|error| fail(path, error));
        self.parent = Some((parent, folder));
        result
    }
}

fn below(root: &impl AsFd, path: &str, how: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    rustix::fs::openat2(root, path, how | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), BELOW)
}

fn times(nanoseconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: nanoseconds.div_euclid(1_000_000_000),
        tv_nsec: nanoseconds.rem_euclid(1_000_000_000),
    };
    Timestamps { last_access: time, last_modification: time }
}

fn fail(path: &str, error: rustix::io::Errno) -> ReceiveError {
    ReceiveError::Write { path: path.to_owned(), source: io::Error::from(error) }
}
