//! Writing a layer: files go into its folder, with what lies below it in mind.
//!
//! As an overlay does, a folder that exists below is made here with the same attributes before something is put into
//! it. Names are opened one by one and links are never followed by the kernel, so nothing is written elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::chmod::Chmod;
use crate::ignore::Ignore;
use crate::tree::{Folder, Node, Tree, kind};
use crate::users::Owner;

/// Folders within folders; more is refused.
pub(crate) const MAX_DEPTH: usize = 512;

/// Names that mean a deletion in a layer's archive, and so cannot be a file's name in an image.
const WHITEOUT: &[u8] = b".wh.";

/// A layer as it is written.
pub(crate) struct Upper {
    /// What the layer and those below it show together.
    pub tree: Tree,
    root: OwnedFd,
}

/// What is the same for all files of a copy.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'a> {
    /// In place of the sources' owners.
    pub owner: Option<Owner>,
    /// In place of the sources' permissions.
    pub mode: Option<&'a Chmod>,
    /// In place of the sources' times, in seconds since 1970.
    pub mtime_secs: Option<i64>,
    /// What stays behind, by the path below the source's root.
    pub exclude: Option<&'a Ignore>,
}

impl How<'_> {
    /// The permissions of what is made of this.
    pub(crate) fn mode_of(&self, stat: &Stat) -> u32 {
        let folder = kind(stat) == FileType::Directory;
        self.mode.map_or(stat.st_mode, |chmod| chmod.apply(stat.st_mode, folder)) & 0o7777
    }
}

/// What could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    #[error("could not write `/{}`", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("could not read `/{}`", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("`/{}` is there already and is {there}, so {new} cannot take its place", path.display())]
    Clash { path: PathBuf, there: &'static str, new: &'static str },
    #[error("`/{}` is {what}, which cannot be in an image", path.display())]
    Special { path: PathBuf, what: &'static str },
    #[error("`/{}` is too many folders deep", .0.display())]
    Deep(PathBuf),
}

impl Upper {
    /// The layer in the folder `top`, over the folders `lower`, the topmost first.
    pub(crate) fn open(top: &Path, lower: &[PathBuf]) -> io::Result<Self> {
        let layers = std::iter::once(top).chain(lower.iter().map(PathBuf::as_path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(top, flags, Mode::empty())?;
        Ok(Self { tree: Tree::open(layers)?, root })
    }

    /// Sees to it that the folder is there, in this layer. New ones belong to `owner`. Says where it really is.
    pub(crate) fn folder(&self, path: &Path, owner: Owner) -> Result<(OwnedFd, PathBuf), PutError> {
        let found = self.tree.find(path, true).map_err(|error| PutError::Write(path.to_owned(), error))?;
        match found.node {
            None | Some(Node::Folder(..)) => {}
            Some(Node::Link(..) | Node::Other(..)) => {
                return Err(PutError::Clash { path: found.path, there: "a file", new: "a folder" });
            }
        }
        let fail = |error: io::Error| PutError::Write(found.path.clone(), error);
        let mut here = rustix::fs::openat(&self.root, c".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| fail(error.into()))?;
        let mut way = PathBuf::new();
        for name in found.path.iter() {
            way.push(name);
            here = match open_folder(&here, name) {
                Err(Errno::NOENT) => {
                    let below = self.tree.find(&way, false).map_err(fail)?;
                    make_folder(&here, name, below.node.as_ref(), owner).map_err(fail)?
                }
                opened => opened.map_err(|error| fail(error.into()))?,
            };
        }
        Ok((here, found.path))
    }

    /// The folder at `below` under `target`; those of them that are new are like the source's, which `like` gives.
    pub(crate) fn folders_like(
        &self,
        target: &Path,
        below: &Path,
        how: How<'_>,
        mut like: impl FnMut(&Path) -> io::Result<Option<Stat>>,
    ) -> Result<(OwnedFd, PathBuf), PutError> {
        let (mut into, mut at) = self.folder(target, how.owner.unwrap_or_default())?;
        let mut way = PathBuf::new();
        for name in below.iter() {
            way.push(name);
            at.push(name);
            self.refuse_whiteout(name, &at)?;
            let read = |error| PutError::Read(way.clone(), error);
            (into, at) = match like(&way).map_err(read)? {
                Some(stat) if self.tree.find(&at, true).map_err(read)?.node.is_none() => {
                    let (made, _) = self.enter(&into, &at, &stat, how)?;
                    set_times(&made, &stat, how).map_err(|error| PutError::Write(at.clone(), error))?;
                    (made, at)
                }
                _ => self.folder(&at, how.owner.unwrap_or_default())?,
            };
        }
        Ok((into, at))
    }

    /// Puts a node, with all that is below it, at `path`, whose folder is `into`.
    pub(crate) fn put(&self, node: &Node, into: &OwnedFd, path: &Path, how: How<'_>) -> Result<(), PutError> {
        let name = path.file_name().unwrap_or(OsStr::new("."));
        self.refuse_whiteout(name, path)?;
        match node {
            Node::Folder(folder, stat) => {
                let (made, new) = self.enter(into, path, stat, how)?;
                self.put_all(folder, &made, path, Path::new(""), how)?;
                if new {
                    set_times(&made, stat, how).map_err(|error| PutError::Write(path.to_owned(), error))?;
                }
                Ok(())
            }
            Node::Link(..) | Node::Other(..) => self.put_one(node, into, path, how),
        }
    }

    /// Puts what a folder holds into another. `below` is the folder's path from the source's root.
    pub(crate) fn put_all(
        &self,
        from: &Folder,
        into: &OwnedFd,
        at: &Path,
        below: &Path,
        how: How<'_>,
    ) -> Result<(), PutError> {
        if below.iter().count() > MAX_DEPTH {
            return Err(PutError::Deep(at.to_owned()));
        }
        for name in from.names().map_err(|error| PutError::Read(below.to_owned(), error))? {
            let (inside, path) = (below.join(&name), at.join(&name));
            let read = |error| PutError::Read(inside.clone(), error);
            let Some(node) = from.get(&name).map_err(read)? else { continue };
            if !included(&node, &inside, how.exclude).map_err(read)? {
                continue;
            }
            self.refuse_whiteout(&name, &path)?;
            let Node::Folder(folder, stat) = &node else {
                self.put_one(&node, into, &path, how)?;
                continue;
            };
            let (made, new) = self.enter(into, &path, stat, how)?;
            self.put_all(folder, &made, &path, &inside, how)?;
            if new {
                set_times(&made, stat, how).map_err(|error| PutError::Write(path.clone(), error))?;
            }
        }
        Ok(())
    }

    /// The folder at `path`, made if need be, and whether it is new in the whole tree.
    fn enter(
        &self,
        into: &OwnedFd,
        path: &Path,
        stat: &Stat,
        how: How<'_>,
    ) -> Result<(OwnedFd, bool), PutError> {
        let fail = |error: io::Error| PutError::Write(path.to_owned(), error);
        let name = path.file_name().unwrap_or(OsStr::new("."));
        match self.tree.find(path, false).map_err(fail)?.node {
            Some(there @ Node::Folder(..)) => match open_folder(into, name) {
                Err(Errno::NOENT) => {
                    Ok((make_folder(into, name, Some(&there), Owner::default()).map_err(fail)?, false))
                }
                opened => Ok((opened.map_err(|error| fail(error.into()))?, false)),
            },
            Some(Node::Link(..) | Node::Other(..)) => {
                Err(PutError::Clash { path: path.to_owned(), there: "no folder", new: "a folder" })
            }
            None => {
                let made = make_folder(into, name, None, Owner::default()).map_err(fail)?;
                set_owner_and_mode(&made, stat, how).map_err(fail)?;
                Ok((made, true))
            }
        }
    }

    /// Puts a file, a link or a pipe; one that was there goes.
    fn put_one(&self, node: &Node, into: &OwnedFd, path: &Path, how: How<'_>) -> Result<(), PutError> {
        let fail = |error: io::Error| PutError::Write(path.to_owned(), error);
        let name = path.file_name().unwrap_or(OsStr::new("."));
        self.clear(into, name, path)?;
        let stat = node.stat();
        match (node, kind(stat)) {
            (Node::Link(target, _), _) => put_link(into, name, target, stat, how).map_err(fail),
            (_, FileType::RegularFile) => {
                let source = node.open().map_err(|error| PutError::Read(path.to_owned(), error))?;
                put_file(into, name, source, stat, how).map_err(fail)
            }
            (_, FileType::Fifo) => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(into, name, FileType::Fifo, mode, 0)
                    .map_err(|error| fail(error.into()))?;
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let pipe =
                    rustix::fs::openat(into, name, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
                set_owner_and_mode(&pipe, stat, how).map_err(fail)
            }
            (_, FileType::Socket) => Err(PutError::Special { path: path.to_owned(), what: "a socket" }),
            (_, _) => Err(PutError::Special { path: path.to_owned(), what: "a device" }),
        }
    }

    /// Makes way for a file at this place.
    pub(crate) fn clear(&self, into: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), PutError> {
        let fail = |error: io::Error| PutError::Write(path.to_owned(), error);
        if let Some(Node::Folder(..)) = self.tree.find(path, false).map_err(fail)?.node {
            return Err(PutError::Clash { path: path.to_owned(), there: "a folder", new: "a file" });
        }
        match rustix::fs::unlinkat(into, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(fail(error.into())),
        }
    }

    /// Writes a file whose content is at hand.
    pub(crate) fn put_bytes(
        &self,
        bytes: impl Read,
        into: &OwnedFd,
        path: &Path,
        like: &Attributes,
    ) -> Result<(), PutError> {
        let fail = |error: io::Error| PutError::Write(path.to_owned(), error);
        let name = path.file_name().unwrap_or(OsStr::new("."));
        self.refuse_whiteout(name, path)?;
        self.clear(into, name, path)?;
        let mut file = create(into, name).map_err(fail)?;
        let mut bytes = bytes;
        io::copy(&mut bytes, &mut file).map_err(fail)?;
        like.set(&file).map_err(fail)
    }

    pub(crate) fn refuse_whiteout(&self, name: &OsStr, path: &Path) -> Result<(), PutError> {
        if name.as_bytes().starts_with(WHITEOUT) {
            let what = "named like a deletion in a layer (`.wh.`)";
            return Err(PutError::Special { path: path.to_owned(), what });
        }
        Ok(())
    }
}

/// Owner, permissions and time of a file that is not copied from a tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub owner: Owner,
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime_secs: i64,
}

impl Attributes {
    pub(crate) fn set(&self, fd: impl AsFd) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
        rustix::fs::fchown(&fd, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(self.mode & 0o7777))?;
        let time = Timespec { tv_sec: self.mtime_secs, tv_nsec: 0 };
        rustix::fs::futimens(&fd, &Timestamps { last_access: time, last_modification: time })?;
        Ok(())
    }
}

/// Whether the node comes along: it is not excluded, or something below it is taken back.
pub(crate) fn included(node: &Node, path: &Path, exclude: Option<&Ignore>) -> io::Result<bool> {
    let Some(exclude) = exclude else { return Ok(true) };
    let text = path.to_string_lossy();
    if !exclude.takes(&text) {
        return Ok(true);
    }
    let Node::Folder(folder, _) = node else { return Ok(false) };
    if !exclude.takes_back() || path.iter().count() > MAX_DEPTH {
        return Ok(false);
    }
    for name in folder.names()? {
        let Some(child) = folder.get(&name)? else { continue };
        if included(&child, &path.join(&name), Some(exclude))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open_folder(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Makes a folder like the one below it, or a new one of this owner.
fn make_folder(parent: &OwnedFd, name: &OsStr, below: Option<&Node>, owner: Owner) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    let made = open_folder(parent, name)?;
    match below {
        Some(node @ Node::Folder(folder, stat)) => {
            copy_attributes(folder.top(), &made)?;
            set_owner_and_mode(&made, stat, How::default())?;
            set_times(&made, node.stat(), How::default())?;
        }
        Some(Node::Link(..) | Node::Other(..)) | None => {
            let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
            rustix::fs::fchown(&made, Some(uid), Some(gid))?;
            // The process may have a mask of its own.
            rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
        }
    }
    Ok(made)
}

pub(crate) fn create(into: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(into, name, flags, Mode::from_raw_mode(0o600))?))
}

fn put_file(into: &OwnedFd, name: &OsStr, mut source: File, stat: &Stat, how: How<'_>) -> io::Result<()> {
    let mut file = create(into, name)?;
    io::copy(&mut source, &mut file)?;
    set_owner_and_mode(&file, stat, how)?;
    // Behind the owner: a change of owner takes capabilities away.
    copy_attributes(&source, &file)?;
    set_times(&file, stat, how)
}

fn put_link(into: &OwnedFd, name: &OsStr, target: &OsString, stat: &Stat, how: How<'_>) -> io::Result<()> {
    rustix::fs::symlinkat(target, into, name)?;
    let owner = how.owner.unwrap_or(Owner { uid: stat.st_uid, gid: stat.st_gid });
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(into, name, &times(stat, how), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn set_owner_and_mode(fd: impl AsFd, stat: &Stat, how: How<'_>) -> io::Result<()> {
    let owner = how.owner.unwrap_or(Owner { uid: stat.st_uid, gid: stat.st_gid });
    rustix::fs::fchown(&fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(how.mode_of(stat)))?;
    Ok(())
}

fn set_times(fd: impl AsFd, stat: &Stat, how: How<'_>) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &times(stat, how))?)
}

fn times(stat: &Stat, how: How<'_>) -> Timestamps {
    let theirs = Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or(0) };
    let time = how.mtime_secs.map_or(theirs, |tv_sec| Timespec { tv_sec, tv_nsec: 0 });
    Timestamps { last_access: time, last_modification: time }
}

/// The extended attributes that belong to a file and not to the machine: capabilities and users' own.
pub(crate) fn attributes(fd: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0u8; 64 << 10];
    let length = match rustix::fs::flistxattr(&fd, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        length => length?,
    };
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok()) {
        if name != "security.capability" && !name.starts_with("user.") || name.starts_with("user.overlay.") {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
        let length = rustix::fs::fgetxattr(&fd, name, &mut value)?;
        value.truncate(length);
        found.push((name.to_owned(), value));
    }
    found.sort();
    Ok(found)
}

fn copy_attributes(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    for (name, value) in attributes(from)? {
        rustix::fs::fsetxattr(&to, name.as_str(), &value, XattrFlags::empty())?;
    }
    Ok(())
}
